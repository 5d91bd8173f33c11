/* SPDX-License-Identifier: BSD-2-Clause */
/* The seed's disk, read as ECMA-119 says. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "manage/seed.h"

enum { BLOCK = 2048 };

static uint8_t *disk;
static size_t size;
static char text[8192];

/* The contents of a file, by its name in the folder. */
static const char *file(const char *name)
{
	const uint8_t *volume = disk + 16 * BLOCK;
	const uint8_t *record = disk + (size_t)bytes_load32(volume + 156 + 2) * BLOCK;

	for (; record[0]; record += record[0]) {
		uint32_t block = bytes_load32(record + 2), length = bytes_load32(record + 10);

		REQUIRE((block + 1ull) * BLOCK <= size && length < sizeof(text));
		if (record[32] != strlen(name) || memcmp(record + 33, name, record[32]) != 0)
			continue;
		/* The other order of bytes says the same. */
		EXPECT_EQ(record[9], block & 0xff);
		EXPECT_EQ(record[17], length & 0xff);
		memcpy(text, disk + (size_t)block * BLOCK, length);
		text[length] = '\0';
		return text;
	}
	return NULL;
}

static void expect_text(const char *name, const char *words)
{
	const char *contents = file(name);

	if (!contents || !strstr(contents, words))
		FAIL("%s is %s, without %s", name, contents ? contents : "not there", words);
}

TEST(volume_has_the_label)
{
	disk = seed_make(&(struct seed){.hostname = "web"}, &size);
	REQUIRE(disk && size % BLOCK == 0);
	EXPECT_MEM(disk + 16 * BLOCK, "\1CD001\1", 7);
	EXPECT_MEM(disk + 16 * BLOCK + 40, "cidata  ", 8);
	EXPECT_EQ(bytes_load32(disk + 16 * BLOCK + 80), size / BLOCK);
	EXPECT_MEM(disk + 17 * BLOCK, "\377CD001\1", 7);
	expect_text("META-DATA.;1", "\nlocal-hostname: web\n");
	expect_text("USER-DATA.;1", "#cloud-config\n");
	free(disk);
}

TEST(user_and_keys_are_in_both_files)
{
	disk = seed_make(
		&(struct seed){.user = "anna", .keys = "# mine\nssh-x A\"B\\ c\n\nssh-y D"}, &size);
	REQUIRE(disk);
	expect_text("META-DATA.;1",
		    "lodge-user: anna\npublic-keys:\n- \"ssh-x A\\\"B\\\\ c\"\n- \"ssh-y D\"\n");
	expect_text("USER-DATA.;1", "users:\n- name: anna\n");
	expect_text("USER-DATA.;1", "  - \"ssh-y D\"\n");
	free(disk);
}

TEST(user_data_are_as_given)
{
	char big[5000];

	memset(big, 'x', sizeof(big));
	disk = seed_make(
		&(struct seed){.user = "anna", .user_data = big, .user_data_size = sizeof(big)},
		&size);
	REQUIRE(disk && file("USER-DATA.;1"));
	EXPECT_EQ(strlen(text), sizeof(big));
	free(disk);
}

static char *instance(const struct seed *seed)
{
	disk = seed_make(seed, &size);
	REQUIRE(disk && file("META-DATA.;1"));
	free(disk);
	*strchr(text, '\n') = '\0';
	return strdup(text);
}

TEST(instance_is_another_for_another_machine)
{
	char *one = instance(&(struct seed){.hostname = "a"});
	char *same = instance(&(struct seed){.hostname = "a"});
	char *other = instance(&(struct seed){.hostname = "b"});
	char *swapped = instance(&(struct seed){.user = "a"});

	EXPECT_EQ(strcmp(one, same), 0);
	EXPECT(strcmp(one, other) != 0);
	EXPECT(strcmp(one, swapped) != 0);
	free(one);
	free(same);
	free(other);
	free(swapped);
}

TEST(names_are_looked_at)
{
	EXPECT(seed_hostname_ok("web-1.example"));
	EXPECT(!seed_hostname_ok(""));
	EXPECT(!seed_hostname_ok("-web"));
	EXPECT(!seed_hostname_ok("web\n- x"));
	EXPECT(!seed_hostname_ok("a_b"));
	EXPECT(seed_user_ok("_anna-2"));
	EXPECT(!seed_user_ok("2anna"));
	EXPECT(!seed_user_ok("an na"));
	EXPECT(!seed_user_ok("Anna"));
}

TEST(files_that_are_wrong_are_named)
{
	static const char private_key[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	char path[64], reason[512];
	int descriptor;

	EXPECT_EQ(seed_file(&(struct seed){0}, "/no/such", NULL, reason, sizeof(reason)), -ENOENT);
	EXPECT(strstr(reason, "--cloud-init /no/such") != NULL);
	snprintf(path, sizeof(path), "%s", test_path("seed"));
	descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	REQUIRE(descriptor >= 0 && write(descriptor, private_key, sizeof(private_key) - 1) > 0);
	close(descriptor);
	EXPECT_EQ(seed_file(&(struct seed){0}, NULL, path, reason, sizeof(reason)), -EINVAL);
	EXPECT(strstr(reason, "private key") != NULL);
	descriptor = seed_file(&(struct seed){0}, path, NULL, reason, sizeof(reason));
	EXPECT(descriptor >= 0);
	close(descriptor);
}

/* The seed's disk in a file, renewed for another name, is as one that is made for that. The file is
 * open, and to be closed. */
static int expect_renewed(const struct seed *seed, const char *path)
{
	struct seed wanted = *seed;
	int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), renewed;
	uint8_t *expected;
	size_t expected_size;

	disk = seed_make(seed, &size);
	REQUIRE(descriptor >= 0 && write(descriptor, disk, size) == (ssize_t)size);
	renewed = seed_renew(path, "new");
	REQUIRE(renewed >= 0);
	wanted.hostname = "new";
	expected = seed_make(&wanted, &expected_size);
	EXPECT_EQ(expected_size, size);
	EXPECT_EQ(pread(renewed, disk, size, 0), (ssize_t)size);
	EXPECT_MEM(disk, expected, size);
	close(renewed);
	free(disk);
	free(expected);
	return descriptor;
}

TEST(seed_is_renewed_for_another_machine)
{
	const struct seed seed = {.hostname = "old",
				  .user = "anna",
				  .keys = "ssh-x A\"B\\ c\nssh-y D\n",
				  .user_data = "#cloud-config\n",
				  .user_data_size = 14};
	const char *path = test_path("seed");
	int descriptor = expect_renewed(&seed, path);

	/* Cut off, and none at all. */
	EXPECT_EQ(ftruncate(descriptor, 21 * BLOCK + 3), 0);
	EXPECT_EQ(seed_renew(path, "new"), -EINVAL);
	EXPECT_EQ(ftruncate(descriptor, 0), 0);
	EXPECT_EQ(seed_renew(path, "new"), -EINVAL);
	unlink(path);
	EXPECT_EQ(seed_renew(path, "new"), -ENOENT);
	close(descriptor);
}

TEST(user_data_with_a_nul_are_renewed_whole)
{
	char data[4000];
	const struct seed seed = {
		.hostname = "old", .user_data = data, .user_data_size = sizeof(data)};

	memset(data, 'x', sizeof(data));
	memcpy(data, "\x1f\x8b\x08\0\0", 5);
	close(expect_renewed(&seed, test_path("seed")));
}
