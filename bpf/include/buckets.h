/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Given by the loader: CONNECT_BUCKET, the number of the cell of `ns` as an expression. */
#ifndef NETSRE_BUCKETS_H
#define NETSRE_BUCKETS_H

#include "common.h"

ALWAYS_INLINE __u8 bucket_of(__u64 ns)
{
	return CONNECT_BUCKET;
}

#endif
