"""The package managers' wrappers: a stage's native one installs packages of the target's architecture."""
