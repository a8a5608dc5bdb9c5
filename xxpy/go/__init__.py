"""Go for a target: its variables, and the C compiler that cgo is given."""
