/* SPDX-License-Identifier: BSD-2-Clause */
/* Which descriptions of saved machines may have files opened. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/safe_file.h"
#include "manage/seal.h"

static char data[64], key[128];
static struct saved_config config;

static void home(void)
{
	snprintf(data, sizeof(data), "%s", test_folder());
	snprintf(key, sizeof(key), "%s/lodge/seal-key", data);
	setenv("XDG_DATA_HOME", data, 1);
}

static void describe(void)
{
	memset(&config, 0, sizeof(config));
	strcpy(config.kernel, "/boot/vmlinuz");
	strcpy(config.initrd, "/boot/initrd");
	config.disk_count = 2;
	strcpy(config.disks[0].path, "/disks/a");
	strcpy(config.disks[0].format, "raw");
	strcpy(config.disks[1].path, "/disks/b");
	strcpy(config.disks[1].format, "qcow2");
	config.disks[1].read_only = true;
}

static void sealed(void)
{
	home();
	describe();
	seal_make(&config);
	REQUIRE(config.seal != 0);
	REQUIRE(seal_is_ours(&config));
}

TEST(a_seal_is_good_for_its_files_only)
{
	struct stat status;

	sealed();
	EXPECT(stat(key, &status) == 0 && (status.st_mode & 0777) == 0600);
	strcpy(config.disks[0].path, "/home/me/.ssh/id_rsa");
	EXPECT(!seal_is_ours(&config));
	describe();
	seal_make(&config);
	strcpy(config.initrd, "/home/me/.ssh/id_rsa");
	EXPECT(!seal_is_ours(&config));
	describe();
	seal_make(&config);
	config.disks[1].read_only = false;
	EXPECT(!seal_is_ours(&config));
	describe();
	seal_make(&config);
	strcpy(config.disks[1].format, "raw");
	EXPECT(!seal_is_ours(&config));
	describe();
	seal_make(&config);
	config.disk_count = 1;
	EXPECT(!seal_is_ours(&config));
	/* One name's end is not another's beginning. */
	describe();
	seal_make(&config);
	strcpy(config.kernel, "/boot/vmlinuz/boot");
	strcpy(config.initrd, "/initrd");
	EXPECT(!seal_is_ours(&config));
}

TEST(what_does_not_name_files_may_change)
{
	sealed();
	config.disks[0].modified = 4711;
	config.forward_count = 1;
	EXPECT(seal_is_ours(&config));
}

TEST(another_user_or_host_has_another_key)
{
	sealed();
	EXPECT_EQ(safe_folder_remove(data), 0);
	home();
	EXPECT(!seal_is_ours(&config));
	seal_make(&config);
	EXPECT(seal_is_ours(&config));
	config.seal = 0;
	EXPECT(!seal_is_ours(&config));
}

TEST(without_a_key_there_is_no_seal)
{
	describe();
	unsetenv("XDG_DATA_HOME");
	unsetenv("HOME");
	seal_make(&config);
	EXPECT_EQ(config.seal, 0);
	EXPECT(!seal_is_ours(&config));
	/* Nor with one that is none; it is left as it is. */
	sealed();
	REQUIRE(safe_file_replace(key, "short", 5, 0600) == 0);
	EXPECT(!seal_is_ours(&config));
	seal_make(&config);
	EXPECT_EQ(config.seal, 0);
}
