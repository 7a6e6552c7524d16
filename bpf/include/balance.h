/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the balancer of services and its writer agree on; `netsre/datapath/balance/layouts.py` has the same layouts.
 *
 * As with policies (policy.h), nothing that a program can see is ever changed: a new revision is written beside the
 * old one, under numbers that no revision in force refers to, and then the number of its slot is stored. Tables and
 * backends that a revision has in common with the one before are the same entries. Fixed-width types only, no implicit
 * padding.
 */
#ifndef NETSRE_BALANCE_H
#define NETSRE_BALANCE_H

/* Slots of `balance_revisions`: the one in force, those that can be returned to, and one that is being written. */
#define BALANCE_REVISIONS 16
/* Services that one socket is known to have asked; a socket of TCP has one. */
#define BALANCE_PLACES 8

/*
 * Sets begin with 1; a slot of zeros knows no service: all passes. A revision may have an end, on a clock that nobody
 * sets: from then on another set decides, whoever is there to say so.
 */
struct balance_revision {
	__u64 number;	/* counts up for ever */
	__u32 set;	/* of services and their members */
	__u32 after;	/* the set from the end on */
	__u64 until_ns; /* CLOCK_BOOTTIME; 0 for no end */
};

/* An IPv4 address is written as ::ffff:a.b.c.d, a port as on the wire. */
struct balance_end {
	__u32 address[4];
	__u16 port;
	__u16 reserved;
};

/* Hash `balance_services`: what is a service, by one of its addresses. */
struct balance_service_key {
	__u32 set;
	struct balance_end end;
	__u32 protocol;
};

struct balance_service {
	__u32 number; /* of this address, port and protocol, the same in every revision */
	__u32 table;  /* 0 where no backend takes new connections */
};

/* Hash of maps `balance_tables`, by number: Maglev's table, with the number of a backend in each slot. */
struct balance_table {
	__u32 backend[BALANCE_TABLE_SIZE];
};

/* Hash `balance_backends`, by number: struct balance_end. */

/* Hash `balance_members`: backends that may be kept by whoever has them, also those that take nobody new. */
struct balance_member {
	__u32 set;
	__u32 service;
	__u32 backend;
};
/* value: __u8, of no meaning */

/*
 * Hash `balance_peers`: what a socket has asked, and who it was given. Its places are filled from 0 on, and emptied
 * together when it ends.
 */
struct balance_peer_key {
	__u64 cookie;
	__u32 place;
	__u32 reserved;
};

struct balance_peer {
	struct balance_end asked;
	struct balance_end given;
	struct balance_end before; /* who was given before, and may still answer; zeros for nobody */
	__u32 service;
	__u32 backend;
};

/* Per-CPU hash `balance_counts`; backend 0 is none: refused. */
struct balance_count_key {
	__u32 service;
	__u32 backend;
};

struct balance_count {
	__u64 connections; /* calls of connect() */
	__u64 datagrams;   /* sent by calls that named the service */
};

/* Per-CPU array `balance_events`. */
enum balance_event {
	BALANCE_PASSED = 0,	 /* asked for no service */
	BALANCE_BROKEN = 1,	 /* a table or a backend was missing: passed as it was */
	BALANCE_PEERS_FULL = 2,	 /* given a backend, and shown its address instead of the service's */
	BALANCE_COUNTS_FULL = 3, /* given a backend or refused, and counted here alone */
	BALANCE_EVENTS = 4,
};

#endif
