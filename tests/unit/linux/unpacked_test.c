/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest has sent goes to its place, and nowhere else. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manage/safe_file.h"
#include "manage/unpacked.h"

static char failed[256];

/* In a folder with `from`, `to` and `outside`. */
static void begin(void)
{
	REQUIRE(!chdir(test_folder()));
	REQUIRE(!mkdir("from", 0700) && !mkdir("to", 0700) && !mkdir("outside", 0700));
}

static void make(const char *path, const char *text)
{
	REQUIRE(safe_file_replace(path, text, strlen(text), 0644) == 0);
}

static bool holds(const char *path, const char *text)
{
	char *found = NULL;
	size_t size;
	bool same = !safe_file_read(path, 4096, &found, &size) && !strcmp(found, text);

	free(found);
	return same;
}

TEST(a_tree_goes_to_its_place_with_modes_and_links)
{
	struct stat one, two, inner;

	begin();
	REQUIRE(!mkdir("from/new", 0700) && !mkdir("from/old", 0700) && !mkdir("to/old", 0750));
	make("from/new/a", "a");
	REQUIRE(!link("from/new/a", "from/b") && !symlink("/etc", "from/away"));
	make("from/old/file", "of now");
	make("to/old/file", "of then");
	make("to/old/other", "stays");
	REQUIRE(!chmod("from/new", 0555));
	EXPECT_EQ(unpacked_move("from", "to", failed, sizeof(failed)), 0);
	EXPECT(holds("to/new/a", "a") && holds("to/old/file", "of now"));
	EXPECT(holds("to/old/other", "stays"));
	REQUIRE(!stat("to/new/a", &one) && !stat("to/b", &two) && !stat("to/new", &inner));
	EXPECT_EQ(one.st_ino, two.st_ino);
	EXPECT_EQ(inner.st_mode & 07777, 0555);
	REQUIRE(!stat("to/old", &inner) && !lstat("to/away", &one));
	EXPECT_EQ(inner.st_mode & 07777, 0750);
	EXPECT(S_ISLNK(one.st_mode));
	chmod("to/new", 0700);
}

/* The link is one that an earlier copy has brought. */
TEST(a_link_that_is_there_leads_nowhere)
{
	begin();
	REQUIRE(!symlink("../outside", "to/link") && !mkdir("from/link", 0700));
	make("from/link/key", "of the guest's");
	EXPECT_EQ(unpacked_move("from", "to", failed, sizeof(failed)), -ENOTDIR);
	EXPECT_STR(failed, "link");
	EXPECT(access("outside/key", F_OK) != 0);

	/* And a file takes the place of a link, not of what that leads to. */
	REQUIRE(!rename("from/link/key", "from/key") && !rmdir("from/link"));
	make("outside/key", "of the host's");
	REQUIRE(!symlink("../outside/key", "to/key"));
	EXPECT_EQ(unpacked_move("from", "to", failed, sizeof(failed)), 0);
	EXPECT(holds("outside/key", "of the host's") && holds("to/key", "of the guest's"));
}

TEST(the_place_itself_is_no_link)
{
	begin();
	make("from/key", "of the guest's");
	REQUIRE(!symlink("outside", "elsewhere"));
	EXPECT_EQ(unpacked_move("from", "elsewhere", failed, sizeof(failed)), -ENOTDIR);
	EXPECT(access("outside/key", F_OK) != 0);
}

TEST(a_file_takes_no_folders_place)
{
	begin();
	make("from/name", "of the guest's");
	REQUIRE(!mkdir("to/name", 0700));
	EXPECT_EQ(unpacked_move("from", "to", failed, sizeof(failed)), -EISDIR);
	EXPECT_STR(failed, "name");
}

TEST(no_device_gets_out)
{
	begin();
	if (mknod("from/disk", S_IFBLK | 0666, 0x800))
		SKIP("only root makes devices");
	EXPECT_EQ(unpacked_move("from", "to", failed, sizeof(failed)), -EPERM);
	EXPECT(access("to/disk", F_OK) != 0);
}

/* How one who isn't root fares with a folder that has such folders in it. */
static int removed_by_nobody(void)
{
	int status = 0;
	pid_t child;

	REQUIRE(!chmod(test_folder(), 0777));
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		if (!geteuid() && setuid(65534))
			_exit(99);
		if (mkdir("mine", 0700) || mkdir("mine/sealed", 0700) ||
		    mkdir("mine/sealed/inner", 0700) || mkdir("mine/read", 0700) ||
		    mkdir("mine/read/a", 0700) || mkdir("mine/read/a/b", 0700) ||
		    symlink("../../outside", "mine/read/link") ||
		    symlink("outside", "mine/read/a/link") || chmod("mine/read/a", 0) ||
		    chmod("mine/read", 0555) || chmod("mine/sealed", 0))
			_exit(98);
		_exit(-safe_folder_remove("mine"));
	}
	REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(what_is_left_goes_whatever_its_modes)
{
	struct stat status;

	begin();
	make("outside/key", "of the host's");
	REQUIRE(!chmod("outside", 0755));
	EXPECT_EQ(removed_by_nobody(), 0);
	EXPECT(access("mine", F_OK) != 0);
	REQUIRE(!stat("outside", &status));
	EXPECT_EQ(status.st_mode & 07777, 0755);
	EXPECT(holds("outside/key", "of the host's"));
}

/* More folders than files may be open, and a longer path than any may be. */
TEST(what_is_left_goes_however_deep_it_is)
{
	begin();
	REQUIRE(!chdir("from"));
	for (int i = 0; i < 3000; i++) {
		make("file", "");
		REQUIRE(!mkdir(".up-1", 0700) && !mkdir("d", 0700) && !chdir("d"));
	}
	REQUIRE(!chdir(test_folder()));
	EXPECT_EQ(safe_folder_remove("from"), 0);
	EXPECT(access("from", F_OK) != 0);
	EXPECT_EQ(safe_folder_remove("from"), 0);
}
