/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the flow log's events look like, and how it is switched. Fixed-width types only, no implicit padding: the
 * reader decodes these bytes by the same offsets, and a test compiles this file to hold the two together.
 */
#ifndef NETSRE_FLOW_LOG_H
#define NETSRE_FLOW_LOG_H

/* Set by the reader. All zero is off: nothing is emitted, nothing is lost. */
struct flow_log_switch {
	__u32 on;
	__u32 one_in; /* Of the delivered attempts; 0 is none of them. All others are always logged. */
};

/* An address as it stands in an IPv6 header; an IPv4 address is written as ::ffff:a.b.c.d. */
struct log_address {
	__u32 word[4];
};

/* One attempt that came to its outcome. Ports are in host order, and 0 where they are not known. */
struct flow_event {
	__u64 end_ns;
	__u64 start_ns; /* 0 when the beginning was not seen. */
	__u64 cgroup;	/* Of the client; 0 when it is not known. */
	struct log_address local;
	struct log_address remote;
	__u32 netns;
	__u32 workload; /* The number of the destination's name; 0 for none. */
	__u32 one_in;	/* It stands for so many of its kind. */
	__u16 local_port;
	__u16 remote_port;
	__u8 outcome;
	__u8 error;
	__u8 destination;
	__u8 remote_known; /* 0 when the socket was somebody else's by the time it was looked at. */
	__u8 role;
	__u8 pad;
	__u16 drop;
};

/* A stalled attempt, as the reader asks for its event: the arguments of a raw tracepoint. */
struct flow_log_stall {
	__u64 sock;
	__u64 start_ns;
	__u64 end_ns;
	__u64 cgroup;
	__u64 netns;
	__u64 workload;
	__u64 outcome;
	__u64 destination;
	__u64 local[2]; /* As in struct log_address. */
	__u64 drop;
};

#endif
