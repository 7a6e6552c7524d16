// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Who it was that no rule allows. */
#include "policy_refused.h"

BPF_TABLE("lru_hash", struct policy_refused_key, struct policy_refused, policy_refused, 1);
BPF_PERCPU_ARRAY(policy_refused_sum, __u64, POLICY_REFUSED_SUMS);

#define FIRST_EPHEMERAL 32768

ALWAYS_INLINE void count_refused(__u32 what)
{
	__u64 *sum = policy_refused_sum.lookup(&what);

	if (sum)
		(*sum)++;
}

/*
 * Says whether a packet asks for something. One in the middle of a TCP connection that nobody knows, from a port of
 * services to one of clients, is a late answer: its far port is nobody's service.
 */
ALWAYS_INLINE int asks_for_service(const struct packet *packet)
{
	if (packet->role != PACKET_OPENS)
		return 0;
	return packet->protocol != PROTOCOL_TCP ||
	       (packet->said & (POLICY_SAID_SYN | POLICY_SAID_ACK)) == POLICY_SAID_SYN ||
	       __builtin_bswap16(packet->source_port) >= FIRST_EPHEMERAL ||
	       __builtin_bswap16(packet->destination_port) < FIRST_EPHEMERAL;
}

ALWAYS_INLINE struct policy_refused *refused_entry(struct policy_refused_key *key, __u64 now)
{
	struct policy_refused *known = policy_refused.lookup(key);
	struct policy_refused fresh = {.first_ns = now};

	if (known)
		return known;
	/* Counted by whoever made it, on whatever CPU: what was made and is not there was evicted. */
	if (policy_refused.insert(key, &fresh) == 0)
		count_refused(POLICY_REFUSED_MADE);
	known = policy_refused.lookup(key);
	if (!known)
		count_refused(POLICY_REFUSED_LOST);
	return known;
}

/* Notes a packet that was denied, or let pass in monitor, because no rule allows it. */
ALWAYS_INLINE void note_refused(struct __sk_buff *skb, const struct policy_connection *answer,
				const struct policy_address *peer, const struct packet *packet, int first)
{
	struct policy_refused_key key = {
		.endpoint = answer->endpoint,
		.peer = *peer,
		.port = packet->service,
		.protocol = packet->protocol,
		.direction = answer->direction,
	};
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 packets = skb->gso_segs ? skb->gso_segs : 1;
	struct policy_refused *known;

	if ((answer->reason != POLICY_DEFAULT_DENY && answer->reason != POLICY_WITHDRAWN) || !asks_for_service(packet))
		return;
	if (answer->verdict != POLICY_DENIED && answer->verdict != POLICY_AUDITED)
		return;
	known = refused_entry(&key, now);
	if (!known)
		return;
	if (answer->verdict == POLICY_DENIED) {
		known->denied_ns = now;
		__sync_fetch_and_add(&known->denied, packets);
	} else {
		known->passed_ns = now;
		__sync_fetch_and_add(&known->passed, packets);
	}
	if (first)
		__sync_fetch_and_add(&known->connections, 1);
}
