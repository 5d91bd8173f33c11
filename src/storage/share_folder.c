/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in a folder. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bits.h"
#include "storage/share_server.h"

/* What getdents64(2) writes. */
struct entry {
	uint64_t inode;
	int64_t next; /* position of the one behind it */
	uint16_t size;
	uint8_t type;
	char name[];
};

enum { ENTRIES_SIZE = 16 << 10 };

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Puts one entry into the answer. False: no room for it. */
static bool put(struct share_call *call, const struct entry *from, bool plus, size_t room)
{
	static const uint8_t padding[8];
	const size_t length = strlen(from->name);
	const size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
	const size_t size = align_up(head + sizeof(struct fuse_dirent) + length, 8);
	struct fuse_dirent out = {.ino = from->inode,
				  .off = (uint64_t)from->next,
				  .namelen = (uint32_t)length,
				  .type = from->type};
	struct fuse_entry_out entry = {0};

	if (size > room - call->answer_size)
		return false;
	/* The parent of the folder is no business of the guest's. */
	if (!strcmp(from->name, "..") && call->in.nodeid == SHARE_ROOT)
		out.ino = call->server->nodes.root.identity.inode;
	/* Its number may be 0 for the guest to look it up itself, if it wants to. */
	if (plus && !is_dot(from->name) && share_lookup_name(call, &call->hold, from->name, &entry))
		entry = (struct fuse_entry_out){0};
	if (plus)
		share_answer(call, &entry, sizeof(entry));
	share_answer(call, &out, sizeof(out));
	share_answer(call, from->name, length);
	share_answer(call, padding, size - head - sizeof(out) - length);
	return true;
}

/* Puts entries from the file's position on, until one doesn't fit. 0 or a negative errno. */
static int put_entries(struct share_call *call, int descriptor, uint8_t *entries, bool plus,
		       size_t room)
{
	for (;;) {
		long size = syscall(SYS_getdents64, descriptor, entries, ENTRIES_SIZE);

		if (size <= 0)
			return size < 0 && !call->answer_size ? -errno : 0;
		for (long at = 0; at < size;) {
			const struct entry *entry = (const struct entry *)(entries + at);

			if (!put(call, entry, plus, room))
				return call->answer_size ? 0 : -EINVAL;
			at += entry->size;
		}
	}
}

static int read_folder(struct share_call *call, bool plus)
{
	struct share_files *files = &call->server->files;
	struct share_file *file;
	struct fuse_read_in in;
	uint8_t *entries;
	int error = 0;

	memcpy(&in, call->argument, sizeof(in));
	file = share_file_hold(files, in.fh);
	if (!file)
		return -EBADF;
	entries = malloc(ENTRIES_SIZE);
	if (!entries)
		error = -ENOMEM;
	else if (file->descriptor < 0 || !file->folder || file->node != call->in.nodeid)
		error = -EBADF;
	else if (lseek(file->descriptor, (off_t)in.offset, SEEK_SET) < 0)
		error = -errno;
	else
		error = put_entries(call, file->descriptor, entries, plus,
				    in.size < call->answer_room ? in.size : call->answer_room);
	free(entries);
	share_file_release(files, file);
	return error;
}

int share_readdir(struct share_call *call)
{
	return read_folder(call, false);
}

int share_readdirplus(struct share_call *call)
{
	return read_folder(call, true);
}
