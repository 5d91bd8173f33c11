/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared folder as a well-behaved guest uses it. */
#include "test.h"

#include "core/snapshot.h"
#include "storage/share_node.h"
#include "share_fixture.h"

enum { ROOT = 1 };

TEST(file_is_made_written_read_and_removed)
{
	uint64_t node, handle;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR | O_EXCL, 0640, &node, &handle) == 0);
	EXPECT_EQ(share_put(handle, 0, "hello"), 0);
	EXPECT_EQ(share_put(handle, 5, " there"), 0);
	EXPECT_STR(share_get(handle, 1, &error), "ello there");
	EXPECT_STR(share_text("in/a"), "hello there");
	EXPECT_EQ(share_attr(node, &error).mode, S_IFREG | 0640);
	EXPECT_EQ(share_attr(node, &error).size, 11);
	EXPECT_EQ(share_make(ROOT, "a", O_RDWR | O_EXCL, 0640, &node, &handle), -EEXIST);
	EXPECT_EQ(share_ask(FUSE_UNLINK, ROOT, NULL, 0, "a", NULL), 0);
	EXPECT_EQ(share_find(ROOT, "a", &error), 0);
	EXPECT_EQ(error, -ENOENT);
	share_stop();
}

TEST(modes_are_the_guests_whatever_the_hosts_mask)
{
	uint64_t node, handle;
	int error;

	umask(077);
	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0666, &node, &handle) == 0);
	EXPECT_EQ(share_attr(node, &error).mode, S_IFREG | 0666);
	REQUIRE(share_make_folder(ROOT, "d", &node) == 0);
	EXPECT_EQ(share_attr(node, &error).mode, S_IFDIR | 0755);
	share_stop();
}

TEST(owners_are_the_guests_or_nobody)
{
	struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID, .uid = 1000, .gid = 1001};
	uint64_t node, handle, other;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0600, &node, &handle) == 0);
	EXPECT_EQ(share_attr(node, &error).uid, 1000);
	EXPECT_EQ(share_attr(node, &error).gid, 1001);
	EXPECT_EQ(share_ask(FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), 0);
	in.uid = 0;
	EXPECT_EQ(share_ask(FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), -EPERM);
	if (geteuid() == 0) {
		REQUIRE(chown(share_path("in/a"), 1234, 1234) == 0);
		other = share_find(ROOT, "a", &error);
		EXPECT_EQ(share_attr(other, &error).uid, 65534);
		EXPECT_EQ(share_attr(other, &error).gid, 65534);
	}
	share_stop();
}

TEST(size_and_times_are_set)
{
	struct fuse_setattr_in in = {
		.valid = FATTR_SIZE | FATTR_MTIME, .size = 3, .mtime = 1000000000, .mtimensec = 5};
	uint64_t node, handle;
	struct fuse_attr attr;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_WRONLY, 0600, &node, &handle) == 0);
	EXPECT_EQ(share_put(handle, 0, "hello"), 0);
	EXPECT_EQ(share_ask(FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), 0);
	attr = share_attr(node, &error);
	EXPECT_EQ(attr.size, 3);
	EXPECT_EQ(attr.mtime, 1000000000);
	EXPECT_EQ(attr.mtimensec, 5);
	EXPECT_STR(share_text("in/a"), "hel");
	share_stop();
}

TEST(read_only_file_that_is_open_for_writing_is_cut)
{
	struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_FH};
	uint64_t node;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_WRONLY, 0400, &node, &in.fh) == 0);
	EXPECT_EQ(share_put(in.fh, 0, "hello"), 0);
	EXPECT_EQ(share_ask(FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL), 0);
	EXPECT_EQ(share_attr(node, &error).size, 0);
	share_stop();
}

TEST(what_is_appended_goes_to_the_end_and_pages_to_their_place)
{
	struct fuse_write_in in = {.size = 1, .write_flags = FUSE_WRITE_CACHE};
	uint64_t node, handle;

	share_start();
	share_put_file("in/a", "12345");
	node = share_find(ROOT, "a", &(int){0});
	REQUIRE(share_open_node(node, O_RDWR | O_APPEND, &handle) == 0);
	EXPECT_EQ(share_put(handle, 0, "6"), 0);
	in.fh = handle;
	EXPECT_EQ(share_ask_bytes(FUSE_WRITE, 0, &in, sizeof(in), "X", 1, 64), 0);
	EXPECT_STR(share_text("in/a"), "X23456");
	share_stop();
}

TEST(removed_file_is_there_while_it_is_open)
{
	uint64_t node, handle;
	int error;

	share_start_with(false, 16);
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0600, &node, &handle) == 0);
	EXPECT_EQ(share_put(handle, 0, "still"), 0);
	EXPECT_EQ(share_ask(FUSE_UNLINK, ROOT, NULL, 0, "a", NULL), 0);
	/* Others don't drive it out of the descriptors that are at hand. */
	for (unsigned i = 0; i < 64; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		EXPECT_EQ(share_make_folder(ROOT, name, &(uint64_t){0}), 0);
	}
	EXPECT_STR(share_get(handle, 0, &error), "still");
	EXPECT_EQ(share_attr(node, &error).nlink, 0);
	EXPECT_EQ(error, 0);
	share_stop();
}

TEST(renamed_file_keeps_its_number)
{
	struct fuse_rename2_in in = {0};
	uint64_t node, handle, folder, other;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0600, &node, &handle) == 0);
	REQUIRE(share_make_folder(ROOT, "d", &folder) == 0);
	in.newdir = folder;
	EXPECT_EQ(share_ask(FUSE_RENAME2, ROOT, &in, sizeof(in), "a", "b"), 0);
	EXPECT_EQ(share_find(folder, "b", &error), node);
	EXPECT_EQ(share_find(ROOT, "a", &error), 0);
	REQUIRE(share_make(ROOT, "c", O_RDWR, 0600, &other, &handle) == 0);
	in.flags = 1; /* RENAME_NOREPLACE */
	EXPECT_EQ(share_ask(FUSE_RENAME2, ROOT, &in, sizeof(in), "c", "b"), -EEXIST);
	in.flags = 2; /* RENAME_EXCHANGE */
	EXPECT_EQ(share_ask(FUSE_RENAME2, ROOT, &in, sizeof(in), "c", "b"), 0);
	EXPECT_EQ(share_find(folder, "b", &error), other);
	EXPECT_EQ(share_find(ROOT, "c", &error), node);
	in.flags = 4; /* RENAME_WHITEOUT */
	EXPECT_EQ(share_ask(FUSE_RENAME2, ROOT, &in, sizeof(in), "c", "b"), -EINVAL);
	share_stop();
}

TEST(hard_links_have_one_number)
{
	struct fuse_link_in in;
	uint64_t node, handle;
	int error;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0600, &node, &handle) == 0);
	in.oldnodeid = node;
	EXPECT_EQ(share_ask(FUSE_LINK, ROOT, &in, sizeof(in), "b", NULL), 0);
	EXPECT_EQ(share_find(ROOT, "b", &error), node);
	EXPECT_EQ(share_attr(node, &error).nlink, 2);
	EXPECT_EQ(share_ask(FUSE_UNLINK, ROOT, NULL, 0, "b", NULL), 0);
	EXPECT_EQ(share_find(ROOT, "a", &error), node);
	share_stop();
}

TEST(symbolic_links_are_told_as_they_are)
{
	uint64_t node;
	int error;

	share_start();
	EXPECT_EQ(share_ask(FUSE_SYMLINK, ROOT, NULL, 0, "l", "../out/secret"), 0);
	node = share_find(ROOT, "l", &error);
	EXPECT_EQ(share_attr(node, &error).mode & S_IFMT, S_IFLNK);
	REQUIRE(share_ask(FUSE_READLINK, node, NULL, 0, NULL, NULL) == 0);
	EXPECT_EQ(share_written, sizeof(struct fuse_out_header) + 13);
	EXPECT_MEM(share_answered, "../out/secret", 13);
	share_stop();
}

/* Reads a folder with room for a few entries at a time: how often each of f0 to f299 came. */
static void read_folder(uint32_t opcode, uint8_t *seen)
{
	struct fuse_read_in in = {.size = 1000};
	size_t head = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;
	size_t end;

	REQUIRE(share_open_node(ROOT, O_DIRECTORY, &in.fh) == 0);
	do {
		REQUIRE(share_ask_bytes(opcode, ROOT, &in, sizeof(in), NULL, 0, 1000) == 0);
		end = share_written - sizeof(struct fuse_out_header);
		for (size_t at = 0; at < end;) {
			struct fuse_dirent entry;
			char name[32] = "";
			unsigned number;

			memcpy(&entry, share_answered + at + head, sizeof(entry));
			REQUIRE(entry.namelen < sizeof(name));
			memcpy(name, share_answered + at + head + sizeof(entry), entry.namelen);
			if (sscanf(name, "f%u", &number) == 1 && number < 300)
				seen[number]++;
			in.offset = entry.off;
			at += (head + sizeof(entry) + entry.namelen + 7) & ~7ul;
		}
	} while (end > 0);
}

TEST(folder_is_read_in_pieces)
{
	uint8_t seen[300] = {0};

	share_start();
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "in/f%u", i);
		share_put_file(name, "");
	}
	read_folder(FUSE_READDIR, seen);
	read_folder(FUSE_READDIRPLUS, seen);
	for (unsigned i = 0; i < 300; i++)
		if (seen[i] != 2)
			FAIL("f%u came %u times", i, seen[i]);
	share_stop();
}

TEST(attributes_of_the_users_are_kept)
{
	struct fuse_setxattr_in set = {.size = 3};
	struct fuse_getxattr_in get = {.size = 100};
	uint64_t node, handle;

	share_start();
	REQUIRE(share_make(ROOT, "a", O_RDWR, 0600, &node, &handle) == 0);
	if (share_ask(FUSE_SETXATTR, node, &set, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.x", "abc") ==
	    -EOPNOTSUPP)
		SKIP("/tmp has no extended attributes");
	REQUIRE(share_ask(FUSE_GETXATTR, node, &get, sizeof(get), "user.x", NULL) == 0);
	EXPECT_MEM(share_answered, "abc", 3);
	REQUIRE(share_ask(FUSE_LISTXATTR, node, &get, sizeof(get), NULL, NULL) == 0);
	EXPECT_MEM(share_answered, "user.x", 7);
	get.size = 2;
	EXPECT_EQ(share_ask(FUSE_GETXATTR, node, &get, sizeof(get), "user.x", NULL), -ERANGE);
	get.size = 0;
	REQUIRE(share_ask(FUSE_GETXATTR, node, &get, sizeof(get), "user.x", NULL) == 0);
	EXPECT_EQ(*(uint32_t *)share_answered, 3);
	EXPECT_EQ(share_ask(FUSE_REMOVEXATTR, node, NULL, 0, "user.x", NULL), 0);
	EXPECT_EQ(share_ask(FUSE_GETXATTR, node, &get, sizeof(get), "user.x", NULL), -ENODATA);
	EXPECT_EQ(share_ask(FUSE_SETXATTR, node, &set, FUSE_COMPAT_SETXATTR_IN_SIZE,
			    "security.capability", "abc"),
		  -EOPNOTSUPP);
	share_stop();
}

TEST(many_files_need_few_descriptors)
{
	uint64_t node[200];
	int error, last;

	share_start_with(false, 16);
	for (unsigned i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		REQUIRE(share_make_folder(i % 10 ? node[i - i % 10] : ROOT, name, &node[i]) == 0);
	}
	last = open("/", O_RDONLY);
	EXPECT(last < 64);
	close(last);
	for (unsigned i = 0; i < 200; i++) {
		share_attr(node[i], &error);
		EXPECT_EQ(error, 0);
	}
	share_stop();
}

TEST(folder_made_anew_by_the_host_is_another)
{
	uint64_t node, below;
	int error;

	share_start_with(false, 4);
	REQUIRE(share_make_folder(ROOT, "d", &node) == 0);
	REQUIRE(share_make_folder(node, "e", &below) == 0);
	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		EXPECT_EQ(share_make_folder(ROOT, name, &(uint64_t){0}), 0);
	}
	REQUIRE(rename(share_path("in/d"), share_path("out/d")) == 0);
	REQUIRE(mkdir(share_path("in/d"), 0755) == 0);
	REQUIRE(mkdir(share_path("in/d/e"), 0755) == 0);
	share_attr(below, &error);
	EXPECT_EQ(error, -ESTALE);
	EXPECT(share_find(ROOT, "d", &error) != node);
	share_stop();
}

/* Saved states */

static struct snapshot saved;
static uint8_t saved_bytes[1 << 16];

static void save(void)
{
	saved = (struct snapshot){.bytes = saved_bytes, .size = sizeof(saved_bytes)};
	share->ops->drain(share);
	share->ops->state(share, &saved);
	REQUIRE(saved.error == 0);
}

static int load(size_t size)
{
	struct snapshot loading = {.loading = true, .bytes = saved_bytes, .size = size};

	share->ops->state(share, &loading);
	return loading.error;
}

TEST(state_survives)
{
	uint64_t node, handle, folder, gone, gone_handle;
	int error;

	share_start();
	REQUIRE(share_make_folder(ROOT, "d", &folder) == 0);
	REQUIRE(share_make(folder, "a", O_RDWR | O_TRUNC, 0600, &node, &handle) == 0);
	REQUIRE(share_make(folder, "b", O_RDWR, 0600, &gone, &gone_handle) == 0);
	EXPECT_EQ(share_put(handle, 0, "before"), 0);
	save();
	share_stop();
	REQUIRE(unlink(share_path("in/d/b")) == 0);
	share_start();
	REQUIRE(load(saved.position) == 0);
	EXPECT_STR(share_get(handle, 0, &error), "before");
	EXPECT_EQ(share_put(handle, 6, " after"), 0);
	EXPECT_EQ(share_attr(node, &error).size, 12);
	EXPECT_EQ(share_find(folder, "a", &error), node);
	share_get(gone_handle, 0, &error);
	EXPECT_EQ(error, -EBADF);
	share_attr(gone, &error);
	EXPECT_EQ(error, -ESTALE);
	share_stop();
}

TEST(state_that_is_cut_or_changed_is_refused_or_harmless)
{
	uint64_t node, handle, folder;

	share_start();
	REQUIRE(share_make_folder(ROOT, "d", &folder) == 0);
	REQUIRE(share_make(folder, "a", O_RDWR, 0600, &node, &handle) == 0);
	save();
	for (size_t size = 0; size < saved.position; size++)
		EXPECT(load(size) != 0);
	for (size_t i = 0; i < saved.position; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			saved_bytes[i] ^= (uint8_t)(1u << bit);
			load(saved.position);
			saved_bytes[i] ^= (uint8_t)(1u << bit);
		}
	}
	EXPECT_EQ(load(saved.position), 0);
	EXPECT_EQ(share_put(handle, 0, "x"), 0);
	share_stop();
}

/* A node of a file that nobody has saved: what the snapshot has of it. */
static void forge_node(struct snapshot *to, uint64_t number, uint64_t parent)
{
	uint64_t device = 0, inode = number << 20, made = 0, lookups = 1;
	uint32_t nanoseconds = 0;
	uint8_t length = 1, name = 'n';

	snapshot_u64(to, &number);
	snapshot_u64(to, &device);
	snapshot_u64(to, &inode);
	snapshot_u64(to, &made);
	snapshot_u32(to, &nanoseconds);
	snapshot_u64(to, &lookups);
	snapshot_u64(to, &parent);
	snapshot_u8(to, &length);
	snapshot_bytes(to, &name, 1);
}

/* Loads nodes of which each is in the next one, and the last one in `top`: 0, or what is wrong. */
static int load_chain(uint32_t count, uint64_t top)
{
	const size_t size = 64 + 54 * (size_t)count;
	struct share_identity identity = {.inode = 1};
	uint64_t next = (uint64_t)(count + 2) * SHARE_TABLE_SIZE, lookups = 1;
	struct snapshot forged = {.bytes = malloc(size), .size = size}, loading;
	struct share_nodes nodes;

	REQUIRE(forged.bytes && share_nodes_init(&nodes, -1, &identity, 16) == 0);
	snapshot_u64(&forged, &next);
	snapshot_u64(&forged, &lookups);
	snapshot_u32(&forged, &count);
	/* All would meet in one place of a table that is ordered by number. */
	for (uint64_t i = 1; i <= count; i++)
		forge_node(&forged, i * SHARE_TABLE_SIZE,
			   i < count ? (i + 1) * SHARE_TABLE_SIZE : top);
	REQUIRE(forged.error == 0);
	loading =
		(struct snapshot){.loading = true, .bytes = forged.bytes, .size = forged.position};
	share_nodes_state(&nodes, &loading);
	if (!loading.error)
		EXPECT_EQ(nodes.count, count);
	share_nodes_destroy(&nodes);
	free(forged.bytes);
	return loading.error;
}

static double processor_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

TEST(state_of_as_many_nodes_as_there_may_be_loads_at_once)
{
	double before = processor_seconds();

	EXPECT_EQ(load_chain(SHARE_NODES_MAX, SHARE_ROOT), 0);
	/* Seconds, with sanitizers and all; looking at every pair takes far longer. */
	EXPECT(processor_seconds() - before < 10);
}

TEST(state_of_nodes_that_are_above_themselves_is_refused)
{
	EXPECT(load_chain(1, SHARE_TABLE_SIZE) != 0);
	EXPECT(load_chain(1000, SHARE_TABLE_SIZE) != 0);
	EXPECT(load_chain(1000, 500 * SHARE_TABLE_SIZE) != 0);
	EXPECT(load_chain(1000, 7) != 0);
	EXPECT_EQ(load_chain(1000, SHARE_ROOT), 0);
	EXPECT_EQ(load_chain(1000, 0), 0);
}
