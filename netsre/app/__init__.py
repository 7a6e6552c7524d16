"""The composition root: builds the parts, reads the environment, runs the processes."""
