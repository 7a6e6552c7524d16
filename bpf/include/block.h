/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs that drop blocked sources and their user agree on. Fixed-width types only, no implicit
 * padding; a test compiles this file to hold it together with the user's formats.
 */
#ifndef NETSRE_BLOCK_H
#define NETSRE_BLOCK_H

/* An address as it stands in an IPv6 header; an IPv4 address is written as ::ffff:a.b.c.d. */
struct source {
	__u32 address[4];
};

struct drops {
	__u64 packets;
	__u64 bytes;
};

/* Hash `blocked`, by source. */
struct block {
	__u64 deadline_ns; /* of CLOCK_BOOTTIME, which goes on while the machine is suspended */
	__u32 slot;	   /* of its counter */
	__u32 reserved;
};

#endif
