"""Balancing of services: which backend a socket is given, and how a revision of it is written down."""
