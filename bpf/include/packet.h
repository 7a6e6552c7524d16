/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reads a frame: Ethernet with up to two tags, IPv4 or IPv6, and of TCP, UDP, SCTP and ICMP what tells one connection
 * from another. Both families become 16 bytes at once; nobody behind this file asks which it was.
 *
 * Most frames are looked at where they are. The rest is copied out by the kernel's helper, which finds bytes in
 * whatever page they lie, and costs a call each time.
 */
#ifndef NETSRE_PACKET_H
#define NETSRE_PACKET_H

#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "common.h"
#include "policy.h"

#define NETWORK_ORDER(number) __constant_htons(number)
#define MOST_TAGS 2
#define MOST_EXTENSIONS 8
#define FRAGMENT_OFFSET 0x1fff
#define FRAGMENT_MORE 0x2000

#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AUTHENTICATION 51
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_OPTIONS 60
#define PROTOCOL_SCTP 132

enum packet_reading {
	PACKET_READ,
	PACKET_CUT, /* it has addresses; what follows is not there, or behind too many headers */
	PACKET_UNREADABLE,
	PACKET_NOT_IP,
	PACKET_ARP,
	PACKET_NEIGHBOUR,
};

enum packet_piece {
	PACKET_WHOLE = 0,
	PACKET_FIRST_PIECE = 1,
	PACKET_LATER_PIECE = 2, /* without ports */
};

/* What a packet can be to a connection. */
enum packet_role {
	PACKET_OPENS = 0,   /* may be its first */
	PACKET_ANSWERS = 1, /* never is the first */
	PACKET_REPORTS = 2, /* an ICMP error: about a connection, and no part of it */
};

struct packet {
	struct policy_address source;
	struct policy_address destination;
	__u32 identification; /* of a packet in pieces */
	__be16 source_port;
	__be16 destination_port;
	__be16 service; /* what policies ask for: the port of the destination, of ICMP the type */
	__u8 protocol;
	__u8 said; /* flags of TCP */
	__u8 piece;
	__u8 piece_protocol;
	__u8 role;
	__u8 reserved;
};

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

/* The first eight bytes of every extension header of IPv6. */
struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__be32 identification;
};

/* What begins a header of TCP, UDP, SCTP or ICMP, as long as the longest of them that is looked at. */
struct transport {
	union {
		struct {
			__be16 source;
			__be16 destination;
		};
		__u8 type; /* ICMP */
	};
	__be16 echo; /* ICMP: the identifier */
	__u8 middle[7];
	__u8 flags; /* TCP */
	__u8 rest[6];
};

#define EMBEDDED_BYTES 8 /* of the header that an error is about, at least so many are sent along */

ALWAYS_INLINE void write_ipv4(struct policy_address *address, __be32 number)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = __constant_htonl(0xffff);
	address->word[3] = number;
}

/* Notes whether a packet is a piece of one, by offset and flag as in a header of IPv4. */
ALWAYS_INLINE void note_piece(struct packet *packet, __u16 fragment, __u32 identification)
{
	if (fragment & (FRAGMENT_OFFSET | FRAGMENT_MORE))
		packet->piece = fragment & FRAGMENT_OFFSET ? PACKET_LATER_PIECE : PACKET_FIRST_PIECE;
	packet->piece_protocol = packet->protocol;
	packet->identification = identification;
}

ALWAYS_INLINE enum packet_reading read_ipv4(struct __sk_buff *skb, __u32 *at, struct packet *packet)
{
	struct iphdr header;

	if (bpf_skb_load_bytes(skb, *at, &header, sizeof(header)) < 0 || header.version != 4 || header.ihl < 5)
		return PACKET_UNREADABLE;
	write_ipv4(&packet->source, header.saddr);
	write_ipv4(&packet->destination, header.daddr);
	packet->protocol = header.protocol;
	note_piece(packet, __builtin_bswap16(header.frag_off), header.id);
	*at += header.ihl * 4;
	return PACKET_READ;
}

ALWAYS_INLINE int is_extension(__u8 protocol)
{
	return protocol == PROTOCOL_HOP_BY_HOP || protocol == PROTOCOL_ROUTING || protocol == PROTOCOL_FRAGMENT ||
	       protocol == PROTOCOL_AUTHENTICATION || protocol == PROTOCOL_OPTIONS;
}

/* Walks to the header behind all extensions, or to the end of what a later piece can say. */
ALWAYS_INLINE enum packet_reading read_extensions(struct __sk_buff *skb, __u32 *at, struct packet *packet)
{
	struct extension header;

	for (int count = 0; count < MOST_EXTENSIONS; count++) {
		__u8 protocol = packet->protocol;

		if (!is_extension(protocol) || packet->piece == PACKET_LATER_PIECE)
			return PACKET_READ;
		if (bpf_skb_load_bytes(skb, *at, &header, sizeof(header)) < 0)
			return PACKET_CUT;
		packet->protocol = header.next;
		if (protocol == PROTOCOL_FRAGMENT) {
			__u16 fragment = __builtin_bswap16(header.fragment);

			/* Here the offset comes first, and then the flag. */
			note_piece(packet, fragment >> 3 | (fragment & 1 ? FRAGMENT_MORE : 0), header.identification);
			*at += sizeof(header);
		} else {
			*at += protocol == PROTOCOL_AUTHENTICATION ? (header.length + 2) * 4 : (header.length + 1) * 8;
		}
	}
	return is_extension(packet->protocol) ? PACKET_CUT : PACKET_READ;
}

ALWAYS_INLINE enum packet_reading read_ipv6(struct __sk_buff *skb, __u32 *at, struct packet *packet)
{
	struct ipv6hdr header;

	if (bpf_skb_load_bytes(skb, *at, &header, sizeof(header)) < 0 || header.version != 6)
		return PACKET_UNREADABLE;
	__builtin_memcpy(&packet->source, &header.saddr, sizeof(packet->source));
	__builtin_memcpy(&packet->destination, &header.daddr, sizeof(packet->destination));
	packet->protocol = header.nexthdr;
	*at += sizeof(header);
	return read_extensions(skb, at, packet);
}

/* Who asks in ICMP has the identifier as its port, and who answers the type of the request. */
ALWAYS_INLINE enum packet_reading read_icmp(const struct transport *header, struct packet *packet)
{
	__u8 type = header->type;
	int is_ipv6 = packet->protocol == PROTOCOL_ICMPV6;

	packet->service = __builtin_bswap16(type);
	if (is_ipv6 && type >= 133 && type <= 137)
		return PACKET_NEIGHBOUR;
	packet->destination_port = packet->service;
	if (is_ipv6 ? type == 128 : type == 8 || type == 13 || type == 15 || type == 17) {
		packet->source_port = header->echo;
	} else if (is_ipv6 ? type == 129 : type == 0 || type == 14 || type == 16 || type == 18) {
		packet->role = PACKET_ANSWERS;
		packet->source_port = __builtin_bswap16(type ? type - 1 : 8);
		packet->destination_port = header->echo;
	} else if (is_ipv6 ? type < 128 : (type >= 3 && type <= 5) || type == 11 || type == 12) {
		packet->role = PACKET_REPORTS;
	}
	return PACKET_READ;
}

ALWAYS_INLINE __u32 transport_bytes(__u8 protocol)
{
	if (protocol == PROTOCOL_TCP)
		return sizeof(struct transport);
	if (protocol == PROTOCOL_SCTP)
		return 12;
	return protocol == PROTOCOL_UDP || protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6 ? 8 : 0;
}

/* Notes the ports of a header that has such, and the flags of one of TCP. */
ALWAYS_INLINE void note_ports(struct packet *packet, const struct transport *header, __u8 flags)
{
	packet->source_port = header->source;
	packet->destination_port = header->destination;
	packet->service = header->destination;
	packet->said = flags;
	if (flags & 0x04) /* a reset opens nothing */
		packet->role = PACKET_ANSWERS;
}

/* Reads the header behind that of IP, of which at most so many bytes need be there. */
ALWAYS_INLINE enum packet_reading read_transport(struct __sk_buff *skb, __u32 at, __u32 most, struct packet *packet)
{
	struct transport header = {};
	__u32 bytes = transport_bytes(packet->protocol);

	if (!bytes || packet->piece == PACKET_LATER_PIECE)
		return PACKET_READ;
	if (bpf_skb_load_bytes(skb, at, &header, bytes < most ? bytes : most) < 0)
		return PACKET_CUT;
	if (packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6)
		return read_icmp(&header, packet);
	note_ports(packet, &header, header.flags);
	return PACKET_READ;
}

/*
 * Reads a frame of the kind that most are: one piece of TCP or UDP right behind a header of IP right behind one of
 * Ethernet, all of it in the first page. Says whether it is of this kind; read_frame() comes to the same by another
 * way.
 */
ALWAYS_INLINE int read_plain_frame(struct __sk_buff *skb, struct packet *packet)
{
	const void *end = (void *)(long)skb->data_end;
	const struct ethhdr *ethernet = (void *)(long)skb->data;
	const struct iphdr *ipv4 = (const void *)(ethernet + 1);
	const struct ipv6hdr *ipv6 = (const void *)(ethernet + 1);
	const struct transport *header = (const void *)(ipv4 + 1);

	if ((const void *)(header + 1) > end)
		return 0;
	if (ethernet->h_proto == NETWORK_ORDER(ETH_P_IP)) {
		if (ipv4->version != 4 || ipv4->ihl != 5 ||
		    ipv4->frag_off & NETWORK_ORDER(FRAGMENT_OFFSET | FRAGMENT_MORE))
			return 0;
		packet->protocol = ipv4->protocol;
		write_ipv4(&packet->source, ipv4->saddr);
		write_ipv4(&packet->destination, ipv4->daddr);
	} else {
		header = (const void *)(ipv6 + 1);
		if (ethernet->h_proto != NETWORK_ORDER(ETH_P_IPV6) || (const void *)(header + 1) > end ||
		    ipv6->version != 6)
			return 0;
		packet->protocol = ipv6->nexthdr;
		__builtin_memcpy(&packet->source, &ipv6->saddr, sizeof(packet->source));
		__builtin_memcpy(&packet->destination, &ipv6->daddr, sizeof(packet->destination));
	}
	if (packet->protocol != PROTOCOL_TCP && packet->protocol != PROTOCOL_UDP)
		return 0;
	note_ports(packet, header, packet->protocol == PROTOCOL_TCP ? header->flags : 0);
	return 1;
}

/* Reads a whole frame; of ICMP, `at` is then where its header begins. */
ALWAYS_INLINE enum packet_reading read_frame(struct __sk_buff *skb, __u32 *at, struct packet *packet)
{
	enum packet_reading reading = PACKET_NOT_IP;
	struct ethhdr ethernet;
	struct vlan_tag tag;

	if (read_plain_frame(skb, packet))
		return PACKET_READ;
	if (bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)) < 0)
		return PACKET_UNREADABLE;
	*at = sizeof(ethernet);
	tag.protocol = ethernet.h_proto;
	for (int tags = 0; tags < MOST_TAGS; tags++) {
		if (tag.protocol != NETWORK_ORDER(ETH_P_8021Q) && tag.protocol != NETWORK_ORDER(ETH_P_8021AD))
			break;
		if (bpf_skb_load_bytes(skb, *at, &tag, sizeof(tag)) < 0)
			return PACKET_UNREADABLE;
		*at += sizeof(tag);
	}
	if (tag.protocol == NETWORK_ORDER(ETH_P_ARP))
		return PACKET_ARP;
	if (tag.protocol == NETWORK_ORDER(ETH_P_IP))
		reading = read_ipv4(skb, at, packet);
	else if (tag.protocol == NETWORK_ORDER(ETH_P_IPV6))
		reading = read_ipv6(skb, at, packet);
	return reading == PACKET_READ ? read_transport(skb, *at, sizeof(struct transport), packet) : reading;
}

/* Reads the packet that an ICMP error is about, as far as it is sent along. */
ALWAYS_INLINE enum packet_reading read_embedded(struct __sk_buff *skb, __u32 at, __u8 protocol, struct packet *packet)
{
	enum packet_reading reading;

	at += EMBEDDED_BYTES; /* of the error's own header */
	reading = protocol == PROTOCOL_ICMPV6 ? read_ipv6(skb, &at, packet) : read_ipv4(skb, &at, packet);
	return reading == PACKET_READ ? read_transport(skb, at, EMBEDDED_BYTES, packet) : reading;
}

#endif
