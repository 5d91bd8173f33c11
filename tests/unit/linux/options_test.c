/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"
#include "manage/machine.h"
#include "manage/options.h"
#include "manage/stats.h"
#include "manage/verb.h"

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

TEST(format_of_a_disk_is_said_or_not)
{
	REQUIRE(parse("--disk", "a,ro,format=qcow2", "--disk", "b,format=raw,ro", "--disk",
		      "c.qcow2", NULL));
	EXPECT_STR(options.disks[0].path, "a");
	EXPECT_EQ(options.disks[0].format, FORMAT_QCOW2);
	EXPECT(options.disks[0].read_only);
	EXPECT_STR(options.disks[1].path, "b");
	EXPECT_EQ(options.disks[1].format, FORMAT_RAW);
	EXPECT(options.disks[1].read_only);
	EXPECT_STR(options.disks[2].path, "c.qcow2");
	EXPECT_EQ(options.disks[2].format, FORMAT_AUTO);
	EXPECT(!options.disks[2].read_only);
	EXPECT(!parse("--disk", "a,format=vmdk", NULL));
	EXPECT(strstr(reason, "raw or qcow2") != NULL);
	EXPECT(!parse("--disk", ",format=raw", NULL));
	options_free(&options);
}

TEST(statistics_have_a_form)
{
	REQUIRE(parse("--stats", "text", NULL));
	EXPECT_EQ(options.stats, STATS_TEXT);
	REQUIRE(parse("--stats", "json", NULL));
	EXPECT_EQ(options.stats, STATS_JSON);
	EXPECT(!parse("--stats", "yes", NULL));
	EXPECT(strstr(reason, "text or json") != NULL);
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

TEST(what_was_given_is_remembered)
{
	REQUIRE(parse("--cpus", "1", "--machine", "file:name", NULL));
	EXPECT(options_given(&options, "--cpus"));
	EXPECT(!options_given(&options, "--memory"));
	EXPECT_STR(options.machine, "file:name");
	EXPECT(!parse("--machine", "", NULL));
	EXPECT(!parse("--machine", "a", "--machine", "b", NULL));
}

/* Reads one machine out of a text and merges it into what has been parsed. */
static struct machine_config machine;
static int merge(const char *text)
{
	static struct machine_settings settings;
	struct machine_file_error error;
	unsigned count;

	if (machine_file_parse(text, strlen(text), &machine, 1, &count, &settings, &error)) {
		FAIL("%s", error.text);
		return 0;
	}
	return machine_merge(&options, &machine, "folder/file", reason, sizeof(reason));
}

TEST(a_machine_file_fills_in_what_was_not_said)
{
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\ninitrd = /i\nappend = x=1\ncpus = 3\n"
			"memory = 64M\ndisk = d,ro\ndisk = /e\nnet = user\ncpu-model = max\n"
			"mac = 52:54:00:00:00:07\ntest-devices = yes\nweight = 7\n"
			"cap = 150\nprocessors = 1\n"),
		  0);
	EXPECT_STR(options.kernel, "folder/k");
	EXPECT_STR(options.initrd, "/i");
	EXPECT_STR(options.append, "x=1");
	EXPECT_EQ(options.cpus, 3);
	EXPECT_EQ(options.memory, 64u << 20);
	EXPECT_EQ(options.disk_count, 2);
	EXPECT_STR(options.disks[0].path, "folder/d");
	EXPECT(options.disks[0].read_only);
	EXPECT_STR(options.disks[1].path, "/e");
	EXPECT_EQ(options.net, NET_USER);
	EXPECT_STR(options.cpu_model, "max");
	EXPECT_EQ(options.mac[5], 7);
	EXPECT(options.test_devices);
	EXPECT_EQ(options.weight, 7);
	EXPECT_EQ(options.cap, 150);
	EXPECT_EQ(options.processors, 2);
	options_free(&options);
}

TEST(the_command_line_counts_more_than_a_machine_file)
{
	REQUIRE(parse("--kernel", "mine", "--initrd", "mine", "--append", "", "--cpus", "1",
		      "--memory", "512M", "--disk", "mine", "--net", "none", "--cpu-model",
		      "x86-64-v3", "--weight", "50", "--cap", "0", "--processors", "all", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\ninitrd = i\nappend = x=1\ncpus = 3\n"
			"memory = 64M\ndisk = d,ro\ndisk = e\nnet = lan\ncpu-model = max\n"
			"weight = 7\ncap = 150\nprocessors = 1\n"),
		  0);
	EXPECT_STR(options.kernel, "mine");
	EXPECT_STR(options.initrd, "mine");
	EXPECT_STR(options.append, "");
	EXPECT_EQ(options.cpus, 1);
	EXPECT_EQ(options.memory, 512u << 20);
	EXPECT_EQ(options.disk_count, 1);
	EXPECT_STR(options.disks[0].path, "mine");
	EXPECT_EQ(options.net, NET_NONE);
	EXPECT_STR(options.cpu_model, "x86-64-v3");
	EXPECT_EQ(options.weight, 50);
	EXPECT_EQ(options.cap, 0);
	EXPECT_EQ(options.processors, UINT64_MAX);
	options_free(&options);
}

TEST(what_a_machine_file_leaves_open_stays_open)
{
	REQUIRE(parse("-p", "1:2", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = none\nappend =\n"), 0);
	EXPECT_EQ(options.net, NET_DEFAULT); /* -p has asked for it */
	EXPECT_STR(options.append, "");
	EXPECT(!options.initrd);
	EXPECT(!options.cpu_model);
	EXPECT_EQ(options.cpus, 1);
	EXPECT_EQ(options.memory, 512u << 20);
	options_free(&options);
}

TEST(taps_have_a_bridge_and_a_name)
{
	REQUIRE(parse("--net", "tap", NULL));
	EXPECT_EQ(options.net, NET_TAP);
	EXPECT_STR(options.tap.name, "");
	EXPECT_STR(options.tap.bridge, "");
	options_free(&options);
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = tap,bridge=br0,name=tap3\n"), 0);
	EXPECT_EQ(options.net, NET_TAP);
	EXPECT_STR(options.tap.name, "tap3");
	EXPECT_STR(options.tap.bridge, "br0");
	options_free(&options);
	EXPECT(!parse("--net", "tap,bridge=", NULL));
	EXPECT(!parse("--net", "tap,name=a-name-too-long-for-a-card", NULL));
	EXPECT(!parse("--net", "tap,name=a/b", NULL));
	EXPECT(!parse("--net", "tap,name=tap%d", NULL));
	EXPECT(!parse("--net", "tap,vlan=3", NULL));
	EXPECT(strstr(reason, "what is vlan=3"));
	EXPECT(!parse("--net", "tap", "-p", "80:80", NULL));
	EXPECT(strstr(reason, "no port is forwarded"));
	options_free(&options);
}

TEST(networks_have_a_name_and_words)
{
	REQUIRE(parse("--net", "blue,vlan=7,rate=10M", NULL));
	EXPECT_EQ(options.net, NET_LAN);
	EXPECT_STR(options.network.name, "blue");
	EXPECT_EQ(options.network.vlan, 7);
	EXPECT_EQ(options.network.rate, 10 << 20);
	EXPECT(!options.network.trunk);
	options_free(&options);
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = lan,trunk\n"), 0);
	EXPECT_EQ(options.net, NET_LAN);
	EXPECT_STR(options.network.name, "lan");
	EXPECT_STR(options.name, "a");
	EXPECT_EQ(options.network.vlan, 1);
	EXPECT(options.network.trunk);
	options_free(&options);
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = lan,fast\n"), -EINVAL);
	EXPECT(strstr(reason, "line 3: net = lan,fast: what is fast"));
	options_free(&options);
	EXPECT(!parse("--net", "a b", NULL));
	EXPECT(!parse("--net", "a,vlan=4095", NULL));
	EXPECT(!parse("--net", "a,rate=0", NULL));
	EXPECT(!parse("--net", "a,", NULL));
	EXPECT(parse("--net", "a", "-p", "80:80", NULL));
	options_free(&options);
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = lan\nport = 80:80\n"), 0);
	EXPECT_EQ(options.forward_count, 1);
	options_free(&options);
}

TEST(ports_that_can_not_be_forwarded_are_told)
{
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = none\nport = 80:81\nport = 1:2\n"),
		  -EINVAL);
	EXPECT_STR(reason, "line 4: port = 80:81: with net = none (line 3) no port is forwarded: "
			   "take one of these lines out");
	options_free(&options);
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nport = 80:81\nnet = tap,bridge=br0\n"), -EINVAL);
	EXPECT(strstr(reason, "line 3: port = 80:81: with net = tap,bridge=br0 (line 4)"));
	options_free(&options);
	REQUIRE(parse("-p", "3:4", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = tap\n"), -EINVAL);
	EXPECT(strstr(reason, "line 3: net = tap: -p 3:4: "));
	options_free(&options);
	/* The command line counts more. */
	REQUIRE(parse("--net", "none", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nport = 80:81\n"), 0);
	EXPECT_EQ(options.net, NET_NONE);
	EXPECT_EQ(options.forward_count, 0);
	options_free(&options);
}

TEST(ports_of_the_command_line_leave_the_files_network)
{
	REQUIRE(parse("-p", "3:4", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = blue\nport = 80:81\n"), 0);
	EXPECT_EQ(options.net, NET_LAN);
	EXPECT_EQ(options.forward_count, 2);
	options_free(&options);
	REQUIRE(parse("-p", "3:4", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nnet = user,rate=1M\n"), 0);
	EXPECT_EQ(options.net, NET_USER);
	EXPECT_EQ(options.network.rate, 1 << 20);
	options_free(&options);
}

TEST(shared_folders_of_a_machine_file)
{
	REQUIRE(parse("-v", "/one:/1", NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nshare = /two:/2:ro\nshare = /three:/3\n"), 0);
	EXPECT_EQ(options.share_count, 3);
	EXPECT_STR(options.shares[1].host, "/two");
	EXPECT(options.shares[1].read_only);
	options_free(&options);
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\nshare = /two\n"), -EINVAL);
	EXPECT(strstr(reason, "line 3: share = /two: write HOST:GUEST"));
	options_free(&options);
}

TEST(a_list_of_modules_is_joined_one_by_one)
{
	REQUIRE(parse(NULL));
	EXPECT_EQ(merge("[machine a]\nkernel = k\ninitrd = a b,/c,d\n"), 0);
	EXPECT_STR(options.initrd, "folder/a b,/c,folder/d");
	options_free(&options);
}

TEST(reasons_name_the_option)
{
	EXPECT(!parse("--cpus", "33", NULL));
	EXPECT(strstr(reason, "--cpus 33"));
	EXPECT(!parse("--memory", NULL));
	EXPECT(strstr(reason, "--memory needs a value"));
	EXPECT(!parse("--kernel", "a", "--kernel", "b", NULL));
	EXPECT(strstr(reason, "--kernel is given twice"));
	EXPECT(!parse("image", "stray", NULL));
	EXPECT(strstr(reason, "stray"));
}

/* Parses a machine file that is a part of another file: how many machines there are. */
static struct machine_settings part_settings;
static unsigned parse_part(const char *name, const char *text, size_t size)
{
	static struct machine_config machines[MACHINES_MAX];
	struct machine_file_error error;
	unsigned count = 0;

	if (machine_file_parse(text, size, machines, MACHINES_MAX, &count, &part_settings, &error))
		FAIL("%s: %s", name, error.text);
	return count;
}

/* The machine file of `make run-metal` stands in the script that makes it. */
TEST(machine_file_of_the_bare_metal_demo)
{
	static char text[65536];
	FILE *file = fopen("tools/prepare-guest-metal", "re");
	char *from, *to;

	if (!file)
		SKIP("tools/prepare-guest-metal isn't in the working directory's tree");
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	from = strstr(text, "<<'MACHINES'\n");
	REQUIRE(from);
	from = strchr(from, '\n');
	to = strstr(from, "\nMACHINES\n");
	REQUIRE(to);
	EXPECT_EQ(parse_part("the demo", from, (size_t)(to - from)), 2);
}

/* The example of the manual page is one, and all keys are told of. */
TEST(manual_page_of_machine_files)
{
	static char page[65536], example[65536];
	FILE *file = fopen("docs/machine-file.5", "re");
	char heading[64], *from, *to = example;
	size_t length;

	if (!file)
		SKIP("docs/machine-file.5 isn't in the working directory's tree");
	length = fread(page, 1, sizeof(page) - 1, file);
	page[length] = '\0';
	fclose(file);
	for (unsigned i = 0; i < MACHINE_KEYS; i++) {
		snprintf(heading, sizeof(heading), "\n.B %s =", machine_key_name(i));
		for (char *dash; (dash = strchr(heading, '-')) && dash[-1] != '\\';) {
			memmove(dash + 1, dash, strlen(dash) + 1);
			*dash = '\\';
		}
		if (!strstr(page, heading))
			FAIL("docs/machine-file.5 says nothing about %s", machine_key_name(i));
	}
	from = strstr(page, "\n.EX\n");
	REQUIRE(from);
	for (from += 5; strncmp(from, "\n.EE", 4) != 0; from++)
		if (*from != '\\')
			*to++ = *from;
	EXPECT_EQ(parse_part("the example", example, (size_t)(to - example)), 2);
	EXPECT(part_settings.script_count);
}

static void expect_heading(const char *page, const char *option)
{
	char heading[128], *to = heading;

	to += sprintf(to, ".B ");
	for (const char *from = option; *from; from++)
		to += sprintf(to, *from == '-' ? "\\-" : "%c", *from);
	if (!strstr(page, heading))
		FAIL("docs/lodge.1 says nothing about %s", option);
}

/* A verb has a section, and in it its options. That of scripts is not for people. */
static void expect_verb(const char *page, const struct verb *verb)
{
	char heading[96], section[8192];
	const char *from, *to;

	if (!strcmp(verb->name, "complete"))
		return;
	snprintf(heading, sizeof(heading), "\n.SS lodge %s%s", verb->name, *verb->usage ? " " : "");
	from = strstr(page, heading);
	if (!from) {
		FAIL("docs/lodge.1 has no section lodge %s", verb->name);
		return;
	}
	to = strstr(from + 1, "\n.S");
	snprintf(section, sizeof(section), "%.*s", (int)(to ? to - from : 8000), from);
	for (const struct verb_option *option = verb->options; option && option->name; option++) {
		char also[32];

		snprintf(also, sizeof(also), "\\fB\\%s", option->name);
		if (option->help)
			expect_heading(section, option->name);
		else if (!strstr(section, also))
			FAIL("docs/lodge.1, lodge %s, doesn't say %s", verb->name, option->name);
	}
}

/* Whether the heading is of an option of some verb. */
static bool is_of_a_verb(const char *heading)
{
	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (const struct verb *verb = *table; verb->name; verb++) {
			for (const struct verb_option *it = verb->options; it && it->name; it++) {
				const char *from = heading, *name = it->name;

				for (; *name && *from; from++)
					if (*from != '\\' && *from != *name++)
						break;
				if (!*name && strchr(" \n\\,", *from))
					return true;
			}
		}
	}
	return false;
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
	for (const struct option *option = options_table; option->name; option++)
		expect_heading(text, option->name);
	for (const struct verb *const *table = verb_tables; *table; table++)
		for (const struct verb *verb = *table; verb->name; verb++)
			expect_verb(text, verb);
	for (const char *at = text; (at = strstr(at, "\n.B \\-")); at++) {
		char name[64];
		bool known = is_of_a_verb(at + 4);
		unsigned size = 0;

		for (const char *from = at + 4;
		     *from && !strchr(" \n,", *from) && strncmp(from, "\\f", 2) != 0 &&
		     size < sizeof(name) - 1;
		     from++)
			if (*from != '\\')
				name[size++] = *from;
		name[size] = '\0';
		for (const struct option *option = options_table; option->name; option++)
			known |= !strcmp(option->name, name);
		if (!known && strcmp(name, "--") != 0)
			FAIL("docs/lodge.1 describes %s, which isn't an option", name);
	}
}

TEST(shared_folders_have_two_names_and_words)
{
	REQUIRE(parse("-v", "a/b:/c d", "-v", "/x:/y:/z:ro,uid=1000,gid=7", NULL));
	EXPECT_EQ(options.share_count, 2);
	EXPECT_STR(options.shares[0].host, "a/b");
	EXPECT_STR(options.shares[0].guest, "/c d");
	EXPECT(!options.shares[0].read_only);
	EXPECT_STR(options.shares[1].host, "/x:/y");
	EXPECT_STR(options.shares[1].guest, "/z");
	EXPECT(options.shares[1].read_only);
	EXPECT_EQ(options.shares[1].uid, 1000);
	EXPECT_EQ(options.shares[1].gid, 7);
	EXPECT(!parse("-v", ":/guest", NULL));
	EXPECT(!parse("-v", "", NULL));
	EXPECT(!parse("-v", "/host", NULL));
	EXPECT(!parse("-v", "/host:guest", NULL));
	EXPECT(!parse("-v", "/host:/guest:uid=-1", NULL));
	EXPECT(!parse("-v", "/host:/guest:ro,", NULL));
	options_free(&options);
}
