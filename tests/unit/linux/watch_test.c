/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <string.h>

#include "manage/watch.h"

static struct watch watch;
static char written[4096];
static size_t written_size, room;

static size_t back_write(struct console *console, const void *bytes, size_t length)
{
	if (length > room)
		length = room;
	memcpy(written + written_size, bytes, length);
	written_size += length;
	room -= length;
	return length;
}

static void back_input_ready(struct console *console)
{
}

static const struct console_ops back_ops = {.write = back_write, .input_ready = back_input_ready};
static struct console back = {.ops = &back_ops};

static size_t say(const char *text)
{
	return watch.front.ops->write(&watch.front, text, strlen(text));
}

TEST(passes_on_what_is_taken_and_no_more)
{
	watch_init(&watch);
	watch_attach(&watch, &back);
	room = 5;
	EXPECT_EQ(say("hello world"), 5);
	EXPECT_MEM(written, "hello", 5);
	EXPECT_EQ(watch.written, 5);
}

TEST(output_vanishes_without_a_console)
{
	watch_init(&watch);
	EXPECT_EQ(say("hello"), 5);
	EXPECT_EQ(written_size, 0);
}

TEST(panic_is_noticed_across_writes)
{
	watch_init(&watch);
	say("[    1.0] KKernel panic - not sync");
	EXPECT(!watch.panicked);
	say("ing: VFS");
	EXPECT(watch.panicked);
	watch_restart(&watch);
	EXPECT(!watch.panicked);
	say("Kernel panic - NOT syncing");
	EXPECT(!watch.panicked);
}

TEST(panic_counts_only_once_it_is_written)
{
	watch_init(&watch);
	watch_attach(&watch, &back);
	room = 10;
	EXPECT_EQ(say("Kernel panic - not syncing"), 10);
	EXPECT(!watch.panicked);
	room = 100;
	say(" panic"); /* the guest goes on where it was */
	EXPECT(!watch.panicked);
}
