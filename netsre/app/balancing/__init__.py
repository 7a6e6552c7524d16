"""Services balanced on this node: putting a revision there, going back, draining, and what is there."""
