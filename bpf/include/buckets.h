/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Given by the loader: CONNECT_BUCKETS, CONNECT_BUCKET_COUNT. */
#ifndef NETSRE_BUCKETS_H
#define NETSRE_BUCKETS_H

#include "common.h"

ALWAYS_INLINE __u8 bucket_of(__u64 ns)
{
#define X(index, bound)                                                                                                \
	if (ns <= bound)                                                                                               \
		return index;
	CONNECT_BUCKETS
#undef X
	return CONNECT_BUCKET_COUNT;
}

#endif
