"""What only a privileged process sees of this node: other network namespaces, and BPF objects by number.

It is a process of its own (`part`) with CAP_SYS_ADMIN and CAP_SYS_PTRACE, no compiler, no network and ten
requests; the agent that serves has neither (`client`). Where the process is missing, the agent has its own
network namespace and its own maps.
"""
