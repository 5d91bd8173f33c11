/* SPDX-License-Identifier: BSD-2-Clause */
/* What the description of a saved machine gets, and what it is refused. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines/scripted/scripted.h"
#include "manage/exitcodes.h"
#include "manage/run_state.h"
#include "manage/safe_file.h"
#include "manage/seal.h"

static struct run *run;
static struct options options;

static void begin(void)
{
	struct saved_config *config;

	setenv("XDG_DATA_HOME", test_folder(), 1);
	run = calloc(1, sizeof(*run));
	REQUIRE(run && (run->restore.config = calloc(1, sizeof(*run->restore.config))));
	config = run->restore.config;
	strcpy(config->kernel, "/a/kernel");
	strcpy(config->initrd, "/a/initrd");
	config->disk_count = 1;
	strcpy(config->disks[0].path, "/home/me/.ssh/id_rsa");
	strcpy(config->disks[0].format, "raw");
	config->network = true;
	config->forward_count = 1;
	strcpy(config->forwards[0], "0.0.0.0:22:22");
	options_init(&options);
	options.restore = run->restore.path = "a.saved";
	run->options = &options;
}

static int take(void)
{
	return restore_take(run, &options);
}

static void parse(const char *first, const char *second, const char *third)
{
	char *words[] = {(char *)first, (char *)second, (char *)third, NULL};
	char reason[256];

	options_free(&options);
	options_init(&options);
	REQUIRE(options_parse(&options, COMMAND_RUN, words, reason, sizeof(reason)));
	options.restore = "a.saved";
}

static void end(void)
{
	options_free(&options);
	free(run->restore.config);
	free(run);
}

TEST(a_strangers_files_are_not_opened)
{
	begin();
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	EXPECT_EQ(options.disk_count, 0);
	EXPECT_EQ(options.forward_count, 0);
	/* Some of them named, but not all. */
	parse("--kernel=/b/kernel", "--disk=/b/disk", NULL);
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	end();
}

TEST(files_of_the_command_line_are_and_ports_of_strangers_are_not_forwarded)
{
	begin();
	parse("--kernel=/b/kernel", "--disk=/b/disk", "--initrd=/b/initrd");
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_STR(options.kernel, "/b/kernel");
	EXPECT_STR(options.initrd, "/b/initrd");
	EXPECT_EQ(options.disk_count, 1);
	EXPECT_STR(options.disks[0].path, "/b/disk");
	EXPECT_EQ(options.forward_count, 0);
	end();
}

TEST(what_is_sealed_is_believed)
{
	begin();
	seal_make(run->restore.config);
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_STR(options.kernel, "/a/kernel");
	EXPECT_STR(options.disks[0].path, "/home/me/.ssh/id_rsa");
	EXPECT_EQ(options.forward_count, 1);
	end();
}

/* Who saw it cross the network could send it again. */
TEST(a_seal_is_worth_nothing_from_the_network)
{
	begin();
	seal_make(run->restore.config);
	options.restore = NULL;
	options.incoming = run->incoming.address = "localhost:1";
	run->incoming.wire.local = false;
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	run->incoming.wire.local = true;
	EXPECT_EQ(take(), LODGE_OK);
	end();
}

TEST(who_says_so_trusts)
{
	begin();
	parse("--trust-paths", "--restore=a.saved", NULL);
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_EQ(options.disk_count, 1);
	EXPECT_EQ(options.forward_count, 1);
	end();
}

/* Limits */

TEST(limits_are_those_that_were_in_force)
{
	struct saved_config *config;

	begin();
	config = run->restore.config;
	config->rate = 3000;
	config->disks[0].limits = (struct saved_limits){1000, 2000, 50, 60, true};
	seal_make(config);
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_EQ(options.network.rate, 3000);
	EXPECT_EQ(options.disks[0].limits.rate, 1000);
	EXPECT_EQ(options.disks[0].limits.burst, 2000);
	EXPECT_EQ(options.disks[0].limits.operations, 50);
	EXPECT_EQ(options.disks[0].limits.operations_burst, 60);
	EXPECT_EQ(options.disks[0].when_full, HOLD_FULL_ERROR);
	end();
}

TEST(limits_of_the_command_line_are_in_their_place)
{
	struct saved_config *config;

	begin();
	config = run->restore.config;
	config->rate = 3000;
	config->disks[0].limits = (struct saved_limits){1000, 2000, 50, 60, true};
	seal_make(config);
	parse("--net=user,rate=7", "--disk=/b/disk,ops=9", NULL);
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_EQ(options.net, NET_USER);
	EXPECT_EQ(options.network.rate, 7);
	EXPECT_EQ(options.disks[0].limits.rate, 0);
	EXPECT_EQ(options.disks[0].limits.operations, 9);
	EXPECT_EQ(options.disks[0].when_full, HOLD_FULL_WAIT);
	parse("--net=user", NULL, NULL);
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_EQ(options.network.rate, 0);
	end();
}

TEST(another_network_than_it_had_is_refused)
{
	begin();
	seal_make(run->restore.config);
	parse("--net=none", NULL, NULL);
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	parse("--net=tap", NULL, NULL);
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	run->restore.config->network = false;
	parse("--net=user", NULL, NULL);
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	end();
}

/* It says on what kind of network it is, and a person on which. */
TEST(a_network_of_machines_is_named_again)
{
	static const uint8_t kinds[2] = {SAVED_LAN, SAVED_TAP};
	static const char *const words[2] = {"--net=blue", "--net=tap"};

	for (unsigned i = 0; i < 2; i++) {
		begin();
		seal_make(run->restore.config);
		run->restore.config->network = kinds[i];
		run->restore.config->forward_count = 0;
		EXPECT_EQ(take(), LODGE_BAD_OPTION);
		parse(words[!i], NULL, NULL);
		EXPECT_EQ(take(), LODGE_BAD_OPTION);
		parse("--net=user", NULL, NULL);
		EXPECT_EQ(take(), LODGE_BAD_OPTION);
		parse(words[i], NULL, NULL);
		EXPECT_EQ(take(), LODGE_OK);
		EXPECT_EQ(options.net, i ? NET_TAP : NET_LAN);
		end();
	}
}

/* Unless it comes with the machine. */
TEST(a_network_that_comes_along_is_not_named)
{
	begin();
	seal_make(run->restore.config);
	run->restore.config->network = SAVED_LAN;
	run->incoming.address = "unix:/here";
	run->incoming.wire.local = true;
	parse("--net=blue", NULL, NULL);
	EXPECT_EQ(take(), LODGE_BAD_OPTION);
	parse(NULL, NULL, NULL);
	EXPECT_EQ(take(), LODGE_OK);
	EXPECT_EQ(options.net, NET_LAN);
	EXPECT_EQ(options.forward_count, 1);
	end();
}

/* The TSC */

static uint64_t wanted;
static int verdict;

static int tsc(struct vm *vm, uint64_t frequency, uint64_t *here)
{
	wanted = frequency;
	*here = 2000000000;
	return verdict;
}

TEST(a_tsc_of_another_speed_is_scaled_or_refused)
{
	struct engine engine = engine_scripted;

	begin();
	run->engine = &engine;
	run->cpu_model.tsc_frequency = 3000000000;
	EXPECT_EQ(restore_tsc(run), LODGE_OK); /* it is measured later */
	engine.tsc = tsc;
	EXPECT_EQ(restore_tsc(run), LODGE_OK);
	EXPECT_EQ(wanted, 3000000000);
	verdict = -ENOTSUP;
	EXPECT_EQ(restore_tsc(run), LODGE_HOST_LACKS);
	verdict = -EIO;
	EXPECT_EQ(restore_tsc(run), LODGE_HOST_LACKS);
	verdict = -ENOTSUP;
	options.any_tsc = true;
	EXPECT_EQ(restore_tsc(run), LODGE_OK);
	end();
}

TEST(speeds_agree_within_their_tolerance)
{
	EXPECT(engine_tsc_agrees(3000000000, 3000000000));
	EXPECT(engine_tsc_agrees(3000000000, 3000700000));
	EXPECT(engine_tsc_agrees(3000700000, 3000000000));
	EXPECT(!engine_tsc_agrees(3000000000, 3001000000));
	EXPECT(!engine_tsc_agrees(3000000000, 2500000000));
}
