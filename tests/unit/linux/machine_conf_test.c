/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "manage/machine_conf.h"

static const char usual[] = "# mine\n[machine web]\ncpus = 1\n  memory=64M  \nkernel = k\n"
			    "port = 1:2\nport = 3:4\n\n[lodge]\nscript = list\n";

static void expect_set(const char *text, const char *key, const char *old, const char *value,
		       const char *result)
{
	char reason[256] = "";
	char *new = machine_conf_set(text, strlen(text), key, old, value, reason, sizeof(reason));

	if (!new)
		FAIL("%s: %s", key, reason);
	else
		EXPECT_STR(new, result);
	free(new);
}

TEST(one_line_is_replaced_and_the_rest_stays)
{
	expect_set(usual, "cpus", NULL, "4",
		   "# mine\n[machine web]\ncpus = 4\n  memory=64M  \nkernel = k\n"
		   "port = 1:2\nport = 3:4\n\n[lodge]\nscript = list\n");
	expect_set(usual, "memory", NULL, "128M",
		   "# mine\n[machine web]\ncpus = 1\nmemory = 128M\nkernel = k\n"
		   "port = 1:2\nport = 3:4\n\n[lodge]\nscript = list\n");
}

TEST(what_is_not_there_is_added_to_the_machine_and_not_to_the_next_section)
{
	expect_set(usual, "net", NULL, "user",
		   "# mine\n[machine web]\ncpus = 1\n  memory=64M  \nkernel = k\n"
		   "port = 1:2\nport = 3:4\nnet = user\n\n[lodge]\nscript = list\n");
	expect_set("[machine a]\nkernel = k", "cpus", NULL, "2",
		   "[machine a]\nkernel = k\ncpus = 2\n");
}

TEST(of_several_lines_the_one_of_that_value)
{
	expect_set(usual, "port", "3:4", NULL,
		   "# mine\n[machine web]\ncpus = 1\n  memory=64M  \nkernel = k\n"
		   "port = 1:2\n\n[lodge]\nscript = list\n");
	expect_set(usual, "port", "", "5:6",
		   "# mine\n[machine web]\ncpus = 1\n  memory=64M  \nkernel = k\n"
		   "port = 1:2\nport = 3:4\nport = 5:6\n\n[lodge]\nscript = list\n");
}

TEST(what_the_parser_would_refuse_is_refused)
{
	static const char *const cases[][2] = {{"cpus", "33"},	   {"cpus", "2\nkernel = x"},
					       {"memory", "none"}, {"kernel", ""},
					       {"nonsense", "1"},  {"append", "\x01"}};
	char reason[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		reason[0] = '\0';
		if (machine_conf_set(usual, strlen(usual), cases[i][0], NULL, cases[i][1], reason,
				     sizeof(reason)))
			FAIL("%s = %s is taken", cases[i][0], cases[i][1]);
		EXPECT(reason[0] && !strchr(reason, '\n'));
	}
	EXPECT(!machine_conf_set(usual, strlen(usual), "kernel", NULL, NULL, reason,
				 sizeof(reason)));
}

TEST(a_copy_has_another_name)
{
	char reason[256];
	char *new = machine_conf_rename(usual, strlen(usual), "db", reason, sizeof(reason));

	REQUIRE(new);
	EXPECT(strstr(new, "# mine\n[machine db]\ncpus = 1\n") == new);
	free(new);
}

TEST(what_is_written_of_options_says_the_same_when_read)
{
	char disk[] = "/etc/hostname";
	struct options options;
	struct machine_config *config = malloc(sizeof(*config));
	struct machine_settings *settings = malloc(sizeof(*settings));
	struct machine_file_error error;
	char *limits[] = {"--weight", "7", "--cap", "150", "--processors", "0-1,3", NULL};
	char *text, reason[512];
	unsigned count;

	REQUIRE(config && settings);
	options_init(&options);
	options.kernel = "/etc/passwd";
	options.append = "a b=c";
	options.disks[0] = (struct options_disk){.path = disk,
						 .read_only = true,
						 .format = FORMAT_RAW,
						 .limits = {.rate = 10 << 20, .operations = 500},
						 .when_full = HOLD_FULL_ERROR};
	options.disk_count = 1;
	options.forwards[0] = "8080:80";
	options.forward_count = 1;
	options.cpus = 3;
	REQUIRE(options_parse(&options, COMMAND_CREATE, limits, reason, sizeof(reason)));
	REQUIRE(machine_conf_text("web", &options, NULL, "root.qcow2", &text, reason,
				  sizeof(reason)) == 0);
	REQUIRE(machine_file_parse(text, strlen(text), config, 1, &count, settings, &error) == 0);
	EXPECT_STR(config->name, "web");
	EXPECT_STR(config->kernel, "/etc/passwd");
	EXPECT_STR(config->append, "a b=c");
	EXPECT_STR(config->net, "user");
	EXPECT_STR(config->ports[0], "8080:80");
	EXPECT_EQ(config->cpus, 3);
	EXPECT_EQ(config->weight, 7);
	EXPECT_EQ(config->cap, 150);
	EXPECT_EQ(config->processors, 11);
	EXPECT_EQ(config->disk_count, 2);
	EXPECT_STR(config->disks[0].file, "root.qcow2");
	EXPECT_STR(config->disks[1].file,
		   "/etc/hostname,format=raw,rate=10M,ops=500,on-full=error");
	EXPECT(config->disks[1].read_only);
	EXPECT_EQ(config->mac[0], 0x52);
	free(text);
	free(config);
	free(settings);
}
