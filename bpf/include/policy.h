/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the policy datapath and its compiler agree on; `netsre/datapath/policy/layouts.py` has the same layouts.
 *
 * Nothing that a program can see is ever changed: what changes is written beside it, under numbers that no revision in
 * force refers to, and then one number is stored, that of the slot of the new revision. A run of a program reads it
 * once, so that it decides by one revision alone. Addresses, endpoints and tables that a revision has in common with
 * the one before are the same entries. Fixed-width types only, no implicit padding.
 */
#ifndef NETSRE_POLICY_H
#define NETSRE_POLICY_H

/* Slots of `policy_revisions`: the one in force, those that can be returned to, and one that is being written. */
#define POLICY_REVISIONS 16

/* As it stands in an IPv6 header; an IPv4 address is written as ::ffff:a.b.c.d. */
struct policy_address {
	__u32 word[4];
};

/*
 * What a revision is made of. Numbers of sets begin with 1; a slot of zeros decides nothing: all passes.
 *
 * One on trial has an end, by CLOCK_BOOTTIME: from then on the revision in the slot `afterwards` decides, which is on
 * no trial itself. Nobody has to be alive for it.
 */
struct policy_revision {
	__u64 number;	 /* counts up for ever */
	__u32 addresses; /* the set of addresses */
	__u32 endpoints; /* the set of endpoints */
	__u64 until_ns;	 /* 0 for ever */
	__u32 afterwards;
	__u32 reserved;
};

/*
 * Array `policy_active` (one __u32): the slot in force, until its end. This is the number that is stored to switch.
 * Neither that slot nor the one that comes afterwards is written.
 */

/* LPM trie `policy_addresses`: whose an address is. The bits that count are 32 of the set, then those of the prefix. */
struct policy_address_key {
	__u32 bits;
	__u32 set;
	struct policy_address address;
};
struct policy_whose {
	__u32 identity; /* what packets are counted by */
	__u16 asked;	/* what tables call it: the identity, and of the world the class of its family */
	__u8 outside;	/* no endpoint and no node, so that networks of all policies mean it */
	__u8 reserved;
};

/*
 * Hash `policy_endpoints`: an endpoint by each of its addresses, with interface 0. One that no policy selects is here
 * as well. And each interface that endpoints have, with no address: its tables are 0, and so is its number where
 * several share it.
 */
struct policy_endpoint_key {
	__u32 set;
	__u32 interface;
	struct policy_address address;
};

/* Tables by direction, 0 where all may pass, and the sets of zones that go with them, 0 where no network counts. */
struct policy_endpoint {
	__u32 number; /* of the endpoint, the same in every revision: for its mode and its counters */
	__u32 ingress;
	__u32 egress;
	__u32 identity; /* of this address */
	__u32 ingress_zones;
	__u32 egress_zones;
	__u32 lenient;	 /* a bit for each direction whose table denies nothing */
	__u32 interface; /* where it is, the same in every revision; 0 where nobody says */
};

/*
 * Array `policy_interfaces`: which interface of a revision the kernel means by its number. A revision's number stands
 * for a name, the kernel's for what has this name now. An interface is in the place of the last bits of the kernel's
 * number, and stays where it is there: every packet asks, and an array costs a tenth of a hash.
 */
#define POLICY_INTERFACE_PLACES 2048
#define POLICY_INTERFACES_AT_ONE 4

struct policy_interface {
	__u32 ifindex; /* 0 for none */
	__u32 number;
};

struct policy_interfaces {
	struct policy_interface known[POLICY_INTERFACES_AT_ONE];
};

/*
 * LPM trie `policy_zones`, under the same keys as `policy_addresses`: in which zone of a table an address is. A zone is
 * the addresses that the same rules mean by their networks; 0 is none. The networks of some rules mean no endpoint and
 * no node: these may be in another zone than the world is under the same address.
 */
struct policy_zone {
	__u16 outside;
	__u16 inside;
};

/*
 * LPM trie `policy_entries`: the longest match has the answer. The bits that count are 64 of table, identity and zone,
 * then 8 of the protocol as in a header, then 16 of the port, of ICMP the type, as on the wire. Identity 0 is whoever
 * it is: looked up in the zone where the identity itself has no match, and at last in no zone. Every table has an entry
 * for identity 0 in zone 0 without further bits.
 */
struct policy_entry_key {
	__u32 bits;
	__u32 table;
	__u16 identity;
	__u16 zone;
	__u8 protocol;
	__u8 port[2];
	__u8 reserved;
};

enum policy_decision {
	POLICY_ALLOW = 0,
	POLICY_DENY = 1,
	POLICY_AUDIT = 2, /* passes: only policies that are on monitor would deny it */
};

/* Why; the numbers of `reference.Reason`, in its order. */
enum policy_reason {
	POLICY_RULE = 0,
	POLICY_DEFAULT_DENY = 1,
	POLICY_NO_POLICY = 2,
	POLICY_ITSELF = 3,
	POLICY_NODE = 4,
	POLICY_WITHDRAWN = 5, /* default deny of what the rule, if any, of the revision before allows */
	POLICY_REASONS = 6,
};

struct policy_entry {
	__u32 rule; /* the number of the rule, the same in every revision; 0 where the reason is no rule */
	__u8 decision;
	__u8 reason;
	__u16 reserved;
};

enum policy_direction {
	POLICY_INGRESS = 0,
	POLICY_EGRESS = 1,
	POLICY_DIRECTIONS = 2,
};

enum policy_verdict {
	POLICY_ALLOWED = 0,
	POLICY_DENIED = 1,
	POLICY_AUDITED = 2, /* would be denied, and passes: the mode is monitor, or that of the policies that would */
	POLICY_VERDICTS = 3,
};

/*
 * Hash `policy_count_rows`: by what became of packets, their row in `policy_counts`, from 1 on. Identities are of both
 * ends. `policy_last_row` is the last row that was ever given, and in the queue `policy_free_rows` are those given
 * back.
 */
struct policy_count_key {
	__u32 rule;
	__u32 source;
	__u32 destination;
	__u8 verdict;
	__u8 direction;
	__u8 reason;
	__u8 reserved;
};

/* Per-CPU array `policy_counts`, of so many rows. */
#define POLICY_COUNTS 16384

struct policy_count {
	__u64 packets;
	__u64 bytes;
	__u64 connections; /* first packets of what conntrack did not know */
};

enum policy_mode_word {
	POLICY_ENFORCE = 0,
	POLICY_MONITOR = 1,
	POLICY_OFF = 2,
	POLICY_INHERIT = 3, /* of an endpoint: as all */
};

/*
 * Array `policy_mode` (one entry, for all) and hash `policy_own_modes` (by the number of an endpoint; it goes
 * before that for all). From until_ns on, by CLOCK_BOOTTIME, `afterwards` holds: nobody has to be alive for it.
 */
struct policy_mode {
	__u64 until_ns; /* 0 for ever */
	__u8 mode;
	__u8 afterwards;
	__u8 reserved[6];
};

/*
 * Per-CPU array `policy_events`: packets that no policy was asked about, each once; and how often a map had no room for
 * what a policy said.
 */
enum policy_event {
	POLICY_EVENT_NOT_IP = 0,      /* passed: neither IP nor ARP */
	POLICY_EVENT_ARP = 1,	      /* passed */
	POLICY_EVENT_NEIGHBOUR = 2,   /* passed: neighbour discovery of IPv6 */
	POLICY_EVENT_UNREADABLE = 3,  /* passed: cut before its addresses, or no such header */
	POLICY_EVENT_NO_ENDPOINT = 4, /* passed: the address on this side is no endpoint's */
	/* Ports cannot be read, or were in a first piece that was not seen: dropped where a table decides. */
	POLICY_EVENT_CUT_PASSED = 5,
	POLICY_EVENT_CUT_DROPPED = 6, /* on its way from an endpoint */
	POLICY_EVENT_FRAGMENT_PASSED = 7,
	POLICY_EVENT_FRAGMENT_DROPPED = 8, /* likewise */
	POLICY_EVENT_INTERNAL = 9,	   /* passed: a table lacks what every table has */
	/* Passed as policy says, and there is no room to remember it, or was none for what it answers. */
	POLICY_EVENT_CONNECTIONS_FULL = 10,
	POLICY_EVENT_COUNTS_FULL = 11, /* decided as always, and `policy_counts` has no room to say so */
	/* Dropped, too, but on its way to an endpoint. */
	POLICY_EVENT_CUT_KEPT_OUT = 12,
	POLICY_EVENT_FRAGMENT_KEPT_OUT = 13,
	/* From the interface of endpoints, and its source is none of theirs: dropped where they are enforced. */
	POLICY_EVENT_FORGED_SOURCE_PASSED = 14,
	POLICY_EVENT_FORGED_SOURCE_DROPPED = 15,
	POLICY_EVENTS = 16,
};

#endif
