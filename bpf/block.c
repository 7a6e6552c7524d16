// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Drops packets of blocked sources where they enter an interface, until a deadline.
 *
 * The same decision for two hooks: TC ingress, and XDP where the kernel has no TC links. Each attachment is an
 * instance of its own, with maps of its own: what an interface is called or numbered is ambiguous across
 * network namespaces, and so nothing here asks for it.
 *
 * The deadline is compared here, packet by packet: a block ends on time whatever became of the process that
 * set it. Whatever is not understood passes. An incident is no moment to lose packets to a parser.
 *
 * Given by the loader: MAX_BLOCKED.
 */
#include "source.h"

#define TC_NEXT -1 /* as if this program were not there; others may follow */
#define TC_SHOT 2

BPF_HASH(blocked, struct source, struct block, MAX_BLOCKED);
BPF_PERCPU_ARRAY(block_drops, struct drops, MAX_BLOCKED);
/* Packets that passed because no source address could be read. */
BPF_PERCPU_ARRAY(unparsed, __u64, 1);

ALWAYS_INLINE void count_unparsed(void)
{
	int slot = 0;
	__u64 *count = unparsed.lookup(&slot);

	if (count)
		(*count)++;
}

/* Says whether a packet must go, and counts it then. Nothing interrupts this on its CPU: plain additions do. */
ALWAYS_INLINE int is_blocked(struct source *source, __u64 packets, __u64 bytes)
{
	struct block *block = blocked.lookup(source);
	struct drops *drops;

	if (!block || bpf_ktime_get_boot_ns() >= block->deadline_ns)
		return 0;
	drops = block_drops.lookup(&block->slot);
	if (drops) {
		drops->packets += packets;
		drops->bytes += bytes;
	}
	return 1;
}

int block_tc(struct __sk_buff *skb)
{
	struct source source;
	enum reading reading = read_source((void *)(long)skb->data, (void *)(long)skb->data_end, &source);

	/* Headers may lie in another page than the first, which is all that is seen until they are pulled. */
	if (reading == UNREADABLE && !bpf_skb_pull_data(skb, skb->len < MOST_HEADERS ? skb->len : MOST_HEADERS))
		reading = read_source((void *)(long)skb->data, (void *)(long)skb->data_end, &source);
	if (reading == UNREADABLE)
		count_unparsed();
	if (reading != READ)
		return TC_NEXT;
	/* Receive offload joins packets of one connection; each of them is counted. */
	return is_blocked(&source, skb->gso_segs ? skb->gso_segs : 1, skb->len) ? TC_SHOT : TC_NEXT;
}

int block_xdp(struct xdp_md *frame)
{
	void *data = (void *)(long)frame->data;
	void *end = (void *)(long)frame->data_end;
	struct source source;
	enum reading reading = read_source(data, end, &source);

	if (reading == UNREADABLE)
		count_unparsed();
	if (reading != READ)
		return XDP_PASS;
	return is_blocked(&source, 1, end - data) ? XDP_DROP : XDP_PASS;
}
