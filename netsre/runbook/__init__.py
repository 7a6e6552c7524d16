"""Runbooks: what may run, in which order, and what was done."""
