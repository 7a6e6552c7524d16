// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the compiler of policies writes and a packet asks: whose an address is, and what an endpoint's table says.
 *
 * All sizes here are one: whoever loads the programs brings the maps (`netsre/datapath/policy/programs.py`).
 */
#include "packet.h"
#include "policy.h"
#include "policy_ct.h"

BPF_ARRAY(policy_active, __u32, 1);
BPF_ARRAY(policy_revisions, struct policy_revision, POLICY_REVISIONS);
BPF_F_TABLE("lpm_trie", struct policy_address_key, struct policy_whose, policy_addresses, 1, BPF_F_NO_PREALLOC);
BPF_HASH(policy_endpoints, struct policy_endpoint_key, struct policy_endpoint, 1);
BPF_F_TABLE("lpm_trie", struct policy_address_key, struct policy_zone, policy_zones, 1, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct policy_entry_key, struct policy_entry, policy_entries, 1, BPF_F_NO_PREALLOC);
BPF_ARRAY(policy_mode, struct policy_mode, 1);
BPF_HASH(policy_own_modes, __u32, struct policy_mode, 1);
BPF_ARRAY(policy_interfaces, struct policy_interfaces, POLICY_INTERFACE_PLACES);

#define ADDRESS_BITS (8 * (sizeof(__u32) + sizeof(struct policy_address)))
#define ENTRY_BITS (64 + 8 + 16)
#define ANYBODY 0
#define NO_ZONE 0

ALWAYS_INLINE int is_same_address(const struct policy_address *one, const struct policy_address *other)
{
	return !((one->word[0] ^ other->word[0]) | (one->word[1] ^ other->word[1]) | (one->word[2] ^ other->word[2]) |
		 (one->word[3] ^ other->word[3]));
}

/* The revision in force. It is asked for once in a run, and so a run decides by one revision. */
ALWAYS_INLINE struct policy_revision *revision_in_force(void)
{
	int first = 0;
	__u32 *slot = policy_active.lookup(&first);
	struct policy_revision *revision;

	if (!slot)
		return 0;
	revision = policy_revisions.lookup(slot);
	if (!revision || !revision->until_ns || revision->until_ns > bpf_ktime_get_boot_ns())
		return revision;
	return policy_revisions.lookup(&revision->afterwards);
}

ALWAYS_INLINE struct policy_endpoint *endpoint_of(__u32 set, const struct policy_address *address)
{
	struct policy_endpoint_key key = {.set = set, .address = *address};

	return policy_endpoints.lookup(&key);
}

/* Who is at an interface: nobody whom a revision knows of, or what its endpoints have in common. */
ALWAYS_INLINE struct policy_endpoint *endpoints_at(__u32 set, __u32 interface)
{
	struct policy_endpoint_key key = {.set = set, .interface = interface};

	return policy_endpoints.lookup(&key);
}

/* Whose an address is that is no endpoint's. */
ALWAYS_INLINE struct policy_whose whose(__u32 set, const struct policy_address *address)
{
	struct policy_address_key key = {.bits = ADDRESS_BITS, .set = set, .address = *address};
	struct policy_whose *found = policy_addresses.lookup(&key);
	struct policy_whose nobody = {};

	return found ? *found : nobody;
}

/* What packets of an address are counted by, whoever has it. */
ALWAYS_INLINE __u32 identity_of(const struct policy_revision *revision, const struct policy_address *address)
{
	struct policy_endpoint *endpoint = endpoint_of(revision->endpoints, address);

	return endpoint ? endpoint->identity : whose(revision->addresses, address).identity;
}

/* In which zone of a table an address is. */
ALWAYS_INLINE __u16 zone_of(__u32 set, const struct policy_address *address, int outside)
{
	struct policy_address_key key = {.bits = ADDRESS_BITS, .set = set, .address = *address};
	struct policy_zone *zone = policy_zones.lookup(&key);

	if (!zone)
		return NO_ZONE;
	return outside ? zone->outside : zone->inside;
}

/* What a table says about somebody in a zone and a service: at most three matches of the longest prefix. */
ALWAYS_INLINE struct policy_entry *entry_for(__u32 table, __u16 identity, __u16 zone, __u8 protocol, __be16 service)
{
	struct policy_entry_key key = {
		.bits = ENTRY_BITS, .table = table, .identity = identity, .zone = zone, .protocol = protocol};
	struct policy_entry *entry;

	__builtin_memcpy(key.port, &service, sizeof(service));
	entry = policy_entries.lookup(&key);
	if (entry)
		return entry;
	if (identity != ANYBODY && zone != NO_ZONE) {
		key.identity = ANYBODY;
		entry = policy_entries.lookup(&key);
		if (entry)
			return entry;
	}
	key.identity = ANYBODY;
	key.zone = NO_ZONE;
	return policy_entries.lookup(&key);
}

ALWAYS_INLINE __u8 mode_now(const struct policy_mode *mode)
{
	if (!mode)
		return POLICY_INHERIT;
	return mode->until_ns && mode->until_ns <= bpf_ktime_get_boot_ns() ? mode->afterwards : mode->mode;
}

/* How strictly an endpoint is treated now: its own mode, else that for all. */
ALWAYS_INLINE __u8 mode_of(__u32 endpoint)
{
	int first = 0;
	__u8 mode = mode_now(policy_own_modes.lookup(&endpoint));

	if (mode == POLICY_INHERIT)
		mode = mode_now(policy_mode.lookup(&first));
	return mode == POLICY_INHERIT ? POLICY_ENFORCE : mode;
}
