"""The Dockerfile front: text to typed instructions with exact source ranges, and variable expansion."""
