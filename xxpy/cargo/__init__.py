"""cargo for a target: the triple, the standard library, and all that build scripts ask the environment for."""
