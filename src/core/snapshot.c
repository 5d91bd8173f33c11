/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/snapshot.h"

#include "lib/bytes.h"
#include "lib/error.h"

static void fail(struct snapshot *snapshot, int error, const char *reason)
{
	if (snapshot->error)
		return;
	snapshot->error = error;
	snapshot->reason = reason;
}

void snapshot_fail(struct snapshot *snapshot, const char *reason)
{
	fail(snapshot, -EINVAL, reason);
}

void snapshot_bytes(struct snapshot *snapshot, void *bytes, size_t size)
{
	if (!snapshot->error && size > snapshot->size - snapshot->position) {
		if (snapshot->loading)
			fail(snapshot, -EINVAL, "the saved state ends too early");
		else
			fail(snapshot, -ENOSPC, "no room for the saved state");
	}
	if (snapshot->error) {
		if (snapshot->loading)
			bytes_fill(bytes, 0, size);
		return;
	}
	if (snapshot->loading)
		bytes_copy(bytes, snapshot->bytes + snapshot->position, size);
	else
		bytes_copy(snapshot->bytes + snapshot->position, bytes, size);
	snapshot->position += size;
}

/* Integers lie in memory as they are saved: every processor that Lodge runs on is little-endian. */
void snapshot_u8(struct snapshot *snapshot, uint8_t *value)
{
	snapshot_bytes(snapshot, value, sizeof(*value));
}

void snapshot_u16(struct snapshot *snapshot, uint16_t *value)
{
	snapshot_bytes(snapshot, value, sizeof(*value));
}

void snapshot_u32(struct snapshot *snapshot, uint32_t *value)
{
	snapshot_bytes(snapshot, value, sizeof(*value));
}

void snapshot_u64(struct snapshot *snapshot, uint64_t *value)
{
	snapshot_bytes(snapshot, value, sizeof(*value));
}

void snapshot_bool(struct snapshot *snapshot, bool *value)
{
	uint8_t byte = *value ? 1 : 0;

	snapshot_u8(snapshot, &byte);
	if (byte > 1)
		snapshot_fail(snapshot, "a saved yes-or-no is neither");
	*value = byte == 1;
}
