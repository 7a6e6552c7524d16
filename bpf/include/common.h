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

/* Where something went, or came from: a class of addresses, so that the set is bounded. */
enum destination {
	DST_OTHER = 0,
	DST_LOOPBACK = 1,
	DST_PRIVATE = 2,
	DST_PUBLIC = 3,
};

ALWAYS_INLINE __u8 destination_v4(__u32 address)
{
	__u32 host = __builtin_bswap32(address);

	if (host >> 24 == 127 || host == 0)
		return DST_LOOPBACK;
	if (host >> 24 == 10 || host >> 20 == 0xac1 || host >> 16 == 0xc0a8 || /* RFC 1918 */
	    host >> 22 == 0x191 ||					       /* 100.64/10, shared */
	    host >> 16 == 0xa9fe ||					       /* 169.254/16, link-local */
	    host >> 17 == 0x6309)					       /* 198.18/15, benchmarks */
		return DST_PRIVATE;
	return DST_PUBLIC;
}

ALWAYS_INLINE __u8 destination_v6(const __u32 address[4])
{
	__u32 head = __builtin_bswap32(address[0]);

	if (head == 0 && address[1] == 0) {
		if (address[2] == __builtin_bswap32(0xffff))
			return destination_v4(address[3]);
		if (address[2] == 0 && __builtin_bswap32(address[3]) <= 1)
			return DST_LOOPBACK;
	}
	if (head >> 25 == 0x7e || head >> 22 == 0x3fa) /* fc00::/7, fe80::/10 */
		return DST_PRIVATE;
	return DST_PUBLIC;
}

#endif
