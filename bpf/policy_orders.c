// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Orders to deny an address: whether one holds for an endpoint and who it speaks with. */
#include "policy_orders.h"

BPF_F_TABLE("lpm_trie", struct policy_order_key, struct policy_order, policy_orders, 1, BPF_F_NO_PREALLOC);
BPF_ARRAY(policy_order_turn, __u32, 1);

#define ORDER_BITS (64 + 8 * sizeof(struct policy_address))

/* Read once in a run, and first: what is written down under it must have been asked after it. */
ALWAYS_INLINE __u32 turn_of_orders(void)
{
	int first = 0;
	__u32 *turn = policy_order_turn.lookup(&first);

	return turn ? *turn : 0;
}

ALWAYS_INLINE __u32 family_of(const struct policy_address *address)
{
	int mapped = !address->word[0] && !address->word[1] && address->word[2] == __constant_htonl(0xffff);

	return mapped ? POLICY_ORDER_IPV4 : POLICY_ORDER_IPV6;
}

/* The rule of the order about an address that holds now, of the endpoint itself before one for all; 0 for none. */
ALWAYS_INLINE __u32 order_about(__u32 endpoint, const struct policy_address *address)
{
	struct policy_order_key key = {.bits = ORDER_BITS, .endpoint = endpoint, .address = *address};
	struct policy_order *order;

	key.family = family_of(address);
#pragma clang loop unroll(disable)
	for (int step = 0; step <= 2 * POLICY_ORDERS_NESTED; step++) {
		order = policy_orders.lookup(&key);
		if (order && (!order->until_ns || order->until_ns > bpf_ktime_get_boot_ns()))
			return order->rule;
		if (order) {
			key.bits = order->bits - 1;
		} else {
			if (!key.endpoint)
				return 0;
			key.endpoint = 0;
			key.bits = ORDER_BITS;
		}
	}
	return 0;
}
