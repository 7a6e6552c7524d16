/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the probes read of a socket of any kind, also of one in TIME_WAIT and of a request: all begin alike.
 *
 * Given by the loader: OFF_SKC_*, OFF_NET_INUM, OFF_SK_PROTOCOL; OFF_KN_ID and the way there, or none of it.
 */
#ifndef NETSRE_SOCKETS_H
#define NETSRE_SOCKETS_H

#include "common.h"

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10
#define TCP_CLOSING 11
#define TCP_NEW_SYN_RECV 12

/* Of a whole socket only: one in TIME_WAIT and a request have no such member. */
ALWAYS_INLINE int is_tcp(const void *sk)
{
	return MEMBER(__u16, sk, OFF_SK_PROTOCOL) == PROTOCOL_TCP;
}

/* The inode number of a socket's network namespace. */
ALWAYS_INLINE __u32 netns_of(const void *sk)
{
	return MEMBER(__u32, MEMBER(void *, sk, OFF_SKC_NET), OFF_NET_INUM);
}

/* The cgroup that a whole socket was made in, by its id; 0 when this kernel does not tell. */
ALWAYS_INLINE __u64 cgroup_of(const void *sk)
{
#ifdef OFF_KN_ID
	const void *cgroup = MEMBER(void *, sk, OFF_SK_CGROUP);

	if (cgroup)
		return MEMBER(__u64, MEMBER(void *, cgroup, OFF_CGROUP_KN), OFF_KN_ID);
#endif
	return 0;
}

/* Where the other end of a socket is. */
ALWAYS_INLINE __u8 destination_of(const void *sk)
{
	__u16 family = MEMBER(__u16, sk, OFF_SKC_FAMILY);

	if (family == FAMILY_IPV4)
		return destination_v4(MEMBER(__u32, sk, OFF_SKC_DADDR));
	if (family == FAMILY_IPV6) {
		__u32 address[4] = {
			MEMBER(__u32, sk, OFF_SKC_V6_DADDR),
			MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 4),
			MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 8),
			MEMBER(__u32, sk, OFF_SKC_V6_DADDR + 12),
		};

		return destination_v6(address);
	}
	return DST_OTHER;
}

#endif
