/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which source was believed lately at an interface; the programs alone read it.
 *
 * What a revision once said of a source it says for ever, as of questions (policy_answers.h).
 */
#ifndef NETSRE_POLICY_BELIEVED_H
#define NETSRE_POLICY_BELIEVED_H

#include "policy.h"

#define POLICY_BELIEVED 64

/* Per-CPU array `policy_believed`: in the place of an interface's number, until another one is there. */
struct policy_believed {
	struct policy_address source;
	__u32 revision;	 /* the end of its number */
	__u32 interface; /* as revisions number it; 0 for none */
};

#endif
