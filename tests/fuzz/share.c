/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to a shared folder: the input is a row of them, each an operation, a node or an open
 * file that was answered before, or any, an argument of numbers that are likely to do something,
 * and names out of a few, some of which try to lead outside. What lies beside the folder must be as
 * it was in the end, and the folder must still work.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/device.h"
#include "storage/share.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())

enum { ROOM = 4096, KNOWN = 16 };

static char place[] = "/tmp/lodge-share-fuzz-XXXXXX";
static struct share *share;
static struct stat secret;
static uint64_t nodes[KNOWN], handles[KNOWN];
static unsigned node_count, handle_count;

struct input {
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->data++;
}

struct wait {
	struct share_request request;
	uint64_t written;
	sem_t done;
};

static void is_done(struct share_request *request, uint64_t written)
{
	struct wait *wait = container_of(request, struct wait, request);

	wait->written = written;
	sem_post(&wait->done);
}

/* How many bytes of answer there are. */
static uint64_t send(uint8_t *message, size_t size, uint8_t *answer, size_t room)
{
	struct slice readable = {message, size}, writable = {answer, room};
	struct wait wait = {.request = {.readable = &readable,
					.writable = &writable,
					.readable_count = 1,
					.writable_count = 1,
					.readable_length = size,
					.writable_length = room,
					.done = is_done}};

	sem_init(&wait.done, 0, 0);
	EXPECT(share->ops->submit(share, &wait.request) == 0);
	while (sem_wait(&wait.done))
		;
	sem_destroy(&wait.done);
	EXPECT(wait.written <= room);
	return wait.written;
}

static uint64_t ask(uint32_t opcode, uint64_t node, const void *argument, size_t size,
		    uint8_t *answer, size_t room)
{
	struct fuse_in_header header = {.opcode = opcode, .nodeid = node};
	uint8_t message[ROOM];

	header.len = (uint32_t)(sizeof(header) + size);
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), argument, size);
	return send(message, sizeof(header) + size, answer, room);
}

static void begin(void)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .flags = UINT32_MAX};
	uint8_t answer[ROOM];

	EXPECT(ask(FUSE_INIT, 0, &in, sizeof(in), answer, sizeof(answer)) ==
	       sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out));
	nodes[0] = 1;
	node_count = 1;
	handle_count = 0;
}

static void remove_place(void)
{
	char command[128];

	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", place, place);
	if (system(command))
		perror(command);
}

static void empty(void)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "cd %s/in && chmod -R u+rwx . && find . -mindepth 1 -delete && mkdir d && echo x "
		 ">a && "
		 "ln -s ../out l && mkfifo p",
		 place);
	EXPECT(system(command) == 0);
}

static void start(void)
{
	struct share_options options = {.tag = "fuzz", .uid = 0, .gid = 0, .files_max = 8};
	char path[64], reason[512];
	FILE *file;

	EXPECT(mkdtemp(place));
	atexit(remove_place);
	snprintf(path, sizeof(path), "%s/out", place);
	EXPECT(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/out/secret", place);
	file = fopen(path, "w");
	EXPECT(file && fputs("secret", file) >= 0 && fclose(file) == 0);
	EXPECT(stat(path, &secret) == 0);
	snprintf(path, sizeof(path), "%s/in", place);
	EXPECT(mkdir(path, 0700) == 0);
	options.path = path;
	EXPECT(share_open(&options, &share, reason, sizeof(reason)) == 0);
	empty();
}

static size_t put_name(struct input *input, uint8_t *to)
{
	static const char *const names[] = {"a",  "b", "d",   "e",	"l",	"p",	  "secret",
					    "..", ".", "a/b", "../out", "/etc", "user.x", ""};
	const char *name = names[take(input) % (sizeof(names) / sizeof(names[0]))];

	memcpy(to, name, strlen(name) + 1);
	return strlen(name) + 1;
}

static uint64_t number(struct input *input)
{
	uint8_t what = take(input);

	switch (what % 8) {
	case 0:
		return node_count ? nodes[(what >> 3) % node_count] : 0;
	case 1:
	case 2:
		return handle_count ? handles[(what >> 3) % handle_count] : 0;
	case 3:
		return UINT64_MAX >> (what >> 3);
	case 4:
		return (uint64_t)take(input) << (what >> 3);
	default:
		return what >> 3;
	}
}

static void note(uint32_t opcode, const uint8_t *answer, uint64_t length)
{
	const size_t head = sizeof(struct fuse_out_header);
	uint64_t value;

	if (length < head + 8 || memcmp(answer + 4, "\0\0\0\0", 4) != 0)
		return;
	memcpy(&value, answer + head, 8);
	if (opcode == FUSE_LOOKUP || opcode == FUSE_MKDIR || opcode == FUSE_MKNOD ||
	    opcode == FUSE_SYMLINK || opcode == FUSE_LINK || opcode == FUSE_CREATE) {
		struct fuse_entry_out entry;

		EXPECT(length >= head + sizeof(entry));
		memcpy(&entry, answer + head, sizeof(entry));
		EXPECT(entry.attr.ino != secret.st_ino);
		nodes[node_count < KNOWN ? node_count++ : entry.nodeid % KNOWN] = value;
	}
	if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)
		handles[handle_count < KNOWN ? handle_count++ : value % KNOWN] = value;
	if (opcode == FUSE_CREATE && length >= head + sizeof(struct fuse_entry_out) + 8) {
		memcpy(&value, answer + head + sizeof(struct fuse_entry_out), 8);
		handles[handle_count < KNOWN ? handle_count++ : value % KNOWN] = value;
	}
}

static void step(struct input *input)
{
	/* A file system isn't to be synced by a fuzzer, nor is a disk to be filled. */
	static const uint8_t shunned[] = {FUSE_SYNCFS, FUSE_FALLOCATE, FUSE_FSYNC, FUSE_FSYNCDIR};
	uint8_t message[ROOM] = {0}, answer[ROOM], shape = take(input);
	struct fuse_in_header header = {.opcode = take(input) % 53, .nodeid = 1};
	size_t size = sizeof(header), words = shape % 12;

	if (memchr(shunned, (int)header.opcode, sizeof(shunned)))
		return;
	header.nodeid = shape & 128 ? number(input) : nodes[take(input) % node_count];
	for (size_t i = 0; i < words; i++, size += 8) {
		uint64_t value = number(input);

		/* Files stay small. */
		if (header.opcode == FUSE_WRITE || header.opcode == FUSE_SETATTR)
			value &= i == 0 || i == 1 ? UINT64_MAX : 0xffff;
		memcpy(message + size, &value, 8);
	}
	if (shape & 16)
		size -= 4;
	if (shape & 32)
		size += put_name(input, message + size);
	if (shape & 64)
		size += put_name(input, message + size);
	header.len = (uint32_t)size;
	memcpy(message, &header, sizeof(header));
	note(header.opcode, answer, send(message, size, answer, shape & 1 ? 300 : ROOM));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct stat now;
	char path[64];

	if (!share)
		start();
	begin();
	for (unsigned i = 0; input.left && i < 40; i++)
		step(&input);
	begin();
	snprintf(path, sizeof(path), "%s/out/secret", place);
	EXPECT(!stat(path, &now) && now.st_ctim.tv_sec == secret.st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == secret.st_ctim.tv_nsec && now.st_nlink == 1);
	if (size && data[0] % 16 == 0)
		empty();
	return 0;
}
