/* SPDX-License-Identifier: BSD-2-Clause */
/* All that a processor model answers to cpuid, as a list, for a kernel that answers by itself. */
#ifndef X86_CPUID_ENTRIES_H
#define X86_CPUID_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "x86/cpuid.h"

struct cpuid_entry {
	uint32_t leaf, subleaf;
	uint32_t value[4]; /* eax ebx ecx edx */
	bool any_subleaf;  /* whatever ecx holds */
};
#define CPUID_ENTRIES_MAX 80

/*
 * The answers to `vcpu` of `vcpu_count`, by leaf, then subleaf: how many. Others are zero. XCR0 is
 * 1 and CR4.OSXSAVE clear: the bits that depend on them are whoever's who answers.
 */
unsigned cpuid_entries(const struct cpu_model *model, unsigned vcpu, unsigned vcpu_count,
		       struct cpuid_entry entries[CPUID_ENTRIES_MAX]);

#endif
