/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/msr.h"

#include "test.h"

static bool valid(uint32_t number, uint64_t value)
{
	return msr_value_valid(msr_find(number), number, value);
}

TEST(every_number_of_a_range_is_found_and_none_beside)
{
	EXPECT_EQ(msr_find(0x1ff)->kind, MSR_UNKNOWN);
	for (uint32_t number = 0x200; number < 0x210; number++)
		EXPECT_EQ(msr_find(number)->kind, MSR_STATE);
	EXPECT_EQ(msr_find(0x210)->kind, MSR_UNKNOWN);
	for (uint32_t number = 0x800; number < 0x900; number++)
		EXPECT_EQ(msr_find(number)->kind, MSR_DEVICE);
	EXPECT_EQ(msr_find(0x900)->kind, MSR_UNKNOWN);
	EXPECT_EQ(msr_find(0xffffffff)->kind, MSR_UNKNOWN);
	EXPECT_EQ(msr_find(0xc0000104)->kind, MSR_UNKNOWN);
}

/* The search is binary: an entry out of order would not be found, or hide another. */
TEST(the_table_is_sorted)
{
	uint32_t known = 0;

	for (uint32_t number = 0; number < 0x1000; number++) {
		const struct msr *msr = msr_find(number);

		if (msr->kind == MSR_UNKNOWN)
			continue;
		known++;
		EXPECT(msr->number <= number && number <= msr->last);
	}
	EXPECT(known > 300); /* 256 of them are x2APIC registers */
	EXPECT_EQ(msr_find(MSR_EFER)->kind, MSR_STATE);
	EXPECT_EQ(msr_find(MSR_TSC_AUX)->kind, MSR_STATE);
	EXPECT_EQ(msr_find(MSR_TSC_DEADLINE)->kind, MSR_DEVICE);
	EXPECT_EQ(msr_find(MSR_APIC_BASE)->kind, MSR_DEVICE);
	EXPECT_EQ(msr_find(MSR_PRED_CMD)->kind, MSR_COMMAND);
	EXPECT_EQ(msr_find(MSR_TSC)->kind, MSR_STATE);
}

TEST(efer_takes_sce_lme_lma_nxe_only)
{
	EXPECT(valid(MSR_EFER, 0xd01));
	EXPECT(!valid(MSR_EFER, 0x1d01)); /* SVME */
	EXPECT(!valid(MSR_EFER, 2));
}

TEST(addresses_are_canonical)
{
	EXPECT(valid(MSR_LSTAR, 0xffffffff81000000));
	EXPECT(!valid(MSR_LSTAR, 0x800000000000));
	EXPECT(!valid(MSR_FS_BASE, 0xfff0000000000000));
	EXPECT(valid(MSR_STAR, 0x0023001000000000));
}

TEST(memory_types)
{
	EXPECT(valid(MSR_PAT, 0x0007040600070406));
	EXPECT(!valid(MSR_PAT, 0x0000000000000002));
	EXPECT(!valid(MSR_PAT, 0x0800000000000000));
	EXPECT(valid(MSR_MTRR_FIXED_64K, 0x0606060606060606));
	EXPECT(!valid(MSR_MTRR_FIXED_4K + 3, 0x0607060606060606)); /* UC- is for the PAT only */
	EXPECT(valid(MSR_MTRR_DEF_TYPE, 0xc06));
	EXPECT(!valid(MSR_MTRR_DEF_TYPE, 0xc02));
	EXPECT(!valid(MSR_MTRR_DEF_TYPE, 0x1000));
	EXPECT(valid(MSR_MTRR_VARIABLE, 0x80000006));
	EXPECT(!valid(MSR_MTRR_VARIABLE, 0x80000003));
	EXPECT(valid(MSR_MTRR_VARIABLE + 1, 0x3fff80000800));
}

TEST(fixed_mtrrs_are_numbered_from_the_lowest_address)
{
	EXPECT_EQ(msr_mtrr_fixed(0x250), 0);
	EXPECT_EQ(msr_mtrr_fixed(0x258), 1);
	EXPECT_EQ(msr_mtrr_fixed(0x259), 2);
	EXPECT_EQ(msr_mtrr_fixed(0x268), 3);
	EXPECT_EQ(msr_mtrr_fixed(0x26f), 10);
	EXPECT_EQ(msr_mtrr_fixed(0x270), -1);
	EXPECT_EQ(msr_mtrr_fixed(0x251), -1);
}

TEST(speculation_control)
{
	EXPECT(valid(MSR_SPEC_CTRL, 0x407));
	EXPECT(!valid(MSR_SPEC_CTRL, 8));
	EXPECT(valid(MSR_PRED_CMD, 1));
	EXPECT(!valid(MSR_PRED_CMD, 2));
}
