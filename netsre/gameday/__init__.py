"""Faults made on purpose, and the ownership of everything made for them."""
