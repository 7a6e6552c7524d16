/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Stands in for the kernel's own linux/types.h, so that programs compile on a node without kernel headers.
 * The absolute path is on purpose: the name alone would find this file again.
 */
#ifndef NETSRE_SHIM_TYPES_H
#define NETSRE_SHIM_TYPES_H
#include "/usr/include/linux/types.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0
typedef unsigned long size_t;
typedef long ssize_t;
typedef unsigned long uintptr_t;
#define NULL ((void *)0)
#endif
