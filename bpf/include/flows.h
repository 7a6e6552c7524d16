/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the flow probe and its reader agree on. Fixed-width types only, no implicit padding: the reader
 * decodes these bytes by the same offsets, and a test compiles this file to hold the two together.
 */
#ifndef NETSRE_FLOWS_H
#define NETSRE_FLOWS_H

/* How an attempt ended. With the role it is the index into the overflow array: role * FLOW_OUTCOMES + outcome. */
enum flow_outcome {
	FLOW_DELIVERED = 0,
	FLOW_FAILED = 1,
	FLOW_STALLED = 2,
	FLOW_DENIED = 3,
	FLOW_OUTCOMES = 4,
};

/* Whose attempt it is: which end of it is here, and by what protocol. */
enum flow_role {
	FLOW_TCP_CLIENT = 0,
	FLOW_UDP_CLIENT = 1,
	FLOW_TCP_SERVER = 2,
	FLOW_ROLES = 3,
};

/* As it stands in an IPv6 header; an IPv4 address is written as ::ffff:a.b.c.d. */
struct source_address {
	__u32 word[4];
};

/* Since when and until when a source is blocked, by the clock of attempts (CLOCK_MONOTONIC). */
struct denial {
	__u64 since_ns;
	__u64 until_ns;
};

/*
 * Which destinations have a name. The bits that count begin with the port, as on the wire, or 0 for any; then two
 * bytes of nothing, then the address, written as a source is.
 */
struct workload_key {
	__u32 bits;
	__u16 port;
	__u16 pad;
	__u32 address[4];
};

/* An attempt that waits for its answer. start_ns is 0 while the socket has none in flight. */
struct attempt {
	__u64 start_ns;
	__u64 cgroup;
	__u32 netns;
	__u32 workload;
	__u32 start_tick; /* In jiffies, whose length only the kernel knows: 1 to 10 ms. */
	__u8 destination;
	__u8 pad;
	__u16 drop; /* Why the last packet of it was dropped here, by the kernel's number; 0 when none was. */
	struct source_address source;
};

/* Names one attempt for ever: a socket address is reused, an address with a start time is not. */
struct stall_claim {
	__u64 sock;
	__u64 start_ns;
};

/*
 * One counter: everything that is kept apart. cgroup and netns are of the end that is here, workload is the number
 * of the other end's name, both 0 when there is none; destination is the class of the other end's address; error is
 * an errno, 0 when the kernel gave none.
 */
struct flow_key {
	__u64 cgroup;
	__u32 netns;
	__u32 workload;
	__u8 outcome;
	__u8 error;
	__u8 destination;
	__u8 bucket;
	__u8 role;
	__u8 pad;
	__u16 drop; /* Of a stalled attempt: the kernel's number for why its packets were dropped here; else 0. */
};

struct flow_value {
	__u64 count;
	__u64 sum_ns;
};

/*
 * Connections that were counted lately. Both numbers of a connection say which set is its own; in it stands the
 * server's, which another one of that set has once in four billion.
 */
#define CONNECTION_WAYS 7
struct connection_set {
	__u32 next;
	__u32 server[CONNECTION_WAYS];
};

/*
 * A SYN that this kernel refused, by its sequence number; `another` is 0 but for one that differs from an earlier
 * one with the same number.
 */
struct refusal_key {
	__u32 sequence;
	__u32 another;
};

/* Ports are in host order. */
struct refusal {
	__u64 at_ns;
	struct source_address local;
	struct source_address remote;
	__u32 netns;
	__u32 workload; /* The number of the client's name; 0 for none. */
	__u16 local_port;
	__u16 remote_port;
	__u8 destination; /* The class of the client's address. */
	__u8 pad[3];
};

#endif
