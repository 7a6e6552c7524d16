/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the probe of program loads shares with its reader; `netsre/datapath/loads.py` has the same layouts. */
#ifndef NETSRE_LOADS_H
#define NETSRE_LOADS_H

#define LOAD_COMMAND_BYTES 16
#define LOAD_NAME_BYTES 16
#define LOAD_TEXT_BYTES 4096

/* Whose loads are not counted here, because it counts them itself; all 0 until it has begun to read. */
struct load_reader {
	__u64 device; /* of its namespace of process ids */
	__u64 inode;
	__u32 process;
	__u32 reserved;
};

struct load_key {
	char command[LOAD_COMMAND_BYTES];
	__u32 type;
	__u32 error; /* errno, 0 for a program that was loaded */
};

struct load_value {
	__u64 count;
	__u64 last_at_ns;
	__u64 last_ns; /* duration of the call */
	__u64 last_instructions;
};

/* A call that has begun. */
struct load_call {
	__u64 start_ns;
	__u64 log;
	__u64 log_begins; /* its first bytes before the call: the kernel may never come to write it */
	__u32 type;
	__u32 reserved;
	char name[LOAD_NAME_BYTES];
};

/* A load that failed. A reader that finds two different numbers came in the middle of it being written. */
struct load_failure {
	__u64 number; /* from 1 on, of those with and of those without a name */
	__u64 at_ns;
	__u64 duration_ns;
	__u32 type;
	__u32 error;
	__u32 process;
	__u32 user;
	char command[LOAD_COMMAND_BYTES];
	char name[LOAD_NAME_BYTES];
	__u32 text_bytes;
	__u32 text_at;			 /* how much of the log stands before it */
	__u64 text[LOAD_TEXT_BYTES / 8]; /* in words: bcc compiles two functions for each element of a map */
	__u64 number_again;
};

#endif
