// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What TCP sends again, which resets it sends and gets, and the round-trip time of its connections.
 *
 * - Segments sent again, as many as RetransSegs of /proc/net/snmp counts: one buffer may be several.
 *   SYNs are among them. SYN-ACKs have a tracepoint of their own, and are counted by it.
 * - Resets that this kernel sends, also where there is no socket, as OutRsts counts them. Resets that ended
 *   one of its sockets: what comes too late or out of window has no effect, and is not counted.
 * - The smoothed round-trip time of a connection, once, where it leaves ESTABLISHED.
 *
 * Who opened a connection is not written in a socket. But one that was accepted is a copy of the listening one,
 * with its backlog, and others never have any. Only a server that listens with a backlog of 0 is taken for a client.
 *
 * Given by the loader: OFF_*, CONNECT_BUCKET, MAX_TCP_COUNTS; SENT_RESETS_HAVE_REASONS
 * where the kernel says why it sends a reset.
 */
#include <linux/types.h>

#include "buckets.h"
#include "common.h"
#include "sockets.h"
#include "tcp.h"

#define TCP_FLAG_BYTE 13
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_ACK 0x10
#define IPV4_SOURCE 12
#define IPV6_SOURCE 8

BPF_PERCPU_HASH(tcp_counts, struct tcp_key, struct tcp_value, MAX_TCP_COUNTS);
/* What found `tcp_counts` full: by event and detail, as nobody's. */
BPF_PERCPU_ARRAY(tcp_overflow, struct tcp_value, TCP_EVENTS *TCP_DETAILS);

/* Atomic though the slot is this CPU's own: older kernels let a program interrupt itself. */
ALWAYS_INLINE void tcp_count(struct tcp_key *key, __u64 count, __u64 ns)
{
	struct tcp_value *value = tcp_counts.lookup(key);
	struct tcp_value first = {.count = count, .sum_ns = ns};
	int slot;

	if (!value) {
		/* Never over an entry that has come to be meanwhile: its count would be lost. */
		if (tcp_counts.insert(key, &first) == 0)
			return;
		value = tcp_counts.lookup(key);
	}
	if (!value) {
		slot = key->event * TCP_DETAILS + key->detail;
		value = tcp_overflow.lookup(&slot);
	}
	if (value) {
		__sync_fetch_and_add(&value->count, count);
		if (ns)
			__sync_fetch_and_add(&value->sum_ns, ns);
	}
}

ALWAYS_INLINE __u8 tcp_direction_of(const void *sk)
{
	__u8 state = MEMBER(__u8, sk, OFF_SKC_STATE);

	if (state == TCP_SYN_SENT)
		return TCP_DIRECTION_EGRESS;
	if (state == TCP_NEW_SYN_RECV)
		return TCP_DIRECTION_INGRESS;
	if (state == TCP_TIME_WAIT) /* too small a socket to know */
		return TCP_DIRECTION_OTHER;
	return MEMBER(__u32, sk, OFF_SK_MAX_ACK_BACKLOG) ? TCP_DIRECTION_INGRESS : TCP_DIRECTION_EGRESS;
}

/* Whose a connection is: a request and a socket in TIME_WAIT are too small to say it. */
ALWAYS_INLINE __u64 tcp_cgroup_of(const void *sk)
{
	__u8 state = MEMBER(__u8, sk, OFF_SKC_STATE);

	return state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV ? 0 : cgroup_of(sk);
}

/* What a packet says that belongs to no connection. */
ALWAYS_INLINE void tcp_read_packet(const void *skb, struct tcp_key *key)
{
	const void *head = (const void *)MEMBER(__u64, skb, OFF_SKB_HEAD);
	const void *network = head + MEMBER(__u16, skb, OFF_SKB_NETWORK_HEADER);
	const void *transport = head + MEMBER(__u16, skb, OFF_SKB_TRANSPORT_HEADER);
	__u32 address[4];
	__u8 byte;

	if (!bpf_probe_read_kernel(&byte, sizeof(byte), network)) {
		if (byte >> 4 == 4 && !bpf_probe_read_kernel(address, 4, network + IPV4_SOURCE))
			key->destination = destination_v4(address[0]);
		else if (byte >> 4 == 6 && !bpf_probe_read_kernel(address, sizeof(address), network + IPV6_SOURCE))
			key->destination = destination_v6(address);
	}
	/* The first packet of a connection was sent by whoever opens it. */
	if (!bpf_probe_read_kernel(&byte, sizeof(byte), transport + TCP_FLAG_BYTE) &&
	    (byte & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN)
		key->direction = TCP_DIRECTION_INGRESS;
}

int tcp_retransmit_skb(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	const void *skb = ARGUMENT(ctx, 1);
	struct tcp_key key = {
		.cgroup = tcp_cgroup_of(sk),
		.netns = netns_of(sk),
		.event = TCP_EVENT_RETRANSMIT,
		.direction = tcp_direction_of(sk),
		.destination = destination_of(sk),
	};

	if (MEMBER(__u8, skb, OFF_SKB_TCP_FLAGS) & TCP_FLAG_SYN)
		key.detail = TCP_RETRANSMIT_SYN;
	tcp_count(&key, MEMBER(__u16, skb, OFF_SKB_TCP_SEGMENTS), 0);
	return 0;
}

int tcp_retransmit_synack(struct bpf_raw_tracepoint_args *ctx)
{
	const void *request = ARGUMENT(ctx, 1);
	struct tcp_key key = {
		.netns = netns_of(request),
		.event = TCP_EVENT_RETRANSMIT,
		.detail = TCP_RETRANSMIT_SYN_ACK,
		.direction = TCP_DIRECTION_INGRESS,
		.destination = destination_of(request),
	};

	tcp_count(&key, 1, 0);
	return 0;
}

int tcp_send_reset(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	const void *skb = ARGUMENT(ctx, 1);
	struct tcp_key key = {.event = TCP_EVENT_RESET_SENT, .detail = TCP_DETAIL_OTHER};

#ifdef SENT_RESETS_HAVE_REASONS
	if ((__u32)ctx->args[2] < TCP_DETAIL_OTHER)
		key.detail = ctx->args[2];
#endif
	if (sk) {
		key.cgroup = tcp_cgroup_of(sk);
		key.netns = netns_of(sk);
		key.direction = tcp_direction_of(sk);
		if (MEMBER(__u8, sk, OFF_SKC_STATE) != TCP_LISTEN)
			key.destination = destination_of(sk);
		else if (skb)
			tcp_read_packet(skb, &key);
	} else if (skb) {
		key.netns = MEMBER(__u32, MEMBER(void *, MEMBER(void *, skb, OFF_SKB_DEV), OFF_DEV_NET), OFF_NET_INUM);
		tcp_read_packet(skb, &key);
	}
	tcp_count(&key, 1, 0);
	return 0;
}

int tcp_receive_reset(struct bpf_raw_tracepoint_args *ctx)
{
	const void *sk = ARGUMENT(ctx, 0);
	struct tcp_key key = {
		.cgroup = tcp_cgroup_of(sk),
		.netns = netns_of(sk),
		.event = TCP_EVENT_RESET_SEEN,
		.detail = MEMBER(__u8, sk, OFF_SKC_STATE) == TCP_SYN_SENT ? TCP_RESET_REFUSED : TCP_RESET_BROKEN,
		.direction = tcp_direction_of(sk),
		.destination = destination_of(sk),
	};

	tcp_count(&key, 1, 0);
	return 0;
}

int tcp_round_trip(struct bpf_raw_tracepoint_args *ctx)
{
	int oldstate = ctx->args[1];
	const void *sk, *tcp;
	struct tcp_key key = {.event = TCP_EVENT_RTT};
	__u32 eighths;
	__u64 ns;

	if (oldstate != TCP_ESTABLISHED)
		return 0;
	sk = ARGUMENT(ctx, 0);
	if (!is_tcp(sk))
		return 0;
	tcp = bpf_skc_to_tcp_sock((void *)sk);
	if (!tcp)
		return 0;
	eighths = MEMBER(__u32, tcp, OFF_TCP_SRTT); /* of a microsecond; 0 where nothing was ever measured */
	if (!eighths)
		return 0;
	ns = (eighths >> 3) * 1000ULL;
	key.cgroup = cgroup_of(sk);
	key.netns = netns_of(sk);
	key.detail = bucket_of(ns);
	key.direction = tcp_direction_of(sk);
	key.destination = destination_of(sk);
	tcp_count(&key, 1, ns);
	return 0;
}
