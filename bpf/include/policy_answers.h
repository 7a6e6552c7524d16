/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What tables said lately of who may speak with whom; the programs alone read it.
 *
 * Nothing that a revision in force refers to is ever changed, and its number is never given again: what it once said of
 * a question it says for ever. So nobody has to empty this when another revision comes in force.
 */
#ifndef NETSRE_POLICY_ANSWERS_H
#define NETSRE_POLICY_ANSWERS_H

#include "policy.h"

#define POLICY_ANSWERS 1024
#define POLICY_ANSWERS_SHIFT 22	       /* what is left of 32 bits is one of so many */
#define POLICY_ANSWERS_MIX 0x9e3779b1u /* 2^32 by the golden ratio: neighbours lie far apart */

/* All that an answer depends on. Modes and orders are asked apart. */
struct policy_question {
	struct policy_address own;
	struct policy_address peer;
	__u32 revision; /* the end of its number */
	__be16 service;
	__u8 protocol;
	__u8 direction;
};

/* Per-CPU array `policy_answers`: each answer in the place that its question is mixed to, until another one is there.
 */
struct policy_answer {
	struct policy_question question;
	__u32 rule; /* from here to reason: as in a connection */
	__u32 source;
	__u32 destination;
	__u32 endpoint;
	__u8 verdict;
	__u8 reason;
	__u16 reserved[3];
};

#endif
