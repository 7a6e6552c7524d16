/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the drops probe and its reader agree on. Fixed-width types only, no implicit padding; a test compiles this
 * file to hold it together with the reader's formats.
 */
#ifndef NETSRE_DROPS_H
#define NETSRE_DROPS_H

/* Numbers that the kernel may give to its reasons: it has 127 of its own today. Larger ones are of subsystems. */
#define DROP_REASONS 512
/* Ours: from a peer that has said its last byte. The kernel takes note of it, frees it, and gives no reason. */
#define DROP_TCP_END (DROP_REASONS - 1)

/* One counter: packets of one network namespace (0 where it is not known), by the number of the reason. */
struct drop_key {
	__u32 netns;
	__u32 reason;
};

#endif
