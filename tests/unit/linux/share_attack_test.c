/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared folder and a guest that wants out of it, or Lodge to fall. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "share_fixture.h"

enum { ROOT = 1 };

/* Whether what a number stands for is the file beside the folder. */
static bool is_secret(uint64_t node)
{
	struct stat status;
	struct fuse_attr attr;
	int error;

	attr = share_attr(node, &error);
	return !error && !stat(share_path("out/secret"), &status) && attr.ino == status.st_ino;
}

TEST(names_lead_nowhere_else)
{
	static const char *const bad[] = {
		"",	"/",	   "a/b", "../out/secret", "/etc/passwd", "in/../../out", "./a",
		"d/..", "..\\out", "//"};
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0600};
	struct fuse_rename_in rename_in = {.newdir = ROOT};
	uint64_t node, handle;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0600, &node, &handle) == 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (i == 8)
			continue; /* a backslash is a letter like others */
		EXPECT_EQ(share_find(ROOT, bad[i], &error), 0);
		EXPECT(error == -EINVAL || error == -ENOENT);
		EXPECT(share_make(ROOT, bad[i], O_RDWR, 0600, &node, &handle) < 0);
		EXPECT(share_ask(FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), bad[i], NULL) < 0);
		EXPECT(share_ask(FUSE_MKNOD, ROOT, &mknod_in, sizeof(mknod_in), bad[i], NULL) < 0);
		EXPECT(share_ask(FUSE_UNLINK, ROOT, NULL, 0, bad[i], NULL) < 0);
		EXPECT(share_ask(FUSE_RMDIR, ROOT, NULL, 0, bad[i], NULL) < 0);
		EXPECT(share_ask(FUSE_SYMLINK, ROOT, NULL, 0, bad[i], "x") < 0);
		EXPECT(share_ask(FUSE_RENAME, ROOT, &rename_in, sizeof(rename_in), "a", bad[i]) <
		       0);
		EXPECT(share_ask(FUSE_RENAME, ROOT, &rename_in, sizeof(rename_in), bad[i], "b") <
		       0);
	}
	EXPECT(share_ask(FUSE_RMDIR, ROOT, NULL, 0, "..", NULL) < 0);
	EXPECT(share_ask(FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "..", NULL) < 0);
	EXPECT_STR(share_text("out/secret"), "secret");
	share_stop();
}

TEST(dots_stop_at_the_folder)
{
	uint64_t folder, below;
	int error;

	share_start();
	REQUIRE(share_make_folder(ROOT, "d", &folder) == 0);
	REQUIRE(share_make_folder(folder, "e", &below) == 0);
	EXPECT_EQ(share_find(ROOT, "..", &error), ROOT);
	EXPECT_EQ(share_find(ROOT, ".", &error), ROOT);
	EXPECT_EQ(share_find(folder, "..", &error), ROOT);
	EXPECT_EQ(share_find(below, "..", &error), folder);
	/* Even where the host has moved it away. */
	REQUIRE(rename(share_path("in/d"), share_path("out/d")) == 0);
	EXPECT_EQ(share_find(folder, "..", &error), ROOT);
	share_stop();
}

TEST(links_of_the_guests_are_not_followed)
{
	static const char *const targets[] = {"../out", "/", "../out/secret", "."};
	struct fuse_setattr_in cut = {.valid = FATTR_SIZE};
	uint64_t node, handle;
	int error;

	share_start();
	for (unsigned i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "l%u", i);
		REQUIRE(share_ask(FUSE_SYMLINK, ROOT, NULL, 0, name, targets[i]) == 0);
		node = share_find(ROOT, name, &error);
		EXPECT_EQ(share_find(node, "secret", &error), 0);
		EXPECT_EQ(error, -ENOTDIR);
		EXPECT(share_open_node(node, O_RDWR, &handle) < 0);
		EXPECT(share_open_node(node, O_DIRECTORY, &handle) < 0);
		EXPECT(share_make(node, "new", O_RDWR, 0600, &(uint64_t){0}, &handle) < 0);
		/* Without O_EXCL what is there would be opened. */
		EXPECT(share_make(ROOT, name, O_RDWR | O_TRUNC, 0600, &(uint64_t){0}, &handle) < 0);
		EXPECT(share_ask(FUSE_SETATTR, node, &cut, sizeof(cut), NULL, NULL) < 0);
	}
	EXPECT_STR(share_text("out/secret"), "secret");
	EXPECT(access(share_path("out/new"), F_OK) != 0);
	share_stop();
}

TEST(link_to_a_link_is_not_followed_either)
{
	struct fuse_link_in in;
	struct stat status;
	int error;

	share_start();
	REQUIRE(share_ask(FUSE_SYMLINK, ROOT, NULL, 0, "l", "../out/secret") == 0);
	in.oldnodeid = share_find(ROOT, "l", &error);
	EXPECT_EQ(share_ask(FUSE_LINK, ROOT, &in, sizeof(in), "hard", NULL), 0);
	EXPECT(!lstat(share_path("in/hard"), &status) && S_ISLNK(status.st_mode));
	share_stop();
}

/* Another process of the host's (or another guest) that makes d a folder and a link by turns. */
static atomic_bool swap_on;

static void *swap(void *argument)
{
	while (atomic_load(&swap_on)) {
		rename(share_path("in/d"), share_path("in/kept"));
		if (symlink("../out", share_path("in/d")))
			break;
		unlink(share_path("in/d"));
		rename(share_path("in/kept"), share_path("in/d"));
	}
	return NULL;
}

TEST(races_lead_nowhere_else)
{
	unsigned found = 0, rounds = 0;
	pthread_t thread;
	time_t begun = time(NULL), gone = 0;
	int error;

	share_start_with(false, 2);
	REQUIRE(mkdir(share_path("in/d"), 0755) == 0);
	share_put_file("in/d/secret", "harmless");
	atomic_store(&swap_on, true);
	REQUIRE(pthread_create(&thread, NULL, swap, NULL) == 0);
	/* Longer where the other thread has hardly run. */
	for (; gone < 2 || (gone < 30 && (!found || found == rounds)); rounds++) {
		uint64_t folder = share_find(ROOT, "d", &error), file, handle, made;

		gone = time(NULL) - begun;
		if (!folder)
			continue;
		file = share_find(folder, "secret", &error);
		if (file) {
			found++;
			EXPECT(!is_secret(file));
			if (!share_open_node(file, O_RDWR, &handle)) {
				struct fuse_release_in in = {.fh = handle};

				EXPECT_STR(share_get(handle, 0, &error), "harmless");
				share_ask(FUSE_RELEASE, file, &in, sizeof(in), NULL, NULL);
			}
		}
		if (!share_make(folder, "new", O_RDWR, 0600, &made, &handle)) {
			struct fuse_release_in in = {.fh = handle};

			share_ask(FUSE_RELEASE, made, &in, sizeof(in), NULL, NULL);
			share_ask(FUSE_UNLINK, folder, NULL, 0, "new", NULL);
		}
		EXPECT_EQ(share_begin(), 0);
	}
	atomic_store(&swap_on, false);
	pthread_join(thread, NULL);
	EXPECT(found > 0 && rounds > found);
	EXPECT(access(share_path("out/new"), F_OK) != 0);
	EXPECT_STR(share_text("out/secret"), "secret");
	share_stop();
}

TEST(devices_are_not_made_and_nothing_but_files_is_opened)
{
	static const uint32_t types[] = {S_IFCHR, S_IFBLK, S_IFDIR, S_IFLNK, 0};
	struct fuse_mknod_in in = {.rdev = 0x103};
	uint64_t node, handle;
	int error;

	share_start();
	for (unsigned i = 0; i < 5; i++) {
		in.mode = types[i] | 0600;
		EXPECT_EQ(share_ask(FUSE_MKNOD, ROOT, &in, sizeof(in), "n", NULL), -EPERM);
	}
	/* To open this pipe on the host would wait for a writer. */
	REQUIRE(mkfifo(share_path("in/pipe"), 0600) == 0);
	node = share_find(ROOT, "pipe", &error);
	EXPECT_EQ(share_open_node(node, O_RDONLY, &handle), -ENXIO);
	EXPECT(share_make(ROOT, "pipe", O_WRONLY, 0600, &node, &handle) < 0);
	in.mode = S_IFIFO | 0600;
	EXPECT_EQ(share_ask(FUSE_MKNOD, ROOT, &in, sizeof(in), "own", NULL), 0);
	share_stop();
}

TEST(set_id_bits_are_not_set)
{
	struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = S_IFREG | 07777};
	struct fuse_mkdir_in mkdir_in = {.mode = 07777};
	uint64_t node, handle;
	struct stat status;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 06755, &node, &handle) == 0);
	EXPECT(!stat(share_path("in/a"), &status) && (status.st_mode & 06000) == 0);
	EXPECT_EQ(share_ask(FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), 0);
	EXPECT(!stat(share_path("in/a"), &status) && (status.st_mode & 07777) == 01777);
	EXPECT_EQ(share_ask(FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", NULL), 0);
	EXPECT(!stat(share_path("in/d"), &status) && (status.st_mode & 06000) == 0);
	share_stop();
}

TEST(read_only_folder_is_never_changed)
{
	struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_SIZE, .mode = 0777};
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0600};
	struct fuse_rename_in rename_in = {.newdir = ROOT};
	struct fuse_link_in link_in;
	struct fuse_setxattr_in xattr_in = {.size = 1};
	struct fuse_fallocate_in space = {.length = 100};
	uint64_t node, handle, other;
	struct stat before, after;
	int error;

	share_start();
	share_put_file("in/a", "as it was");
	share_stop();
	REQUIRE(!stat(share_path("in/a"), &before));
	share_start_with(true, 64);
	node = share_find(ROOT, "a", &error);
	link_in.oldnodeid = node;
	EXPECT_EQ(share_open_node(node, O_RDWR, &handle), -EROFS);
	EXPECT_EQ(share_open_node(node, O_RDONLY | O_TRUNC, &handle), -EROFS);
	REQUIRE(share_open_node(node, O_RDONLY, &handle) == 0);
	EXPECT_STR(share_get(handle, 0, &error), "as it was");
	space.fh = handle;
	EXPECT_EQ(share_put(handle, 0, "x"), -EROFS);
	EXPECT_EQ(share_ask(FUSE_FALLOCATE, node, &space, sizeof(space), NULL, NULL), -EROFS);
	EXPECT_EQ(share_ask(FUSE_SETATTR, node, &set, sizeof(set), NULL, NULL), -EROFS);
	EXPECT_EQ(share_make(ROOT, "b", O_RDWR, 0600, &other, &handle), -EROFS);
	EXPECT_EQ(share_make(ROOT, "a", O_RDONLY, 0600, &other, &handle), -EROFS);
	EXPECT_EQ(share_ask(FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", NULL), -EROFS);
	EXPECT_EQ(share_ask(FUSE_MKNOD, ROOT, &mknod_in, sizeof(mknod_in), "n", NULL), -EROFS);
	EXPECT_EQ(share_ask(FUSE_SYMLINK, ROOT, NULL, 0, "l", "a"), -EROFS);
	EXPECT_EQ(share_ask(FUSE_LINK, ROOT, &link_in, sizeof(link_in), "h", NULL), -EROFS);
	EXPECT_EQ(share_ask(FUSE_RENAME, ROOT, &rename_in, sizeof(rename_in), "a", "b"), -EROFS);
	EXPECT_EQ(share_ask(FUSE_UNLINK, ROOT, NULL, 0, "a", NULL), -EROFS);
	EXPECT_EQ(share_ask(FUSE_RMDIR, ROOT, NULL, 0, "a", NULL), -EROFS);
	EXPECT_EQ(share_ask(FUSE_SETXATTR, node, &xattr_in, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.x",
			    "v"),
		  -EROFS);
	EXPECT_EQ(share_ask(FUSE_REMOVEXATTR, node, NULL, 0, "user.x", NULL), -EROFS);
	REQUIRE(!stat(share_path("in/a"), &after));
	EXPECT(before.st_mode == after.st_mode && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
	EXPECT_STR(share_text("in/a"), "as it was");
	share_stop();
}

TEST(open_files_have_a_limit)
{
	uint64_t node, handle = 0, first = 0;
	struct fuse_release_in in = {0};
	int error;

	share_start_with(false, 16);
	share_put_file("in/a", "text");
	node = share_find(ROOT, "a", &error);
	for (unsigned i = 0; i < 16; i++) {
		EXPECT_EQ(share_open_node(node, O_RDONLY, &handle), 0);
		first = i ? first : handle;
	}
	EXPECT_EQ(share_open_node(node, O_RDONLY, &handle), -ENFILE);
	in.fh = first;
	EXPECT_EQ(share_ask(FUSE_RELEASE, node, &in, sizeof(in), NULL, NULL), 0);
	EXPECT_EQ(share_ask(FUSE_RELEASE, node, &in, sizeof(in), NULL, NULL), -EBADF);
	EXPECT_EQ(share_open_node(node, O_RDONLY, &handle), 0);
	/* The number of what was closed isn't that of what took its place. */
	share_get(first, 0, &error);
	EXPECT_EQ(error, -EBADF);
	EXPECT_STR(share_get(handle, 0, &error), "text");
	share_stop();
}

TEST(numbers_that_are_forgotten_or_made_up_are_none)
{
	struct fuse_forget_in forget = {.nlookup = UINT64_MAX};
	uint64_t node;
	int error;

	share_start();
	REQUIRE(share_make_folder(ROOT, "d", &node) == 0);
	EXPECT_EQ(share_ask(FUSE_FORGET, node, &forget, sizeof(forget), NULL, NULL), 1);
	share_attr(node, &error);
	EXPECT_EQ(error, -ESTALE);
	share_attr(0, &error);
	EXPECT_EQ(error, -ESTALE);
	share_attr(UINT64_MAX, &error);
	EXPECT_EQ(error, -ESTALE);
	EXPECT_EQ(share_ask(FUSE_FORGET, ROOT, &forget, sizeof(forget), NULL, NULL), 1);
	share_attr(ROOT, &error);
	EXPECT_EQ(error, 0);
	share_stop();
}

TEST(nothing_is_done_before_the_beginning)
{
	struct fuse_init_in old = {.major = 7, .minor = 8};
	int error;

	share_start();
	EXPECT_EQ(share_ask(FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
	share_find(ROOT, "a", &error);
	EXPECT_EQ(error, -EIO);
	EXPECT_EQ(share_ask(FUSE_INIT, 0, &old, sizeof(old), NULL, NULL), -EPROTO);
	share_find(ROOT, "a", &error);
	EXPECT_EQ(error, -EIO);
	EXPECT_EQ(share_begin(), 0);
	share_find(ROOT, "a", &error);
	EXPECT_EQ(error, -ENOENT);
	share_stop();
}

/* Each operation, cut at each length, with each amount of room, filled with one byte or another. */
TEST(messages_that_make_no_sense_are_answered_or_not)
{
	static const uint8_t fills[] = {0x00, 0x41, 0xff, 0x01};
	uint8_t message[256];

	share_start();
	for (uint32_t opcode = 0; opcode < 60; opcode++) {
		for (unsigned fill = 0; fill < sizeof(fills); fill++) {
			struct fuse_in_header header = {.opcode = opcode, .nodeid = ROOT};

			memset(message, fills[fill], sizeof(message));
			memcpy(message, &header, sizeof(header));
			for (size_t size = 0; size <= sizeof(message); size += size < 130 ? 3 : 40)
				share_send(message, size, (size * 7) % 300);
			share_begin();
		}
	}
	EXPECT_STR(share_text("out/secret"), "secret");
	share_stop();
}

/* Several guest processes at once, one of them wild. */
static void *forget_all(void *argument)
{
	struct share_wait wait;
	struct fuse_in_header header = {.len = sizeof(header), .opcode = FUSE_DESTROY};
	uint8_t answer[64];
	struct slice readable = {&header, sizeof(header)}, writable = {answer, sizeof(answer)};

	while (atomic_load(&swap_on)) {
		wait.request = (struct share_request){.readable = &readable,
						      .writable = &writable,
						      .readable_count = 1,
						      .writable_count = 1,
						      .readable_length = sizeof(header),
						      .writable_length = sizeof(answer),
						      .done = share_is_done};
		sem_init(&wait.done, 0, 0);
		if (share->ops->submit(share, &wait.request))
			break;
		while (sem_wait(&wait.done))
			;
		usleep(200);
	}
	return NULL;
}

TEST(end_amid_requests_does_no_harm)
{
	pthread_t thread;
	uint64_t node, handle;
	time_t end;
	int error;

	share_start();
	atomic_store(&swap_on, true);
	REQUIRE(pthread_create(&thread, NULL, forget_all, NULL) == 0);
	for (end = time(NULL) + 1; time(NULL) < end;) {
		share_begin();
		if (!share_make(ROOT, "a", O_RDWR, 0600, &node, &handle)) {
			share_put(handle, 0, "text");
			share_get(handle, 0, &error);
			share_attr(node, &error);
		}
	}
	atomic_store(&swap_on, false);
	pthread_join(thread, NULL);
	share_stop();
}
