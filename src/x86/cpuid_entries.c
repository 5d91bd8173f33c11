/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every leaf is asked with the first subleaves. A leaf whose answers are all alike doesn't look at
 * ecx. Further subleaves of the topology, which only repeat ecx, are left out.
 */
#include "x86/cpuid_entries.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"

#define SUBLEAVES 6

struct maker {
	const struct cpu_model *model;
	struct cpuid_state state;
	struct cpuid_entry *entries;
	unsigned count;
};

static void ask(const struct maker *maker, uint32_t leaf, uint32_t subleaf, uint32_t value[4])
{
	cpuid_answer(maker->model, &maker->state, leaf, subleaf, value);
}

static bool looks_at_ecx(const struct maker *maker, uint32_t leaf)
{
	uint32_t first[4], other[4];

	ask(maker, leaf, 0, first);
	for (uint32_t subleaf = 1; subleaf < SUBLEAVES; subleaf++) {
		ask(maker, leaf, subleaf, other);
		if (!bytes_equal(first, other, sizeof(first)))
			return true;
	}
	return false;
}

/* What is all zero need not be said. */
static void add(struct maker *maker, uint32_t leaf, uint32_t subleaf, bool any)
{
	struct cpuid_entry entry = {.leaf = leaf, .subleaf = subleaf, .any_subleaf = any};

	ask(maker, leaf, subleaf, entry.value);
	if (!(entry.value[0] | entry.value[1] | entry.value[2] | entry.value[3]))
		return;
	CHECK(maker->count < CPUID_ENTRIES_MAX);
	maker->entries[maker->count++] = entry;
}

static void add_leaf(struct maker *maker, uint32_t leaf)
{
	bool looks = looks_at_ecx(maker, leaf);

	for (uint32_t subleaf = 0; subleaf < (looks ? SUBLEAVES : 1); subleaf++)
		add(maker, leaf, subleaf, !looks);
}

unsigned cpuid_entries(const struct cpu_model *model, unsigned vcpu, unsigned vcpu_count,
		       struct cpuid_entry entries[CPUID_ENTRIES_MAX])
{
	static const uint32_t groups[] = {0, 0x40000000, 0x80000000};
	struct maker maker = {.model = model,
			      .state = {.vcpu = vcpu, .vcpu_count = vcpu_count, .xcr0 = 1},
			      .entries = entries};

	/* Each group's first leaf says which is its last. */
	for (unsigned i = 0; i < ARRAY_LENGTH(groups); i++) {
		uint32_t first[4];

		ask(&maker, groups[i], 0, first);
		for (uint32_t leaf = groups[i]; leaf <= first[0]; leaf++)
			add_leaf(&maker, leaf);
	}
	return maker.count;
}
