"""The second Engine: hands a build to BuildKit by ``docker buildx``, and reads back what it tells and makes.

The Dockerfile is read by BuildKit's own front end. Our Plan of the same Dockerfile goes before it: its errors come
first, it says what may be emulated, which images of the store are handed on, and which step is which.
"""
