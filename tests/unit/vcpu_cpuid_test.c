/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's table of cpuid answers. */
#include "test.h"

#include <stddef.h>

#include "kernel/vcpu.h"
#include "x86/registers.h"

static struct cpuid_table table;

static void add(struct metal_vcpu_config *config, uint32_t leaf, uint32_t subleaf, bool any)
{
	config->cpuid[config->cpuid_count++] =
		(struct metal_cpuid){.leaf = leaf,
				     .subleaf = subleaf,
				     .any_subleaf = any,
				     .value = {leaf + 1, 100 + subleaf, 3, 4}};
}

static void fill(struct metal_vcpu_config *config)
{
	*config = (struct metal_vcpu_config){.cpuid_count = 0};
	add(config, 0, 0, true);
	add(config, 1, 0, true);
	add(config, 4, 0, false);
	add(config, 4, 1, false);
	add(config, 4, 3, false);
	add(config, 0xd, 0, false);
	add(config, 0xd, 1, false);
	add(config, 0x40000000, 0, true);
	add(config, 0x80000008, 0, true);
	add(config, 0x90000000, 7, false);
}

TEST(finds_leaves_and_subleaves)
{
	struct metal_vcpu_config config;

	fill(&config);
	REQUIRE(cpuid_table_set(&table, &config));
	for (unsigned i = 0; i < config.cpuid_count; i++) {
		const struct metal_cpuid *wanted = &config.cpuid[i];
		const struct metal_cpuid *found =
			cpuid_table_find(&table, wanted->leaf, wanted->subleaf);

		REQUIRE(found);
		EXPECT_MEM(found, wanted, sizeof(*found));
		found = cpuid_table_find(&table, wanted->leaf, 0x12345);
		EXPECT_EQ(found != NULL, wanted->any_subleaf);
	}
}

TEST(others_are_not_there)
{
	static const uint32_t leaves[] = {2,	      3,	  0x1f,	      0x20,
					  0x3fffffff, 0x40000001, 0x7fffffff, 0x80000000,
					  0xc0000000, UINT32_MAX};
	struct metal_vcpu_config config;

	fill(&config);
	REQUIRE(cpuid_table_set(&table, &config));
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		EXPECT(!cpuid_table_find(&table, leaves[i], 0));
	EXPECT(!cpuid_table_find(&table, 4, 2));
	EXPECT(!cpuid_table_find(&table, 0x90000000, 0));
	config.cpuid_count = 0;
	REQUIRE(cpuid_table_set(&table, &config));
	EXPECT(!cpuid_table_find(&table, 0, 0));
}

TEST(refuses_what_is_no_table)
{
	struct metal_vcpu_config config;

	fill(&config);
	config.cpuid_count = METAL_CPUID_MAX + 1;
	EXPECT(!cpuid_table_set(&table, &config));
	fill(&config);
	config.cpuid[3].leaf = 0; /* not ascending */
	EXPECT(!cpuid_table_set(&table, &config));
	fill(&config);
	config.cpuid[4].subleaf = 1; /* twice */
	EXPECT(!cpuid_table_set(&table, &config));
}

TEST(a_full_table_is_found_to_its_end)
{
	struct metal_vcpu_config config = {.cpuid_count = 0};

	for (unsigned i = 0; i < METAL_CPUID_MAX; i++)
		add(&config, 7, i, false);
	REQUIRE(cpuid_table_set(&table, &config));
	REQUIRE(cpuid_table_find(&table, 7, METAL_CPUID_MAX - 1));
	EXPECT_EQ(cpuid_table_find(&table, 7, METAL_CPUID_MAX - 1)->value[1],
		  100 + METAL_CPUID_MAX - 1);
	EXPECT(!cpuid_table_find(&table, 7, METAL_CPUID_MAX));
}

TEST(follows_the_registers)
{
	struct metal_vcpu_config config;

	fill(&config);
	REQUIRE(cpuid_table_set(&table, &config));
	cpuid_table_update(&table, CR4_OSXSAVE, 7);
	EXPECT_EQ(cpuid_table_find(&table, 1, 0)->value[2], 3 | 1u << 27);
	EXPECT_EQ(cpuid_table_find(&table, 0xd, 0)->value[1], 832);
	EXPECT_EQ(cpuid_table_find(&table, 0xd, 1)->value[1], 832);
	cpuid_table_update(&table, 0, 3);
	EXPECT_EQ(cpuid_table_find(&table, 1, 0)->value[2], 3);
	EXPECT_EQ(cpuid_table_find(&table, 0xd, 0)->value[1], 576);
}
