/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"
#include "manage/options.h"

static struct options options;
static char reason[8192];

/* Parses the words up to NULL, for `lodge run`. */
static bool parse(const char *word, ...)
{
	static char *words[64];
	unsigned count = 0;
	va_list arguments;

	va_start(arguments, word);
	for (; word; word = va_arg(arguments, const char *))
		words[count++] = (char *)(uintptr_t)word;
	va_end(arguments);
	words[count] = NULL;
	options_free(&options);
	options_init(&options);
	return options_parse(&options, COMMAND_RUN, words, reason, sizeof(reason));
}

TEST(sizes_have_suffixes_in_powers_of_1024)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"1K", 1024},
		{"512M", 512u << 20},
		{"2G", UINT64_C(2) << 30},
		{"64MiB", 64u << 20},
		{"64MB", 64u << 20},
		{"3g", UINT64_C(3) << 30},
		{"1T", UINT64_C(1) << 40},
		{"18446744073709551615", UINT64_MAX},
		{"16777215T", UINT64_C(16777215) << 40},
	};
	static const char *const bad[] = {"",	       "M",	"-1",
					  "1X",	       "1MM",	"1Mi",
					  "1 M",       "0x10",	"18446744073709551616",
					  "16777216T", "1MiBs", "+1",
					  "1.5G",      " 1"};
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (EXPECT(options_size(good[i].text, &bytes)))
			EXPECT_EQ(bytes, good[i].bytes);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (options_size(bad[i], &bytes))
			FAIL("%s is taken for a size", bad[i]);
}

TEST(everything_at_once)
{
	REQUIRE(parse("--kernel", "k", "--initrd=i", "--append", "a=b c", "--disk", "one,ro",
		      "--disk", "two", "--cpus", "4", "--memory", "2G", "-p", "8080:80", "-p",
		      "5353:53/udp", "--log", "debug", "--", "ls", "-l", "--json", NULL));
	EXPECT_STR(options.kernel, "k");
	EXPECT_STR(options.initrd, "i");
	EXPECT_STR(options.append, "a=b c");
	EXPECT_EQ(options.disk_count, 2);
	EXPECT_STR(options.disks[0].path, "one");
	EXPECT(options.disks[0].read_only);
	EXPECT_STR(options.disks[1].path, "two");
	EXPECT(!options.disks[1].read_only);
	EXPECT_EQ(options.cpus, 4);
	EXPECT_EQ(options.memory, UINT64_C(2) << 30);
	EXPECT_EQ(options.forward_count, 2);
	EXPECT_EQ(options.log_level, LOG_DEBUG);
	REQUIRE(options.command);
	EXPECT_STR(options.command[0], "ls");
	EXPECT_STR(options.command[2], "--json");
	EXPECT(options.command[3] == NULL);
	options_free(&options);
}

TEST(commas_in_a_disks_name_stay)
{
	REQUIRE(parse("--disk", "a,b,ro", "--disk", "c,rw", NULL));
	EXPECT_STR(options.disks[0].path, "a,b");
	EXPECT_STR(options.disks[1].path, "c,rw");
	options_free(&options);
}

TEST(network_is_what_was_said)
{
	REQUIRE(parse(NULL));
	EXPECT_EQ(options.net, NET_DEFAULT);
	REQUIRE(parse("--net", "user", NULL));
	EXPECT_EQ(options.net, NET_USER);
	REQUIRE(parse("--net", "none", NULL));
	EXPECT_EQ(options.net, NET_NONE);
	EXPECT(!parse("--net", "none", "-p", "1:2", NULL));
}

TEST(near_words_are_suggested_and_far_ones_not)
{
	static const char *const words[] = {"--kernel", "--memory", "--cpus", NULL};

	EXPECT_STR(options_nearest("--memroy", words), "--memory");
	EXPECT_STR(options_nearest("--kernl", words), "--kernel");
	EXPECT_STR(options_nearest("--cpu", words), "--cpus");
	EXPECT(!options_nearest("--frobnicate", words));
	EXPECT(!options_nearest("", words) || !strcmp(options_nearest("", words), "--cpus"));
	{
		char long_word[5000];

		memset(long_word, 'a', sizeof(long_word) - 1);
		long_word[sizeof(long_word) - 1] = '\0';
		EXPECT(!options_nearest(long_word, words));
	}
}

TEST(reasons_name_the_option)
{
	EXPECT(!parse("--cpus", "33", NULL));
	EXPECT(strstr(reason, "--cpus 33"));
	EXPECT(!parse("--memory", NULL));
	EXPECT(strstr(reason, "--memory needs a value"));
	EXPECT(!parse("--kernel", "a", "--kernel", "b", NULL));
	EXPECT(strstr(reason, "--kernel is given twice"));
	EXPECT(!parse("stray", NULL));
	EXPECT(strstr(reason, "stray"));
}

/* The manual page has a heading for each option and each ending, and none that isn't there. */
TEST(manual_page_describes_every_option)
{
	FILE *page = fopen("docs/lodge.1", "re");
	static char text[65536];
	size_t length;

	if (!page)
		SKIP("docs/lodge.1 isn't in the working directory's tree");
	length = fread(text, 1, sizeof(text) - 1, page);
	text[length] = '\0';
	fclose(page);
	for (const struct option *option = options_table; option->name; option++) {
		char heading[128], *to = heading;

		to += sprintf(to, ".B ");
		for (const char *from = option->name; *from; from++)
			to += sprintf(to, *from == '-' ? "\\-" : "%c", *from);
		if (!strstr(text, heading))
			FAIL("docs/lodge.1 says nothing about %s", option->name);
	}
	for (const char *at = text; (at = strstr(at, "\n.B \\-")); at++) {
		char name[64];
		bool known = false;
		unsigned size = 0;

		for (const char *from = at + 4;
		     *from && !strchr(" \n", *from) && size < sizeof(name) - 1; from++)
			if (*from != '\\')
				name[size++] = *from;
		name[size] = '\0';
		for (const struct option *option = options_table; option->name; option++)
			known |= !strcmp(option->name, name);
		if (!known && strcmp(name, "--") != 0)
			FAIL("docs/lodge.1 describes %s, which isn't an option", name);
	}
}
