/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the TCP probe and its reader agree on. Fixed-width types only, no implicit padding; a test compiles this
 * file to hold it together with the reader's formats.
 */
#ifndef NETSRE_TCP_H
#define NETSRE_TCP_H

enum tcp_event {
	TCP_EVENT_RETRANSMIT = 0, /* detail: enum tcp_retransmit */
	TCP_EVENT_RESET_SENT = 1, /* detail: the kernel's reason, TCP_DETAIL_OTHER where it gives none */
	TCP_EVENT_RESET_SEEN = 2, /* detail: enum tcp_reset */
	TCP_EVENT_RTT = 3,	  /* detail: bucket */
	TCP_EVENTS = 4,
};

enum tcp_retransmit {
	TCP_RETRANSMIT_DATA = 0,
	TCP_RETRANSMIT_SYN = 1,
	TCP_RETRANSMIT_SYN_ACK = 2,
};

enum tcp_reset {
	TCP_RESET_REFUSED = 0, /* an attempt to connect */
	TCP_RESET_BROKEN = 1,  /* a connection */
};

/* Who opened the connection. */
enum tcp_direction {
	TCP_DIRECTION_OTHER = 0,
	TCP_DIRECTION_EGRESS = 1,
	TCP_DIRECTION_INGRESS = 2,
};

#define TCP_DETAILS 128
#define TCP_DETAIL_OTHER (TCP_DETAILS - 1)

/* One counter: everything that is kept apart. cgroup and netns are of this end, destination the class of the other. */
struct tcp_key {
	__u64 cgroup;
	__u32 netns;
	__u8 event;
	__u8 detail;
	__u8 direction;
	__u8 destination;
};

/* count is segments where they were sent again, packets where they were resets, connections where they were timed. */
struct tcp_value {
	__u64 count;
	__u64 sum_ns;
};

#endif
