/* SPDX-License-Identifier: BSD-2-Clause */
/* What an agent may say, and what it may not, whole and in pieces of one byte. */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "lib/bytes.h"
#include "manage/agent_frames.h"

static struct agent_frames frames;
static uint8_t talk[4096];
static size_t talk_size;
static char out[256], err[256];
static size_t room = sizeof(out);

static size_t note(void *context, bool errors, const uint8_t *bytes, size_t length)
{
	char *to = errors ? err : out;

	if (length > room)
		length = room;
	REQUIRE(strlen(to) + length < sizeof(out));
	strncat(to, (const char *)bytes, length);
	room -= length;
	return length;
}

static const struct agent_sink sink = {note, NULL};

static void say(uint8_t type, const void *bytes, uint32_t length)
{
	talk[talk_size] = type;
	bytes_store32(talk + talk_size + 1, length);
	memcpy(talk + talk_size + AGENT_FRAME_HEADER, bytes, length);
	talk_size += AGENT_FRAME_HEADER + length;
}

static void say_number(uint8_t type, uint32_t number)
{
	uint8_t bytes[4];

	bytes_store32(bytes, number);
	say(type, bytes, 4);
}

static long hear(void)
{
	return agent_frames_take(&frames, talk, talk_size, &sink);
}

TEST(outputs_and_status_arrive)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_OUTPUT, "hello", 5);
	say(AGENT_ERRORS, "oops", 4);
	say(AGENT_OUTPUT, "", 0);
	say_number(AGENT_STATUS, 42);
	EXPECT_EQ(hear(), (long)talk_size);
	EXPECT(frames.ended && !frames.failed);
	EXPECT_EQ(frames.status, 42);
	EXPECT_EQ(strcmp(out, "hello"), 0);
	EXPECT_EQ(strcmp(err, "oops"), 0);
}

TEST(pieces_of_any_size_say_the_same)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_OUTPUT, "hello", 5);
	say_number(AGENT_STATUS, 7);
	for (size_t i = 0; i < talk_size; i++)
		EXPECT_EQ(agent_frames_take(&frames, talk + i, 1, &sink), 1);
	EXPECT(frames.ended);
	EXPECT_EQ(frames.status, 7);
	EXPECT_EQ(strcmp(out, "hello"), 0);
}

TEST(output_that_is_not_taken_waits)
{
	long took;

	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_OUTPUT, "hello", 5);
	say_number(AGENT_STATUS, 0);
	room = 2;
	took = hear();
	EXPECT_EQ(took, 2 * AGENT_FRAME_HEADER + 4 + 2);
	room = 100;
	EXPECT_EQ(agent_frames_take(&frames, talk + took, talk_size - (size_t)took, &sink),
		  (long)talk_size - took);
	EXPECT(frames.ended);
	EXPECT_EQ(strcmp(out, "hello"), 0);
}

TEST(nothing_counts_behind_the_end)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say_number(AGENT_STATUS, 0);
	EXPECT_EQ(hear(), (long)talk_size);
	EXPECT_EQ(hear(), 0);
}

TEST(failure_is_told_in_text)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_FAILED, "no such user", 12);
	EXPECT_EQ(hear(), (long)talk_size);
	EXPECT(frames.ended && frames.failed);
	EXPECT_EQ(strcmp(frames.text, "no such user"), 0);
	agent_frames_free(&frames);
}

TEST(text_is_kept_and_cleaned)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_TEXT, "a=\x1b[2J\nb=\x7f\n", 12);
	EXPECT_EQ(hear(), (long)talk_size);
	EXPECT_EQ(frames.text_size, 12);
	agent_text_clean(frames.text);
	EXPECT_EQ(strcmp(frames.text, "a=?[2J\nb=?\n"), 0);
	agent_frames_free(&frames);
}

static void expect_nonsense(void)
{
	EXPECT_EQ(hear(), -EPROTO);
	EXPECT(frames.problem != NULL);
	EXPECT(!frames.ended || frames.status > 255);
	EXPECT_EQ(hear(), -EPROTO);
	agent_frames_free(&frames);
}

TEST(version_must_come_first)
{
	say(AGENT_OUTPUT, "hello", 5);
	expect_nonsense();
	EXPECT_EQ(out[0], 0);
}

TEST(version_must_come_once)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say_number(AGENT_HELLO, AGENT_VERSION);
	expect_nonsense();
}

TEST(another_version_is_refused)
{
	say_number(AGENT_HELLO, AGENT_VERSION + 1);
	expect_nonsense();
}

TEST(frames_have_a_greatest_length)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_OUTPUT, "", 0);
	bytes_store32(talk + talk_size - 4, AGENT_FRAME_MAX + 1);
	expect_nonsense();
}

TEST(texts_have_a_greatest_length)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_TEXT, "", 0);
	bytes_store32(talk + talk_size - 4, AGENT_TEXT_MAX + 1);
	expect_nonsense();
}

TEST(unknown_types_are_refused)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_INPUT, "x", 1);
	expect_nonsense();
}

TEST(status_is_four_bytes)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say(AGENT_STATUS, "abc", 3);
	expect_nonsense();
}

TEST(status_is_up_to_255)
{
	say_number(AGENT_HELLO, AGENT_VERSION);
	say_number(AGENT_STATUS, 256);
	expect_nonsense();
}
