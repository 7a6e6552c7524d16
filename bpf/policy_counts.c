// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What became of packets. Nothing interrupts a program of TC on its CPU by another: plain additions do.
 *
 * What is told apart has a row of `policy_counts`, and a connection remembers its own: its packets are counted without
 * a search. A row is given by one CPU alone. Whoever takes a counter out gives its row back, once no connection has it.
 */

BPF_HASH(policy_count_rows, struct policy_count_key, __u32, 1);
BPF_PERCPU_ARRAY(policy_counts, struct policy_count, POLICY_COUNTS);
BPF_ARRAY(policy_last_row, __u64, 1);
BPF_QUEUE(policy_free_rows, __u32, 1);
BPF_PERCPU_ARRAY(policy_events, __u64, POLICY_EVENTS);

ALWAYS_INLINE void count_event(__u32 event)
{
	__u64 *count = policy_events.lookup(&event);

	if (count)
		(*count)++;
}

/* A row that nobody has; 0 where all are taken. */
ALWAYS_INLINE __u32 free_row(void)
{
	int only = 0;
	__u64 *last;
	__u32 row;

	if (policy_free_rows.pop(&row) == 0)
		return row;
	last = policy_last_row.lookup(&only);
	if (!last || *last >= POLICY_COUNTS - 1)
		return 0;
	row = __sync_fetch_and_add(last, 1) + 1;
	return row < POLICY_COUNTS ? row : 0;
}

/* The row that packets of a connection are counted in; 0 where there is none left, or nobody counts them. */
ALWAYS_INLINE __u32 row_of(const struct policy_connection *connection)
{
	struct policy_count_key key = {
		.rule = connection->rule,
		.source = connection->source,
		.destination = connection->destination,
		.verdict = connection->verdict,
		.direction = connection->direction,
		.reason = connection->reason,
	};
	__u32 *known, row;

	if (connection->verdict == POLICY_VERDICTS)
		return 0;
	known = policy_count_rows.lookup(&key);
	if (known)
		return *known;
	row = free_row();
	if (!row || policy_count_rows.insert(&key, &row) == 0)
		return row;
	/* Another CPU was first, or there is no room for the key. */
	policy_free_rows.push(&row, 0);
	known = policy_count_rows.lookup(&key);
	return known ? *known : 0;
}

/* Counts a packet of a connection, unless the mode is off. Receive offload joins packets; each of them is counted. */
ALWAYS_INLINE void count_packet(struct __sk_buff *skb, const struct policy_connection *connection, int first)
{
	int row = connection->row;
	struct policy_count *count;

	if (connection->verdict == POLICY_VERDICTS)
		return;
	if (!row)
		row = row_of(connection);
	count = row ? policy_counts.lookup(&row) : 0;
	if (!count) {
		count_event(POLICY_EVENT_COUNTS_FULL);
		return;
	}
	count->packets += skb->gso_segs ? skb->gso_segs : 1;
	count->bytes += skb->len;
	count->connections += first;
}
