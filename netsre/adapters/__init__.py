"""The outside world: kernel, processes, sockets, HTTP. One leaf per thing."""
