/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/cpuid_entries.h"

#include <stddef.h>

#include "test.h"

static const struct cpuid_entry *found(const struct cpuid_entry *table, unsigned count,
				       uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < count; i++)
		if (table[i].leaf == leaf && (table[i].any_subleaf || table[i].subleaf == subleaf))
			return &table[i];
	return NULL;
}

TEST(the_list_answers_as_the_model)
{
	static const uint32_t zero[4];
	static struct cpuid_entry table[CPUID_ENTRIES_MAX];
	struct cpuid_state state = {.vcpu = 3, .vcpu_count = 6, .xcr0 = 1};

	for (unsigned m = 0; cpu_model_name(m); m++) {
		struct cpu_model of = *cpu_model_find(cpu_model_name(m));
		unsigned count;

		of.tsc_frequency = 3000000000;
		count = cpuid_entries(&of, 3, 6, table);
		EXPECT(count < CPUID_ENTRIES_MAX - 20);
		for (unsigned i = 1; i < count; i++)
			EXPECT(table[i - 1].leaf < table[i].leaf ||
			       (table[i - 1].leaf == table[i].leaf &&
				table[i - 1].subleaf < table[i].subleaf));
		for (uint32_t leaf = 0; leaf < 0x300; leaf++) {
			uint32_t at = leaf / 0x100 * 0x40000000 + leaf % 0x100;

			for (uint32_t subleaf = 0; subleaf < 6; subleaf++) {
				const struct cpuid_entry *entry = found(table, count, at, subleaf);
				uint32_t value[4];

				cpuid_answer(&of, &state, at, subleaf, value);
				EXPECT_MEM(entry ? entry->value : zero, value, sizeof(value));
			}
		}
	}
}
