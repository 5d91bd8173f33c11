/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers: which exist, whose they are, what may be written. Source: Intel SDM
 * volume 4, chapter 2. */
#ifndef X86_MSR_H
#define X86_MSR_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_UCODE_WRITE = 0x79,
	MSR_UCODE_REVISION = 0x8b,
	MSR_MTRR_CAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_VARIABLE = 0x200, /* base and mask, 8 pairs */
	MSR_MTRR_FIXED_64K = 0x250,
	MSR_MTRR_FIXED_16K = 0x258, /* 2 */
	MSR_MTRR_FIXED_4K = 0x268,  /* 8 */
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC_FIRST = 0x800,
	MSR_X2APIC_LAST = 0x8ff,
	MSR_XSS = 0xda0,
};
#define MSR_EFER	   0xc0000080u
#define MSR_STAR	   0xc0000081u
#define MSR_LSTAR	   0xc0000082u
#define MSR_CSTAR	   0xc0000083u
#define MSR_SFMASK	   0xc0000084u
#define MSR_FS_BASE	   0xc0000100u
#define MSR_GS_BASE	   0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX	   0xc0000103u

enum msr_kind {
	MSR_UNKNOWN,
	MSR_STATE,   /* the vcpu holds it */
	MSR_FIXED,   /* reads as value; a write raises #GP */
	MSR_IGNORED, /* reads as value; writes change nothing */
	MSR_COMMAND, /* write-only, changes nothing that a guest could see; reads raise #GP */
	MSR_DEVICE,  /* belongs to the local APIC */
};

struct msr {
	uint32_t number, last; /* a range that is alike */
	uint8_t kind;
	uint64_t value;	   /* FIXED, IGNORED */
	uint64_t writable; /* STATE, COMMAND: a write with other bits set raises #GP */
	bool address;	   /* STATE: must be canonical */
};

/* The entry for number; one of kind MSR_UNKNOWN if there is none. Never NULL. */
const struct msr *msr_find(uint32_t number);

/* Whether this may be written to it, as far as the table can tell: reserved bits, canonical
 * addresses, memory types. */
bool msr_value_valid(const struct msr *msr, uint32_t number, uint64_t value);

/* Place of a fixed-range MTRR among the 11; -1 if number is none. */
int msr_mtrr_fixed(uint32_t number);

#endif
