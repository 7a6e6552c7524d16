/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the UDP probe and its reader agree on. Fixed-width types only, no implicit padding; a test compiles this
 * file to hold it together with the reader's formats.
 */
#ifndef NETSRE_UDP_H
#define NETSRE_UDP_H

#include "flows.h"

/* What a socket is for: its first act decides. */
enum udp_role {
	UDP_CLIENT = 0,
	UDP_SERVER = 1, /* It was spoken to first: it answers, and what it sends is nobody's attempt. */
};

/* One socket and one address that it has written to. Times are CLOCK_MONOTONIC, 0 for never. */
struct udp_conversation {
	__u64 start_ns;	   /* When the attempt began that is open; 0 while none is. */
	__u64 answered_ns; /* When the last answer was read; 0 also after a failure. */
	__u64 error_ns;	   /* When the socket was last told of an error. */
	__u64 cgroup;
	struct source_address local; /* All 0 where the kernel chooses it for each datagram. */
	struct source_address remote;
	__u32 netns;
	__u32 workload;
	__u16 remote_port; /* As on the wire. */
	__u16 local_port;  /* In host order. */
	__u8 destination;
	__u8 begun;	   /* Something was sent. */
	__u8 unanswered;   /* Something was sent after the last answer. */
	__u8 error;	   /* The errno of that error; 0 when a call that sends was told, or an answer came. */
	__u8 error_counts; /* An attempt has ended by it. */
	__u8 error_taken;  /* Its caller was told otherwise: the next call that fails is told of another one. */
	__u8 pad[6];
};

/* Names a conversation but the first of a socket. */
struct udp_peer {
	__u64 cookie;
	struct source_address address;
	__u16 port; /* As on the wire. */
	__u16 pad[3];
};

struct udp_socket {
	struct udp_conversation first;
	struct udp_peer last; /* Whom it wrote to last with an address. */
	__u64 first_taken;
	__u32 addressed; /* Calls that send to an address, begun and not ended. */
	__u32 heard;	 /* Calls that receive, whose answer is counted and that have not ended. */
	__u8 role;
	__u8 peers;  /* 2 for two or more. */
	__u8 opened; /* The last call that sends to an address began an attempt. */
	__u8 pad[5];
};

#endif
