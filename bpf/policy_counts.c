// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What became of packets. Nothing interrupts a program of TC on its CPU by another: plain additions do. */

BPF_PERCPU_HASH(policy_counts, struct policy_count_key, struct policy_count, 1);
BPF_PERCPU_ARRAY(policy_events, __u64, POLICY_EVENTS);

ALWAYS_INLINE void count_event(__u32 event)
{
	__u64 *count = policy_events.lookup(&event);

	if (count)
		(*count)++;
}

/* Counts a packet of a connection, unless the mode is off. Receive offload joins packets; each of them is counted. */
ALWAYS_INLINE void count_packet(struct __sk_buff *skb, const struct policy_connection *connection, int first)
{
	struct policy_count_key key = {
		.rule = connection->rule,
		.source = connection->source,
		.destination = connection->destination,
		.verdict = connection->verdict,
		.direction = connection->direction,
		.reason = connection->reason,
	};
	struct policy_count *count;

	if (connection->verdict == POLICY_VERDICTS)
		return;
	count = policy_counts.lookup(&key);
	if (!count) {
		struct policy_count none = {};

		policy_counts.update(&key, &none);
		count = policy_counts.lookup(&key);
	}
	if (!count) {
		count_event(POLICY_EVENT_COUNTS_FULL);
		return;
	}
	count->packets += skb->gso_segs ? skb->gso_segs : 1;
	count->bytes += skb->len;
	count->connections += first;
}
