"""netsre: an SRE reliability toolkit for the network of Linux nodes."""

__version__ = "0.1.0"
