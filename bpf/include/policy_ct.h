/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections that the policy datapath knows; `netsre/datapath/policy/conntrack.py` has the same layouts.
 *
 * One entry at each end that is an endpoint here: what goes out and what comes in of a connection is one key, with the
 * endpoint's own address first. An entry ends by itself: it counts for as long as somebody spoke within the timeout of
 * its state. Whoever collects what has ended needs no more than this file: seen_ns, the state, and the timeouts.
 */
#ifndef NETSRE_POLICY_CT_H
#define NETSRE_POLICY_CT_H

#include "policy.h"

/* Hash `policy_ct`. Of an echo and its like the asker's port is the identifier, the other one the request's type. */
struct policy_ct_key {
	struct policy_address own;
	struct policy_address peer;
	__be16 own_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 reserved[3];
};

/* Array of maps `policy_ct_tables`: the tables of connections. */
enum policy_ct_table {
	POLICY_CT_NOW = 0,
	POLICY_CT_BEFORE = 1, /* only while one is exchanged for another */
	POLICY_CT_TABLES = 2,
};

/* Flags as in a TCP header; of what is no TCP, whoever said anything has said ACK. */
enum policy_said {
	POLICY_SAID_FIN = 0x01,
	POLICY_SAID_SYN = 0x02,
	POLICY_SAID_RST = 0x04,
	POLICY_SAID_ACK = 0x10,
};

/* Who is changed while others read it: each side writes its own byte, and the time; the rest is replaced as a whole. */
struct policy_connection {
	__u64 seen_ns;	/* CLOCK_MONOTONIC of the last packet, to the tick */
	__u32 revision; /* that allowed it: the end of its number */
	__u32 orders;	/* the turn of orders that it was last asked about in */
	__u32 rule;	/* from here to reason: as it is counted */
	__u32 source;
	__u32 destination;
	__u32 endpoint; /* number */
	__u8 direction; /* of the first packet */
	__u8 verdict;	/* allowed or audited; POLICY_VERDICTS where it passes only because the mode is off */
	__u8 reason;
	__u8 said_forward;
	__u8 said_back;
	__u8 reserved;
	__u16 row; /* of `policy_counts`, as long as nothing of the above is changed; 0 for none */
};

/* Index of array `policy_timeouts`: nanoseconds, read with every packet: a new value holds for what is there. */
enum policy_ct_state {
	POLICY_CT_TCP_SYN = 0,	       /* nobody answered yet */
	POLICY_CT_TCP_ESTABLISHED = 1, /* both have spoken */
	POLICY_CT_TCP_CLOSING = 2,     /* one side has closed */
	POLICY_CT_TCP_CLOSED = 3,      /* both have, or one broke it off */
	POLICY_CT_UDP_ASKED = 4,
	POLICY_CT_UDP_ANSWERED = 5,
	POLICY_CT_ICMP = 6,
	POLICY_CT_OTHER_ASKED = 7,
	POLICY_CT_OTHER_ANSWERED = 8,
	POLICY_CT_STATES = 9,
};

/* Array `policy_ct_full` (one __u64): when `policy_ct` last had no room; CLOCK_MONOTONIC, 0 for never. */

/* LRU hash `policy_fragments`: the ports of a packet in pieces are in its first piece alone. */
struct policy_fragment_key {
	struct policy_address source;
	struct policy_address destination;
	__u32 identification;
	__u8 protocol; /* as this piece has it */
	__u8 direction;
	__u16 reserved;
};

struct policy_fragment {
	__u64 seen_ns;
	__be16 source_port;
	__be16 destination_port;
	__be16 service;
	__u8 protocol; /* behind all headers */
	__u8 role;
};

#endif
