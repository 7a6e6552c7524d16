// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attempts of every UDP client on this kernel to get an answer, by outcome and by the time to the first answer.
 *
 * A conversation is a socket and an address that it writes to. A datagram begins an attempt when none is open and
 * the peer has not answered for UDP_CONVERSATION_NS. What is read of the peer ends it, and so do an error that the
 * network reports, and the socket's end. One that waits for STALL_NS is `unanswered`: whoever inserts the claim
 * first, program or reader, counts it.
 *
 * The end of a call is seen by tracepoints of every socket: they leave at once unless it is one of UDP. Where a call
 * names an address, hooks of the root cgroup know it before anything is sent, and before a receiver is told.
 *
 * On loopback the error of a datagram comes before the call has ended that sends it. The kernel sends nothing while
 * an error waits for the caller: so an error that is there when a call has sent came in that call, and is of what it
 * sent. Only another thread that reads can have taken it by then: of a conversation in which nothing was sent before,
 * it is of this call; of another one if it came within the last UDP_SAME_CALL_NS. A thread that reads is woken before
 * the error is reported, and may have taken it when that looks: then what it was told is the report.
 *
 * Given by the loader: OFF_*, CONNECT_BUCKET, STALL_NS, UDP_*, MAX_UDP_*. Compiled behind attempts.c.
 */
#include <linux/types.h>

#include "buckets.h"
#include "common.h"
#include "flow_log.h"
#include "flows.h"
#include "sockets.h"
#include "udp.h"

#define PROTOCOL_UDP 17
#define SOCKET_DATAGRAM 2
#define MESSAGE_ERROR_QUEUE 0x2000
#define RECEIVE_SHUTDOWN 1
#define UDP_MAPPED __builtin_bswap32(0xffff)

BPF_HASH(udp_sockets, __u64, struct udp_socket, MAX_UDP_SOCKETS);
BPF_HASH(udp_peers, struct udp_peer, struct udp_conversation, MAX_UDP_PEERS);
BPF_HASH(udp_stalls, struct stall_claim, __u64, MAX_UDP_SOCKETS);
BPF_PERCPU_HASH(udp_counts, struct flow_key, struct flow_value, MAX_UDP_COUNTS);
/* Outcomes that found `udp_counts` full: still counted, without detail. */
BPF_PERCPU_ARRAY(udp_counts_overflow, struct flow_value, FLOW_ROLES *FLOW_OUTCOMES);
/* Sockets, and further conversations, that found no room: what becomes of them is not known. */
BPF_PERCPU_ARRAY(udp_unseen, __u64, 2);
BPF_RINGBUF_OUTPUT(udp_log, UDP_LOG_PAGES);
BPF_PERCPU_ARRAY(udp_log_lost, __u64, FLOW_OUTCOMES);

ALWAYS_INLINE int udp_is_of(const void *sk)
{
	__u16 family;

	if (MEMBER(__u16, sk, OFF_SK_PROTOCOL) != PROTOCOL_UDP || MEMBER(__u16, sk, OFF_SK_TYPE) != SOCKET_DATAGRAM)
		return 0;
	family = MEMBER(__u16, sk, OFF_SKC_FAMILY);
	return family == FAMILY_IPV4 || family == FAMILY_IPV6;
}

/*
 * What becomes of a conversation. Decided first and done once, by udp_does: what counts and logs is then there once in
 * each program.
 */
struct udp_step {
	__u8 ends;   /* The attempt that is open ends, if nobody has ended it. */
	__u8 counts; /* An outcome of no attempt that has waited. */
	__u8 begins; /* An attempt begins, after that. */
	__u8 outcome;
	__u8 error;
};

/* Says whether an errno is about the way to the peer, or the peer. */
ALWAYS_INLINE int udp_is_failure(int error)
{
#define X(number)                                                                                                      \
	if (error == number)                                                                                           \
		return 1;
	UDP_FAILURES
#undef X
	return 0;
}

/* A time that another CPU has just noted may be ahead of ours. */
ALWAYS_INLINE int udp_within(__u64 then, __u64 now, __u64 span)
{
	return (__s64)(now - then) < (__s64)span;
}

/* To nobody in particular is to this host. */
ALWAYS_INLINE void udp_set_peer(struct udp_peer *peer, __u32 a, __u32 b, __u32 c, __u32 d, __u16 port)
{
	if (!a && !b && !d) {
		if (c == UDP_MAPPED)
			d = __builtin_bswap32(0x7f000001);
		else if (!c)
			d = __builtin_bswap32(1);
	}
	peer->address.word[0] = a;
	peer->address.word[1] = b;
	peer->address.word[2] = c;
	peer->address.word[3] = d;
	peer->port = port;
}

/* Whom a socket is connected to; says whether it is. */
ALWAYS_INLINE int udp_connected(const void *sk, struct udp_peer *peer)
{
	if (MEMBER(__u8, sk, OFF_SKC_STATE) != TCP_ESTABLISHED)
		return 0;
	if (MEMBER(__u16, sk, OFF_SKC_FAMILY) == FAMILY_IPV4)
		udp_set_peer(peer, 0, 0, UDP_MAPPED, MEMBER(__u32, sk, OFF_SKC_DADDR),
			     MEMBER(__u16, sk, OFF_SKC_DPORT));
	else
		udp_set_peer(peer, MEMBER(__u32, sk, OFF_SKC_V6_DADDR), MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 4),
			     MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 8), MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 12),
			     MEMBER(__u16, sk, OFF_SKC_DPORT));
	return 1;
}

/* Says whether an address is that of a group, or everybody's: nobody in it has to answer. */
ALWAYS_INLINE int udp_is_group(const struct udp_peer *peer)
{
	const __u32 *word = peer->address.word;
	__u32 host = __builtin_bswap32(word[3]);

	if (!word[0] && !word[1] && word[2] == UDP_MAPPED)
		return host >> 28 == 0xe || host == 0xffffffff;
	return __builtin_bswap32(word[0]) >> 24 == 0xff;
}

ALWAYS_INLINE void udp_count(struct flow_key *key, __u64 ns)
{
	struct flow_value *value = udp_counts.lookup(key);
	struct flow_value first = {.count = 1, .sum_ns = ns};
	int slot = FLOW_UDP_CLIENT * FLOW_OUTCOMES + key->outcome;

	if (!value) {
		/* Never over an entry that has come to be meanwhile: its count would be lost. */
		if (udp_counts.insert(key, &first) == 0)
			return;
		value = udp_counts.lookup(key);
	}
	if (!value)
		value = udp_counts_overflow.lookup(&slot);
	if (value) {
		__sync_fetch_and_add(&value->count, 1);
		if (ns)
			__sync_fetch_and_add(&value->sum_ns, ns);
	}
}

ALWAYS_INLINE void udp_unseen_one(int what)
{
	__u64 *lost = udp_unseen.lookup(&what);

	if (lost)
		__sync_fetch_and_add(lost, 1);
}

ALWAYS_INLINE void udp_logs(const struct udp_conversation *talk, const struct flow_key *key, __u64 start_ns,
			    __u64 end_ns)
{
	__u32 one_in = flow_log_wanted(key->outcome);
	struct flow_event *event;
	int slot = key->outcome;
	__u64 *lost;

	if (!one_in)
		return;
	event = udp_log.ringbuf_reserve(sizeof(*event));
	if (!event) {
		lost = udp_log_lost.lookup(&slot);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return;
	}
	event->end_ns = end_ns;
	event->start_ns = start_ns;
	event->local.word[0] = talk->local.word[0];
	event->local.word[1] = talk->local.word[1];
	event->local.word[2] = talk->local.word[2];
	event->local.word[3] = talk->local.word[3];
	event->remote.word[0] = talk->remote.word[0];
	event->remote.word[1] = talk->remote.word[1];
	event->remote.word[2] = talk->remote.word[2];
	event->remote.word[3] = talk->remote.word[3];
	event->cgroup = key->cgroup;
	event->netns = key->netns;
	event->workload = key->workload;
	event->one_in = one_in;
	event->local_port = talk->local_port;
	event->remote_port = __builtin_bswap16(talk->remote_port);
	event->outcome = key->outcome;
	event->error = key->error;
	event->destination = key->destination;
	event->remote_known = 1;
	event->role = FLOW_UDP_CLIENT;
	event->drop = 0;
	event->pad = 0;
	udp_log.ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Counts an outcome. start_ns is 0 where there was no time to measure. */
ALWAYS_INLINE void udp_outcome(const struct udp_conversation *talk, __u8 outcome, __u8 error, __u64 start_ns,
			       __u64 end_ns)
{
	__u64 waited = start_ns && end_ns > start_ns ? end_ns - start_ns : 0;
	struct flow_key key = {
		.cgroup = talk->cgroup,
		.netns = talk->netns,
		.workload = talk->workload,
		.outcome = outcome,
		.error = error,
		.destination = talk->destination,
		.role = FLOW_UDP_CLIENT,
	};

	if (outcome == FLOW_DELIVERED)
		key.bucket = start_ns ? bucket_of(waited) : UNKNOWN_BUCKET;
	udp_count(&key, outcome == FLOW_DELIVERED ? waited : 0);
	udp_logs(talk, &key, start_ns, end_ns);
}

ALWAYS_INLINE void udp_step_ends(struct udp_step *step, __u8 outcome, __u8 error)
{
	step->ends = 1;
	step->outcome = outcome;
	step->error = error;
}

ALWAYS_INLINE void udp_step_counts(struct udp_step *step, __u8 outcome, __u8 error)
{
	step->counts = 1;
	step->outcome = outcome;
	step->error = error;
}

/*
 * Ends the attempt that is open, if one is: by what it was, or as `unanswered` if it is too old. Returns when it began,
 * or 0 where somebody else has counted it.
 */
ALWAYS_INLINE __u64 udp_ended(struct udp_conversation *talk, __u64 cookie, struct udp_step *step, __u64 now)
{
	__u64 start_ns = *(volatile __u64 *)&talk->start_ns;
	__u64 waited = now > start_ns ? now - start_ns : 0;
	struct stall_claim claim = {.sock = cookie, .start_ns = start_ns};
	__u64 one = 1;
	long refused;

	if (!start_ns)
		return 0;
	/* A little before the limit already: until we are done the reader may have found it stalled. */
	if (waited >= STALL_NS - UDP_CLAIM_NS) {
		refused = udp_stalls.insert(&claim, &one);
		/* Only now: the reader forgets the claims of attempts that wait no more. */
		__sync_val_compare_and_swap(&talk->start_ns, start_ns, 0);
		if (refused == -EEXIST_CODE)
			return 0;
		if (waited >= STALL_NS) {
			step->outcome = FLOW_STALLED;
			step->error = 0;
		}
	} else if (__sync_val_compare_and_swap(&talk->start_ns, start_ns, 0) != start_ns) {
		return 0;
	}
	if (step->outcome != FLOW_DELIVERED && is_denied(&talk->local, start_ns)) {
		step->outcome = FLOW_DENIED;
		step->error = 0;
	}
	return start_ns;
}

/* Begins an attempt; says whether none was open. An error of before has reached its caller: else nothing is sent. */
ALWAYS_INLINE int udp_starts(struct udp_conversation *talk, __u64 now)
{
	talk->begun = 1;
	talk->error_taken = 1;
	return __sync_val_compare_and_swap(&talk->start_ns, 0, now) == 0;
}

/* Does what was decided; says whether an attempt began. */
ALWAYS_INLINE int udp_does(struct udp_conversation *talk, __u64 cookie, struct udp_step *step, __u64 now)
{
	__u64 start_ns = step->ends ? udp_ended(talk, cookie, step, now) : 0;

	if (start_ns || step->counts)
		udp_outcome(talk, step->outcome, step->error, start_ns, now);
	return step->begins && udp_starts(talk, now);
}

/* A datagram is on its way. */
ALWAYS_INLINE void udp_sends(struct udp_conversation *talk, __u64 now, struct udp_step *step)
{
	__u64 start_ns = *(volatile __u64 *)&talk->start_ns;

	talk->unanswered = 1;
	if (start_ns) {
		if (udp_within(start_ns, now, STALL_NS))
			return;
		udp_step_ends(step, FLOW_STALLED, 0);
	} else if (talk->answered_ns && udp_within(talk->answered_ns, now, UDP_CONVERSATION_NS)) {
		/* The answer was read before the call ended that sent the first datagram, or the peer spoke first. */
		if (!talk->begun)
			udp_step_counts(step, FLOW_DELIVERED, 0);
		talk->begun = 1;
		return;
	}
	step->begins = 1;
}

ALWAYS_INLINE void udp_answers(struct udp_conversation *talk, __u64 now, struct udp_step *step)
{
	talk->answered_ns = now;
	talk->unanswered = 0;
	talk->error = 0;
	udp_step_ends(step, FLOW_DELIVERED, 0);
}

/* The network says no. Of an answered peer that is a failure too, if anything was sent since. */
ALWAYS_INLINE void udp_fails(struct udp_conversation *talk, int error, __u64 now, struct udp_step *step)
{
	__u64 answered_ns = *(volatile __u64 *)&talk->answered_ns;

	talk->error = error;
	talk->error_counts = 0;
	talk->error_taken = 0;
	/* Seen by all before we look: who begins an attempt meanwhile looks for it after that. */
	__sync_lock_test_and_set(&talk->error_ns, now);
	if (*(volatile __u64 *)&talk->start_ns) {
		talk->error_counts = 1;
		udp_step_ends(step, FLOW_FAILED, error);
	} else if (answered_ns && talk->unanswered && udp_within(answered_ns, now, UDP_CONVERSATION_NS)) {
		talk->error_counts = 1;
		if (__sync_val_compare_and_swap(&talk->answered_ns, answered_ns, 0) == answered_ns)
			udp_step_counts(step, FLOW_FAILED, error);
	}
}

/* A call that receives was told of an error; nobody has reported it if an attempt waits, or the last is taken. */
ALWAYS_INLINE void udp_takes(struct udp_conversation *talk, int error, __u64 now, struct udp_step *step)
{
	if (talk->start_ns || !talk->error || talk->error_taken)
		udp_fails(talk, error, now, step);
	talk->error_taken = 1;
}

/* A failure of what was sent in a call that has just ended, and that no attempt has ended by. */
ALWAYS_INLINE void udp_fails_at_once(struct udp_conversation *talk, int error, struct udp_step *step)
{
	talk->begun = 1;
	talk->answered_ns = 0;
	udp_step_counts(step, FLOW_FAILED, error);
}

/* A call that sent nothing. It is an attempt only if there is no way to the peer, or none that is allowed. */
ALWAYS_INLINE void udp_send_failed(struct udp_conversation *talk, int error, int opened, struct udp_step *step)
{
	int known = talk->error == error && !talk->error_taken;

	if (known) /* Of an earlier datagram: the caller is told, and nothing was tried. */
		talk->error = 0;
	if (known || !udp_is_failure(error)) {
		if (opened)
			talk->start_ns = 0;
	} else if (talk->start_ns) {
		udp_step_ends(step, FLOW_FAILED, error);
	} else if (error != UDP_REFUSED) {
		udp_fails_at_once(talk, error, step);
	}
}

/*
 * What there is to know of a conversation, once: a socket of the kernel itself (NFS, say) is none of ours. The same
 * for tracepoints and hooks, of which only the first could read a socket without care.
 */
ALWAYS_INLINE int udp_describe(struct udp_conversation *talk, const struct udp_peer *peer, __u64 sk)
{
	struct workload_key key = {.bits = WORKLOAD_BITS};
	void *at = NULL;
	__u16 family = 0;

	bpf_probe_read_kernel(&at, sizeof(at), (void *)sk + OFF_SK_SOCKET);
	bpf_probe_read_kernel(&at, sizeof(at), at + OFF_SOCKET_FILE);
	if (!at)
		return 0;
	talk->remote = peer->address;
	talk->remote_port = peer->port;
	talk->destination = destination_v6(peer->address.word);
	bpf_probe_read_kernel(&at, sizeof(at), (void *)sk + OFF_SKC_NET);
	bpf_probe_read_kernel(&talk->netns, sizeof(talk->netns), at + OFF_NET_INUM);
#ifdef OFF_KN_ID
	bpf_probe_read_kernel(&at, sizeof(at), (void *)sk + OFF_SK_CGROUP);
	if (at) {
		bpf_probe_read_kernel(&at, sizeof(at), at + OFF_CGROUP_KN);
		bpf_probe_read_kernel(&talk->cgroup, sizeof(talk->cgroup), at + OFF_KN_ID);
	}
#endif
	bpf_probe_read_kernel(&talk->local_port, sizeof(talk->local_port), (void *)sk + OFF_SKC_NUM);
	bpf_probe_read_kernel(&family, sizeof(family), (void *)sk + OFF_SKC_FAMILY);
	if (family == FAMILY_IPV6) {
		bpf_probe_read_kernel(&talk->local, sizeof(talk->local), (void *)sk + OFF_SKC_V6_RCV_SADDR);
	} else {
		bpf_probe_read_kernel(&talk->local.word[3], sizeof(__u32), (void *)sk + OFF_SKC_RCV_SADDR);
		if (talk->local.word[3])
			talk->local.word[2] = UDP_MAPPED;
	}
	if (workloads_are_named()) {
		key.port = peer->port;
		key.address[0] = peer->address.word[0];
		key.address[1] = peer->address.word[1];
		key.address[2] = peer->address.word[2];
		key.address[3] = peer->address.word[3];
		talk->workload = workload_at(&key);
	}
	return 1;
}

ALWAYS_INLINE int udp_is_with(const struct udp_conversation *talk, const struct udp_peer *peer)
{
	const __u32 *one = talk->remote.word, *other = peer->address.word;

	return talk->remote_port == peer->port && one[3] == other[3] && one[2] == other[2] && one[1] == other[1] &&
	       one[0] == other[0];
}

ALWAYS_INLINE struct udp_conversation *udp_known(struct udp_socket *socket, struct udp_peer *peer)
{
	if (socket->peers && udp_is_with(&socket->first, peer))
		return &socket->first;
	return socket->peers > 1 ? udp_peers.lookup(peer) : NULL;
}

/*
 * A socket that acts for the first time; a client with its first conversation, so that whoever comes upon it meanwhile,
 * on another CPU, finds that one there.
 */
ALWAYS_INLINE struct udp_socket *udp_begin(__u64 cookie, __u8 role, const struct udp_peer *peer, __u64 sk)
{
	struct udp_socket fresh = {.role = role};
	struct udp_socket *made;

	if (role == UDP_CLIENT && udp_describe(&fresh.first, peer, sk)) {
		fresh.first_taken = 1;
		fresh.peers = 1;
	}
	udp_sockets.insert(&cookie, &fresh);
	made = udp_sockets.lookup(&cookie);
	if (!made)
		udp_unseen_one(0);
	return made;
}

/* The conversation of a client with a peer, from now on if there was none; NULL where there can be none. */
ALWAYS_INLINE struct udp_conversation *udp_with(struct udp_socket *socket, struct udp_peer *peer, __u64 sk)
{
	struct udp_conversation *talk = udp_known(socket, peer);
	struct udp_conversation fresh = {};

	if (talk || !udp_describe(&fresh, peer, sk))
		return talk;
	if (__sync_val_compare_and_swap(&socket->first_taken, 0, 1) == 0) {
		socket->first = fresh;
		socket->peers = 1;
		return &socket->first;
	}
	udp_peers.insert(peer, &fresh);
	socket->peers = 2;
	talk = udp_peers.lookup(peer);
	if (!talk)
		udp_unseen_one(1);
	return talk;
}

/* A datagram was sent by a call without an address, and an error may have come in that call. */
ALWAYS_INLINE void udp_sent_connected(const void *sk, struct udp_conversation *talk, __u64 now, struct udp_step *step)
{
	__u64 seen_ns = *(volatile __u64 *)&talk->error_ns;
	int error = MEMBER(int, sk, OFF_SK_ERR);
	__u64 span = talk->begun ? UDP_SAME_CALL_NS : STALL_NS;

	if (!udp_is_failure(error)) {
		error = 0;
		if (talk->error && !talk->error_counts && udp_within(talk->error_ns, now, span))
			error = talk->error;
	}
	if (!error) {
		udp_sends(talk, now, step);
		if (!step->begins || step->ends)
			return;
		step->begins = 0;
		if (udp_starts(talk, now) && *(volatile __u64 *)&talk->error_ns != seen_ns) {
			talk->error_counts = 1;
			udp_step_ends(step, FLOW_FAILED, talk->error);
		}
	} else if (!talk->error_counts) {
		talk->error_counts = 1;
		if (!talk->start_ns)
			udp_fails_at_once(talk, error, step);
	}
}

/*
 * Which conversation a call was about that has ended without an address, or that has failed with one; NULL for none.
 */
ALWAYS_INLINE struct udp_conversation *udp_called(const void *sk, __u64 cookie, int sent, int *opened)
{
	struct udp_socket *socket = udp_sockets.lookup(&cookie);
	struct udp_peer peer = {.cookie = cookie};

	if (socket && socket->role == UDP_SERVER)
		return NULL;
	if (socket && socket->addressed) {
		__sync_fetch_and_add(&socket->addressed, -1);
		*opened = socket->opened;
		return sent < 0 ? udp_known(socket, &socket->last) : NULL;
	}
	if (!udp_connected(sk, &peer) || udp_is_group(&peer) || (sent < 0 && !udp_is_failure(-sent)))
		return NULL;
	if (!socket)
		socket = udp_begin(cookie, UDP_CLIENT, &peer, (__u64)sk);
	return socket ? udp_with(socket, &peer, (__u64)sk) : NULL;
}

int udp_sent(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	int sent = ctx->args[1];
	int opened = 0;
	struct udp_conversation *talk;
	struct udp_step step = {};
	__u64 cookie, now;

	if (!udp_is_of(sk))
		return 0;
	cookie = bpf_get_socket_cookie((void *)sk);
	talk = udp_called(sk, cookie, sent, &opened);
	if (!talk)
		return 0;
	now = bpf_ktime_get_ns();
	if (sent < 0)
		udp_send_failed(talk, -sent, opened, &step);
	else
		udp_sent_connected(sk, talk, now, &step);
	udp_does(talk, cookie, &step, now);
	return 0;
}

int udp_received(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	int got = ctx->args[1];
	int flags = ctx->args[2];
	struct udp_peer peer = {};
	struct udp_conversation *talk;
	struct udp_socket *socket;
	struct udp_step step = {};
	__u64 cookie, now;
	int connected;

	if (!udp_is_of(sk) || flags & MESSAGE_ERROR_QUEUE)
		return 0;
	if (got < 0 && !udp_is_failure(-got))
		return 0;
	if (!got && MEMBER(__u8, sk, OFF_SK_SHUTDOWN) & RECEIVE_SHUTDOWN)
		return 0;
	cookie = bpf_get_socket_cookie((void *)sk);
	socket = udp_sockets.lookup(&cookie);
	if (socket && socket->role == UDP_SERVER)
		return 0;
	if (got >= 0 && socket && socket->heard) {
		__sync_fetch_and_add(&socket->heard, -1);
		return 0;
	}
	peer.cookie = cookie;
	connected = udp_connected(sk, &peer);
	if (!socket && (connected || got >= 0))
		socket = udp_begin(cookie, connected ? UDP_CLIENT : UDP_SERVER, &peer, (__u64)sk);
	if (!socket || socket->role == UDP_SERVER)
		return 0;
	talk = connected ? udp_with(socket, &peer, (__u64)sk) : udp_known(socket, &socket->last);
	if (!talk)
		return 0;
	now = bpf_ktime_get_ns();
	if (got >= 0)
		udp_answers(talk, now, &step);
	else
		udp_takes(talk, -got, now, &step);
	udp_does(talk, cookie, &step, now);
	return 0;
}

int udp_told(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	struct udp_peer peer = {};
	struct udp_conversation *talk;
	struct udp_socket *socket;
	struct udp_step step = {};
	int connected, error;
	__u64 now;

	if (!udp_is_of(sk))
		return 0;
	error = MEMBER(int, sk, OFF_SK_ERR);
	if (!udp_is_failure(error))
		return 0;
	peer.cookie = bpf_get_socket_cookie((void *)sk);
	connected = udp_connected(sk, &peer);
	socket = udp_sockets.lookup(&peer.cookie);
	if (!socket && connected)
		socket = udp_begin(peer.cookie, UDP_CLIENT, &peer, (__u64)sk);
	if (!socket || socket->role == UDP_SERVER)
		return 0;
	talk = connected ? udp_with(socket, &peer, (__u64)sk) : udp_known(socket, &socket->last);
	if (!talk)
		return 0;
	now = bpf_ktime_get_ns();
	udp_fails(talk, error, now, &step);
	udp_does(talk, peer.cookie, &step, now);
	return 0;
}

/* A call begins that sends to an address. */
ALWAYS_INLINE void udp_addresses(void *sk, struct udp_peer *peer)
{
	struct udp_socket *socket;
	struct udp_conversation *talk;
	struct udp_step step = {};
	__u64 raw = 0, now;

	if (udp_is_group(peer))
		return;
	/* As a number: the type that a hook gives to a socket forbids to look into it. */
	bpf_probe_read_kernel(&raw, sizeof(raw), &sk);
	socket = udp_sockets.lookup(&peer->cookie);
	if (!socket)
		socket = udp_begin(peer->cookie, UDP_CLIENT, peer, raw);
	if (!socket || socket->role == UDP_SERVER)
		return;
	talk = udp_with(socket, peer, raw);
	socket->last = *peer;
	socket->opened = 0;
	if (talk) {
		now = bpf_ktime_get_ns();
		udp_sends(talk, now, &step);
		socket->opened = udp_does(talk, peer->cookie, &step, now);
	}
	__sync_fetch_and_add(&socket->addressed, 1);
}

/* A call has received from an address, and is about to tell it. */
ALWAYS_INLINE void udp_hears(struct udp_peer *peer)
{
	struct udp_socket *socket = udp_sockets.lookup(&peer->cookie);
	struct udp_conversation *talk;
	struct udp_step step = {};
	__u64 now;

	if (!socket) {
		udp_begin(peer->cookie, UDP_SERVER, NULL, 0);
		return;
	}
	if (socket->role == UDP_SERVER)
		return;
	talk = udp_known(socket, peer);
	/* Whoever has written to one alone is answered by it, also from elsewhere. Among more, a stranger asks. */
	if (!talk && socket->peers == 1)
		talk = &socket->first;
	if (!talk && socket->peers > 1) {
		socket->role = UDP_SERVER;
		return;
	}
	__sync_fetch_and_add(&socket->heard, 1);
	if (!talk)
		return;
	now = bpf_ktime_get_ns();
	udp_answers(talk, now, &step);
	udp_does(talk, peer->cookie, &step, now);
}

int udp_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct udp_peer peer = {.cookie = bpf_get_socket_cookie(ctx)};

	udp_set_peer(&peer, 0, 0, UDP_MAPPED, ctx->user_ip4, ctx->user_port);
	udp_addresses(ctx->sk, &peer);
	return 1;
}

int udp_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct udp_peer peer = {.cookie = bpf_get_socket_cookie(ctx)};

	udp_set_peer(&peer, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3], ctx->user_port);
	udp_addresses(ctx->sk, &peer);
	return 1;
}

/* Of a connected socket the tracepoint knows as much. */
int udp_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct udp_peer peer = {};

	if (ctx->sk->state == TCP_ESTABLISHED)
		return 1;
	peer.cookie = bpf_get_socket_cookie(ctx);
	udp_set_peer(&peer, 0, 0, UDP_MAPPED, ctx->user_ip4, ctx->user_port);
	udp_hears(&peer);
	return 1;
}

int udp_recvmsg6(struct bpf_sock_addr *ctx)
{
	struct udp_peer peer = {};

	if (ctx->sk->state == TCP_ESTABLISHED)
		return 1;
	peer.cookie = bpf_get_socket_cookie(ctx);
	udp_set_peer(&peer, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3], ctx->user_port);
	udp_hears(&peer);
	return 1;
}

int udp_released(struct bpf_sock *ctx)
{
	struct udp_step step = {};
	struct udp_socket *socket;
	__u64 cookie;

	if (ctx->protocol != PROTOCOL_UDP)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	socket = udp_sockets.lookup(&cookie);
	if (!socket)
		return 1;
	if (socket->role == UDP_CLIENT) {
		udp_step_ends(&step, FLOW_FAILED, 0);
		udp_does(&socket->first, cookie, &step, bpf_ktime_get_ns());
	}
	udp_sockets.delete(&cookie);
	return 1;
}
