"""What policies decide: the reference, and what a kernel map can hold of it."""
