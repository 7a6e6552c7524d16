// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Packets that the kernel drops, by its own reason, in the network namespace where it happens.
 *
 * On the tracepoint kfree_skb, which a flood may hit 100,000 times a second: one lookup and one addition on this
 * CPU's own slot. What is freed after use does not come here.
 *
 * The namespace is that of the socket which the packet was for or came from, else that of its interface. Where a
 * packet is queued in a socket, the kernel keeps something else in the place of the interface: it is taken for one
 * only if its namespace has a loopback interface that says that it is there.
 *
 * Where the flow probe stands in the same text, an attempt to connect is told why its own packet was dropped.
 *
 * What a TCP peer sends after its FIN can carry nothing: it is taken note of, and then freed as a drop without a
 * reason.
 *
 * Given by the loader: OFF_*, MAX_DROP_COUNTS, NOT_SPECIFIED (the number of that reason); DROPS_HAVE_SOCKETS where the
 * kernel says which socket a packet was for.
 */
#include <linux/types.h>

#include "common.h"
#include "drops.h"
#include "flows.h"
#include "sockets.h"

BPF_PERCPU_HASH(drop_counts, struct drop_key, __u64, MAX_DROP_COUNTS);
/* What found `drop_counts` full: by reason, as nobody's. Slot 0, which is no reason, is for all that have no slot. */
BPF_PERCPU_ARRAY(drop_overflow, __u64, DROP_REASONS);

ALWAYS_INLINE __u32 drop_netns_of_device(const void *skb)
{
	const volatile void *net = MEMBER(void *, MEMBER(void *, skb, OFF_SKB_DEV), OFF_DEV_NET);
	const volatile void *loopback = MEMBER(void *, net, OFF_NET_LOOPBACK);

	if (MEMBER(__u64, loopback, OFF_DEV_NET) != (__u64)net)
		return 0;
	return MEMBER(__u32, net, OFF_NET_INUM);
}

/* Says whether the other end of a TCP socket has sent all that it ever will. */
ALWAYS_INLINE int drop_ends_tcp(const void *sk)
{
	switch (MEMBER(__u8, sk, OFF_SKC_STATE)) {
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
	case TCP_CLOSING:
	case TCP_TIME_WAIT:
		return 1;
	case TCP_CLOSE: /* sockets without connections are in it all their life */
		return is_tcp(sk);
	default:
		return 0;
	}
}

/* Notes why a packet of a connection attempt never left: what such an attempt stalls by is known then. */
ALWAYS_INLINE void drop_of_attempt(const void *sk, __u32 reason)
{
#ifdef FLOW_ATTEMPTS
	__u64 key = (__u64)sk;
	struct attempt *attempt;

	if (MEMBER(__u8, sk, OFF_SKC_STATE) != TCP_SYN_SENT || reason == NOT_SPECIFIED || reason >= DROP_REASONS)
		return;
	attempt = attempts.lookup(&key);
	if (attempt)
		attempt->drop = reason;
#endif
}

int kfree_skb(struct bpf_raw_tracepoint_args *ctx)
{
	struct drop_key key = {.reason = ctx->args[2]};
	const void *skb = ARGUMENT(ctx, 0);
	const void *sk;
	__u64 one = 1;
	__u64 *count;
	int slot;

#ifdef DROPS_HAVE_SOCKETS
	sk = ARGUMENT(ctx, 3);
	if (sk) {
		key.netns = netns_of(sk);
		if (key.reason == NOT_SPECIFIED && drop_ends_tcp(sk))
			key.reason = DROP_TCP_END;
	}
#endif
	if (!key.netns) {
		sk = (const void *)MEMBER(void *, skb, OFF_SKB_SK);
		if (sk) {
			key.netns = netns_of(sk);
			drop_of_attempt(sk, key.reason);
		}
	}
	if (!key.netns)
		key.netns = drop_netns_of_device(skb);

	count = drop_counts.lookup(&key);
	if (!count) {
		/* Never over an entry that has come to be meanwhile: its count would be lost. */
		if (drop_counts.insert(&key, &one) == 0)
			return 0;
		count = drop_counts.lookup(&key);
	}
	if (!count) {
		slot = key.reason < DROP_REASONS ? key.reason : 0;
		count = drop_overflow.lookup(&slot);
	}
	/* Atomic though the slot is this CPU's own: older kernels let a program interrupt itself. */
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
