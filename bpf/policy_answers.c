// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What tables said lately: who asks the same of the same revision again is told so at once, instead of by five
 * look-ups.
 *
 * Each CPU has answers of its own, and nothing interrupts a program of TC on its CPU by another: none is half written.
 */
#include "policy_answers.h"

BPF_PERCPU_ARRAY(policy_answers, struct policy_answer, POLICY_ANSWERS);

ALWAYS_INLINE __u32 folded(const struct policy_address *address)
{
	return address->word[0] ^ address->word[1] ^ address->word[2] ^ address->word[3];
}

/* The answer in the place of a question, whatever it is the answer to. */
ALWAYS_INLINE struct policy_answer *answer_in_place_of(const struct policy_question *question)
{
	__u32 mixed = folded(&question->own) * POLICY_ANSWERS_MIX ^ folded(&question->peer);
	__u32 asked = (__u32)question->service << 16 | question->protocol << 8 | question->direction;
	int place = (mixed * POLICY_ANSWERS_MIX ^ asked) * POLICY_ANSWERS_MIX >> POLICY_ANSWERS_SHIFT;

	return policy_answers.lookup(&place);
}

ALWAYS_INLINE int is_same_question(const struct policy_question *one, const struct policy_question *other)
{
	return is_same_address(&one->peer, &other->peer) && is_same_address(&one->own, &other->own) &&
	       one->revision == other->revision && one->service == other->service && one->protocol == other->protocol &&
	       one->direction == other->direction;
}

/* Has a connection answered as is written. */
ALWAYS_INLINE void repeat_answer(const struct policy_answer *known, struct policy_connection *answer)
{
	answer->revision = known->question.revision;
	answer->rule = known->rule;
	answer->source = known->source;
	answer->destination = known->destination;
	answer->endpoint = known->endpoint;
	answer->verdict = known->verdict;
	answer->reason = known->reason;
}

/* Writes down what tables say of a connection, instead of what was in this place. */
ALWAYS_INLINE void write_answer(struct policy_answer *known, const struct policy_question *question,
				const struct policy_connection *answer)
{
	known->question = *question;
	known->rule = answer->rule;
	known->source = answer->source;
	known->destination = answer->destination;
	known->endpoint = answer->endpoint;
	known->verdict = answer->verdict;
	known->reason = answer->reason;
}
