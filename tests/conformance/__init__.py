"""Small Dockerfiles, each built by `xx build` and, when answers are recorded, by a real BuildKit; results compared."""
