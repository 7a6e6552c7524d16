// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Which end of a connection counts it: both may be on this kernel, and it is one flow.
 *
 * At a server a connection is accepted when its socket goes from SYN_RECV to ESTABLISHED. If its client is here too,
 * that one was answered before and has counted it. Both know the connection by the two numbers that its ends began to
 * count bytes from, whatever addresses were translated between them. So whoever counts it leaves them in `connections`,
 * and whoever finds them there counts nothing: a connection is one flow, also for two programs.
 *
 * A SYN to a port where nobody listens waits in `refusals`, until the reader counts it a second later. If its client is
 * here, that one hears of it at once, counts it, and takes it away.
 *
 * Put before flows.c. Given by the loader: OFF_*, MAX_REFUSALS, CONNECTION_SETS. Compiled behind attempts.c.
 */
#include <linux/types.h>

#include "common.h"
#include "flows.h"
#include "sockets.h"

#define TCP_HEADER_SYN 0x02
#define TCP_HEADER_ACK 0x10

/* Not a hash: a store here costs a tenth of an insert, and what is old leaves by itself. */
BPF_ARRAY(connections, struct connection_set, CONNECTION_SETS);
BPF_HASH(refusals, struct refusal_key, struct refusal, MAX_REFUSALS);
/* The latest of them: mostly older than an attempt that fails, and then there is none to be taken away. */
BPF_ARRAY(last_refusal_ns, __u64, 1);
/* Refused SYNs that found `refusals` full: not counted, as nobody knows whether their client does. */
BPF_PERCPU_ARRAY(refusals_overflow, __u64, 1);

/*
 * Says whether a new connection was counted, and has it remembered in any case, in the place of the oldest of its set.
 * Each end knows from where it, and from where the other, counts its bytes.
 */
ALWAYS_INLINE int counted_before(const void *sk, int here_is_client)
{
	const void *tcp = bpf_skc_to_tcp_sock((void *)sk);
	struct connection_set *set;
	__u32 ours, theirs, server, next;
	int slot;

	if (!tcp)
		return 0;
	ours = MEMBER(__u32, tcp, OFF_TCP_SND_UNA);
	theirs = MEMBER(__u32, tcp, OFF_TCP_RCV_NXT);
	server = here_is_client ? theirs : ours;
	slot = (ours ^ theirs) & (CONNECTION_SETS - 1);
	set = connections.lookup(&slot);
	if (!set)
		return 0;
#pragma unroll
	for (int way = 0; way < CONNECTION_WAYS; way++)
		if (MEMBER(__u32, &set->server[way], 0) == server)
			return 1;
	next = MEMBER(__u32, &set->next, 0);
	if (next >= CONNECTION_WAYS)
		next = 0;
	*(volatile __u32 *)&set->server[next] = server;
	*(volatile __u32 *)&set->next = next + 1;
	return 0;
}

/* A client here failed: if it was refused by this kernel, then nobody else is to count that. */
ALWAYS_INLINE void take_refusal(const void *sk, __u64 start_ns)
{
	struct refusal_key key = {};
	int slot = 0;
	__u64 *last_ns = last_refusal_ns.lookup(&slot);
	const void *tcp;

	if (!last_ns || start_ns > *last_ns)
		return;
	tcp = bpf_skc_to_tcp_sock((void *)sk);
	if (!tcp)
		return;
	key.sequence = MEMBER(__u32, tcp, OFF_TCP_SND_UNA);
	refusals.delete(&key);
}

struct refused_segment {
	__u16 source;
	__u16 destination;
	__u32 sequence;
	__u32 acknowledged;
	__u8 length;
	__u8 flags;
	__u16 window;
};

/* Reads whom a packet is from and for; 0 for what is neither IPv4 nor IPv6. */
ALWAYS_INLINE int read_ends(const void *network, struct refusal *found)
{
	__u32 pair[2];
	__u8 first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), network);
	if (first >> 4 == 6) {
		bpf_probe_read_kernel(&found->remote, sizeof(found->remote), network + 8);
		bpf_probe_read_kernel(&found->local, sizeof(found->local), network + 24);
		found->destination = destination_v6(found->remote.word);
		return 1;
	}
	if (first >> 4 != 4 || bpf_probe_read_kernel(pair, sizeof(pair), network + 12))
		return 0;
	found->remote.word[2] = found->local.word[2] = __builtin_bswap32(0xffff);
	found->remote.word[3] = pair[0];
	found->local.word[3] = pair[1];
	found->destination = destination_v4(pair[0]);
	return 1;
}

ALWAYS_INLINE int same_address(const struct source_address *one, const struct source_address *other)
{
	return one->word[0] == other->word[0] && one->word[1] == other->word[1] && one->word[2] == other->word[2] &&
	       one->word[3] == other->word[3];
}

ALWAYS_INLINE void remember_refusal(__u32 sequence, struct refusal *found)
{
	struct refusal_key key = {.sequence = sequence};
	struct refusal *known;
	int slot = 0;
	long failed = refusals.insert(&key, found);
	__u64 *lost;

	if (failed == -EEXIST_CODE) {
		known = refusals.lookup(&key);
		if (known && known->remote_port == found->remote_port && known->local_port == found->local_port &&
		    same_address(&known->remote, &found->remote) && same_address(&known->local, &found->local))
			return; /* The same attempt asks again. */
		/* Clients that all begin at one number are scanners, and none of them is a socket of this kernel. */
		key.another =
			(found->remote_port << 16 | found->local_port) ^ found->remote.word[3] ^ found->local.word[3];
		key.another |= 1;
		failed = refusals.insert(&key, found);
	}
	if (!failed || failed == -EEXIST_CODE)
		return;
	lost = refusals_overflow.lookup(&slot);
	if (lost)
		__sync_fetch_and_add(lost, 1);
}

/* A reset is sent. Where there is no socket, and it answers a SYN, an attempt is refused. */
int flow_refused(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	const void *skb = ARGUMENT(ctx, 1);
	struct refused_segment segment = {};
	struct refusal found = {};
	const void *head;
	int slot = 0;
	__u64 *last_ns;

	if (sk || !skb)
		return 0;
	head = (const void *)MEMBER(__u64, skb, OFF_SKB_HEAD);
	if (bpf_probe_read_kernel(&segment, sizeof(segment), head + MEMBER(__u16, skb, OFF_SKB_TRANSPORT_HEADER)))
		return 0;
	if ((segment.flags & (TCP_HEADER_SYN | TCP_HEADER_ACK)) != TCP_HEADER_SYN)
		return 0;
	if (!read_ends(head + MEMBER(__u16, skb, OFF_SKB_NETWORK_HEADER), &found))
		return 0;
	if (found.destination == DST_LOOPBACK)
		return 0;
	found.at_ns = bpf_ktime_get_ns();
	found.netns = MEMBER(__u32, MEMBER(void *, MEMBER(void *, skb, OFF_SKB_DEV), OFF_DEV_NET), OFF_NET_INUM);
	found.local_port = __builtin_bswap16(segment.destination);
	found.remote_port = __builtin_bswap16(segment.source);
	if (workloads_are_named())
		found.workload = workload_named(&found.remote, 0);
	last_ns = last_refusal_ns.lookup(&slot);
	if (last_ns)
		*(volatile __u64 *)last_ns = found.at_ns;
	remember_refusal(__builtin_bswap32(segment.sequence), &found);
	return 0;
}
