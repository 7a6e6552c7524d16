"""What `netsre top` shows, worked out from readings of an agent; only `reader` waits and asks."""
