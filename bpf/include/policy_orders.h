/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Orders to deny an address, beside all revisions of policies; `netsre/datapath/policy/orders.py` has the same layouts.
 *
 * An order goes before every policy and every mode, in both directions, and ends by itself. One that has ended decides
 * nothing, and hides none about a network around its own.
 */
#ifndef NETSRE_POLICY_ORDERS_H
#define NETSRE_POLICY_ORDERS_H

#include "policy.h"

/* So many orders lie within each other at most; whoever writes them sees to it, those that have ended included. */
#define POLICY_ORDERS_NESTED 8

/* LPM trie `policy_orders`: the bits that count are 64 of endpoint and family, then those of the prefix. */
struct policy_order_key {
	__u32 bits;
	__u32 endpoint; /* number; 0 for all */
	__u32 family;	/* of the address, or ::/0 would be about IPv4 */
	struct policy_address address;
};

enum policy_order_family {
	POLICY_ORDER_IPV4 = 4,
	POLICY_ORDER_IPV6 = 6,
};

struct policy_order {
	__u64 until_ns; /* CLOCK_BOOTTIME; 0 for ever */
	__u32 rule;	/* its number: what it denies is counted under it */
	__u32 bits;	/* as in the key: the next shorter one is looked for below them */
};

/*
 * Array `policy_order_turn` (one __u32): counts up after every order is written, 0 while there never was any. A
 * connection that was asked about in an earlier turn is asked about again, whichever side speaks next.
 */

#endif
