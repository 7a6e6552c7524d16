/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the prefilter and whoever writes its rules agree on; `netsre/datapath/prefilter.py` has the same layouts.
 * Times are nanoseconds of CLOCK_BOOTTIME. Fixed-width types only, no implicit padding.
 */
#ifndef NETSRE_PREFILTER_H
#define NETSRE_PREFILTER_H

#include "block.h"
#include "policy.h"

#define PREFILTER_MARKS 1024
#define PREFILTER_MARK_SHIFT 22	       /* what is left of 32 bits is one of so many */
#define PREFILTER_MARK_MIX 0x9e3779b1u /* 2^32 by the golden ratio: neighbours lie far apart */

/* Array `prefilter_state`: one entry. */
struct prefilter_state {
	struct policy_mode mode;	   /* of all rules */
	__u32 last_number;		   /* the highest that a rule was ever given; for who writes rules */
	__u32 generation;		   /* of all rules, never given again; even while they are being changed */
	__u64 marks[PREFILTER_MARKS / 64]; /* a bit for each rule in `prefilter_hosts`, by the end of its address */
};

/*
 * LPM trie `prefilter_rules`, and for rules about one address alone the hash `prefilter_hosts`, by `struct source`:
 * whom a rule is about, of 128 bits; an IPv4 network has 96 bits more than it says.
 */
struct prefilter_key {
	__u32 bits;
	struct source source;
};

enum prefilter_action {
	PREFILTER_PASS = 0, /* an exception to a shorter prefix */
	PREFILTER_DROP = 1,
	PREFILTER_LIMIT = 2, /* drop what a source sends beyond its rate */
};

struct prefilter_rule {
	__u64 until_ns; /* from then on it is as if the rule were not there; 0 for ever */
	struct policy_mode mode;
	__u64 fill_ns; /* how long an empty bucket takes to be full, rounded up */
	__u32 rate;    /* packets per second */
	__u32 burst;   /* packets, PREFILTER_MOST_BURST at most */
	__u32 number;  /* of the rule, never given again: its buckets go by it */
	__u32 counter; /* its place among the counters, given again when the rule is gone */
	__u32 bits;    /* those of its key */
	__u32 action;
};

/* A bucket may hold that for every CPU of 512 at once, in nanotokens, and not overflow. */
#define PREFILTER_MOST_BURST (1 << 24)
/* Rules that one address can be in the networks of. */
#define PREFILTER_MOST_NESTED 8

/* LRU hash `prefilter_buckets`: each source has one of its own for each rule that limits it. */
struct prefilter_bucket_key {
	struct source source;
	__u32 rule;
};

/*
 * Tokens in units of a thousand-millionth, so that one nanosecond brings exactly `rate` of them: there is nothing to
 * round. Below zero where CPUs have spent the same token at once; it is paid back before anything passes.
 */
struct prefilter_bucket {
	__s64 level;
	__u64 filled_ns; /* up to when what came in is part of the level */
};

enum prefilter_verdict {
	PREFILTER_PASSED = 0,
	PREFILTER_DROPPED = 1,
	PREFILTER_AUDITED = 2, /* would be dropped, and is not: the mode is monitor */
	PREFILTER_MISSED = 3,  /* dropped, too, and a socket of this node waits for it */
	PREFILTER_VERDICTS = 4,
};

/*
 * Per-CPU array `prefilter_times`, one entry: what the clock said in a tick of the kernel. Ticks come every few
 * milliseconds while there are packets; a host that is short of processors may owe a virtual machine some.
 */
struct prefilter_time {
	__u64 tick;
	__u64 time_ns;
	__u64 asked_tick; /* when it was last asked whether somebody waits for what is dropped */
	__u64 asked;	  /* how often in that tick */
};

/* So often in a tick, on each CPU: a flood does not pay for it packet by packet. */
#define PREFILTER_MOST_ASKED 16

/* What is further away than this from the time of the tick is not now. */
#define PREFILTER_LATELY_NS 1000000000ULL

#define PREFILTER_LATEST 1024
#define PREFILTER_LATEST_SHIFT 22 /* as for marks */

/*
 * Per-CPU array `prefilter_latest`: the limit that was found for a source lately, in the place that its address is
 * mixed to. It is told of no other generation of rules, so nobody has to empty this when they change.
 */
struct prefilter_found {
	struct source source;
	__u32 generation; /* odd; 0 in a place that nobody has been in */
	__u32 reserved;
	struct prefilter_rule rule;
};

/* Per-CPU array `prefilter_counts`, of `struct drops`: by counter * PREFILTER_VERDICTS + verdict. */

/* Per-CPU array `prefilter_events`: packets that passed because nothing could be decided, and what was not counted. */
enum prefilter_event {
	PREFILTER_UNREADABLE = 0, /* no source address can be read */
	PREFILTER_NESTED = 1,	  /* more rules than can be asked */
	PREFILTER_NO_BUCKET = 2,  /* none could be made for a source */
	PREFILTER_UNCOUNTED = 3,  /* decided by a rule without a counter */
	PREFILTER_EVENTS = 4,
};

#endif
