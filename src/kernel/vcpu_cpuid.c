/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid is answered from the machine's table. Three ranges of leaves (from 0, 0x4000_0000 and
 * 0x8000_0000) are found by index; what depends on registers is
 * brought up to date when these change, not when somebody asks. Other leaves, and other subleaves
 * than a leaf's first, are looked for.
 */
#include "kernel/vcpu.h"
#include "lib/bytes.h"
#include "x86/registers.h"

#define NO_LEAF		  UINT32_MAX
#define OSXSAVE		  (1u << 27) /* leaf 1 ecx */
#define XSAVE_LEGACY_SIZE 576u
#define XSAVE_AVX_SIZE	  832u

bool cpuid_table_set(struct cpuid_table *table, const struct metal_vcpu_config *config)
{
	if (config->cpuid_count > METAL_CPUID_MAX)
		return false;
	table->count = config->cpuid_count;
	bytes_fill(table->first, METAL_CPUID_MAX, sizeof(table->first));
	table->entry[METAL_CPUID_MAX].leaf = NO_LEAF;
	table->entry[METAL_CPUID_MAX].subleaf = NO_LEAF;
	for (unsigned i = 0; i < table->count; i++) {
		struct metal_cpuid *entry = &table->entry[i];
		unsigned index;

		*entry = config->cpuid[i];
		if (i && (entry->leaf < entry[-1].leaf ||
			  (entry->leaf == entry[-1].leaf && entry->subleaf <= entry[-1].subleaf)))
			return false;
		index = cpuid_index(entry->leaf);
		if (index < 3 * CPUID_INDEX && table->first[index] == METAL_CPUID_MAX)
			table->first[index] = (uint8_t)i;
	}
	return true;
}

/* One of the registers of an answer, NULL if there is none. */
static uint32_t *value_of(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf,
			  unsigned number)
{
	const struct metal_cpuid *found = cpuid_table_search(table, leaf, subleaf);

	return found ? &table->entry[found - table->entry].value[number] : NULL;
}

void cpuid_table_update(struct cpuid_table *table, uint64_t cr4, uint64_t xcr0)
{
	uint32_t size = xcr0 & XCR0_AVX ? XSAVE_AVX_SIZE : XSAVE_LEGACY_SIZE;
	uint32_t *features = value_of(table, 1, 0, 2);
	uint32_t *standard = value_of(table, 0xd, 0, 1), *compacted = value_of(table, 0xd, 1, 1);

	if (features)
		*features = cr4 & CR4_OSXSAVE ? *features | OSXSAVE : *features & ~OSXSAVE;
	if (standard)
		*standard = size;
	/* 0 where there is no such form. */
	if (compacted && *compacted)
		*compacted = size;
}

const struct metal_cpuid *cpuid_table_search(const struct cpuid_table *table, uint32_t leaf,
					     uint32_t subleaf)
{
	for (unsigned i = 0; i < table->count && table->entry[i].leaf <= leaf; i++)
		if (table->entry[i].leaf == leaf &&
		    (table->entry[i].any_subleaf || table->entry[i].subleaf == subleaf))
			return &table->entry[i];
	return NULL;
}
