// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the probes of attempts share: names of destinations, who is blocked, and whether there is a flow log.
 *
 * No programs. It is put before the sources of those probes: once, where they are compiled as one text, and then
 * these maps are the same for all of them. A probe that is compiled alone has them for itself, so that the reader
 * writes to those of each.
 *
 * Given by the loader: MAX_DENIED, MAX_WORKLOADS, WORKLOAD_BITS.
 */
#include <linux/types.h>

#include "common.h"
#include "flow_log.h"
#include "flows.h"

BPF_HASH(denied_sources, struct source_address, struct denial, MAX_DENIED);
/* The latest end of them all: mostly long past or 0, and then nothing has to be looked up. */
BPF_ARRAY(last_denial_ns, __u64, 1);
/* Names of destinations by address and port, and how many there are: mostly none, and then none is looked up. */
BPF_LPM_TRIE(workloads, struct workload_key, __u32, MAX_WORKLOADS);
BPF_ARRAY(workload_rules, __u32, 1);
BPF_ARRAY(flow_log_switch, struct flow_log_switch, 1);

/* Says whether any destination has a name: mostly none has, and then nobody needs to look. */
ALWAYS_INLINE int workloads_are_named(void)
{
	int slot = 0;
	__u32 *rules = workload_rules.lookup(&slot);

	return rules && *rules;
}

/* The number of the name of an address and port; 0 for none. A name for the port goes before one for all. */
ALWAYS_INLINE __u32 workload_at(struct workload_key *key)
{
	__u32 *found = workloads.lookup(key);

	if (!found && key->port) {
		key->port = 0;
		found = workloads.lookup(key);
	}
	return found ? *found : 0;
}

/* The number of the name of an end; 0 for none. */
ALWAYS_INLINE __u32 workload_named(const struct source_address *end, __u16 port)
{
	struct workload_key key = {
		.bits = WORKLOAD_BITS,
		.port = port,
		.address = {end->word[0], end->word[1], end->word[2], end->word[3]},
	};

	return workload_at(&key);
}

/* Says whether an attempt began while its source was blocked. */
ALWAYS_INLINE int is_denied(struct source_address *source, __u64 start_ns)
{
	struct denial *denial;
	int slot = 0;
	__u64 *last_ns = last_denial_ns.lookup(&slot);

	if (!last_ns || start_ns >= *last_ns)
		return 0;
	denial = denied_sources.lookup(source);
	return denial && denial->since_ns <= start_ns && start_ns < denial->until_ns;
}

/* Says for how many attempts of this outcome an event is to stand; 0 when this one gets none. */
ALWAYS_INLINE __u32 flow_log_wanted(__u8 outcome)
{
	int slot = 0;
	struct flow_log_switch *wanted = flow_log_switch.lookup(&slot);
	__u32 one_in;

	if (!wanted || !wanted->on)
		return 0;
	if (outcome != FLOW_DELIVERED)
		return 1;
	/* Read once: the reader may change it meanwhile, and an event must carry what it was drawn by. */
	one_in = *(volatile __u32 *)&wanted->one_in;
	if (one_in <= 1)
		return one_in;
	return ((__u64)bpf_get_prandom_u32() * one_in) >> 32 ? 0 : one_in;
}
