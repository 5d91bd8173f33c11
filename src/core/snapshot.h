/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A saved machine's device state, as a stream of little-endian fields. One function of a device
 * visits its fields in order, for saving and for loading alike, so the two can never disagree. What
 * is read is hostile: the device checks every value it indexes with after loading (snapshot_fail).
 */
#ifndef CORE_SNAPSHOT_H
#define CORE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot {
	bool loading;
	int error; /* 0, or the first negative errno; after it nothing is read or written any more
		    */
	const char *reason;
	uint8_t *bytes;
	size_t size; /* room when saving, length when loading */
	size_t position;
};

/* Each saves *value, or loads it (0 once there is an error). */
void snapshot_u8(struct snapshot *snapshot, uint8_t *value);
void snapshot_u16(struct snapshot *snapshot, uint16_t *value);
void snapshot_u32(struct snapshot *snapshot, uint32_t *value);
void snapshot_u64(struct snapshot *snapshot, uint64_t *value);
void snapshot_bool(struct snapshot *snapshot, bool *value);
void snapshot_bytes(struct snapshot *snapshot, void *bytes, size_t size);

/* Marks the load as failed (-EINVAL) for a reason that a person can read. */
void snapshot_fail(struct snapshot *snapshot, const char *reason);

#endif
