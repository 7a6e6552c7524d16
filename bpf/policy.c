// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The policy datapath: what an endpoint may send, and what may be sent to it.
 *
 * Two programs, one for each way of a packet past the interface of an endpoint; which hook of TC they sit on is the
 * business of whoever attaches them. A packet is read, then the connection that it belongs to is looked for, then the
 * policy is asked if nobody knows the connection; and at the end each effect has its one place. docs/datapath.md has
 * the table of decisions. Whatever goes wrong in here lets the packet pass, and is counted.
 */

#define TC_NEXT -1 /* as if this program were not there; others may follow */
#define TC_SHOT 2

enum answer {
	ANSWER_CONNECTION, /* the connection says what becomes of the packet */
	ANSWER_NO_ENDPOINT,
	ANSWER_INTERNAL,
};

ALWAYS_INLINE int pass_and_count(__u32 event)
{
	count_event(event);
	return TC_NEXT;
}

/* What passes without an endpoint being looked for. */
ALWAYS_INLINE int pass_unasked(enum packet_reading reading)
{
	if (reading == PACKET_ARP)
		return pass_and_count(POLICY_EVENT_ARP);
	if (reading == PACKET_NEIGHBOUR)
		return pass_and_count(POLICY_EVENT_NEIGHBOUR);
	return pass_and_count(reading == PACKET_NOT_IP ? POLICY_EVENT_NOT_IP : POLICY_EVENT_UNREADABLE);
}

/* A packet whose ports nobody can tell passes, unless a table denies something here: then only what is allowed may. */
ALWAYS_INLINE int judge_portless(const struct policy_revision *revision, const struct policy_ct_key *key,
				 __u8 direction, int later_piece)
{
	struct policy_endpoint *endpoint = endpoint_of(revision->endpoints, &key->own);
	int out = direction == POLICY_EGRESS;

	if (!endpoint)
		return pass_and_count(POLICY_EVENT_NO_ENDPOINT);
	if (!(out ? endpoint->egress : endpoint->ingress) || endpoint->lenient >> direction & 1 ||
	    mode_of(endpoint->number) != POLICY_ENFORCE)
		return pass_and_count(later_piece ? POLICY_EVENT_FRAGMENT_PASSED : POLICY_EVENT_CUT_PASSED);
	if (out)
		count_event(later_piece ? POLICY_EVENT_FRAGMENT_DROPPED : POLICY_EVENT_CUT_DROPPED);
	else
		count_event(later_piece ? POLICY_EVENT_FRAGMENT_KEPT_OUT : POLICY_EVENT_CUT_KEPT_OUT);
	return TC_SHOT;
}

ALWAYS_INLINE __u8 verdict_of(__u8 decision)
{
	if (decision == POLICY_ALLOW)
		return POLICY_ALLOWED;
	return decision == POLICY_AUDIT ? POLICY_AUDITED : POLICY_DENIED;
}

/* Asks the tables about a connection that begins, and writes down what they say as an entry of conntrack. */
ALWAYS_INLINE enum answer ask_tables(const struct policy_revision *revision, const struct policy_ct_key *key,
				     __be16 service, struct policy_connection *answer)
{
	int out = answer->direction == POLICY_EGRESS;
	struct policy_endpoint *endpoint = endpoint_of(revision->endpoints, &key->own);
	struct policy_endpoint *other;
	struct policy_whose peer = {};
	struct policy_entry *entry;
	__u32 table, zones;
	__u16 zone;

	if (!endpoint)
		return ANSWER_NO_ENDPOINT;
	table = out ? endpoint->egress : endpoint->ingress;
	other = endpoint_of(revision->endpoints, &key->peer);
	if (other)
		peer.identity = peer.asked = other->identity;
	else
		peer = whose(revision->addresses, &key->peer);
	answer->endpoint = endpoint->number;
	answer->revision = revision->number;
	answer->source = out ? endpoint->identity : peer.identity;
	answer->destination = out ? peer.identity : endpoint->identity;
	answer->verdict = POLICY_ALLOWED;
	if (other && other->number == endpoint->number) {
		answer->reason = POLICY_ITSELF;
	} else if (!table) {
		answer->reason = POLICY_NO_POLICY;
	} else {
		zones = out ? endpoint->egress_zones : endpoint->ingress_zones;
		zone = zones ? zone_of(zones, &key->peer, peer.outside) : NO_ZONE;
		entry = entry_for(table, peer.asked, zone, key->protocol, service);
		if (!entry)
			return ANSWER_INTERNAL;
		answer->rule = entry->rule;
		answer->reason = entry->reason;
		answer->verdict = verdict_of(entry->decision);
	}
	return ANSWER_CONNECTION;
}

/* Asks the policy about a connection that begins: what tables said lately, or the tables. */
ALWAYS_INLINE enum answer ask(const struct policy_revision *revision, const struct policy_ct_key *key, __be16 service,
			      struct policy_connection *answer)
{
	struct policy_question question = {
		.own = key->own,
		.peer = key->peer,
		.revision = revision->number,
		.service = service,
		.protocol = key->protocol,
		.direction = answer->direction,
	};
	struct policy_answer *known = answer_in_place_of(&question);
	enum answer found;

	if (known && is_same_question(&known->question, &question)) {
		repeat_answer(known, answer);
		return ANSWER_CONNECTION;
	}
	found = ask_tables(revision, key, service, answer);
	if (known && found == ANSWER_CONNECTION)
		write_answer(known, &question, answer);
	return found;
}

/*
 * Says whether a known connection answers for a packet. What comes back follows it, and so do errors about it; who
 * began it is asked again after another revision, and for as long as it passes only because nobody enforces.
 */
ALWAYS_INLINE int is_settled(const struct policy_connection *known, __u8 direction, __u64 revision, __u8 role)
{
	return role == PACKET_REPORTS || known->direction != direction ||
	       (known->revision == (__u32)revision && known->verdict == POLICY_ALLOWED);
}

/*
 * Says whether a packet begins the connection anew that was between the same ports before: who asks the same of the
 * same revision is told the same, so that no table need be asked, and the entry can stay where it is.
 */
ALWAYS_INLINE int begins_again(const struct policy_connection *over, __u8 direction, __u64 revision, __u8 role)
{
	return role == PACKET_OPENS && over->direction == direction && is_settled(over, direction, revision, role);
}

/*
 * Remembers an answer, so that what comes back may pass. A connection that may be no longer is remembered as denied:
 * its other side goes on for a while, and nothing that it still sends may begin the same connection anew.
 */
ALWAYS_INLINE void keep(struct policy_ct_key *key, struct policy_connection *answer,
			const struct policy_connection *known, const struct packet *packet)
{
	if (!known && (answer->verdict == POLICY_DENIED || packet->role != PACKET_OPENS))
		return;
	answer->said_forward = said_by(packet) | (known ? known->said_forward : 0);
	answer->said_back = known ? known->said_back : 0;
	if (!remember(key, answer))
		count_event(POLICY_EVENT_CONNECTIONS_FULL);
}

/*
 * Asks about the connection that a packet is an answer in, or would be: it began on the other side, with a question to
 * the port that this packet comes from. Where that one is allowed, it takes the place of the answer, and is not
 * remembered.
 */
ALWAYS_INLINE int is_allowed_answer(const struct policy_revision *revision, const struct policy_ct_key *key,
				    const struct packet *packet, struct policy_connection *answer, __u8 direction)
{
	struct policy_connection other = {.seen_ns = answer->seen_ns, .direction = direction ^ 1};

	if (ask(revision, key, packet->source_port, &other) != ANSWER_CONNECTION || other.verdict == POLICY_DENIED)
		return 0;
	*answer = other;
	return 1;
}

/*
 * The order that a packet is under, the rule's number; 0 for none. It is about both ends of the packet itself, also of
 * one that is about another connection.
 */
ALWAYS_INLINE __u32 order_for(const struct policy_revision *revision, const struct packet *packet, __u8 direction,
			      __u32 *number)
{
	int out = direction == POLICY_EGRESS;
	struct policy_endpoint *endpoint;

	endpoint = endpoint_of(revision->endpoints, out ? &packet->source : &packet->destination);
	/* An order for all is about whatever passes here: who takes another source address is no exception. */
	*number = endpoint ? endpoint->number : 0;
	return order_about(*number, out ? &packet->destination : &packet->source);
}

/*
 * Drops a packet that an order is about, whatever the mode, and forgets the connection that it belongs to. One that was
 * cut stays: when the order ends, its other side could else begin it anew.
 */
ALWAYS_INLINE int obey(struct __sk_buff *skb, const struct policy_revision *revision, struct policy_ct_key *key,
		       const struct packet *packet, const struct policy_connection *known, __u32 rule, __u32 endpoint,
		       __u8 direction)
{
	struct policy_connection answer = {
		.rule = rule,
		.source = identity_of(revision, &packet->source),
		.destination = identity_of(revision, &packet->destination),
		.endpoint = endpoint,
		.direction = direction,
		.verdict = POLICY_DENIED,
		.reason = POLICY_RULE,
	};

	if (known && known->verdict != POLICY_DENIED && packet->role != PACKET_REPORTS)
		forget(key);
	count_packet(skb, &answer, !known);
	return TC_SHOT;
}

/* Asks about a packet that no connection answers for, and sees to it. */
ALWAYS_INLINE int judge(struct __sk_buff *skb, const struct policy_revision *revision, struct policy_ct_key *key,
			const struct packet *packet, const struct policy_connection *known, __u8 direction, __u64 now,
			__u32 orders)
{
	struct policy_connection answer = {.seen_ns = now, .direction = direction, .orders = orders};
	__u8 mode = POLICY_ENFORCE;
	enum answer found;
	int first;

	if (packet->role == PACKET_REPORTS) /* about no connection that is known: a packet like any other */
		write_key(key, packet, direction);
	found = ask(revision, key, packet->service, &answer);
	if (found != ANSWER_CONNECTION)
		return pass_and_count(found == ANSWER_INTERNAL ? POLICY_EVENT_INTERNAL : POLICY_EVENT_NO_ENDPOINT);
	if (answer.verdict == POLICY_DENIED && !known && may_answer_the_forgotten(packet, now) &&
	    is_allowed_answer(revision, key, packet, &answer, direction)) {
		count_event(POLICY_EVENT_CONNECTIONS_FULL);
		count_packet(skb, &answer, 0);
		return TC_NEXT;
	}
	if (answer.verdict != POLICY_ALLOWED)
		mode = mode_of(answer.endpoint);
	if (mode != POLICY_ENFORCE)
		answer.verdict = mode == POLICY_OFF ? POLICY_VERDICTS : POLICY_AUDITED;
	if (answer.verdict != POLICY_ALLOWED)
		note_refused(skb, &answer, &key->peer, packet, !known);
	first = !known || known->verdict == POLICY_DENIED;
	answer.row = row_of(&answer);
	keep(key, &answer, known, packet);
	count_packet(skb, &answer, first);
	return answer.verdict == POLICY_DENIED ? TC_SHOT : TC_NEXT;
}

/* Says whether a source that is another's is reason enough to drop a packet. */
ALWAYS_INLINE int is_refused(enum source source, __u32 owner)
{
	return source == SOURCE_FORGED && mode_of(owner) == POLICY_ENFORCE;
}

/* What passes with a source that is nobody's here. No policy is asked about it, and no connection comes of it. */
ALWAYS_INLINE int pass_unbelieved(enum source source)
{
	return pass_and_count(source == SOURCE_FORGED ? POLICY_EVENT_FORGED_SOURCE_PASSED : POLICY_EVENT_NO_ENDPOINT);
}

/* Says whether a packet belongs to a connection that was cut, and does not come from whoever began that. */
ALWAYS_INLINE int is_of_a_cut_one(const struct policy_connection *known, __u8 direction, __u8 role)
{
	return known->verdict == POLICY_DENIED && (role == PACKET_REPORTS || known->direction != direction);
}

/*
 * What becomes of it: it begins nothing. Where nobody enforces, or another revision allows the connection by now, the
 * packet passes, and the connection goes on when it is asked for.
 */
ALWAYS_INLINE int refuse_cut(struct __sk_buff *skb, const struct policy_revision *revision,
			     const struct policy_ct_key *key, const struct packet *packet,
			     const struct policy_connection *known, __u8 direction)
{
	struct policy_connection told = *known;
	__u8 mode;

	told.row = 0; /* it may be another one's */
	if (packet->role == PACKET_REPORTS || told.revision == (__u32)revision->number ||
	    !is_allowed_answer(revision, key, packet, &told, direction)) {
		mode = mode_of(told.endpoint);
		if (mode != POLICY_ENFORCE)
			told.verdict = mode == POLICY_OFF ? POLICY_VERDICTS : POLICY_AUDITED;
	}
	count_packet(skb, &told, 0);
	return told.verdict == POLICY_DENIED ? TC_SHOT : TC_NEXT;
}

ALWAYS_INLINE int police(struct __sk_buff *skb, __u8 direction)
{
	struct packet packet = {};
	struct policy_ct_key key = {};
	struct policy_connection *known = 0, *over = 0;
	struct policy_revision *revision;
	__u32 at = 0, owner = 0, number = 0, order = 0, orders = turn_of_orders();
	__u64 now;
	enum packet_reading reading = read_frame(skb, &at, &packet);
	enum source source = SOURCE_BELIEVED;

	if (reading > PACKET_CUT)
		return pass_unasked(reading);
	revision = revision_in_force();
	if (!revision)
		return pass_and_count(POLICY_EVENT_INTERNAL);
	if (direction == POLICY_EGRESS) {
		source = believe(skb->ifindex, revision, &packet, &owner);
		if (is_refused(source, owner)) {
			count_event(POLICY_EVENT_FORGED_SOURCE_DROPPED);
			return TC_SHOT;
		}
	}
	/* To the tick: cheaper than the exact time, and nobody counts the life of a connection in less. */
	now = bpf_ktime_get_coarse_ns();
	/* Nothing is remembered of a source that is not believed, and nothing of it answers for another packet. */
	if (source != SOURCE_BELIEVED)
		reading = PACKET_CUT;
	if (packet.piece != PACKET_WHOLE && reading == PACKET_READ && !join_pieces(&packet, direction, now))
		reading = PACKET_CUT;
	write_key(&key, &packet, direction);
	if (reading != PACKET_CUT) {
		if (packet.role == PACKET_REPORTS)
			write_reported_key(skb, at, &key, direction);
		known = entry_of(&key);
		if (known && is_over(known, key.protocol, packet.said, now)) {
			over = known;
			known = 0;
		}
	}
	if (orders && (!known || known->orders != orders || packet.role == PACKET_REPORTS)) {
		order = order_for(revision, &packet, direction, &number);
		if (order)
			return obey(skb, revision, &key, &packet, known, order, number, direction);
		if (known && packet.role != PACKET_REPORTS)
			known->orders = orders;
	}
	if (source != SOURCE_BELIEVED)
		return pass_unbelieved(source);
	if (reading == PACKET_CUT)
		return judge_portless(revision, &key, direction, packet.piece == PACKET_LATER_PIECE);
	if (over && begins_again(over, direction, revision->number, packet.role)) {
		begin_again(over, said_by(&packet), orders, now);
		count_packet(skb, over, 1);
		return TC_NEXT;
	}
	if (known && is_of_a_cut_one(known, direction, packet.role))
		return refuse_cut(skb, revision, &key, &packet, known, direction);
	if (!known || !is_settled(known, direction, revision->number, packet.role))
		return judge(skb, revision, &key, &packet, known, direction, now, orders);
	if (packet.role != PACKET_REPORTS)
		note_packet(known, said_by(&packet), known->direction == direction, now);
	count_packet(skb, known, 0);
	return TC_NEXT;
}

int policy_from_endpoint(struct __sk_buff *skb)
{
	return police(skb, POLICY_EGRESS);
}

int policy_to_endpoint(struct __sk_buff *skb)
{
	return police(skb, POLICY_INGRESS);
}
