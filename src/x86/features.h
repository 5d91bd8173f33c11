/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processor features, by name, as struct opcode.feature and the CPUID models (cpuid.c) speak of
 * them. The comment says where CPUID reports each: leaf, (subleaf), register, bit.
 * Source: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#ifndef X86_FEATURES_H
#define X86_FEATURES_H

enum cpu_feature {
	FEATURE_ALWAYS, /* what every x86-64 processor has, as far as no name below exists for it */

	/* Instructions. */
	FEATURE_FPU,	    /* 1 edx 0 */
	FEATURE_TSC,	    /* 1 edx 4 */
	FEATURE_MSR,	    /* 1 edx 5 */
	FEATURE_CX8,	    /* 1 edx 8 */
	FEATURE_SEP,	    /* 1 edx 11: sysenter, sysexit */
	FEATURE_CMOV,	    /* 1 edx 15 */
	FEATURE_CLFLUSH,    /* 1 edx 19 */
	FEATURE_MMX,	    /* 1 edx 23 */
	FEATURE_FXSR,	    /* 1 edx 24 */
	FEATURE_SSE,	    /* 1 edx 25 */
	FEATURE_SSE2,	    /* 1 edx 26 */
	FEATURE_SSE3,	    /* 1 ecx 0 */
	FEATURE_PCLMULQDQ,  /* 1 ecx 1 */
	FEATURE_MONITOR,    /* 1 ecx 3 */
	FEATURE_SSSE3,	    /* 1 ecx 9 */
	FEATURE_FMA,	    /* 1 ecx 12 */
	FEATURE_CX16,	    /* 1 ecx 13 */
	FEATURE_SSE4_1,	    /* 1 ecx 19 */
	FEATURE_SSE4_2,	    /* 1 ecx 20 */
	FEATURE_MOVBE,	    /* 1 ecx 22 */
	FEATURE_POPCNT,	    /* 1 ecx 23 */
	FEATURE_AES,	    /* 1 ecx 25 */
	FEATURE_XSAVE,	    /* 1 ecx 26 */
	FEATURE_AVX,	    /* 1 ecx 28 */
	FEATURE_F16C,	    /* 1 ecx 29 */
	FEATURE_RDRAND,	    /* 1 ecx 30 */
	FEATURE_FSGSBASE,   /* 7 (0) ebx 0 */
	FEATURE_BMI1,	    /* 7 (0) ebx 3 */
	FEATURE_AVX2,	    /* 7 (0) ebx 5 */
	FEATURE_BMI2,	    /* 7 (0) ebx 8 */
	FEATURE_INVPCID,    /* 7 (0) ebx 10 */
	FEATURE_RDSEED,	    /* 7 (0) ebx 18 */
	FEATURE_ADX,	    /* 7 (0) ebx 19 */
	FEATURE_SMAP,	    /* 7 (0) ebx 20: also clac, stac */
	FEATURE_CLFLUSHOPT, /* 7 (0) ebx 23 */
	FEATURE_CLWB,	    /* 7 (0) ebx 24 */
	FEATURE_SHA,	    /* 7 (0) ebx 29 */
	FEATURE_RDPID,	    /* 7 (0) ecx 22 */
	FEATURE_XSAVEOPT,   /* 0xd (1) eax 0 */
	FEATURE_XSAVEC,	    /* 0xd (1) eax 1 */
	FEATURE_XGETBV1,    /* 0xd (1) eax 2: xgetbv with ecx = 1 */
	FEATURE_XSAVES,	    /* 0xd (1) eax 3 */
	FEATURE_SYSCALL,    /* 0x80000001 edx 11 */
	FEATURE_RDTSCP,	    /* 0x80000001 edx 27 */
	FEATURE_LM,	    /* 0x80000001 edx 29 */
	FEATURE_LAHF_LM,    /* 0x80000001 ecx 0: lahf and sahf in 64-bit code */
	FEATURE_LZCNT,	    /* 0x80000001 ecx 5 (ABM); without it the bytes are bsr */
	FEATURE_PREFETCHW,  /* 0x80000001 ecx 8 */
	FEATURE_WBNOINVD,   /* 0x80000008 ebx 9 */

	/* What no instruction depends on, but control registers, page tables and MSRs do. */
	FEATURE_VME,	       /* 1 edx 1 */
	FEATURE_DE,	       /* 1 edx 2 */
	FEATURE_PSE,	       /* 1 edx 3 */
	FEATURE_PAE,	       /* 1 edx 6 */
	FEATURE_MCE,	       /* 1 edx 7 */
	FEATURE_APIC,	       /* 1 edx 9 */
	FEATURE_MTRR,	       /* 1 edx 12 */
	FEATURE_PGE,	       /* 1 edx 13 */
	FEATURE_MCA,	       /* 1 edx 14 */
	FEATURE_PAT,	       /* 1 edx 16 */
	FEATURE_PSE36,	       /* 1 edx 17 */
	FEATURE_PCID,	       /* 1 ecx 17 */
	FEATURE_X2APIC,	       /* 1 ecx 21 */
	FEATURE_TSC_DEADLINE,  /* 1 ecx 24 */
	FEATURE_HYPERVISOR,    /* 1 ecx 31 */
	FEATURE_ARAT,	       /* 6 eax 2 */
	FEATURE_TSC_ADJUST,    /* 7 (0) ebx 1 */
	FEATURE_SMEP,	       /* 7 (0) ebx 7 */
	FEATURE_ERMS,	       /* 7 (0) ebx 9 */
	FEATURE_UMIP,	       /* 7 (0) ecx 2 */
	FEATURE_FSRM,	       /* 7 (0) edx 4 */
	FEATURE_NX,	       /* 0x80000001 edx 20 */
	FEATURE_1G_PAGES,      /* 0x80000001 edx 26 */
	FEATURE_INVARIANT_TSC, /* 0x80000007 edx 8 */

	FEATURE_COUNT
};

#endif
