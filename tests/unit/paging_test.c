/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/paging.h"

#include "lib/bytes.h"
#include "test.h"
#include "x86/registers.h"

#define TABLES 16

/* Tables at guest-physical 0x1000, 0x2000, ...; everything beyond is no RAM. */
static _Alignas(4096) uint8_t tables[TABLES][4096];
static struct paging paging;
static struct paging_page page;
/* An entry that changes behind the walk's back, and what it becomes. */
static uint64_t *racing_entry, racing_value;

static void *find(void *context, uint64_t physical)
{
	uint8_t *found;

	if (physical < 0x1000 || physical >= 0x1000 * (TABLES + 1))
		return NULL;
	found = &tables[0][0] + (physical - 0x1000);
	return found;
}

static uint64_t *entry64(unsigned table, unsigned index)
{
	return (uint64_t *)(void *)tables[table - 1] + index;
}

static uint32_t *entry32(unsigned table, unsigned index)
{
	return (uint32_t *)(void *)tables[table - 1] + index;
}

static void configure(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	static const struct paging_features features = {.physical_bits = 40,
							.gigabyte_pages = true};

	paging_configure(&paging, &features, cr0 | CR0_PE | CR0_PG, 0x1000, cr4, efer);
}

static void configure_long(uint64_t cr0, uint64_t cr4)
{
	configure(cr0, cr4 | CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE);
}

static bool walk(uint64_t linear, unsigned access)
{
	return paging_walk(&paging, linear, access, find, NULL, &page);
}

/* linear 0x8080604000 + ...: indices 1, 2, 3, 4 in tables 1, 2, 3, 4. */
#define LINEAR (1ull << 39 | 2ull << 30 | 3ull << 21 | 4ull << 12 | 0x123)

static void map_4k(uint64_t flags)
{
	*entry64(1, 1) = 0x2000 | 7;
	*entry64(2, 2) = 0x3000 | 7;
	*entry64(3, 3) = 0x4000 | 7;
	*entry64(4, 4) = 0x12345000 | flags;
}

TEST(without_paging_linear_is_physical)
{
	static const struct paging_features features = {.physical_bits = 40};

	paging_configure(&paging, &features, CR0_PE, 0, 0, 0);
	EXPECT(walk(0xfee00123, PAGING_WRITE | PAGING_USER));
	EXPECT_EQ(page.physical, 0xfee00000);
	EXPECT(page.user && page.writable && page.executable && page.dirty);
}

TEST(without_paging_nothing_keeps_the_kernel_out)
{
	static const struct paging_features features = {.physical_bits = 40};

	paging_configure(&paging, &features, CR0_PE, 0, CR4_SMEP | CR4_SMAP, 0);
	EXPECT(walk(0x1000, PAGING_WRITE));
	EXPECT(paging_allows(&paging, &page, PAGING_WRITE));
	EXPECT(paging_allows(&paging, &page, PAGING_FETCH));
}

TEST(long_mode_4k_sets_accessed_and_dirty)
{
	configure_long(CR0_WP, 0);
	map_4k(7);
	EXPECT(walk(LINEAR, 0));
	EXPECT_EQ(page.physical, 0x12345000);
	EXPECT_EQ(page.bits, 12);
	EXPECT(page.user && page.writable && page.executable && !page.dirty && !page.global);
	EXPECT_EQ(*entry64(1, 1), 0x2027);
	EXPECT_EQ(*entry64(4, 4), 0x12345027);
	EXPECT(walk(LINEAR, PAGING_WRITE | PAGING_USER));
	EXPECT(page.dirty);
	EXPECT_EQ(*entry64(3, 3), 0x4027); /* dirty in the leaf only */
	EXPECT_EQ(*entry64(4, 4), 0x12345067);
}

TEST(quiet_walk_changes_no_entry)
{
	configure_long(CR0_WP, 0);
	map_4k(7);
	EXPECT(walk(LINEAR, PAGING_WRITE | PAGING_QUIET));
	EXPECT_EQ(*entry64(1, 1), 0x2007);
	EXPECT_EQ(*entry64(4, 4), 0x12345007);
	EXPECT(!page.dirty);
}

TEST(not_present_at_each_level)
{
	configure_long(CR0_WP, 0);
	for (unsigned level = 0; level < 4; level++) {
		uint64_t *entry[] = {entry64(1, 1), entry64(2, 2), entry64(3, 3), entry64(4, 4)};

		map_4k(7);
		*entry[level] = 0xfffffffffffffffe; /* nothing else counts then */
		EXPECT(!walk(LINEAR, 0));
		EXPECT_EQ(page.error, 0);
		EXPECT(!walk(LINEAR, PAGING_USER | PAGING_WRITE));
		EXPECT_EQ(page.error, PAGE_FAULT_USER | PAGE_FAULT_WRITE);
		EXPECT(!walk(LINEAR, PAGING_USER | PAGING_FETCH));
		EXPECT_EQ(page.error, PAGE_FAULT_USER | PAGE_FAULT_FETCH);
	}
}

TEST(faults_set_no_accessed_bits)
{
	configure_long(CR0_WP, 0);
	map_4k(5);
	EXPECT(!walk(LINEAR, PAGING_WRITE));
	EXPECT_EQ(*entry64(1, 1), 0x2007);
	EXPECT_EQ(*entry64(4, 4), 0x12345005);
}

TEST(write_protection)
{
	configure_long(CR0_WP, 0);
	map_4k(5);
	EXPECT(!walk(LINEAR, PAGING_WRITE));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_WRITE);
	EXPECT(!walk(LINEAR, PAGING_WRITE | PAGING_USER));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_WRITE | PAGE_FAULT_USER);
	configure_long(0, 0);
	EXPECT(walk(LINEAR, PAGING_WRITE));
	EXPECT(!walk(LINEAR, PAGING_WRITE | PAGING_USER));
}

TEST(rights_are_those_of_all_levels)
{
	configure_long(CR0_WP, 0);
	map_4k(7);
	*entry64(2, 2) &= ~PAGE_WRITABLE;
	*entry64(3, 3) &= ~PAGE_USER;
	*entry64(1, 1) |= PAGE_NX;
	EXPECT(walk(LINEAR, 0));
	EXPECT(!page.writable && !page.user && !page.executable);
	EXPECT(!walk(LINEAR, PAGING_USER));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_USER);
	EXPECT(!walk(LINEAR, PAGING_FETCH));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_FETCH);
}

TEST(smep_and_smap)
{
	configure_long(CR0_WP, CR4_SMEP | CR4_SMAP);
	map_4k(7);
	EXPECT(!walk(LINEAR, PAGING_FETCH));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_FETCH);
	EXPECT(walk(LINEAR, PAGING_FETCH | PAGING_USER));
	EXPECT(!walk(LINEAR, 0));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT);
	EXPECT(walk(LINEAR, PAGING_AC));
	EXPECT(!walk(LINEAR, PAGING_AC | PAGING_FETCH));
	configure_long(CR0_WP, 0);
	EXPECT(walk(LINEAR, 0));
	EXPECT(walk(LINEAR, PAGING_FETCH));
}

TEST(large_pages)
{
	configure_long(CR0_WP, CR4_PGE);
	*entry64(1, 1) = 0x2000 | 7;
	*entry64(2, 2) = 0x3000 | 7;
	*entry64(3, 3) = 0x40200000 | PAGE_GLOBAL | PAGE_LARGE | 7;
	EXPECT(walk(LINEAR, PAGING_WRITE));
	EXPECT_EQ(page.physical, 0x40204000);
	EXPECT_EQ(page.bits, 21);
	EXPECT(page.global);
	EXPECT_EQ(*entry64(3, 3), 0x40200000 | PAGE_GLOBAL | PAGE_LARGE | 0x67);
	*entry64(2, 2) = 0x80000000 | PAGE_LARGE | 7;
	EXPECT(walk(LINEAR, 0));
	EXPECT_EQ(page.physical, 0x80000000 + (3 << 21) + (4 << 12));
	EXPECT_EQ(page.bits, 30);
	EXPECT(!page.global);
}

TEST(global_needs_pge)
{
	configure_long(CR0_WP, 0);
	map_4k(7 | PAGE_GLOBAL);
	EXPECT(walk(LINEAR, 0));
	EXPECT(!page.global);
}

TEST(reserved_bits)
{
	static const struct {
		unsigned table, index;
		uint64_t bits;
	} bad[] = {
		{1, 1, PAGE_LARGE},
		{1, 1, 1ull << 40},
		{2, 2, 1ull << 51},
		{4, 4, 1ull << 45},
		{3, 3, PAGE_LARGE | 1ull << 13},
		{2, 2, PAGE_LARGE | 1ull << 29},
	};

	configure_long(CR0_WP, 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		map_4k(7);
		*entry64(bad[i].table, bad[i].index) |= bad[i].bits;
		EXPECT(!walk(LINEAR, PAGING_USER));
		EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_USER | PAGE_FAULT_RESERVED);
	}
}

TEST(nx_is_reserved_unless_enabled)
{
	configure(CR0_WP, CR4_PAE, EFER_LME | EFER_LMA);
	map_4k(7 | PAGE_NX);
	EXPECT(!walk(LINEAR, 0));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
	map_4k(5);
	EXPECT(!walk(LINEAR + 0x1000, PAGING_FETCH));
	EXPECT_EQ(page.error, 0); /* the fetch bit is there only with NXE or SMEP */
}

TEST(tables_outside_ram_read_as_ones)
{
	configure_long(CR0_WP, 0);
	map_4k(7);
	*entry64(2, 2) = 0x7000000 | 7;
	EXPECT(!walk(LINEAR, 0));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
}

TEST(mode_32)
{
	configure(CR0_WP, CR4_PSE, 0);
	*entry32(1, 1) = 0x2000 | 7;
	*entry32(2, 3) = 0x76543000 | 5;
	EXPECT(walk(1 << 22 | 3 << 12, PAGING_USER));
	EXPECT_EQ(page.physical, 0x76543000);
	EXPECT_EQ(*entry32(1, 1), 0x2027);
	EXPECT_EQ(*entry32(2, 3), 0x76543025);
	EXPECT_EQ(*entry32(2, 4), 0);
	EXPECT(!walk(1 << 22 | 3 << 12, PAGING_USER | PAGING_WRITE));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_USER | PAGE_FAULT_WRITE);
}

TEST(mode_32_large_pages_reach_40_bits)
{
	configure(CR0_WP, CR4_PSE, 0);
	*entry32(1, 5) = 0x00c00000 | 0x12 << 13 | 0x87;
	EXPECT(walk(5 << 22 | 0x321456, PAGING_WRITE));
	EXPECT_EQ(page.physical, 0x1200f21000);
	EXPECT_EQ(page.bits, 22);
	*entry32(1, 5) |= 1 << 21;
	EXPECT(!walk(5 << 22, 0));
	EXPECT_EQ(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_RESERVED);
	configure(CR0_WP, 0, 0); /* without PSE the bit means nothing: a table, which is not RAM */
	EXPECT(!walk(5 << 22, 0));
	EXPECT_EQ(page.error, 0);
}

TEST(mode_pae)
{
	uint64_t entries[4] = {0, 0x2001, 0, 0};

	configure(CR0_WP, CR4_PAE, EFER_NXE);
	EXPECT_EQ(paging.mode, PAGING_PAE);
	REQUIRE(paging_load_pdpte(&paging, entries));
	*entry64(2, 3) = 0x3000 | 7;
	*entry64(3, 4) = 0x5000 | 7 | PAGE_NX;
	EXPECT(walk(1 << 30 | 3 << 21 | 4 << 12, PAGING_WRITE));
	EXPECT_EQ(page.physical, 0x5000);
	EXPECT(!walk(1 << 30 | 3 << 21 | 4 << 12, PAGING_FETCH));
	EXPECT(!walk(2u << 30, 0));
	EXPECT_EQ(page.error, 0);
}

TEST(pae_entries_with_reserved_bits_are_refused)
{
	static const uint64_t bad[] = {2, 4, 0x20, 0x100, 1ull << 45, 1ull << 63};
	uint64_t entries[4] = {0x2001, 0, 0, 0};

	configure(CR0_WP, CR4_PAE, 0);
	EXPECT(paging_load_pdpte(&paging, entries));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		entries[2] = 0x3001 | bad[i];
		EXPECT(!paging_load_pdpte(&paging, entries));
		EXPECT_EQ(paging.pdpte[2], 0);
		entries[2] &= ~1ull; /* not present: anything goes */
		EXPECT(paging_load_pdpte(&paging, entries));
		entries[2] = 0;
		EXPECT(paging_load_pdpte(&paging, entries));
	}
}

static void *find_racing(void *context, uint64_t physical)
{
	uint64_t *entry = find(context, physical);

	/* Seen once as it was; changed before accessed bits are set. */
	if (physical == 0x4020 && racing_entry) {
		*racing_entry = racing_value;
		racing_entry = NULL;
	}
	return entry;
}

TEST(an_entry_that_changes_meanwhile_is_read_again)
{
	configure_long(CR0_WP, 0);
	map_4k(7);
	racing_entry = entry64(3, 3);
	racing_value = 0x5000 | 7; /* another table */
	*entry64(5, 4) = 0x99999000 | 7;
	EXPECT(paging_walk(&paging, LINEAR, PAGING_WRITE, find_racing, NULL, &page));
	EXPECT_EQ(page.physical, 0x99999000);
	EXPECT_EQ(*entry64(4, 4), 0x12345007);
	EXPECT_EQ(*entry64(5, 4), 0x99999067);
}

TEST(canonical)
{
	EXPECT(paging_canonical(0x00007fffffffffff));
	EXPECT(!paging_canonical(0x0000800000000000));
	EXPECT(!paging_canonical(0xffff7fffffffffff));
	EXPECT(paging_canonical(0xffff800000000000));
}
