// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Which connections are known, for how long, and whose ports the later pieces of a packet have. */

/*
 * The table of connections, and, while it is exchanged for one of another size, the one before: a connection moves to
 * the new one with its next packet, or by whoever exchanges them.
 */
BPF_HASH(policy_ct, struct policy_ct_key, struct policy_connection, 1);
BPF_ARRAY_OF_MAPS(policy_ct_tables, "policy_ct", POLICY_CT_TABLES);
BPF_ARRAY(policy_timeouts, __u64, POLICY_CT_STATES);
BPF_ARRAY(policy_ct_full, __u64, 1);
BPF_TABLE("lru_hash", struct policy_fragment_key, struct policy_fragment, policy_fragments, 1);

#define FRAGMENTS_NS 30000000000ULL /* as long as the kernel waits for the rest of a packet */
#define FULL_NS 60000000000ULL	    /* as long as an answer may be late to a question that was not remembered */

/* The connection of a packet as the endpoint in this direction sees it. */
ALWAYS_INLINE void write_key(struct policy_ct_key *key, const struct packet *packet, __u8 direction)
{
	int out = direction == POLICY_EGRESS;

	key->own = out ? packet->source : packet->destination;
	key->peer = out ? packet->destination : packet->source;
	key->own_port = out ? packet->source_port : packet->destination_port;
	key->peer_port = out ? packet->destination_port : packet->source_port;
	key->protocol = packet->protocol;
}

/*
 * Makes the key that of the connection that an ICMP error is about. The packet it was sent for went the other way, from
 * the address that the error goes to or to the one that it comes from: else it is no error about this endpoint.
 */
ALWAYS_INLINE void write_reported_key(struct __sk_buff *skb, __u32 at, struct policy_ct_key *key, __u8 direction)
{
	struct policy_ct_key reported = {};
	struct packet about = {};

	if (read_embedded(skb, at, key->protocol, &about) != PACKET_READ)
		return;
	write_key(&reported, &about, direction ^ 1);
	if (is_same_address(&reported.own, &key->own))
		*key = reported;
}

ALWAYS_INLINE __u32 state_of(const struct policy_connection *known, __u8 protocol)
{
	__u8 forward = known->said_forward, back = known->said_back;

	if (protocol == PROTOCOL_UDP)
		return back ? POLICY_CT_UDP_ANSWERED : POLICY_CT_UDP_ASKED;
	if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6)
		return POLICY_CT_ICMP;
	if (protocol != PROTOCOL_TCP)
		return back ? POLICY_CT_OTHER_ANSWERED : POLICY_CT_OTHER_ASKED;
	if (((forward | back) & POLICY_SAID_RST) || (forward & back & POLICY_SAID_FIN))
		return POLICY_CT_TCP_CLOSED;
	if ((forward | back) & POLICY_SAID_FIN)
		return POLICY_CT_TCP_CLOSING;
	return back ? POLICY_CT_TCP_ESTABLISHED : POLICY_CT_TCP_SYN;
}

/* Has a connection move to the table that is now, if it is in the one before. */
ALWAYS_INLINE struct policy_connection *moved_connection(void *table, struct policy_ct_key *key)
{
	int before = POLICY_CT_BEFORE;
	void *old = policy_ct_tables.lookup(&before);
	struct policy_connection *known, *moved;

	if (!old)
		return 0;
	known = bpf_map_lookup_elem(old, key);
	if (!known)
		return 0;
	/* Never over one that has come to be there meanwhile. Where there is no room it stays where it is. */
	bpf_map_update_elem(table, key, known, BPF_NOEXIST);
	moved = bpf_map_lookup_elem(table, key);
	return moved ? moved : known;
}

/* The entry of a connection, alive or not. */
ALWAYS_INLINE struct policy_connection *entry_of(struct policy_ct_key *key)
{
	int now = POLICY_CT_NOW;
	void *table = policy_ct_tables.lookup(&now);
	struct policy_connection *known;

	if (!table)
		return 0;
	known = bpf_map_lookup_elem(table, key);
	return known ? known : moved_connection(table, key);
}

ALWAYS_INLINE void forget(struct policy_ct_key *key)
{
	int slot = POLICY_CT_BEFORE;
	void *table = policy_ct_tables.lookup(&slot);

	/* First there, or it would move. */
	if (table)
		bpf_map_delete_elem(table, key);
	slot = POLICY_CT_NOW;
	table = policy_ct_tables.lookup(&slot);
	if (table)
		bpf_map_delete_elem(table, key);
}

/* Says whether a packet cannot belong to a connection any more, because that is over by then, or by this packet. */
ALWAYS_INLINE int is_over(const struct policy_connection *known, __u8 protocol, __u8 said, __u64 now)
{
	__u32 state = state_of(known, protocol);
	__u64 *timeout = policy_timeouts.lookup(&state);

	if (!timeout || known->seen_ns + *timeout <= now)
		return 1;
	/* The ports of a connection that ends, or was cut, are used again by the next one. */
	return (said & (POLICY_SAID_SYN | POLICY_SAID_ACK)) == POLICY_SAID_SYN &&
	       (state == POLICY_CT_TCP_CLOSING || state == POLICY_CT_TCP_CLOSED || known->verdict == POLICY_DENIED);
}

/* What a packet says, for the state of its connection. */
ALWAYS_INLINE __u8 said_by(const struct packet *packet)
{
	if (packet->protocol != PROTOCOL_TCP)
		return POLICY_SAID_ACK;
	return packet->said & (POLICY_SAID_FIN | POLICY_SAID_SYN | POLICY_SAID_RST | POLICY_SAID_ACK);
}

/* Notes that a packet of a known connection passed. What is there already is not written again: CPUs share it. */
ALWAYS_INLINE void note_packet(struct policy_connection *known, __u8 said, int forward, __u64 now)
{
	if (forward && (known->said_forward | said) != known->said_forward)
		known->said_forward |= said;
	if (!forward && (known->said_back | said) != known->said_back)
		known->said_back |= said;
	known->seen_ns = now;
}

/* Has a connection that is over begin again, with what was said of it then. */
ALWAYS_INLINE void begin_again(struct policy_connection *over, __u8 said, __u32 orders, __u64 now)
{
	over->said_forward = said;
	over->said_back = 0;
	over->orders = orders;
	over->seen_ns = now;
}

/* Remembers a connection, or, where there is no room for it, that there was none. */
ALWAYS_INLINE int remember(struct policy_ct_key *key, struct policy_connection *connection)
{
	int first = 0, now = POLICY_CT_NOW;
	void *table = policy_ct_tables.lookup(&now);
	__u64 *full;

	if (table && bpf_map_update_elem(table, key, connection, BPF_ANY) == 0)
		return 1;
	full = policy_ct_full.lookup(&first);
	if (full)
		*full = connection->seen_ns;
	return 0;
}

/*
 * Says whether a packet may be an answer to something that there was no room to remember: lately there was none, and it
 * does not look as if it began something itself.
 */
ALWAYS_INLINE int may_answer_the_forgotten(const struct packet *packet, __u64 now)
{
	int first = 0;
	__u64 *full = policy_ct_full.lookup(&first);

	if (!full || !*full || *full + FULL_NS <= now || packet->role == PACKET_REPORTS)
		return 0;
	if (packet->protocol == PROTOCOL_ICMP || packet->protocol == PROTOCOL_ICMPV6)
		return packet->role == PACKET_ANSWERS;
	return packet->protocol != PROTOCOL_TCP ||
	       (packet->said & (POLICY_SAID_SYN | POLICY_SAID_ACK)) != POLICY_SAID_SYN;
}

/* Keeps the ports of a first piece, or gives a later one those of its first; returns whether it has any. */
ALWAYS_INLINE int join_pieces(struct packet *packet, __u8 direction, __u64 now)
{
	struct policy_fragment_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.identification = packet->identification,
		.protocol = packet->piece_protocol,
		.direction = direction,
	};
	struct policy_fragment fragment = {
		.seen_ns = now,
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.service = packet->service,
		.protocol = packet->protocol,
		.role = packet->role,
	};
	struct policy_fragment *first;

	if (packet->piece == PACKET_FIRST_PIECE) {
		policy_fragments.update(&key, &fragment);
		return 1;
	}
	first = policy_fragments.lookup(&key);
	if (!first || first->seen_ns + FRAGMENTS_NS <= now)
		return 0;
	packet->source_port = first->source_port;
	packet->destination_port = first->destination_port;
	packet->service = first->service;
	packet->protocol = first->protocol;
	packet->role = first->role;
	return 1;
}
