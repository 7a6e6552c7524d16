"""What the agent changes on request, and how every change comes to its own end."""
