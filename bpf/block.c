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
#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "block.h"

#define TC_NEXT -1 /* as if this program were not there; others may follow */
#define TC_SHOT 2
#define MOST_TAGS 2
#define MOST_HEADERS (sizeof(struct ethhdr) + MOST_TAGS * sizeof(struct vlan_tag) + sizeof(struct ipv6hdr))

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

/* Ends of blocks, in nanoseconds of CLOCK_BOOTTIME, which goes on while the machine is suspended. */
BPF_HASH(blocked, struct source, __u64, MAX_BLOCKED);
/* Has the same keys, made before those of `blocked`: counting never inserts. */
BPF_PERCPU_HASH(block_drops, struct source, struct drops, MAX_BLOCKED);
/* Packets that passed because no source address could be read. */
BPF_PERCPU_ARRAY(unparsed, __u64, 1);

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NETWORK_ORDER(number) __constant_htons(number)

enum reading {
	READ,
	NOTHING_TO_READ,
	UNREADABLE,
};

ALWAYS_INLINE enum reading read_ipv4(const struct iphdr *header, const void *end, struct source *source)
{
	if ((const void *)(header + 1) > end || header->version != 4)
		return UNREADABLE;
	source->address[0] = 0;
	source->address[1] = 0;
	source->address[2] = __constant_htonl(0xffff);
	source->address[3] = header->saddr;
	return READ;
}

ALWAYS_INLINE enum reading read_ipv6(const struct ipv6hdr *header, const void *end, struct source *source)
{
	if ((const void *)(header + 1) > end || header->version != 6)
		return UNREADABLE;
	__builtin_memcpy(source, &header->saddr, sizeof(*source));
	return READ;
}

/* Reads the source address of an Ethernet frame; a tag that the kernel took out already is not missed. */
ALWAYS_INLINE enum reading read_source(const void *data, const void *end, struct source *source)
{
	const struct ethhdr *ethernet = data;
	const void *next = ethernet + 1;
	__be16 protocol;

	if (next > end)
		return UNREADABLE;
	protocol = ethernet->h_proto;
#pragma unroll
	for (int tags = 0; tags < MOST_TAGS; tags++) {
		const struct vlan_tag *tag = next;

		if (protocol != NETWORK_ORDER(ETH_P_8021Q) && protocol != NETWORK_ORDER(ETH_P_8021AD))
			break;
		next = tag + 1;
		if (next > end)
			return UNREADABLE;
		protocol = tag->protocol;
	}
	if (protocol == NETWORK_ORDER(ETH_P_IP))
		return read_ipv4(next, end, source);
	if (protocol == NETWORK_ORDER(ETH_P_IPV6))
		return read_ipv6(next, end, source);
	/* Every network has it, and it has no source to block. */
	return protocol == NETWORK_ORDER(ETH_P_ARP) ? NOTHING_TO_READ : UNREADABLE;
}

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
	__u64 *deadline = blocked.lookup(source);
	struct drops *drops;

	if (!deadline || bpf_ktime_get_boot_ns() >= *deadline)
		return 0;
	drops = block_drops.lookup(source);
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
