/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/segments.h"

#include "test.h"

TEST(flat_code_descriptor)
{
	struct segment segment = segment_from_descriptor(0x10, 0x00cf9b000000ffff, 0);

	EXPECT_EQ(segment.selector, 0x10);
	EXPECT_EQ(segment.base, 0);
	EXPECT_EQ(segment.limit, 0xffffffff);
	EXPECT_EQ(segment.attributes, 0xc09b);
	EXPECT(segment_is_code(segment.attributes));
	EXPECT(segment_is_readable(segment.attributes));
	EXPECT(!segment_is_writable(segment.attributes));
	EXPECT(!segment_is_data(segment.attributes));
}

TEST(base_and_limit_are_put_together)
{
	struct segment segment = segment_from_descriptor(8, 0x1247f234789abcde, 0);

	EXPECT_EQ(segment.base, 0x1234789a);
	EXPECT_EQ(segment.limit, 0x7bcde);
}

TEST(limit_in_pages)
{
	struct segment segment = segment_from_descriptor(8, 0x0080930000000001, 0);

	EXPECT_EQ(segment.limit, 0x1fff);
}

TEST(long_system_descriptor_has_a_64_bit_base)
{
	struct segment segment = segment_from_descriptor(0x40, 0xfe008b0000004087, 0xfffffe00);

	EXPECT_EQ(segment.base, 0xfffffe00fe000000);
	EXPECT_EQ(segment.limit, 0x4087);
	EXPECT_EQ(segment.attributes & SEGMENT_TYPE, DESCRIPTOR_TSS_BUSY);
}

TEST(containment)
{
	struct segment segment = {.attributes = 0x93, .limit = 0xffff};

	EXPECT(segment_contains(&segment, 0, 1));
	EXPECT(segment_contains(&segment, 0xfffc, 4));
	EXPECT(!segment_contains(&segment, 0xfffd, 4));
	EXPECT(!segment_contains(&segment, 0x10000, 1));
	EXPECT(!segment_contains(&segment, UINT64_MAX, 2)); /* wraps */
}

TEST(expand_down_segments_lie_above_their_limit)
{
	struct segment segment = {.attributes = 0x97, .limit = 0x0fff};

	EXPECT(!segment_contains(&segment, 0x0fff, 1));
	EXPECT(segment_contains(&segment, 0x1000, 1));
	EXPECT(segment_contains(&segment, 0xffff, 1));
	EXPECT(!segment_contains(&segment, 0xffff, 2));
	segment.attributes |= SEGMENT_DB;
	EXPECT(segment_contains(&segment, 0xffff, 2));
	EXPECT(segment_contains(&segment, 0xffffffff, 1));
	EXPECT(!segment_contains(&segment, 0xffffffff, 2));
}

TEST(interrupt_gate_of_long_mode)
{
	struct gate gate = gate_from_descriptor(0x81a0ee030010b0c0, 0xffffffff);

	EXPECT_EQ(gate.offset, 0xffffffff81a0b0c0);
	EXPECT_EQ(gate.selector, 0x10);
	EXPECT_EQ(gate.type, DESCRIPTOR_INTERRUPT_GATE);
	EXPECT_EQ(gate.dpl, 3);
	EXPECT_EQ(gate.ist, 3);
	EXPECT(gate.present);
}

TEST(gates_of_16_bits_have_short_offsets)
{
	struct gate gate = gate_from_descriptor(0xdead860500085678, 0);

	EXPECT_EQ(gate.offset, 0x5678);
	EXPECT_EQ(gate.type, DESCRIPTOR_INTERRUPT_GATE16);
	EXPECT_EQ(gate.dpl, 0);
	EXPECT_EQ(gate.count, 5);
}

TEST(a_segment_descriptor_is_no_gate)
{
	EXPECT_EQ(gate_from_descriptor(0x00cf9e000000ffff, 0).type, 0);
}
