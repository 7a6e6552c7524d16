/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* No program branches on the kernel version: offsets come from BTF, abilities from trying. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 9, 0)
