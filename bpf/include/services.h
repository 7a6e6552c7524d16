/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the probe of connections to services and its reader agree on. Fixed-width types only, no implicit padding; a
 * test compiles this file to hold it together with the reader's formats.
 */
#ifndef NETSRE_SERVICES_H
#define NETSRE_SERVICES_H

/* Where a service is. The address as it stands in an IPv6 header (::ffff:a.b.c.d), the port as on the wire. */
struct service_key {
	__u32 address[4];
	__u16 port;
	__u16 protocol;
};

enum service_path {
	SERVICE_PATH_BPF = 0,	/* A program at the hook put another address in its place. */
	SERVICE_PATH_OTHER = 1, /* The address that left the hook is still the service's. */
	SERVICE_PATHS = 2,
};

/* One counter. */
struct service_count_key {
	struct service_key service;
	__u32 path;
};

#endif
