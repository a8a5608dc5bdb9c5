"""The compilers' wrappers: clang with the flags that make it produce code for the target."""
