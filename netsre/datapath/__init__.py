"""What the kernel side and the user side agree on: layouts, offsets, buckets and decoders, all pure."""
