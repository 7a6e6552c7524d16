"""The kernel's BPF side: a short-lived loader, the descriptors it hands over, and batch reads of maps."""
