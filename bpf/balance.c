// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The balancer of services at the sockets of a cgroup: it puts the address of a backend in place of the service's.
 *
 * Where a call names a service (connect, and a send of UDP that is not connected), Maglev's table of the service has
 * the backend, in the slot that the socket's cookie hashes to. Packets then go to the backend and need no translation;
 * so an established connection keeps its backend whatever becomes of the service. Who asks from whom a datagram came,
 * or whom a socket is connected to, gets the address of the service back.
 *
 * A socket of UDP keeps the backend that a service has given it, as long as that is a member of the service. A service
 * without a backend is refused. What is wrong inside of these programs lets the call pass as it was, and is counted.
 *
 * A run reads once which revision is in force and decides by that alone (balance.h). These programs may be preempted:
 * counters are added to in one instruction.
 *
 * Given by the loader: BALANCE_TABLE_SIZE, MAX_BALANCE_*.
 */
#include <linux/types.h>

#include "common.h"
#include "balance.h"

#define BALANCE_GO_ON 1
#define BALANCE_REFUSE 0
#define BALANCE_MAPPED __builtin_bswap32(0xffff)
#define BALANCE_UNREACHABLE -113 /* EHOSTUNREACH */
#define BALANCE_THERE -17	 /* EEXIST */

BPF_ARRAY(balance_active, __u32, 1);
BPF_ARRAY(balance_revisions, struct balance_revision, BALANCE_REVISIONS);
BPF_F_TABLE("hash", struct balance_service_key, struct balance_service, balance_services, MAX_BALANCE_SERVICES,
	    BPF_F_NO_PREALLOC);
BPF_ARRAY(balance_table, struct balance_table, 1);
BPF_HASH_OF_MAPS(balance_tables, __u32, "balance_table", MAX_BALANCE_TABLES);
BPF_F_TABLE("hash", __u32, struct balance_end, balance_backends, MAX_BALANCE_BACKENDS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct balance_member, __u8, balance_members, MAX_BALANCE_MEMBERS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct balance_peer_key, struct balance_peer, balance_peers, MAX_BALANCE_PEERS, BPF_F_NO_PREALLOC);
BPF_PERCPU_HASH(balance_counts, struct balance_count_key, struct balance_count, MAX_BALANCE_COUNTS);
BPF_PERCPU_ARRAY(balance_events, __u64, BALANCE_EVENTS);

ALWAYS_INLINE void balance_event(int event)
{
	__u64 *count = balance_events.lookup(&event);

	if (count)
		__sync_fetch_and_add(count, 1);
}

ALWAYS_INLINE void balance_counted(__u32 service, __u32 backend, int is_datagram)
{
	struct balance_count_key key = {.service = service, .backend = backend};
	struct balance_count none = {}, *count = balance_counts.lookup_or_try_init(&key, &none);

	if (!count)
		balance_event(BALANCE_COUNTS_FULL);
	else if (is_datagram)
		__sync_fetch_and_add(&count->datagrams, 1);
	else
		__sync_fetch_and_add(&count->connections, 1);
}

ALWAYS_INLINE int balance_is_same(const struct balance_end *one, const struct balance_end *other)
{
	return one->port == other->port && one->address[3] == other->address[3] &&
	       one->address[2] == other->address[2] && one->address[1] == other->address[1] &&
	       one->address[0] == other->address[0];
}

/* Cookies count up: spread them. The last step of MurmurHash3 for 64 bits; `maglev.slot` is the same. */
ALWAYS_INLINE __u32 balance_slot(__u64 cookie)
{
	cookie ^= cookie >> 33;
	cookie *= 0xff51afd7ed558ccdULL;
	cookie ^= cookie >> 33;
	cookie *= 0xc4ceb9fe1a85ec53ULL;
	cookie ^= cookie >> 33;
	return cookie % BALANCE_TABLE_SIZE;
}

/* The number of the backend that a table has for a socket; 0 where there is no such table. */
ALWAYS_INLINE __u32 balance_choose(__u32 table, __u64 cookie)
{
	void *found = balance_tables.lookup(&table);
	__u32 slot = balance_slot(cookie);
	struct balance_table *whole;
	int only = 0;

	if (!found)
		return 0;
	whole = bpf_map_lookup_elem(found, &only);
	if (!whole)
		return 0;
	/* The verifier does not know what the compiler does. */
	asm volatile("" : "+r"(slot));
	return slot < BALANCE_TABLE_SIZE ? whole->backend[slot] : 0;
}

/* What a socket was given by a service before, and in which place; NULL with the first free place. */
ALWAYS_INLINE struct balance_peer *balance_given(struct balance_peer_key *key, __u32 service)
{
	struct balance_peer *peer;

	for (key->place = 0; key->place < BALANCE_PLACES; key->place++) {
		peer = balance_peers.lookup(key);
		if (!peer || peer->service == service)
			return peer;
	}
	return NULL;
}

/*
 * The backend that a socket was given, or 0 where that is no member any more. Another thread may replace the entry
 * while we read it, and its memory may be that of another one by then: whatever number is read, a member is a right
 * answer.
 */
ALWAYS_INLINE __u32 balance_kept(const struct balance_service_key *asked, const struct balance_service *service,
				 const struct balance_peer *given)
{
	struct balance_member member = {.set = asked->set, .service = service->number};

	member.backend = *(volatile __u32 *)&given->backend;
	return balance_members.lookup(&member) ? member.backend : 0;
}

/* Writes into a place, or into the next that is free where another thread has just taken it. */
ALWAYS_INLINE void balance_remember(struct balance_peer_key *key, struct balance_peer *peer, int is_ours)
{
	long refused;

	if (is_ours) {
		if (balance_peers.update(key, peer))
			balance_event(BALANCE_PEERS_FULL);
		return;
	}
	for (int tries = 0; tries < BALANCE_PLACES && key->place < BALANCE_PLACES; tries++, key->place++) {
		refused = balance_peers.insert(key, peer);
		if (!refused)
			return;
		if (refused != BALANCE_THERE)
			break;
	}
	balance_event(BALANCE_PEERS_FULL);
}

/* The service in the revision in force, whose set of services is noted in the key; NULL where there is none. */
ALWAYS_INLINE struct balance_service *balance_asked(struct balance_service_key *asked)
{
	int first = 0, *active = (int *)balance_active.lookup(&first);
	struct balance_revision *revision = active ? balance_revisions.lookup(active) : NULL;
	struct balance_service *service;

	if (!revision)
		return NULL;
	asked->set =
		revision->until_ns && revision->until_ns <= bpf_ktime_get_boot_ns() ? revision->after : revision->set;
	if (!asked->set)
		return NULL;
	service = balance_services.lookup(asked);
	if (!service)
		balance_event(BALANCE_PASSED);
	return service;
}

/* Puts a backend in place of a service in `end`; says whether the call may go on. */
ALWAYS_INLINE int balance_turn(void *ctx, struct balance_end *end, __u32 protocol, int is_datagram)
{
	struct balance_service_key asked = {.end = *end, .protocol = protocol};
	struct balance_peer_key key = {};
	struct balance_peer fresh = {.asked = *end}, *given = NULL;
	struct balance_service *service = balance_asked(&asked);
	struct balance_end *backend;
	__u32 number = 0, kept;

	if (!service)
		return BALANCE_GO_ON;
	key.cookie = bpf_get_socket_cookie(ctx);
	if (protocol != PROTOCOL_TCP) {
		given = balance_given(&key, service->number);
		number = given ? balance_kept(&asked, service, given) : 0;
	}
	kept = number;
	if (!kept && !service->table) {
		balance_counted(service->number, 0, is_datagram);
		bpf_set_retval(BALANCE_UNREACHABLE);
		return BALANCE_REFUSE;
	}
	if (!kept)
		number = balance_choose(service->table, key.cookie);
	backend = balance_backends.lookup(&number);
	if (!backend) {
		balance_event(BALANCE_BROKEN);
		return BALANCE_GO_ON;
	}
	*end = *backend;
	if (!kept) {
		fresh.given = *backend;
		fresh.service = service->number;
		fresh.backend = number;
		if (given)
			fresh.before = given->given;
		balance_remember(&key, &fresh, protocol == PROTOCOL_TCP || given);
	}
	balance_counted(service->number, number, is_datagram);
	return BALANCE_GO_ON;
}

/* Puts the service in place of the backend that it gave this socket. */
ALWAYS_INLINE void balance_return(void *ctx, struct balance_end *end)
{
	struct balance_peer_key key = {.cookie = bpf_get_socket_cookie(ctx)};
	struct balance_peer *peer;

	for (; key.place < BALANCE_PLACES; key.place++) {
		peer = balance_peers.lookup(&key);
		if (!peer)
			return;
		if (balance_is_same(&peer->given, end) || balance_is_same(&peer->before, end)) {
			*end = peer->asked;
			return;
		}
	}
}

#define BALANCE_V4(ctx)                                                                                                \
	{                                                                                                              \
		.address = {0, 0, BALANCE_MAPPED, (ctx)->user_ip4}, .port = (ctx)->user_port                           \
	}
#define BALANCE_V6(ctx)                                                                                                \
	{                                                                                                              \
		.address = {(ctx)->user_ip6[0], (ctx)->user_ip6[1], (ctx)->user_ip6[2], (ctx)->user_ip6[3]},           \
		.port = (ctx)->user_port                                                                               \
	}
#define BALANCE_WRITE_V4(ctx, end)                                                                                     \
	do {                                                                                                           \
		(ctx)->user_ip4 = (end).address[3];                                                                    \
		(ctx)->user_port = (end).port;                                                                         \
	} while (0)
#define BALANCE_WRITE_V6(ctx, end)                                                                                     \
	do {                                                                                                           \
		(ctx)->user_ip6[0] = (end).address[0];                                                                 \
		(ctx)->user_ip6[1] = (end).address[1];                                                                 \
		(ctx)->user_ip6[2] = (end).address[2];                                                                 \
		(ctx)->user_ip6[3] = (end).address[3];                                                                 \
		(ctx)->user_port = (end).port;                                                                         \
	} while (0)

int balance_connect4(struct bpf_sock_addr *ctx)
{
	struct balance_end end = BALANCE_V4(ctx);

	if (!balance_turn(ctx, &end, ctx->protocol, 0))
		return BALANCE_REFUSE;
	BALANCE_WRITE_V4(ctx, end);
	return BALANCE_GO_ON;
}

/* IPv4 through a socket of IPv6 comes here too, as ::ffff:a.b.c.d, and goes to backends of IPv4. */
int balance_connect6(struct bpf_sock_addr *ctx)
{
	struct balance_end end = BALANCE_V6(ctx);

	if (!balance_turn(ctx, &end, ctx->protocol, 0))
		return BALANCE_REFUSE;
	BALANCE_WRITE_V6(ctx, end);
	return BALANCE_GO_ON;
}

int balance_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct balance_end end = BALANCE_V4(ctx);

	if (!balance_turn(ctx, &end, ctx->protocol, 1))
		return BALANCE_REFUSE;
	BALANCE_WRITE_V4(ctx, end);
	return BALANCE_GO_ON;
}

int balance_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct balance_end end = BALANCE_V6(ctx);

	if (!balance_turn(ctx, &end, ctx->protocol, 1))
		return BALANCE_REFUSE;
	BALANCE_WRITE_V6(ctx, end);
	return BALANCE_GO_ON;
}

/* From whom a datagram came, and whom a socket is connected to. */
int balance_back4(struct bpf_sock_addr *ctx)
{
	struct balance_end end = BALANCE_V4(ctx);

	balance_return(ctx, &end);
	BALANCE_WRITE_V4(ctx, end);
	return BALANCE_GO_ON;
}

int balance_back6(struct bpf_sock_addr *ctx)
{
	struct balance_end end = BALANCE_V6(ctx);

	balance_return(ctx, &end);
	BALANCE_WRITE_V6(ctx, end);
	return BALANCE_GO_ON;
}

int balance_released(struct bpf_sock *ctx)
{
	struct balance_peer_key key = {.cookie = bpf_get_socket_cookie(ctx)};

	for (; key.place < BALANCE_PLACES; key.place++) {
		if (!balance_peers.lookup(&key))
			break;
		balance_peers.delete(&key);
	}
	return BALANCE_GO_ON;
}
