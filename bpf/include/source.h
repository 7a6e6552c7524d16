/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reads who sent a frame: Ethernet with up to two tags, IPv4 or IPv6. The address stands in front of all options and
 * extension headers, so that nobody can hide it behind them.
 */
#ifndef NETSRE_SOURCE_H
#define NETSRE_SOURCE_H

#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "block.h"
#include "common.h"

#define MOST_TAGS 2
#define MOST_HEADERS (sizeof(struct ethhdr) + MOST_TAGS * sizeof(struct vlan_tag) + sizeof(struct ipv6hdr))
#define NETWORK_ORDER(number) __constant_htons(number)

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

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

/* Returns what is behind Ethernet and its tags, and which protocol that is; nothing where the frame is cut. */
ALWAYS_INLINE const void *skip_tags(const struct ethhdr *ethernet, const void *end, __be16 *protocol)
{
	const void *next = ethernet + 1;

	if (next > end)
		return 0;
	*protocol = ethernet->h_proto;
#pragma unroll
	for (int tags = 0; tags < MOST_TAGS; tags++) {
		const struct vlan_tag *tag = next;

		if (*protocol != NETWORK_ORDER(ETH_P_8021Q) && *protocol != NETWORK_ORDER(ETH_P_8021AD))
			break;
		next = tag + 1;
		if (next > end)
			return 0;
		*protocol = tag->protocol;
	}
	return next;
}

/* Reads the source address of an Ethernet frame; a tag that the kernel took out already is not missed. */
ALWAYS_INLINE enum reading read_source(const void *data, const void *end, struct source *source)
{
	__be16 protocol;
	const void *next = skip_tags(data, end, &protocol);

	if (!next)
		return UNREADABLE;
	if (protocol == NETWORK_ORDER(ETH_P_IP))
		return read_ipv4(next, end, source);
	if (protocol == NETWORK_ORDER(ETH_P_IPV6))
		return read_ipv6(next, end, source);
	/* Every network has it, and it has no source to block. */
	return protocol == NETWORK_ORDER(ETH_P_ARP) ? NOTHING_TO_READ : UNREADABLE;
}

#endif
