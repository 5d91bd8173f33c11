/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stddef.h>

#include "core/irq.h"

static unsigned changes, last_input;
static bool last_level;
static void *last_listener;

static void listen(void *listener, unsigned input, bool level)
{
	changes++;
	last_listener = listener;
	last_input = input;
	last_level = level;
}

TEST(the_listener_hears_of_changes_only)
{
	struct irq_line line = {0};

	irq_connect(&line, listen, &line, 7);
	irq_set(&line, false);
	EXPECT_EQ(changes, 0);
	irq_set(&line, true);
	irq_set(&line, true);
	EXPECT_EQ(changes, 1);
	EXPECT_EQ(last_input, 7);
	EXPECT_EQ(last_listener, &line);
	EXPECT(last_level && line.level);
	irq_set(&line, false);
	EXPECT_EQ(changes, 2);
	EXPECT(!last_level);
}

TEST(a_pulse_is_two_changes)
{
	struct irq_line line = {0};

	irq_connect(&line, listen, NULL, 1);
	irq_pulse(&line);
	EXPECT_EQ(changes, 2);
	EXPECT(!line.level && !last_level);
}

TEST(a_loose_line_swallows_everything)
{
	struct irq_line line = {0};

	irq_pulse(&line);
	irq_set(&line, true);
	EXPECT(line.level);
}

static uint64_t sent_address;
static uint32_t sent_data;

static void send(void *listener, uint64_t address, uint32_t data)
{
	last_listener = listener;
	sent_address = address;
	sent_data = data;
}

TEST(messages_reach_their_target)
{
	struct msi_target target = {send, &target}, none = {0};

	msi_send(&target, 0xfee00000, 0x4031);
	EXPECT_EQ(sent_address, 0xfee00000);
	EXPECT_EQ(sent_data, 0x4031);
	EXPECT_EQ(last_listener, &target);
	msi_send(&none, 1, 2);
	EXPECT_EQ(sent_data, 0x4031);
}
