"""Policies in force on this node: putting a revision there, going back, how strictly, and what is there."""
