"""Engine: what solves a Plan. ``embedded`` runs the steps on this machine, in a user namespace of its own."""
