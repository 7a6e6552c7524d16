/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Says whether a socket of this node waits for a TCP segment: the node has asked for the connection, or has it. What is
 * forwarded, and a segment that begins a connection, nobody waits for.
 */
#ifndef NETSRE_WAITING_H
#define NETSRE_WAITING_H

#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "common.h"
#include "source.h"

#define ANY_PIECE 0x3fff /* the bits that tell a piece of a packet from a whole one */

struct tcp_ports {
	__be16 source;
	__be16 destination;
};

/* Says whether a socket of these addresses and ports is in a state in which it waits. */
ALWAYS_INLINE int has_waiting_socket(struct xdp_md *frame, struct bpf_sock_tuple *tuple, __u32 size)
{
	struct bpf_sock *socket = bpf_skc_lookup_tcp(frame, tuple, size, BPF_F_CURRENT_NETNS, 0);
	__u32 state;

	if (!socket)
		return 0;
	state = socket->state;
	bpf_sk_release(socket);
	return state == BPF_TCP_ESTABLISHED || state == BPF_TCP_SYN_SENT;
}

ALWAYS_INLINE int is_ipv4_waited_for(struct xdp_md *frame, const struct iphdr *header, const void *end)
{
	struct bpf_sock_tuple tuple = {};
	const struct tcp_ports *ports;

	if ((const void *)(header + 1) > end || header->protocol != PROTOCOL_TCP || header->ihl < 5 ||
	    header->frag_off & NETWORK_ORDER(ANY_PIECE))
		return 0;
	ports = (const void *)header + header->ihl * 4;
	if ((const void *)(ports + 1) > end)
		return 0;
	tuple.ipv4.saddr = header->saddr;
	tuple.ipv4.daddr = header->daddr;
	tuple.ipv4.sport = ports->source;
	tuple.ipv4.dport = ports->destination;
	return has_waiting_socket(frame, &tuple, sizeof(tuple.ipv4));
}

ALWAYS_INLINE int is_ipv6_waited_for(struct xdp_md *frame, const struct ipv6hdr *header, const void *end)
{
	struct bpf_sock_tuple tuple = {};
	const struct tcp_ports *ports = (const void *)(header + 1);

	if ((const void *)(ports + 1) > end || header->nexthdr != PROTOCOL_TCP)
		return 0;
	__builtin_memcpy(tuple.ipv6.saddr, &header->saddr, sizeof(tuple.ipv6.saddr));
	__builtin_memcpy(tuple.ipv6.daddr, &header->daddr, sizeof(tuple.ipv6.daddr));
	tuple.ipv6.sport = ports->source;
	tuple.ipv6.dport = ports->destination;
	return has_waiting_socket(frame, &tuple, sizeof(tuple.ipv6));
}

ALWAYS_INLINE int is_waited_for(struct xdp_md *frame)
{
	const void *data = (const void *)(long)frame->data;
	const void *end = (const void *)(long)frame->data_end;
	const struct ethhdr *ethernet = data;
	__be16 protocol;
	const void *next = skip_tags(ethernet, end, &protocol);

	if (!next)
		return 0;
	if (protocol == NETWORK_ORDER(ETH_P_IP))
		return is_ipv4_waited_for(frame, next, end);
	return protocol == NETWORK_ORDER(ETH_P_IPV6) && is_ipv6_waited_for(frame, next, end);
}

#endif
