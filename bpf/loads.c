// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Loads of BPF programs by every process: what was asked for, what became of it, and the end of the verifier's
 * log where it failed.
 *
 * On the tracepoints sys_enter_bpf and sys_exit_bpf. The programs themselves run for bpf(2) alone; that the
 * tracepoints are on is paid for by every system call of every process.
 *
 * What a process asks for stands in its own memory, and is read when the call begins. The log is read there
 * too, when the call ends. A log that begins as it did before the call is an old one, or no log at all: the
 * kernel refused before it came to write any.
 *
 * Given by the loader: MAX_LOADS, MAX_LOAD_CALLS, LOAD_FAILURES, and OFF_* of this kernel's BTF as far as it
 * has them: without them the number of verified instructions is 0.
 */
#include <linux/types.h>

#include "common.h"
#include "loads.h"

#define LOAD_COMMAND 5
#define LOAD_TYPES 64
#define LOAD_CHUNKS 64
/* In union bpf_attr, which never changes. */
#define ATTR_TYPE 0
#define ATTR_LOG_LEVEL 24
#define ATTR_LOG_SIZE 28
#define ATTR_LOG 32
#define ATTR_NAME 48

/*
 * The helpers under names of our own: for each place with one of theirs, the compiler front end reads all symbols
 * of the kernel, to find out whether it has them. Together that takes longer than everything else.
 */
static long (*load_read_user)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user;
static long (*load_read_text)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_user_str;
static long (*load_read_kernel)(void *to, __u32 size, const void *from) = (void *)BPF_FUNC_probe_read_kernel;

struct syscall_begins {
	__u64 unused;
	__s64 number;
	__u64 command;
	__u64 attributes;
	__u64 size;
};

struct syscall_ends {
	__u64 unused;
	__s64 number;
	__s64 result;
};

BPF_ARRAY(load_readers, struct load_reader, 1);
BPF_HASH(load_calls, __u64, struct load_call, MAX_LOAD_CALLS);
BPF_PERCPU_HASH(loads, struct load_key, struct load_value, MAX_LOADS);
/* Loads that found `loads` full: still counted, the good ones first, then the failed ones. */
BPF_PERCPU_ARRAY(loads_overflow, __u64, 2);
/* Calls that found `load_calls` full: what became of them is not known. */
BPF_PERCPU_ARRAY(loads_unknown, __u64, 1);
/*
 * The last failures: those of programs without a name, and behind them those with one. Who wants to know what a
 * kernel can do loads thousands of programs that have no name, and most of them fail.
 */
BPF_ARRAY(load_failures, struct load_failure, 2 * LOAD_FAILURES);
BPF_ARRAY(load_failures_total, __u64, 2);

/* Whether somebody reads, and this process is another one. */
ALWAYS_INLINE int load_counts(void)
{
	struct bpf_pidns_info ours = {};
	struct load_reader *reader;
	int slot = 0;

	reader = load_readers.lookup(&slot);
	if (!reader || !reader->process)
		return 0;
	if (bpf_get_ns_current_pid_tgid(reader->device, reader->inode, &ours, sizeof(ours)))
		return 1;
	return ours.tgid != reader->process;
}

int load_begins(struct syscall_begins *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct load_call call = {};
	__u64 base = ctx->attributes;
	__u32 log_level = 0;

	if (ctx->command != LOAD_COMMAND || !load_counts())
		return 0;
	/* What is shorter, or cannot be read, stays 0, as it does in the kernel. */
	load_read_user(&call.type, sizeof(call.type), (void *)(base + ATTR_TYPE));
	if (ctx->size >= ATTR_LOG + sizeof(call.log)) {
		load_read_user(&log_level, sizeof(log_level), (void *)(base + ATTR_LOG_LEVEL));
		if (log_level)
			load_read_user(&call.log, sizeof(call.log), (void *)(base + ATTR_LOG));
		if (call.log)
			load_read_user(&call.log_begins, sizeof(call.log_begins), (void *)call.log);
	}
	if (ctx->size >= ATTR_NAME + sizeof(call.name))
		load_read_user(call.name, sizeof(call.name), (void *)(base + ATTR_NAME));
	if (call.type >= LOAD_TYPES)
		call.type = LOAD_TYPES;
	call.start_ns = bpf_ktime_get_ns();
	if (load_calls.update(&id, &call)) {
		int slot = 0;
		__u64 *unknown = loads_unknown.lookup(&slot);

		if (unknown)
			(*unknown)++;
	}
	return 0;
}

/* How many instructions the verifier walked, of the program behind a new descriptor of this process. */
ALWAYS_INLINE __u64 load_instructions(__s64 descriptor)
{
	__u32 walked = 0;
#ifdef OFF_VERIFIED_INSNS
	const char *at = (const char *)bpf_get_current_task();

#define FOLLOW(offset)                                                                                                 \
	if (load_read_kernel(&at, sizeof(at), at + (offset)))                                                          \
		return 0;
	FOLLOW(OFF_TASK_FILES)
	FOLLOW(OFF_FILES_FDT)
	FOLLOW(OFF_FDTABLE_FD)
	FOLLOW(descriptor * 8)
	FOLLOW(OFF_FILE_PRIVATE_DATA)
	FOLLOW(OFF_PROG_AUX)
#undef FOLLOW
	load_read_kernel(&walked, sizeof(walked), at + OFF_VERIFIED_INSNS);
#endif
	return walked;
}

/* Copies the end of a log; what is longer than the chunks is cut where they end. */
ALWAYS_INLINE void load_read_log(struct load_failure *failure, __u64 log)
{
	__u64 length = 0;
	long read = 0;
	int chunk;

	for (chunk = 0; chunk < LOAD_CHUNKS; chunk++) {
		read = load_read_text(failure->text, LOAD_TEXT_BYTES, (void *)(log + length));
		if (read <= 0)
			break;
		length += read - 1;
		if (read < LOAD_TEXT_BYTES)
			break;
	}
	failure->text_bytes = length;
	failure->text_at = 0;
	if (length < LOAD_TEXT_BYTES)
		return;
	failure->text_bytes = LOAD_TEXT_BYTES;
	failure->text_at = length - LOAD_TEXT_BYTES;
	if (load_read_user(failure->text, LOAD_TEXT_BYTES, (void *)(log + failure->text_at)))
		failure->text_bytes = 0;
}

ALWAYS_INLINE void load_failed(const struct load_call *call, const struct load_key *key, __u64 now)
{
	__u64 *total, number, begins = 0;
	struct load_failure *failure;
	int named = call->name[0] != 0;
	int slot = named;

	total = load_failures_total.lookup(&slot);
	if (!total)
		return;
	number = __sync_fetch_and_add(total, 1);
	slot = named * LOAD_FAILURES + number % LOAD_FAILURES;
	failure = load_failures.lookup(&slot);
	if (!failure)
		return;
	failure->number = number + 1;
	failure->at_ns = now;
	failure->duration_ns = now - call->start_ns;
	failure->type = key->type;
	failure->error = key->error;
	failure->process = bpf_get_current_pid_tgid() >> 32;
	failure->user = bpf_get_current_uid_gid();
	__builtin_memcpy(failure->command, key->command, sizeof(failure->command));
	__builtin_memcpy(failure->name, call->name, sizeof(failure->name));
	failure->text_bytes = 0;
	failure->text_at = 0;
	if (call->log && !load_read_user(&begins, sizeof(begins), (void *)call->log) && begins != call->log_begins)
		load_read_log(failure, call->log);
	failure->number_again = number + 1;
}

int load_ends(struct syscall_ends *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct load_value fresh = {}, *value;
	struct load_key key = {};
	__s64 result = ctx->result;
	struct load_call *begun, call;
	__u64 now;

	begun = load_calls.lookup(&id);
	if (!begun)
		return 0;
	call = *begun;
	load_calls.delete(&id);
	now = bpf_ktime_get_ns();
	bpf_get_current_comm(key.command, sizeof(key.command));
	key.type = call.type;
	key.error = result < 0 ? -result : 0;
	value = loads.lookup_or_try_init(&key, &fresh);
	if (value) {
		value->count++;
		value->last_at_ns = now;
		value->last_ns = now - call.start_ns;
		value->last_instructions = result < 0 ? 0 : load_instructions(result);
	} else {
		int slot = result < 0;
		__u64 *lost = loads_overflow.lookup(&slot);

		if (lost)
			(*lost)++;
	}
	if (result < 0)
		load_failed(&call, &key, now);
	return 0;
}
