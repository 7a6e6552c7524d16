// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Decides by the source of a packet alone, before the kernel spends anything on it: networks that are dropped, and
 * networks whose sources may send so many packets a second each.
 *
 * The rule with the longest prefix decides: first one for the address alone, which is in a table of its own, because a
 * trie of many of them is deep. One that is over or off, or only watches, decides nothing: the next longest
 * is asked then, so that a rule that ends inside another one leaves no hole in that. All ends are compared here, packet
 * by packet: they come whether or not a process of ours is alive. Whatever cannot be decided passes and is counted.
 *
 * All sizes here are one: whoever loads the program brings the maps (`netsre/datapath/prefilter.py`).
 */
#include "source.h"
#include "prefilter.h"
#include "waiting.h"

#define ADDRESS_BITS 128
#define IPV4_BITS 96 /* in front of each IPv4 address; a rule with fewer is about IPv6 */
#define TOKEN 1000000000LL

BPF_F_TABLE("lpm_trie", struct prefilter_key, struct prefilter_rule, prefilter_rules, 1, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct source, struct prefilter_rule, prefilter_hosts, 1, BPF_F_NO_PREALLOC);
BPF_ARRAY(prefilter_state, struct prefilter_state, 1);
BPF_TABLE("lru_hash", struct prefilter_bucket_key, struct prefilter_bucket, prefilter_buckets, 1);
BPF_PERCPU_ARRAY(prefilter_counts, struct drops, 1);
BPF_PERCPU_ARRAY(prefilter_events, __u64, PREFILTER_EVENTS);
BPF_PERCPU_ARRAY(prefilter_times, struct prefilter_time, 1);
BPF_PERCPU_ARRAY(prefilter_latest, struct prefilter_found, PREFILTER_LATEST);

ALWAYS_INLINE void count_event(int event)
{
	__u64 *count = prefilter_events.lookup(&event);

	if (count)
		(*count)++;
}

/* Nothing interrupts this on its CPU: plain additions do. */
ALWAYS_INLINE void count_packet(const struct prefilter_rule *rule, int verdict, __u64 bytes)
{
	int slot = rule->counter * PREFILTER_VERDICTS + verdict;
	struct drops *count = prefilter_counts.lookup(&slot);

	if (count) {
		count->packets++;
		count->bytes += bytes;
	} else {
		count_event(PREFILTER_UNCOUNTED);
	}
}

/* The time of this packet, for those that need it: the clock costs as much as all the rest of a drop. */
ALWAYS_INLINE __u64 clock(__u64 *now)
{
	if (!*now)
		*now = bpf_ktime_get_boot_ns();
	return *now;
}

/* A time that has been: when this CPU first looked at the clock in this tick of the kernel. */
ALWAYS_INLINE __u64 time_lately(__u64 *now)
{
	__u64 tick = bpf_jiffies64();
	int first = 0;
	struct prefilter_time *lately = prefilter_times.lookup(&first);

	if (!lately)
		return clock(now);
	if (lately->tick != tick) {
		lately->time_ns = clock(now);
		lately->tick = tick;
	}
	return lately->time_ns;
}

/* Says whether an end has come. Only one that is near is compared with the clock itself. */
ALWAYS_INLINE int has_come(__u64 until_ns, __u64 *now)
{
	__u64 lately;

	if (!until_ns)
		return 0;
	lately = time_lately(now);
	if (until_ns <= lately)
		return 1;
	return until_ns <= lately + PREFILTER_LATELY_NS && until_ns <= clock(now);
}

ALWAYS_INLINE __u8 mode_at(const struct policy_mode *mode, __u64 *now)
{
	return has_come(mode->until_ns, now) ? mode->afterwards : mode->mode;
}

/*
 * Takes a token for a packet, if there is one. What came in since the bucket was last filled is put in with it: a
 * source beyond its rate writes nothing. Both words change by addition: CPUs that fill it at once put in too much, and
 * then nothing comes in for as long: no stretch of time is paid for twice.
 */
ALWAYS_INLINE int take_token(struct prefilter_bucket *bucket, const struct prefilter_rule *rule, __u64 now)
{
	__s64 most = rule->burst * TOKEN;
	__s64 level = bucket->level;
	__s64 elapsed = now - bucket->filled_ns;
	__s64 gain;

	if (elapsed < 0)
		elapsed = 0;
	if ((__u64)elapsed >= rule->fill_ns) { /* the product below might not fit */
		bucket->level = most - TOKEN;
		bucket->filled_ns = now;
		return 1;
	}
	gain = elapsed * rule->rate;
	if (gain > most - level)
		gain = most > level ? most - level : 0;
	if (level + gain < TOKEN)
		return 0;
	__sync_fetch_and_add(&bucket->level, gain - TOKEN);
	__sync_fetch_and_add(&bucket->filled_ns, elapsed);
	return 1;
}

/* Says whether a source is within its rate, and takes a token for the packet if it is. */
ALWAYS_INLINE int conforms(const struct prefilter_rule *rule, const struct source *source, __u64 now)
{
	struct prefilter_bucket_key key = {.source = *source, .rule = rule->number};
	struct prefilter_bucket *bucket = prefilter_buckets.lookup(&key);

	if (!bucket) {
		struct prefilter_bucket full = {.level = rule->burst * TOKEN, .filled_ns = now};

		prefilter_buckets.insert(&key, &full);
		bucket = prefilter_buckets.lookup(&key);
	}
	if (!bucket) {
		count_event(PREFILTER_NO_BUCKET);
		return 1;
	}
	return take_token(bucket, rule, now);
}

/* What a rule says of a packet; with any mode but enforce, it cannot say that it must go. */
ALWAYS_INLINE int verdict_of(const struct prefilter_rule *rule, const struct source *source, __u64 *now, __u8 mode)
{
	if (rule->action == PREFILTER_PASS || (rule->action == PREFILTER_LIMIT && conforms(rule, source, clock(now))))
		return PREFILTER_PASSED;
	return mode == POLICY_ENFORCE ? PREFILTER_DROPPED : PREFILTER_AUDITED;
}

/* How strictly a rule is to be taken: off from its end on, and else by its mode. */
ALWAYS_INLINE __u8 strictness(const struct prefilter_rule *rule, __u64 *now)
{
	return has_come(rule->until_ns, now) ? POLICY_OFF : mode_at(&rule->mode, now);
}

/* The rule of the longest prefix that has at most the bits of the key. */
ALWAYS_INLINE struct prefilter_rule *find_rule(struct prefilter_key *key, __u32 fewest)
{
	struct prefilter_rule *rule = prefilter_rules.lookup(key);

	return rule && rule->bits >= fewest ? rule : 0;
}

/* Says whether there may be a rule about an address alone; without its mark, nobody asks. */
ALWAYS_INLINE int is_marked(const struct prefilter_state *state, const struct source *source)
{
	__u32 mark = source->address[3] * PREFILTER_MARK_MIX >> PREFILTER_MARK_SHIFT;

	return state->marks[mark / 64] >> mark % 64 & 1;
}

/* The rule of the longest prefix for a source, as the tables have it. */
ALWAYS_INLINE struct prefilter_rule *look_up(const struct prefilter_state *state, struct prefilter_key *key,
					     __u32 fewest)
{
	struct prefilter_rule *rule = is_marked(state, &key->source) ? prefilter_hosts.lookup(&key->source) : 0;

	return rule ? rule : find_rule(key, fewest);
}

ALWAYS_INLINE int is_same_source(const struct source *one, const struct source *other)
{
	return one->address[3] == other->address[3] && one->address[2] == other->address[2] &&
	       one->address[1] == other->address[1] && one->address[0] == other->address[0];
}

/*
 * The same, without the tables where this CPU has lately looked up a limit for this source: with the clock and the
 * bucket, they would take longer than a drop may. The generation is read before the tables: what they say may be
 * newer than it, and is then looked up once more.
 */
ALWAYS_INLINE struct prefilter_rule *first_rule(const struct prefilter_state *state, struct prefilter_key *key,
						__u32 fewest)
{
	const struct source *source = &key->source;
	__u32 generation = *(volatile const __u32 *)&state->generation;
	__u32 mixed = source->address[0] ^ source->address[1] ^ source->address[2] ^ source->address[3];
	int is_settled = generation & 1;
	int place = mixed * PREFILTER_MARK_MIX >> PREFILTER_LATEST_SHIFT;
	struct prefilter_found *found = prefilter_latest.lookup(&place);
	struct prefilter_rule *rule;

	if (found && is_settled && found->generation == generation && is_same_source(&found->source, source))
		return &found->rule;
	rule = look_up(state, key, fewest);
	if (found && rule && is_settled && rule->action == PREFILTER_LIMIT) {
		found->source = *source;
		found->generation = generation;
		found->rule = *rule;
	}
	return rule;
}

/* Says whether it may be asked who waits for this packet. */
ALWAYS_INLINE int may_ask(void)
{
	__u64 tick = bpf_jiffies64();
	int first = 0;
	struct prefilter_time *lately = prefilter_times.lookup(&first);

	if (!lately)
		return 0;
	if (lately->asked_tick != tick) {
		lately->asked_tick = tick;
		lately->asked = 0;
	}
	return lately->asked++ < PREFILTER_MOST_ASKED;
}

/* Counts a packet that a rule drops once more, if a socket of this node waits for it. */
ALWAYS_INLINE void count_missed(const struct prefilter_rule *rule, struct xdp_md *frame, __u64 bytes)
{
	if (rule->action == PREFILTER_DROP && may_ask() && is_waited_for(frame))
		count_packet(rule, PREFILTER_MISSED, bytes);
}

/* Asks rules from the longest prefix to the shortest, until one decides. */
ALWAYS_INLINE int decide(const struct prefilter_state *state, struct source *source, struct xdp_md *frame, __u64 bytes)
{
	struct prefilter_key key = {.bits = ADDRESS_BITS, .source = *source};
	int is_ipv4 = !source->address[0] && !source->address[1] && source->address[2] == __constant_htonl(0xffff);
	__u32 fewest = is_ipv4 ? IPV4_BITS : 0;
	struct prefilter_rule *rule = first_rule(state, &key, fewest);
	__u8 for_all;
	__u64 now = 0;

	if (!rule)
		return XDP_PASS;
	for_all = mode_at(&state->mode, &now);
	if (for_all == POLICY_OFF)
		return XDP_PASS;
#pragma clang loop unroll(disable)
	for (int asked = 0; asked < PREFILTER_MOST_NESTED; asked++) {
		__u8 mode = strictness(rule, &now);

		if (mode != POLICY_OFF) {
			int verdict = verdict_of(rule, source, &now, mode | for_all);

			count_packet(rule, verdict, bytes);
			if (mode == POLICY_ENFORCE && verdict == PREFILTER_DROPPED) {
				count_missed(rule, frame, bytes);
				return XDP_DROP;
			}
			if (mode == POLICY_ENFORCE)
				return XDP_PASS;
		}
		if (!rule->bits)
			return XDP_PASS;
		key.bits = rule->bits - 1;
		rule = find_rule(&key, fewest);
		if (!rule)
			return XDP_PASS;
	}
	count_event(PREFILTER_NESTED);
	return XDP_PASS;
}

int prefilter_xdp(struct xdp_md *frame)
{
	void *data = (void *)(long)frame->data;
	void *end = (void *)(long)frame->data_end;
	struct source source;
	enum reading reading = read_source(data, end, &source);
	int first = 0;
	struct prefilter_state *state;

	if (reading == UNREADABLE)
		count_event(PREFILTER_UNREADABLE);
	if (reading != READ)
		return XDP_PASS;
	state = prefilter_state.lookup(&first);
	return state ? decide(state, &source, frame, end - data) : XDP_PASS;
}
