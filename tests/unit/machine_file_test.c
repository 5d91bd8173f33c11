/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stdarg.h>

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "machines/machine_file.h"

#define MAX 4

static struct machine_config machines[MAX];
static struct machine_settings settings;
static struct machine_file_error error;
static unsigned count;

static int parse_bytes(const char *text, size_t size)
{
	return machine_file_parse(text, size, machines, MAX, &count, &settings, &error);
}

static int parse(const char *text)
{
	return parse_bytes(text, string_length(text));
}

static bool contains(const char *text, const char *part)
{
	for (; *text; text++)
		if (string_starts(text, part))
			return true;
	return false;
}

/* Behind a machine whose first lines are right: line 4 is the one that is looked at. */
static void refused(const char *line, const char *words)
{
	char text[4096];

	format(text, sizeof(text), "# one\n[machine web]\nkernel = k\n%s\n", line);
	if (!parse(text)) {
		FAIL("taken: %s", line);
		return;
	}
	EXPECT_EQ(error.line, 4);
	EXPECT(string_starts(error.text, "line 4: "));
	if (!contains(error.text, words))
		FAIL("'%s' says nothing about '%s'", error.text, words);
}

TEST(everything_that_can_be_said)
{
	REQUIRE(parse("# two guests\n"
		      "[machine web]\n"
		      "cpus = 2\n"
		      "memory = 256M\n"
		      "kernel = vmlinuz\n"
		      "initrd = initrd\n"
		      "append = console=ttyS0 quiet # no comment\n"
		      "disk = root.img\n"
		      "disk = data,1.img,ro\n"
		      "net = lan\n"
		      "mac = 52:54:00:aB:00:01\n"
		      "cpu-model = x86-64-v3\n"
		      "weight = 200\n"
		      "cap = 50\n"
		      "processors = 0-1,3\n"
		      "disk-memory = 64M\n"
		      "start = no\n"
		      "test-devices = yes\n"
		      "\n"
		      "[lodge]\n"
		      "script = wait all\n"
		      "script = poweroff\n"
		      "\n"
		      "[machine db]\n"
		      "kernel = other") == 0);
	REQUIRE(count == 2);
	EXPECT_STR(machines[0].name, "web");
	EXPECT_EQ(machines[0].line, 2);
	EXPECT_EQ(machines[0].cpus, 2);
	EXPECT_EQ(machines[0].memory, 256u << 20);
	EXPECT_STR(machines[0].kernel, "vmlinuz");
	EXPECT_STR(machines[0].initrd, "initrd");
	EXPECT_STR(machines[0].append, "console=ttyS0 quiet # no comment");
	EXPECT_EQ(machines[0].disk_count, 2);
	EXPECT_STR(machines[0].disks[0].file, "root.img");
	EXPECT(!machines[0].disks[0].read_only);
	EXPECT_STR(machines[0].disks[1].file, "data,1.img");
	EXPECT(machines[0].disks[1].read_only);
	EXPECT_STR(machines[0].net, "lan");
	EXPECT(bytes_equal(machines[0].mac, "\x52\x54\x00\xab\x00\x01", 6));
	EXPECT_STR(machines[0].cpu_model, "x86-64-v3");
	EXPECT_EQ(machines[0].weight, 200);
	EXPECT_EQ(machines[0].cap, 50);
	EXPECT_EQ(machines[0].processors, 0xb);
	EXPECT_EQ(machines[0].disk_memory, 64u << 20);
	EXPECT(!machines[0].start);
	EXPECT(machines[0].test_devices);
	EXPECT_EQ(machines[0].lines[MACHINE_CPUS], 3);
	EXPECT_EQ(machines[0].lines[MACHINE_DISK], 8);
	EXPECT_EQ(settings.script_count, 2);
	EXPECT_STR(settings.script[0], "wait all");
	EXPECT_STR(settings.script[1], "poweroff");
	EXPECT_STR(machines[1].name, "db");
}

TEST(what_was_not_said_has_its_default)
{
	REQUIRE(parse("[machine a]\nkernel=k\n") == 0);
	EXPECT_EQ(machines[0].cpus, 1);
	EXPECT_EQ(machines[0].memory, 512u << 20);
	EXPECT_EQ(machines[0].weight, MACHINE_WEIGHT_USUAL);
	EXPECT_EQ(machines[0].cap, 0);
	EXPECT_EQ(machines[0].processors, UINT64_MAX);
	EXPECT(machines[0].start);
	EXPECT(!machines[0].test_devices);
	EXPECT_EQ(machines[0].lines[MACHINE_CPUS], 0);
	EXPECT_EQ(machines[0].lines[MACHINE_APPEND], 0);
	EXPECT_STR(machines[0].net, "");
}

TEST(layout_is_free)
{
	REQUIRE(parse("\xef\xbb\xbf\r\n  [ machine   a ]\t\r\n\tkernel\t=  k k  \r\n"
		      "   # comment\r\nappend =\r\n\r\n[lodge]\r\nscript=list\r") == 0);
	REQUIRE(count == 1);
	EXPECT_STR(machines[0].name, "a");
	EXPECT_STR(machines[0].kernel, "k k");
	EXPECT_EQ(machines[0].lines[MACHINE_APPEND], 5);
	EXPECT_STR(settings.script[0], "list");
}

TEST(nothing_is_no_mistake)
{
	EXPECT_EQ(parse(""), 0);
	EXPECT_EQ(count, 0);
	EXPECT_EQ(parse("\n\n# nothing\n   \n"), 0);
	EXPECT_EQ(parse("[lodge]\n"), 0);
	EXPECT_EQ(count, 0);
}

TEST(wrong_values_are_told_with_what_would_be_right)
{
	static const struct {
		const char *line, *words;
	} wrong[] = {
		{"cpus = 0", "cpus = 0: must be a number from 1 to 32"},
		{"cpus = 33", "from 1 to 32"},
		{"cpus = two", "from 1 to 32"},
		{"cpus =", "from 1 to 32"},
		{"memory = much", "512M"},
		{"memory = 1M", "too little"},
		{"memory = 1T", "512 GiB is the most"},
		{"memory = 65M", "multiple of 2 MiB"},
		{"kernel =", "given twice"},
		{"initrd =", "needs the name of a file"},
		{"disk =", "needs the name of a file"},
		{"disk = ,ro", "needs the name of a file"},
		{"net = my lan", "name of a switch"},
		{"net =", "name of a switch"},
		{"mac = 52:54:00:12:34", "52:54:00:12:34:56"},
		{"mac = 52:54:00:12:34:56:78", "six bytes"},
		{"mac = 52-54-00-12-34-56", "six bytes"},
		{"mac = 00:00:00:00:00:00", "is no address"},
		{"mac = 01:00:00:00:00:00", "must be even"},
		{"mac = 5", "six bytes"},
		{"cpu-model = a/b", "x86-64-v2"},
		{"weight = 0", "from 1 to 10000"},
		{"weight = 10001", "from 1 to 10000"},
		{"cap = 6401", "from 0 to 6400"},
		{"cap = -1", "from 0 to 6400"},
		{"processors = 64", "0-3,5"},
		{"processors = 3-1", "0-3,5"},
		{"processors =", "0-3,5"},
		{"disk-memory = x", "64M"},
		{"disk-memory = 1T", "too much"},
		{"start = maybe", "yes or no"},
		{"test-devices = 1", "yes or no"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refused(wrong[i].line, wrong[i].words);
}

TEST(wrong_lines_are_told)
{
	refused("memroy = 1G", "there is no key memroy: did you mean memory?");
	refused("colour = red", "there is no key colour: machine-file(5)");
	refused("kernel", "neither KEY = VALUE");
	refused("= 5", "neither KEY = VALUE");
	refused("kernel = again", "line 3 has it already");
	refused("[machine web]", "line 2 has a machine of this name");
	refused("[machine]", "a name has letters");
	refused("[machine a b]", "a name has letters");
	refused("[machine -a]", "a name has letters");
	refused("[machine all]", "every machine");
	refused("[machine 01234567890123456789012345678901]", "at most 31");
	refused("[machina x]", "write [machine NAME] or [lodge]");
	refused("[machine x", "] at its end is missing");
	refused("[", "] at its end is missing");
	refused("[]", "write [machine NAME]");
	refused("a\x01z = 1", "control character 0x01");
	refused("append = \x1b[31m", "control character 0x1b");
}

TEST(the_lodge_section_has_its_own_keys)
{
	EXPECT_EQ(parse("[lodge]\nscritp = list\n"), -EINVAL);
	EXPECT(contains(error.text, "line 2: there is no key scritp: did you mean script?"));
	EXPECT_EQ(parse("[lodge]\nkernel = k\n"), -EINVAL);
	EXPECT(contains(error.text, "script is the one it has"));
	EXPECT_EQ(parse("[lodge]\nscript =\n"), -EINVAL);
	EXPECT(contains(error.text, "needs a command"));
	EXPECT_EQ(parse("[lodge]\n[lodge]\n"), -EINVAL);
	EXPECT(contains(error.text, "line 2: [lodge]: line 1 has"));
}

TEST(a_machine_needs_a_kernel)
{
	EXPECT_EQ(parse("\n[machine a]\ncpus = 1\n\n[machine b]\nkernel = k\n"), -EINVAL);
	EXPECT_EQ(error.line, 2);
	EXPECT(contains(error.text, "line 2: machine a has no kernel: add a line kernel = FILE"));
	EXPECT_EQ(parse("[machine a]\n"), -EINVAL);
	EXPECT_EQ(error.line, 1);
}

TEST(addresses_are_given_once)
{
	EXPECT_EQ(parse("[machine a]\nkernel=k\nmac=52:54:0:0:0:1\n"), -EINVAL);
	EXPECT_EQ(parse("[machine a]\nkernel=k\nmac=52:54:00:00:00:01\n"
			"[machine b]\nkernel=k\n[machine c]\nmac=52:54:00:00:00:01\nkernel=k\n"),
		  -EINVAL);
	EXPECT_EQ(error.line, 7);
	EXPECT(contains(error.text, "machine a has this address already"));
}

TEST(keys_outside_of_a_section)
{
	EXPECT_EQ(parse("cpus = 1\n"), -EINVAL);
	EXPECT(contains(error.text, "line 1: cpus: stands in no section"));
}

TEST(too_many_machines)
{
	char text[1024] = "";
	size_t length = 0;

	for (unsigned i = 0; i <= MAX; i++)
		length += format(text + length, sizeof(text) - length, "[machine m%u]\nkernel=k\n",
				 i);
	EXPECT_EQ(parse(text), -ENOSPC);
	EXPECT(contains(error.text, "line 9: [machine m4]: there can be 4 machines at most"));
}

TEST(too_many_disks_and_script_lines)
{
	char text[4096] = "[machine a]\nkernel = k\n";
	size_t length = string_length(text);

	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		length += format(text + length, sizeof(text) - length, "disk = d%u\n", i);
	EXPECT_EQ(parse(text), 0);
	EXPECT_EQ(machines[0].disk_count, MACHINE_DISKS_MAX);
	format(text + length, sizeof(text) - length, "disk = more\n");
	EXPECT_EQ(parse(text), -EINVAL);
	EXPECT(contains(error.text, "line 19: disk = more: there can be 16 disks at most"));
	length = format(text, sizeof(text), "[lodge]\n");
	for (unsigned i = 0; i <= MACHINE_SCRIPT_MAX; i++)
		length += format(text + length, sizeof(text) - length, "script = list\n");
	EXPECT_EQ(parse(text), -EINVAL);
	EXPECT(contains(error.text, "line 66: script: there can be 64"));
}

/* A line of so many letters for a key, behind `kernel = k`. */
static int parse_long(const char *key, size_t letters)
{
	static char text[2 * MACHINE_LINE_MAX];
	size_t length = format(text, sizeof(text), "[machine a]\nkernel = k\n%s = ", key);

	bytes_fill(text + length, 'x', letters);
	return parse_bytes(text, length + letters);
}

TEST(long_lines)
{
	EXPECT_EQ(parse_long("append", MACHINE_APPEND_MAX - 1), 0);
	EXPECT_EQ(string_length(machines[0].append), MACHINE_APPEND_MAX - 1);
	EXPECT_EQ(parse_long("append", MACHINE_APPEND_MAX), -EINVAL);
	EXPECT(contains(error.text, "...: is too long: 2047 bytes are the most"));
	EXPECT_EQ(parse_long("append", MACHINE_LINE_MAX), -EINVAL);
	EXPECT(contains(error.text, "line 3: is too long"));
	EXPECT_EQ(parse_long("initrd", MACHINE_FILE_NAME_MAX - 1), 0);
	EXPECT_EQ(parse_long("initrd", MACHINE_FILE_NAME_MAX), -EINVAL);
	EXPECT_EQ(parse_long("disk", MACHINE_FILE_NAME_MAX), -EINVAL);
	EXPECT_EQ(parse_long("net", MACHINE_NAME_MAX), -EINVAL);
}

TEST(no_text)
{
	EXPECT_EQ(parse_bytes("[machine a]\nkernel = k\0\n", 25), -EINVAL);
	EXPECT(contains(error.text, "line 2: has a NUL byte"));
	EXPECT_EQ(parse_bytes("\x7f"
			      "ELF\2\1\1",
			      7),
		  -EINVAL);
	EXPECT_EQ(error.line, 1);
}

TEST(keys_have_names)
{
	for (unsigned i = 0; i < MACHINE_KEYS; i++)
		EXPECT(machine_key_name(i) && machine_key_name(i)[0]);
	EXPECT_STR(machine_key_name(MACHINE_DISK_MEMORY), "disk-memory");
}
