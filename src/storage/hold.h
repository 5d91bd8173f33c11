/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in front of another, which counts what passes and holds requests back: those above the
 * limits that were set, and, if that was chosen, writes for which this host has no room, until it
 * has. A request that is held back is only late. Nobody waits for it, and no other disk.
 *
 * Held back are neither flushes by limits (they count as an operation for those behind them), nor
 * requests that are `direct`. Requests may overtake each other, as on every disk; those held back
 * by a limit go in their order.
 */
#ifndef STORAGE_HOLD_H
#define STORAGE_HOLD_H

#include "core/plug.h"

struct vm;

/* What may pass in a second; 0: any. Reads and writes count alike; discards as operations only. */
struct hold_limits {
	uint64_t rate, burst; /* bytes; bytes at once after a rest (bucket.h) */
	uint64_t operations, operations_burst;
};

/* What a write ends with for which the host has no room: its file system, quota or file size limit
 * (-ENOSPC, -EDQUOT, -EFBIG). */
enum hold_full { HOLD_FULL_WAIT, HOLD_FULL_ERROR };

struct hold_config {
	struct hold_limits limits;
	enum hold_full when_full;
	/* Writes wait for room, or do no more. On a thread of its own, without locks. */
	void (*waits)(void *owner, struct disk *disk, bool waiting, int error);
	void *owner;
};

/* Since the disk was opened. */
struct hold_counts {
	uint64_t reads, writes, flushes, discards; /* requests that were passed on */
	uint64_t read_bytes, written_bytes;
	uint64_t held; /* requests that had to wait for a limit */
};

/*
 * 0, with *disk, whose close() closes `below` too; or -ENOMEM. vm: whose pause keeps what is held
 * back where it is; it need not be made yet. At drain() without a pause (a reset, the end), what is
 * held back ends with -EIO: the guest that asked for it is no more.
 */
int hold_open(struct disk *below, struct vm *vm, const struct hold_config *config,
	      struct disk **disk);

/* Any thread. */
void hold_limit(struct disk *disk, const struct hold_limits *limits);
void hold_limits(struct disk *disk, struct hold_limits *limits);
void hold_counts(const struct disk *disk, struct hold_counts *counts);
/* Whether writes wait for room. */
bool hold_waits(struct disk *disk);

#endif
