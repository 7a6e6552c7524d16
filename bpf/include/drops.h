/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the drops probe and its reader agree on. Fixed-width types only, no implicit padding; a test compiles this
 * file to hold it together with the reader's formats.
 */
#ifndef NETSRE_DROPS_H
#define NETSRE_DROPS_H

/* One counter: packets of one network namespace (0 where it is not known), by the kernel's number of the reason. */
struct drop_key {
	__u32 netns;
	__u32 reason;
};

#endif
