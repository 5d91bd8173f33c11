/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Not modelled: performance counters, thermal and power control, last branch records, machine-check
 * banks (there are none): their MSRs either read as constants that say so, or do not exist.
 */
#include "x86/msr.h"

#include "lib/bits.h"

#define ALL	 UINT64_MAX
#define LOW_32	 0xffffffffull
#define PHYSICAL 0x3fffffffffffull /* CPU_PHYSICAL_BITS */

#define STATE(n, w)                                                                                \
	{                                                                                          \
		n, n, MSR_STATE, 0, w, false                                                       \
	}
#define ADDRESS(n)                                                                                 \
	{                                                                                          \
		n, n, MSR_STATE, 0, ALL, true                                                      \
	}
#define FIXED(n, v)                                                                                \
	{                                                                                          \
		n, n, MSR_FIXED, v, 0, false                                                       \
	}
#define IGNORED(n, v)                                                                              \
	{                                                                                          \
		n, n, MSR_IGNORED, v, 0, false                                                     \
	}
#define IGNORED_RANGE(n, l, v)                                                                     \
	{                                                                                          \
		n, l, MSR_IGNORED, v, 0, false                                                     \
	}
#define COMMAND(n, w)                                                                              \
	{                                                                                          \
		n, n, MSR_COMMAND, 0, w, false                                                     \
	}
#define DEVICE(n, l)                                                                               \
	{                                                                                          \
		n, l, MSR_DEVICE, 0, 0, false                                                      \
	}

/* By number. */
static const struct msr msrs[] = {
	IGNORED(0x0, 0), /* P5_MC_ADDR */
	IGNORED(0x1, 0), /* P5_MC_TYPE */
	STATE(MSR_TSC, ALL),
	FIXED(0x17, 0), /* PLATFORM_ID */
	DEVICE(MSR_APIC_BASE, MSR_APIC_BASE),
	IGNORED(0x2a, 0), /* EBL_CR_POWERON */
	FIXED(0x34, 0),	  /* SMI_COUNT */
	FIXED(0x3a, 1),	  /* FEATURE_CONTROL: locked, no VMX, no SMX */
	STATE(MSR_TSC_ADJUST, ALL),
	STATE(MSR_SPEC_CTRL, 0x407), /* IBRS, STIBP, SSBD, BHI_DIS_S */
	COMMAND(MSR_PRED_CMD, 1),
	COMMAND(MSR_UCODE_WRITE, ALL),
	IGNORED(MSR_UCODE_REVISION, 0xd000400ull << 32),
	FIXED(0xcd, 3), /* FSB_FREQ: 100 MHz */
	FIXED(0xce, 0), /* PLATFORM_INFO: no CPUID faulting */
	FIXED(MSR_MTRR_CAP,
	      8 | 1 << 8 | 1 << 10),	 /* 8 variable ranges, fixed ranges, write combining */
	STATE(MSR_ARCH_CAPABILITIES, 0), /* the model's */
	IGNORED(0x140, 0),		 /* MISC_FEATURES_ENABLES */
	STATE(MSR_SYSENTER_CS, LOW_32),
	ADDRESS(MSR_SYSENTER_ESP),
	ADDRESS(MSR_SYSENTER_EIP),
	FIXED(0x179, 0),   /* MCG_CAP: no banks */
	IGNORED(0x17a, 0), /* MCG_STATUS */
	FIXED(0x198, 0),   /* PERF_STATUS */
	IGNORED(0x199, 0), /* PERF_CTL */
	IGNORED(0x19a, 0), /* CLOCK_MODULATION */
	IGNORED(0x19b, 0), /* THERM_INTERRUPT */
	IGNORED(0x19c, 0), /* THERM_STATUS */
	STATE(MSR_MISC_ENABLE, ALL),
	FIXED(0x1a2, 0),	/* TEMPERATURE_TARGET */
	FIXED(0x1ad, 0),	/* TURBO_RATIO_LIMIT */
	IGNORED(0x1b0, 6),	/* ENERGY_PERF_BIAS: balanced */
	STATE(MSR_DEBUGCTL, 3), /* LBR, BTF: kept, without effect */
	FIXED(0x1db, 0),	/* LASTBRANCHFROMIP */
	FIXED(0x1dc, 0),
	FIXED(0x1dd, 0), /* LASTINTFROMIP */
	FIXED(0x1de, 0),
	{MSR_MTRR_VARIABLE, MSR_MTRR_VARIABLE + 15, MSR_STATE, 0, PHYSICAL, false},
	STATE(MSR_MTRR_FIXED_64K, ALL),
	{MSR_MTRR_FIXED_16K, MSR_MTRR_FIXED_16K + 1, MSR_STATE, 0, ALL, false},
	{MSR_MTRR_FIXED_4K, MSR_MTRR_FIXED_4K + 7, MSR_STATE, 0, ALL, false},
	STATE(MSR_PAT, 0x0707070707070707),
	STATE(MSR_MTRR_DEF_TYPE, 0xcff),
	FIXED(0x345, 0), /* PERF_CAPABILITIES */
	DEVICE(MSR_TSC_DEADLINE, MSR_TSC_DEADLINE),
	DEVICE(MSR_X2APIC_FIRST, MSR_X2APIC_LAST),
	STATE(MSR_XSS, 0),
	STATE(MSR_EFER, 0xd01),
	STATE(MSR_STAR, ALL),
	ADDRESS(MSR_LSTAR),
	ADDRESS(MSR_CSTAR),
	STATE(MSR_SFMASK, LOW_32),
	ADDRESS(MSR_FS_BASE),
	ADDRESS(MSR_GS_BASE),
	ADDRESS(MSR_KERNEL_GS_BASE),
	STATE(MSR_TSC_AUX, LOW_32),
};

const struct msr *msr_find(uint32_t number)
{
	static const struct msr unknown = {.kind = MSR_UNKNOWN};
	unsigned low = 0, high = ARRAY_LENGTH(msrs);

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (number < msrs[middle].number)
			high = middle;
		else if (number > msrs[middle].last)
			low = middle + 1;
		else
			return &msrs[middle];
	}
	return &unknown;
}

/* Memory types: UC, WC, WT, WP, WB; and in the PAT UC-. */
static bool types_valid(uint64_t types, unsigned allowed)
{
	for (unsigned i = 0; i < 8; i++)
		if ((types >> 8 * i & 0xff) > 7 || !(allowed >> (types >> 8 * i & 7) & 1))
			return false;
	return true;
}

bool msr_value_valid(const struct msr *msr, uint32_t number, uint64_t value)
{
	if (value & ~msr->writable)
		return false;
	if (msr->address && (uint64_t)((int64_t)(value << 16) >> 16) != value)
		return false;
	if (number == MSR_PAT)
		return types_valid(value, 0xf3);
	if (msr_mtrr_fixed(number) >= 0)
		return types_valid(value, 0x73);
	if (number == MSR_MTRR_DEF_TYPE ||
	    (number >= MSR_MTRR_VARIABLE && number < MSR_MTRR_VARIABLE + 16 && !(number & 1)))
		return types_valid(value & 0xff, 0x73);
	return true;
}

int msr_mtrr_fixed(uint32_t number)
{
	if (number == MSR_MTRR_FIXED_64K)
		return 0;
	if (number >= MSR_MTRR_FIXED_16K && number < MSR_MTRR_FIXED_16K + 2)
		return (int)(1 + number - MSR_MTRR_FIXED_16K);
	if (number >= MSR_MTRR_FIXED_4K && number < MSR_MTRR_FIXED_4K + 8)
		return (int)(3 + number - MSR_MTRR_FIXED_4K);
	return -1;
}
