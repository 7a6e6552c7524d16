/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the probes share. They are compiled as one text, so that every name in them is one of all of them. */
#ifndef NETSRE_COMMON_H
#define NETSRE_COMMON_H

#define PROTOCOL_TCP 6
#define FAMILY_IPV4 2
#define FAMILY_IPV6 10

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/*
 * Reads a member of a kernel structure. A typed tracepoint hands over pointers of which the verifier knows what
 * stands at each offset, and allows a plain load, an order of magnitude cheaper than a guarded copy.
 */
#define MEMBER(type, base, offset) (*(type const volatile *)((base) + (offset)))

/*
 * An argument of a typed tracepoint, whose type the verifier knows. Through a register, or the compiler front
 * end would turn each load into a guarded copy.
 */
#define ARGUMENT(ctx, number)                                                                                          \
	({                                                                                                             \
		const void *argument;                                                                                  \
		asm volatile("%0 = %1" : "=r"(argument) : "r"((ctx)->args[number]));                                   \
		argument;                                                                                              \
	})

#endif
