/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What no rule allows, by address; `netsre/datapath/policy/refused.py` has the same layouts.
 *
 * Counted by identity it is in `policy_counts`; here is who it was. Packets of connections that policy allows never
 * come near it.
 */
#ifndef NETSRE_POLICY_REFUSED_H
#define NETSRE_POLICY_REFUSED_H

#include "policy.h"

/* LRU hash `policy_refused`: what was not seen for longest goes when it is full. */
struct policy_refused_key {
	__u32 endpoint; /* number */
	struct policy_address peer;
	__be16 port; /* of the service that was asked for, of ICMP the type */
	__u8 protocol;
	__u8 direction;
};

/* All times are CLOCK_BOOTTIME, 0 for never. */
struct policy_refused {
	__u64 first_ns;
	__u64 denied_ns; /* last */
	__u64 passed_ns; /* last, because the mode was monitor */
	__u64 denied;	 /* packets */
	__u64 passed;	 /* packets */
	__u64 connections;
};

/* Per-CPU array `policy_refused_sum`: of entries. What was made, not removed, and is not there was evicted. */
enum policy_refused_sum {
	POLICY_REFUSED_MADE = 0,
	POLICY_REFUSED_LOST = 1,    /* packets that there was no room for */
	POLICY_REFUSED_REMOVED = 2, /* by user space */
	POLICY_REFUSED_SUMS = 3,
};

#endif
