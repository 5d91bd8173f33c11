/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of a qcow2 image's internal snapshots, which Lodge reads and leaves alone: that their
 * clusters have other users is known from the refcounts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/checked.h"
#include "storage/qcow2_image.h"
#include "storage/qcow2_snapshot.h"

enum {
	AT_L1 = 0,
	AT_L1_SIZE = 8,
	AT_ID_LENGTH = 12,
	AT_NAME_LENGTH = 14,
	AT_SECONDS = 16,
	AT_VM_STATE = 32,
	AT_EXTRA_LENGTH = 36,
	FIXED = 40,
	EXTRA_VM_STATE = 0,
	EXTRA_DISK_SIZE = 8,
	EXTRA_MAX = 1024,
	ENTRY_USUAL = 4096,
	ENTRY_MAX = FIXED + EXTRA_MAX + 65535 * 2 + 8,
};

static void take_text(char *to, size_t room, const uint8_t *from, size_t length)
{
	if (length >= room)
		length = room - 1;
	memcpy(to, from, length);
	to[length] = '\0';
}

/* One entry of at most `room` bytes; *length is how long it is. */
static int parse(const struct qcow2 *image, const uint8_t *entry, size_t room,
		 struct qcow2_snapshot *snapshot, uint64_t *length)
{
	size_t id = qcow2_load16(entry + AT_ID_LENGTH), name = qcow2_load16(entry + AT_NAME_LENGTH);
	size_t extra = qcow2_load32(entry + AT_EXTRA_LENGTH);

	if (extra > EXTRA_MAX || FIXED + extra + id + name > room)
		return -EINVAL;
	*snapshot = (struct qcow2_snapshot){
		.l1_offset = qcow2_load64(entry + AT_L1),
		.l1_size = qcow2_load32(entry + AT_L1_SIZE),
		.seconds = qcow2_load32(entry + AT_SECONDS),
		.vm_state_size = qcow2_load32(entry + AT_VM_STATE),
		.disk_size = image->size,
	};
	if (extra >= EXTRA_VM_STATE + 8)
		snapshot->vm_state_size = qcow2_load64(entry + FIXED + EXTRA_VM_STATE);
	if (extra >= EXTRA_DISK_SIZE + 8)
		snapshot->disk_size = qcow2_load64(entry + FIXED + EXTRA_DISK_SIZE);
	take_text(snapshot->id, sizeof(snapshot->id), entry + FIXED + extra, id);
	take_text(snapshot->name, sizeof(snapshot->name), entry + FIXED + extra + id, name);
	*length = align_up(FIXED + extra + id + name, 8);
	return 0;
}

/* Reads one, of which most are short. */
static int read_entry(struct qcow2 *image, uint64_t at, uint8_t *entry,
		      struct qcow2_snapshot *snapshot, uint64_t *length)
{
	int error = file_read(&image->file, entry, ENTRY_USUAL, at);

	if (!error && !parse(image, entry, ENTRY_USUAL, snapshot, length))
		return 0;
	if (!error)
		error = file_read(&image->file, entry, ENTRY_MAX, at);
	return error ? error : parse(image, entry, ENTRY_MAX, snapshot, length);
}

int qcow2_snapshot_table(struct qcow2 *image, struct qcow2_snapshot **list, unsigned *count,
			 uint64_t *length)
{
	unsigned wanted = image->header.snapshot_count;
	uint8_t *entry = malloc(ENTRY_MAX);
	uint64_t at = image->header.snapshot_offset, part;
	int error = 0;

	*length = 0;
	*count = 0;
	*list = calloc((size_t)wanted + 1, sizeof(**list));
	if (!entry || !*list)
		error = -ENOMEM;
	while (!error && *count < wanted) {
		if (!range_within(at, FIXED, image->file_size))
			error = -EINVAL;
		if (!error)
			error = read_entry(image, at + *length, entry, *list + *count, &part);
		if (!error && !range_within(at, *length + part, image->file_size + 8))
			error = -EINVAL;
		if (!error) {
			*length += part;
			(*count)++;
		}
	}
	free(entry);
	if (error) {
		free(*list);
		*list = NULL;
		*count = 0;
	}
	return error;
}

int qcow2_snapshots(struct qcow2 *image, struct qcow2_snapshot **list, unsigned *count)
{
	uint64_t length;

	return qcow2_snapshot_table(image, list, count, &length);
}
