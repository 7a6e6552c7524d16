"""Values that travel between the layers: frozen, exact, and free of any I/O."""
