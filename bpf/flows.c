// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Connection attempts of every TCP client on this kernel, by outcome and connect latency.
 *
 * On the tracepoint inet_sock_set_state. An attempt begins when a socket enters SYN_SENT and ends when it
 * leaves it: to ESTABLISHED (or SYN_RECV, a simultaneous open) it was answered, to CLOSE it failed and sk_err
 * says why. An attempt older than STALL_NS is `stalled` and nothing else. The reader looks
 * for those that still wait; whoever inserts the claim first, program or reader, counts it, so it is counted
 * once.
 *
 * An attempt that fails or stalls is `denied` when it began while its source address was blocked by netsre:
 * then that is why. The reader keeps those times in `denied_sources`; what was answered is never looked up.
 *
 * Two programs, because the kernel leaves out a run of a program that interrupts the same program on the same
 * CPU: a packet that is received in the middle of a state change of another socket. One of them was then not
 * interrupted and runs. Whichever comes first ends the attempt and leaves nothing to the other. There is no
 * third level: packets do not interrupt packets. The reader attaches the second when the first missed a run.
 *
 * Where the flow log is on, what is counted is also an event in a ring: all but the delivered attempts, and of
 * those one in so many. The ring wakes nobody, its reader comes by; an event that finds it full is counted as lost.
 *
 * Given by the loader: OFF_* (member offsets from this kernel's BTF), CONNECT_BUCKETS, STALL_NS, MAX_ATTEMPTS,
 * MAX_FLOWS, FLOW_LOG_PAGES. Compiled behind attempts.c.
 */
#include <linux/types.h>

#include "buckets.h"
#include "common.h"
#include "flow_log.h"
#include "flows.h"
#include "sockets.h"

/*
 * Entries stay after the attempt has ended, with start_ns 0: the kernel hands out the same socket addresses
 * again and again, and a store into a known entry costs a third of an insert and a delete. The reader removes
 * idle entries when the table fills up.
 */
BPF_HASH(attempts, __u64, struct attempt, MAX_ATTEMPTS);
BPF_HASH(stalls, struct stall_claim, __u64, MAX_ATTEMPTS);
BPF_PERCPU_HASH(flows, struct flow_key, struct flow_value, MAX_FLOWS);
/* Outcomes that found `flows` full: still counted, without detail. */
BPF_PERCPU_ARRAY(flows_overflow, struct flow_value, FLOW_ROLES *FLOW_OUTCOMES);
/* Attempts that found `attempts` full: their outcome is counted, their latency is not known. */
BPF_PERCPU_ARRAY(attempts_overflow, __u64, 1);

BPF_RINGBUF_OUTPUT(flow_log, FLOW_LOG_PAGES);
/* Events that found no room, by outcome. */
BPF_PERCPU_ARRAY(flow_log_lost, __u64, FLOW_OUTCOMES);

/* The kernel keeps the address of IPv4 sockets here as well, as ::ffff:a.b.c.d, from before SYN_SENT on. */
ALWAYS_INLINE void read_source(const void *sk, struct source_address *source)
{
	source->word[0] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR);
	source->word[1] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR + 4);
	source->word[2] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR + 8);
	source->word[3] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR + 12);
}

/* The number of the name of where an attempt goes; 0 for none. */
ALWAYS_INLINE __u32 workload_of(const void *sk)
{
	struct workload_key key = {.bits = WORKLOAD_BITS};

	if (!workloads_are_named())
		return 0;
	key.port = MEMBER(__u16, sk, OFF_SKC_DPORT);
	key.address[0] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR);
	key.address[1] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 4);
	key.address[2] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 8);
	key.address[3] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 12);
	return workload_at(&key);
}

ALWAYS_INLINE void attempt_begins(const void *sk)
{
	struct attempt fresh = {};
	__u64 key = (__u64)sk;
	struct attempt *known;

	if (!is_tcp(sk))
		return;
	fresh.netns = netns_of(sk);
	fresh.destination = destination_of(sk);
	read_source(sk, &fresh.source);
	fresh.cgroup = cgroup_of(sk);
	fresh.workload = workload_of(sk);

	known = attempts.lookup(&key);
	if (known) {
		known->cgroup = fresh.cgroup;
		known->netns = fresh.netns;
		known->workload = fresh.workload;
		known->destination = fresh.destination;
		known->source = fresh.source;
		known->start_ns = bpf_ktime_get_ns();
		return;
	}
	fresh.start_ns = bpf_ktime_get_ns();
	if (attempts.update(&key, &fresh)) {
		int slot = 0;
		__u64 *lost = attempts_overflow.lookup(&slot);

		if (lost)
			(*lost)++;
	}
}

/* The time of the answer. The socket already knows it, in microseconds of the same clock. */
ALWAYS_INLINE __u64 answered_ns(const void *sk)
{
#ifdef OFF_TCP_MSTAMP
	const void *tcp = bpf_skc_to_tcp_sock((void *)sk);

	if (tcp)
		return MEMBER(__u64, tcp, OFF_TCP_MSTAMP) * 1000;
#endif
	return bpf_ktime_get_ns();
}

/* Why the attempt failed. A soft error is what the network said before the caller gave up. */
ALWAYS_INLINE __u8 error_of(const void *sk)
{
	int error = MEMBER(int, sk, OFF_SK_ERR);

#ifdef OFF_SK_ERR_SOFT
	if (!error)
		error = MEMBER(int, sk, OFF_SK_ERR_SOFT);
#endif
	return error;
}

/* Atomic though the slot is this CPU's own: the other program may interrupt this one between load and store. */
ALWAYS_INLINE void add(struct flow_value *value, __u64 ns)
{
	__sync_fetch_and_add(&value->count, 1);
	if (ns)
		__sync_fetch_and_add(&value->sum_ns, ns);
}

ALWAYS_INLINE void count(struct flow_key *key, __u64 ns)
{
	struct flow_value *value = flows.lookup(key);
	struct flow_value first = {.count = 1, .sum_ns = ns};
	int slot = key->role * FLOW_OUTCOMES + key->outcome;

	if (!value) {
		/* Never over an entry that has come to be meanwhile: its count would be lost. */
		if (flows.insert(key, &first) == 0)
			return;
		value = flows.lookup(key);
	}
	if (!value)
		value = flows_overflow.lookup(&slot);
	if (value)
		add(value, ns);
}

ALWAYS_INLINE struct flow_event *flow_log_room(__u8 outcome)
{
	struct flow_event *event = flow_log.ringbuf_reserve(sizeof(*event));
	int slot = outcome;
	__u64 *lost;

	if (event)
		return event;
	lost = flow_log_lost.lookup(&slot);
	if (lost)
		__sync_fetch_and_add(lost, 1);
	return NULL;
}

/* Emits what was just counted under a key, if it is to be logged. start_ns is 0 when it is not known. */
ALWAYS_INLINE void flow_log_ends(const void *sk, const struct flow_key *key, __u64 start_ns, __u64 end_ns)
{
	__u32 one_in = flow_log_wanted(key->outcome);
	struct flow_event *event;

	if (!one_in)
		return;
	event = flow_log_room(key->outcome);
	if (!event)
		return;
	event->end_ns = end_ns;
	event->start_ns = start_ns;
	event->local.word[0] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR);
	event->local.word[1] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR + 4);
	event->local.word[2] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR + 8);
	event->local.word[3] = MEMBER(__u32, sk, OFF_SKC_V6_RCV_SADDR + 12);
	event->remote.word[0] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR);
	event->remote.word[1] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 4);
	event->remote.word[2] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 8);
	event->remote.word[3] = MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 12);
	event->cgroup = key->cgroup;
	event->netns = key->netns;
	event->workload = key->workload;
	event->one_in = one_in;
	event->local_port = 0;
	event->remote_port = __builtin_bswap16(MEMBER(__u16, sk, OFF_SKC_DPORT));
	event->outcome = key->outcome;
	event->error = key->error;
	event->destination = key->destination;
	event->remote_known = 1;
	event->role = key->role;
	event->pad[0] = event->pad[1] = event->pad[2] = 0;
#ifdef OFF_INET_SPORT
	/* The number in struct sock is gone by the time of a failure. Beyond struct sock only a cast leads. */
	const void *tcp = bpf_skc_to_tcp_sock((void *)sk);

	if (tcp)
		event->local_port = __builtin_bswap16(MEMBER(__u16, tcp, OFF_INET_SPORT));
#endif
	flow_log.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* An attempt whose beginning was not seen: its outcome is counted, in nobody's namespace, without a latency. */
ALWAYS_INLINE void unknown_ends(const void *sk, int answered)
{
	struct flow_key key = {.outcome = answered ? FLOW_DELIVERED : FLOW_FAILED};

	if (!is_tcp(sk))
		return;
	if (answered)
		key.bucket = UNKNOWN_BUCKET;
	else
		key.error = error_of(sk);
	count(&key, 0);
	flow_log_ends(sk, &key, 0, bpf_ktime_get_ns());
}

ALWAYS_INLINE void known_ends(const void *sk, int answered, struct attempt *known)
{
	struct flow_key key = {
		.outcome = answered ? FLOW_DELIVERED : FLOW_FAILED,
		.cgroup = known->cgroup,
		.netns = known->netns,
		.workload = known->workload,
		.destination = known->destination,
	};
	struct stall_claim claim = {.sock = (__u64)sk, .start_ns = known->start_ns};
	__u64 end = answered ? answered_ns(sk) : bpf_ktime_get_ns();
	/* Both clocks are cut to their own resolution: an answer may seem to come before its question. */
	__u64 waited = end > claim.start_ns ? end - claim.start_ns : 0;

	if (waited >= STALL_NS) {
		__u64 one = 1;
		long refused = stalls.insert(&claim, &one);

		/* Only now: the reader forgets the claims of attempts that wait no more. */
		known->start_ns = 0;
		if (refused == -EEXIST_CODE)
			return;
		key.outcome = is_denied(&known->source, claim.start_ns) ? FLOW_DENIED : FLOW_STALLED;
		waited = 0;
	} else if (answered) {
		known->start_ns = 0;
		key.bucket = bucket_of(waited);
	} else {
		known->start_ns = 0;
		if (is_denied(&known->source, claim.start_ns))
			key.outcome = FLOW_DENIED;
		else
			key.error = error_of(sk);
		waited = 0;
	}
	count(&key, waited);
	flow_log_ends(sk, &key, claim.start_ns, end);
}

int inet_sock_set_state(struct bpf_raw_tracepoint_args *ctx)
{
	int oldstate = ctx->args[1];
	int newstate = ctx->args[2];
	int answered = newstate == TCP_ESTABLISHED || newstate == TCP_SYN_RECV;
	const void *sk = ARGUMENT(ctx, 0);
	__u64 key = (__u64)sk;
	struct attempt *known;

	if (newstate == TCP_SYN_SENT) {
		/* Never left out: connect() is a call, it interrupts nothing. */
		attempt_begins(sk);
		return 0;
	}
	if (oldstate != TCP_SYN_SENT)
		return 0;
	known = attempts.lookup(&key);
	/* Idle here means that the beginning was missed: this program is called before the other one. */
	if (known && known->start_ns)
		known_ends(sk, answered, known);
	else
		unknown_ends(sk, answered);
	return 0;
}

/* Ends the attempts that the first program could not. What neither knows is left to the first alone. */
int inet_sock_set_state_again(struct bpf_raw_tracepoint_args *ctx)
{
	int oldstate = ctx->args[1];
	int newstate = ctx->args[2];
	const void *sk;
	struct attempt *known;
	__u64 key;

	if (oldstate != TCP_SYN_SENT)
		return 0;
	sk = ARGUMENT(ctx, 0);
	key = (__u64)sk;
	known = attempts.lookup(&key);
	if (known && known->start_ns)
		known_ends(sk, newstate == TCP_ESTABLISHED || newstate == TCP_SYN_RECV, known);
	return 0;
}

/*
 * Emits the event of an attempt that the reader found stalled and counted: called by it, attached to nothing. The
 * address of a socket is all that it has, so the rest is copied with care, and holds only if the attempt waits still.
 */
int flow_log_stalled(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 key = ctx->args[0], start_ns = ctx->args[1];
	__u8 outcome = ctx->args[6] == FLOW_DENIED ? FLOW_DENIED : FLOW_STALLED;
	const void *sk = (const void *)key;
	struct flow_event *event;
	struct attempt *known;

	if (!flow_log_wanted(outcome))
		return 0;
	event = flow_log_room(outcome);
	if (!event)
		return 0;
	event->end_ns = ctx->args[2];
	event->start_ns = start_ns;
	*(__u64 *)&event->local.word[0] = ctx->args[8];
	*(__u64 *)&event->local.word[2] = ctx->args[9];
	event->cgroup = ctx->args[3];
	event->netns = ctx->args[4];
	event->workload = ctx->args[5];
	event->one_in = 1;
	event->local_port = 0;
	event->remote_port = 0;
	event->outcome = outcome;
	event->error = 0;
	event->destination = ctx->args[7];
	bpf_probe_read_kernel(&event->remote, sizeof(event->remote), sk + OFF_SKC_V6_DADDR);
	bpf_probe_read_kernel(&event->remote_port, sizeof(event->remote_port), sk + OFF_SKC_DPORT);
	event->remote_port = __builtin_bswap16(event->remote_port);
#ifdef OFF_INET_SPORT
	bpf_probe_read_kernel(&event->local_port, sizeof(event->local_port), sk + OFF_INET_SPORT);
	event->local_port = __builtin_bswap16(event->local_port);
#endif
	event->role = FLOW_TCP_CLIENT;
	event->pad[0] = event->pad[1] = event->pad[2] = 0;
	known = attempts.lookup(&key);
	event->remote_known = known && known->start_ns == start_ns;
	flow_log.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}
