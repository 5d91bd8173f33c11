/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared folder in a fresh folder of this machine, and a guest's kernel that asks it. */
#ifndef TESTS_UNIT_LINUX_SHARE_FIXTURE_H
#define TESTS_UNIT_LINUX_SHARE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/device.h"
#include "storage/share.h"

#define SHARE_TEST_ROOM 8192

static struct share *share;
static uint8_t share_answered[SHARE_TEST_ROOM]; /* what follows the header */
static uint64_t share_written;			/* of the whole answer */

/* The path of a name on the host, of `in`, which is shared, and `out`; a new buffer each time, of
 * each thread's own. */
static char *share_path(const char *name)
{
	static _Thread_local char paths[8][PATH_MAX];
	static _Thread_local unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", test_folder(), name);
	return path;
}

static void share_put_file(const char *name, const char *text)
{
	FILE *file = fopen(share_path(name), "w");

	REQUIRE(file);
	fputs(text, file);
	fclose(file);
}

/* What a file of the host's holds. */
static const char *share_text(const char *name)
{
	static char text[256];
	FILE *file = fopen(share_path(name), "r");
	size_t length;

	if (!file) {
		snprintf(text, sizeof(text), "(none: %s)", strerror(errno));
		return text;
	}
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
	return text;
}

struct share_wait {
	struct share_request request;
	uint64_t written;
	sem_t done;
};

static void share_is_done(struct share_request *request, uint64_t written)
{
	struct share_wait *wait = container_of(request, struct share_wait, request);

	wait->written = written;
	sem_post(&wait->done);
}

/* Sends a message as it is, in two pieces, with room for an answer of so many bytes. The answer's
 * error, or 1 if there was no answer. */
static int share_send(const void *message, size_t size, size_t room)
{
	static uint8_t answer[SHARE_TEST_ROOM + sizeof(struct fuse_out_header)];
	const size_t first = size < 20 ? size : 20, half = room / 2;
	struct slice readable[2] = {{(void *)(uintptr_t)message, first},
				    {(uint8_t *)(uintptr_t)message + first, size - first}};
	struct slice writable[2] = {{answer, half}, {answer + half, room - half}};
	struct fuse_out_header header;
	struct share_wait wait = {.request = {.readable = readable,
					      .writable = writable,
					      .readable_count = 2,
					      .writable_count = 2,
					      .readable_length = size,
					      .writable_length = room,
					      .done = share_is_done}};

	REQUIRE(room <= sizeof(answer));
	sem_init(&wait.done, 0, 0);
	REQUIRE(share->ops->submit(share, &wait.request) == 0);
	while (sem_wait(&wait.done))
		;
	sem_destroy(&wait.done);
	share_written = wait.written;
	REQUIRE(share_written <= room);
	if (share_written < sizeof(header))
		return 1;
	memcpy(&header, answer, sizeof(header));
	EXPECT_EQ(header.len, share_written);
	memcpy(share_answered, answer + sizeof(header), share_written - sizeof(header));
	return header.error;
}

/* One request: a structure and up to two strings (NULL: none) or bytes. */
static int share_ask_bytes(uint32_t opcode, uint64_t node, const void *argument, size_t size,
			   const void *bytes, size_t length, size_t room)
{
	static uint8_t message[SHARE_TEST_ROOM * 2];
	struct fuse_in_header header = {.opcode = opcode, .unique = 7, .nodeid = node};

	REQUIRE(sizeof(header) + size + length <= sizeof(message));
	header.len = (uint32_t)(sizeof(header) + size + length);
	memcpy(message, &header, sizeof(header));
	if (size)
		memcpy(message + sizeof(header), argument, size);
	if (length)
		memcpy(message + sizeof(header) + size, bytes, length);
	return share_send(message, header.len, room + sizeof(struct fuse_out_header));
}

static int share_ask(uint32_t opcode, uint64_t node, const void *argument, size_t size,
		     const char *one, const char *two)
{
	char strings[SHARE_TEST_ROOM];
	size_t length = 0;

	if (one) {
		memcpy(strings, one, strlen(one) + 1);
		length = strlen(one) + 1;
	}
	if (two) {
		memcpy(strings + length, two, strlen(two) + 1);
		length += strlen(two) + 1;
	}
	return share_ask_bytes(opcode, node, argument, size, strings, length, 4096);
}

static int share_begin(void)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .flags = UINT32_MAX};

	return share_ask(FUSE_INIT, 0, &in, sizeof(in), NULL, NULL);
}

/* Opens the folder `in` and begins. */
static void share_start_with(bool read_only, unsigned files)
{
	struct share_options options = {
		.tag = "t", .read_only = read_only, .uid = 1000, .gid = 1001, .files_max = files};
	char reason[PATH_MAX + 256];

	if (access(share_path("in"), F_OK)) {
		REQUIRE(mkdir(share_path("in"), 0755) == 0);
		REQUIRE(mkdir(share_path("out"), 0755) == 0);
		share_put_file("out/secret", "secret");
	}
	options.path = share_path("in");
	REQUIRE(share_open(&options, &share, reason, sizeof(reason)) == 0);
	REQUIRE(share_begin() == 0);
}

static void share_start(void)
{
	share_start_with(false, 64);
}

static void share_stop(void)
{
	share->ops->close(share);
}

/* The number of a name, with its attributes in share_answered; 0 and *error if there is none. */
static uint64_t share_find(uint64_t folder, const char *name, int *error)
{
	struct fuse_entry_out entry;

	*error = share_ask(FUSE_LOOKUP, folder, NULL, 0, name, NULL);
	if (*error)
		return 0;
	memcpy(&entry, share_answered, sizeof(entry));
	return entry.nodeid;
}

static struct fuse_attr share_attr(uint64_t node, int *error)
{
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out out;

	*error = share_ask(FUSE_GETATTR, node, &in, sizeof(in), NULL, NULL);
	memcpy(&out, share_answered, sizeof(out));
	return out.attr;
}

static int share_open_node(uint64_t node, uint32_t flags, uint64_t *handle)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out;
	int error = share_ask(flags & O_DIRECTORY ? FUSE_OPENDIR : FUSE_OPEN, node, &in, sizeof(in),
			      NULL, NULL);

	memcpy(&out, share_answered, sizeof(out));
	*handle = out.fh;
	return error;
}

static int share_make(uint64_t folder, const char *name, uint32_t flags, uint32_t mode,
		      uint64_t *node, uint64_t *handle)
{
	struct fuse_create_in in = {.flags = flags, .mode = S_IFREG | mode};
	struct fuse_entry_out entry;
	struct fuse_open_out out;
	int error = share_ask(FUSE_CREATE, folder, &in, sizeof(in), name, NULL);

	memcpy(&entry, share_answered, sizeof(entry));
	memcpy(&out, share_answered + sizeof(entry), sizeof(out));
	*node = entry.nodeid;
	*handle = out.fh;
	return error;
}

static int share_make_folder(uint64_t folder, const char *name, uint64_t *node)
{
	struct fuse_mkdir_in in = {.mode = 0755};
	struct fuse_entry_out entry;
	int error = share_ask(FUSE_MKDIR, folder, &in, sizeof(in), name, NULL);

	memcpy(&entry, share_answered, sizeof(entry));
	*node = entry.nodeid;
	return error;
}

static int share_put(uint64_t handle, uint64_t offset, const char *text)
{
	struct fuse_write_in in = {.fh = handle, .offset = offset, .size = (uint32_t)strlen(text)};

	return share_ask_bytes(FUSE_WRITE, 0, &in, sizeof(in), text, in.size, 64);
}

/* What a file holds from offset on, as a string; an empty one on an error. */
static const char *share_get(uint64_t handle, uint64_t offset, int *error)
{
	struct fuse_read_in in = {.fh = handle, .offset = offset, .size = 1000};

	*error = share_ask_bytes(FUSE_READ, 0, &in, sizeof(in), NULL, 0, 1000);
	share_answered[*error ? 0 : share_written - sizeof(struct fuse_out_header)] = '\0';
	return (const char *)share_answered;
}

#endif
