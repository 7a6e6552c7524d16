// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Whether a packet from the interface of endpoints may have the source that it has. */

#define FIRST_BITS(number) __constant_htonl(number)

#include "policy_believed.h"

BPF_PERCPU_ARRAY(policy_believed, struct policy_believed, POLICY_BELIEVED);

enum source {
	SOURCE_BELIEVED,
	SOURCE_OF_THE_LINK, /* nobody's, and it goes nowhere beyond */
	SOURCE_FORGED,
};

ALWAYS_INLINE int is_ipv4(const struct policy_address *address)
{
	return !(address->word[0] | address->word[1] | (address->word[2] ^ FIRST_BITS(0xffff)));
}

/* Says whether an address is that of many on a link. */
ALWAYS_INLINE int is_of_many(const struct policy_address *address)
{
	if (is_ipv4(address))
		return address->word[3] == 0xffffffff ||
		       (address->word[3] & FIRST_BITS(0xf0000000)) == FIRST_BITS(0xe0000000);
	return (address->word[0] & FIRST_BITS(0xff000000)) == FIRST_BITS(0xff000000);
}

ALWAYS_INLINE int is_link_local(const struct policy_address *address)
{
	return (address->word[0] & FIRST_BITS(0xffc00000)) == FIRST_BITS(0xfe800000);
}

ALWAYS_INLINE int is_unspecified(const struct policy_address *address)
{
	if (is_ipv4(address))
		return !address->word[3];
	return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

/*
 * Says whether a packet is what everybody has to send before and beside his own address: who asks for one has none, and
 * who tells a router of his groups, or asks a neighbour, does so from an address that only his link knows.
 */
ALWAYS_INLINE int is_of_the_link(const struct packet *packet)
{
	if (is_of_many(&packet->destination))
		return is_unspecified(&packet->source) || is_link_local(&packet->source);
	return is_link_local(&packet->source) && is_link_local(&packet->destination);
}

/* The number that revisions have for an interface; 0 where it is nobody's. */
ALWAYS_INLINE __u32 number_of_interface(__u32 ifindex)
{
	int place = ifindex % POLICY_INTERFACE_PLACES;
	struct policy_interfaces *there = policy_interfaces.lookup(&place);

	if (!there)
		return 0;
#pragma unroll
	for (int at = 0; at < POLICY_INTERFACES_AT_ONE; at++) {
		if (there->known[at].ifindex == ifindex)
			return there->known[at].number;
	}
	return 0;
}

/* Says whether a revision has believed a source at an interface lately, on this CPU. */
ALWAYS_INLINE int was_believed(const struct policy_believed *lately, __u32 interface, __u32 revision,
			       const struct policy_address *source)
{
	return lately->interface == interface && lately->revision == revision &&
	       is_same_address(&lately->source, source);
}

/* Says whether to believe a source; of one that is forged, `owner` is whose mode counts, 0 for that of all. */
ALWAYS_INLINE enum source believe(__u32 ifindex, const struct policy_revision *revision, const struct packet *packet,
				  __u32 *owner)
{
	__u32 interface = number_of_interface(ifindex);
	int place = interface % POLICY_BELIEVED;
	struct policy_believed *lately = policy_believed.lookup(&place);
	struct policy_endpoint *endpoint, *there;

	if (!interface)
		return SOURCE_BELIEVED;
	if (lately && was_believed(lately, interface, revision->number, &packet->source))
		return SOURCE_BELIEVED;
	endpoint = endpoint_of(revision->endpoints, &packet->source);
	if (endpoint && endpoint->interface == interface) {
		if (lately) {
			lately->source = packet->source;
			lately->revision = revision->number;
			lately->interface = interface;
		}
		return SOURCE_BELIEVED;
	}
	there = endpoints_at(revision->endpoints, interface);
	if (!there)
		return SOURCE_BELIEVED;
	if (!endpoint && is_of_the_link(packet))
		return SOURCE_OF_THE_LINK;
	*owner = there->number;
	return SOURCE_FORGED;
}
