// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Connections to services, by whether a BPF program put the address of a backend in place of the service's.
 *
 * On the hooks connect4 and connect6 of the root cgroup, two programs each: one before all others, those of child
 * cgroups too, which sees what the process asked for, and one behind all others, which sees what they made of it.
 * A connection to anything but a service is one look-up in each.
 *
 * The kernel runs all programs of a hook one after the other, in one call of one thread, and all of them also where
 * one refuses. So what the first leaves under the number of its thread the last one takes away: nothing stays behind,
 * and nothing has to be swept. A refused connect is none.
 *
 * Unlike programs on tracepoints these may be preempted: counters are added to in one instruction.
 *
 * Given by the loader: MAX_SERVICES, MAX_SERVICE_CALLS, MAX_SERVICE_COUNTS.
 */
#include <linux/types.h>

#include "common.h"
#include "services.h"

#define SERVICE_GO_ON 1

/* What is a service, by the reader. Its entries are made one by one: most nodes have few, or none. */
BPF_F_TABLE("hash", struct service_key, __u8, services, MAX_SERVICES, BPF_F_NO_PREALLOC);
/* What the thread that is between the two programs asked for. */
BPF_HASH(service_calls, __u64, struct service_key, MAX_SERVICE_CALLS);
BPF_PERCPU_HASH(service_counts, struct service_count_key, __u64, MAX_SERVICE_COUNTS);
/* Connections that found `service_counts` full: still counted, by path alone. */
BPF_PERCPU_ARRAY(service_overflow, __u64, SERVICE_PATHS);
/* Connections that found `service_calls` full: not counted. */
BPF_PERCPU_ARRAY(service_lost, __u64, 1);

ALWAYS_INLINE int service_asked(struct service_key *asked)
{
	__u64 thread;

	if (!services.lookup(asked))
		return SERVICE_GO_ON;
	thread = bpf_get_current_pid_tgid();
	if (service_calls.update(&thread, asked)) {
		int slot = 0;
		__u64 *lost = service_lost.lookup(&slot);

		if (lost)
			__sync_fetch_and_add(lost, 1);
	}
	return SERVICE_GO_ON;
}

ALWAYS_INLINE void service_count(struct service_count_key *key)
{
	__u64 none = 0, *count = service_counts.lookup_or_try_init(key, &none);

	if (!count) {
		int slot = key->path;

		count = service_overflow.lookup(&slot);
	}
	if (count)
		__sync_fetch_and_add(count, 1);
}

ALWAYS_INLINE int service_left(const struct service_key *left)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct service_key *asked = service_calls.lookup(&thread);
	struct service_count_key key = {};

	if (!asked)
		return SERVICE_GO_ON;
	key.service = *asked;
	service_calls.delete(&thread);
	if (bpf_get_retval() < 0)
		return SERVICE_GO_ON;
	key.path = SERVICE_PATH_BPF;
	if (left->port == key.service.port && left->address[3] == key.service.address[3] &&
	    left->address[2] == key.service.address[2] && left->address[1] == key.service.address[1] &&
	    left->address[0] == key.service.address[0])
		key.path = SERVICE_PATH_OTHER;
	service_count(&key);
	return SERVICE_GO_ON;
}

#define SERVICE_V4(ctx)                                                                                                \
	{                                                                                                              \
		.address = {0, 0, __builtin_bswap32(0xffff), (ctx)->user_ip4}, .port = (ctx)->user_port,               \
		.protocol = (ctx)->protocol,                                                                           \
	}
#define SERVICE_V6(ctx)                                                                                                \
	{                                                                                                              \
		.address = {(ctx)->user_ip6[0], (ctx)->user_ip6[1], (ctx)->user_ip6[2], (ctx)->user_ip6[3]},           \
		.port = (ctx)->user_port, .protocol = (ctx)->protocol,                                                 \
	}

int service_asked_v4(struct bpf_sock_addr *ctx)
{
	struct service_key key = SERVICE_V4(ctx);

	return service_asked(&key);
}

/* IPv4 through a socket of IPv6 comes here too, as ::ffff:a.b.c.d. */
int service_asked_v6(struct bpf_sock_addr *ctx)
{
	struct service_key key = SERVICE_V6(ctx);

	return service_asked(&key);
}

int service_left_v4(struct bpf_sock_addr *ctx)
{
	struct service_key key = SERVICE_V4(ctx);

	return service_left(&key);
}

int service_left_v6(struct bpf_sock_addr *ctx)
{
	struct service_key key = SERVICE_V6(ctx);

	return service_left(&key);
}
