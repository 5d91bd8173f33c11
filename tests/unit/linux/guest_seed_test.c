/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent applies a seed in a root folder of the test's. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "manage/safe_file.h"
#include "manage/seed.h"

/* In an archive its name would be that of manage/seed.c. */
#include "guest/seed.c"

uint32_t agent_get32(const uint8_t *at)
{
	return bytes_load32(at);
}

/* From here on "/" is the guest's, with the seed as its first disk. */
static void begin(const struct seed *seed)
{
	static const char users[] = "root:x:0:0::/root:/bin/sh\n";
	size_t size;
	uint8_t *disk = seed_make(seed, &size);

	if (geteuid())
		SKIP("only root can have another root folder");
	REQUIRE(disk && !chdir(test_folder()) && !chroot("."));
	REQUIRE(!mkdir("etc", 0755) && !mkdir("dev", 0755) && !mkdir("root", 0700));
	REQUIRE(!mkdir("var", 0755) && !mkdir("var/lib", 0755));
	REQUIRE(!safe_file_create("/etc/passwd", users, strlen(users), 0644));
	REQUIRE(!safe_file_create("/dev/vda", (const char *)disk, size, 0600));
	free(disk);
}

static void largest_file(rlim_t size)
{
	const struct rlimit limit = {size, RLIM_INFINITY};

	REQUIRE(!setrlimit(RLIMIT_FSIZE, &limit));
}

TEST(what_could_not_be_written_is_tried_again)
{
	char key[6001], *found = NULL;
	size_t size;

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	begin(&(struct seed){.keys = key});
	signal(SIGXFSZ, SIG_IGN);
	largest_file(4096);
	seed_apply();
	EXPECT(access(DONE, F_OK) != 0);
	largest_file(RLIM_INFINITY);
	seed_apply();
	EXPECT(access(DONE, F_OK) == 0);
	REQUIRE(!safe_file_read("/root/.ssh/authorized_keys", 8192, &found, &size));
	EXPECT_EQ(size, sizeof(key)); /* and a newline */
	free(found);
}
