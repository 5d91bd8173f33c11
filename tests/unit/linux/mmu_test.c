/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/code_cache.h"
#include "engines/translate/exception.h"
#include "engines/translate/jump_cache.h"

#include "translate_fixture.h"

#define PAGE 4096u

static void map(unsigned page, uint64_t physical, uint64_t flags)
{
	put64(PT + 8 * page, physical | flags);
}

static void begin(void)
{
	fixture_create();
	long_mode();
	load();
}

static bool raises(unsigned vector, uint64_t linear, unsigned size, unsigned access)
{
	return RAISES(mmu_probe(cpu, linear, size, access), vector);
}

static bool faults(uint64_t linear, unsigned access, uint32_t error)
{
	return raises(EXCEPTION_PF, linear, 1, access) && cpu->event.error == error &&
	       cpu->event.cr2 == linear;
}

TEST(loads_and_stores_of_all_sizes)
{
	begin();
	map(0, 0x100000, 7);
	put64(0x100010, 0x1122334455667788);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x10, 8, MMU_READ), 0x1122334455667788);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x10, 4, MMU_READ), 0x55667788);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x11, 2, MMU_READ), 0x6677);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x17, 1, MMU_READ), 0x11);
	mmu_store(cpu, WINDOW + 0x11, 1, 0xffaa, MMU_WRITE);
	mmu_store(cpu, WINDOW + 0x13, 2, 0xffffbbcc, MMU_WRITE);
	EXPECT_EQ(get64(0x100010), 0x112233bbcc66aa88);
}

TEST(accesses_across_pages)
{
	uint8_t bytes[300], back[300];

	begin();
	map(0, 0x100000, 7);
	map(1, 0x300000, 7);
	mmu_store(cpu, WINDOW + PAGE - 3, 8, 0x8877665544332211, MMU_WRITE);
	EXPECT_EQ(get32(0x100ffd) & 0xffffff, 0x332211);
	EXPECT_EQ(get64(0x300000) & 0xffffffffff, 0x8877665544);
	EXPECT_EQ(mmu_load(cpu, WINDOW + PAGE - 3, 8, MMU_READ), 0x8877665544332211);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	mmu_store_bytes(cpu, WINDOW + PAGE - 100, bytes, sizeof(bytes), MMU_WRITE);
	mmu_load_bytes(cpu, WINDOW + PAGE - 100, back, sizeof(back), MMU_READ);
	EXPECT_MEM(bytes, back, sizeof(bytes));
	EXPECT(!mmu_host(cpu, WINDOW + PAGE - 1, 2, MMU_READ));
	EXPECT(mmu_host(cpu, WINDOW + PAGE - 2, 2, MMU_READ) == vm.memory.base + 0x100ffe);
}

static void store_across(void)
{
	mmu_store(cpu, WINDOW + PAGE - 4, 8, UINT64_MAX, MMU_WRITE);
}

TEST(a_store_whose_second_page_faults_stores_nothing)
{
	begin();
	map(0, 0x100000, 7);
	map(1, 0x300000, 5);
	EXPECT(RAISES(store_across(), EXCEPTION_PF));
	EXPECT_EQ(cpu->event.cr2, WINDOW + PAGE);
	EXPECT_EQ(cpu->event.error, 3);
	EXPECT_EQ(get32(0x100ffc), 0);
}

TEST(page_fault_errors)
{
	begin();
	EXPECT(faults(WINDOW, MMU_READ, 0));
	EXPECT(faults(WINDOW + 5, MMU_WRITE, 2));
	map(0, 0x100000, 5);
	EXPECT(faults(WINDOW + 5, MMU_WRITE, 3));
	EXPECT(!raises(EXCEPTION_PF, WINDOW + 5, 1, MMU_READ));
	EXPECT(faults(WINDOW + 5, MMU_WRITE, 3)); /* also when the TLB knows the page */
	EXPECT(raises(EXCEPTION_GP, 0x800000000000, 1, MMU_READ));
}

TEST(the_write_tag_waits_for_the_dirty_bit)
{
	begin();
	map(0, 0x100000, 7);
	mmu_load(cpu, WINDOW, 4, MMU_READ);
	EXPECT_EQ(get64(PT), 0x100027);
	mmu_store(cpu, WINDOW, 4, 1, MMU_WRITE);
	EXPECT_EQ(get64(PT), 0x100067);
}

TEST(user_mode_sees_other_rights)
{
	begin();
	map(0, 0x100000, 3); /* supervisor's */
	map(1, 0x101000, 7);
	mmu_store(cpu, WINDOW, 4, 1, MMU_WRITE);
	cpu->segment[SEGMENT_SS].attributes = 0xc0f3;
	cpu_mode_changed(cpu);
	EXPECT_EQ(cpu->view, VIEW_USER);
	EXPECT(faults(WINDOW, MMU_READ, 5));
	EXPECT(faults(WINDOW, MMU_WRITE, 7));
	mmu_store(cpu, WINDOW + PAGE, 4, 1, MMU_WRITE);
	EXPECT_EQ(mmu_load(cpu, WINDOW, 4, MMU_READ | MMU_SYSTEM), 1);
}

TEST(smap_by_view)
{
	begin();
	cpu->cr4 |= CR4_SMAP;
	mmu_paging_changed(cpu);
	cpu_mode_changed(cpu);
	map(0, 0x100000, 7);
	EXPECT(faults(WINDOW, MMU_READ, 1));
	cpu->rflags |= FLAG_AC;
	cpu_mode_changed(cpu);
	EXPECT_EQ(cpu->view, VIEW_KERNEL_AC);
	mmu_store(cpu, WINDOW, 4, 9, MMU_WRITE);
	EXPECT(faults(WINDOW, MMU_READ | MMU_SYSTEM, 1)); /* implicit accesses never */
	cpu->rflags &= ~FLAG_AC;
	cpu_mode_changed(cpu);
	EXPECT(faults(WINDOW, MMU_READ, 1));
}

TEST(invlpg_forgets_one_page_only)
{
	begin();
	map(0, 0x100000, 7);
	map(1, 0x101000, 7);
	put64(0x100000, 1), put64(0x101000, 2), put64(0x300000, 3);
	mmu_load(cpu, WINDOW, 8, MMU_READ), mmu_load(cpu, WINDOW + PAGE, 8, MMU_READ);
	map(0, 0x300000, 7), map(1, 0x300000, 7);
	EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), 1);
	mmu_flush_page(cpu, WINDOW + 0x123);
	EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), 3);
	EXPECT_EQ(mmu_load(cpu, WINDOW + PAGE, 8, MMU_READ), 2);
	mmu_flush_non_global(cpu);
	EXPECT_EQ(mmu_load(cpu, WINDOW + PAGE, 8, MMU_READ), 3);
}

TEST(global_pages_stay_over_mov_cr3)
{
	begin();
	map(0, 0x100000, 7 | 0x100);
	map(1, 0x101000, 7);
	put64(0x100000, 1), put64(0x101000, 2), put64(0x300000, 3);
	mmu_load(cpu, WINDOW, 8, MMU_READ), mmu_load(cpu, WINDOW + PAGE, 8, MMU_READ);
	map(0, 0x300000, 7), map(1, 0x300000, 7);
	mmu_flush_non_global(cpu);
	EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), 1);
	EXPECT_EQ(mmu_load(cpu, WINDOW + PAGE, 8, MMU_READ), 3);
	mmu_flush_all(cpu);
	EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), 3);
}

/* An entry may change from global to local and back while it stays in its place. */
TEST(refilled_entries_are_flushed_as_what_they_are_now)
{
	begin();
	for (unsigned round = 0; round < 4; round++) {
		uint64_t global = round & 1 ? 0 : 0x100;

		put64(0x100000, round), put64(0x300000, 99);
		map(0, 0x100000, 7 | global);
		mmu_flush_page(cpu, WINDOW);
		EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), round);
		map(0, 0x300000, 7);
		mmu_flush_non_global(cpu);
		EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), global ? round : 99);
	}
}

TEST(invlpg_drops_all_pieces_of_a_large_page)
{
	begin();
	put64(PD2 + 8, 0x400000 | 0x87);
	put64(0x401000, 1), put64(0x456000, 2), put64(0x601000, 3), put64(0x656000, 4);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x201000, 8, MMU_READ), 1);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x256000, 8, MMU_READ), 2);
	put64(PD2 + 8, 0x600000 | 0x87);
	mmu_flush_page(cpu, WINDOW + 0x3ff000);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x201000, 8, MMU_READ), 3);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 0x256000, 8, MMU_READ), 4);
}

_Static_assert(MEMORY / PAGE >= TLB_SIZE, "each entry is tried");

TEST(linear_address_zero_is_no_hit_in_an_empty_tlb)
{
	begin();
	for (unsigned page = 0; page < MEMORY / PAGE; page++) {
		uint64_t expected = page * 0x101ull;

		put64(page * PAGE + 0xff8,
		      expected); /* the tables' pages are spoilt at their ends only */
		mmu_flush_all(cpu);
		EXPECT_EQ(mmu_load(cpu, page * PAGE + 0xff8, 8, MMU_READ), expected);
	}
}

TEST(fetch_stops_at_a_page_that_is_not_there)
{
	uint8_t bytes[16];
	uint64_t at;

	begin();
	map(0, 0x100000, 5);
	put(0x100ff8, "\1\2\3\4\5\6\7\10", 8);
	EXPECT_EQ(mmu_fetch(cpu, WINDOW + 0xff8, bytes, &at), 8);
	EXPECT_MEM(bytes, "\1\2\3\4\5\6\7\10", 8);
	EXPECT_EQ(at, WINDOW + PAGE);
	map(1, 0x300000, 5);
	put(0x300000, "\11\12\13\14\15\16\17", 7);
	EXPECT_EQ(mmu_fetch(cpu, WINDOW + 0xff8, bytes, &at), 15);
	EXPECT_MEM(bytes + 8, "\11\12\13\14\15\16\17", 7);
}

TEST(fetch_rights)
{
	uint8_t bytes[16];
	uint64_t at;

	begin();
	map(0, 0x100000, 7 | 1ull << 63);
	EXPECT(RAISES(mmu_fetch(cpu, WINDOW, bytes, &at), EXCEPTION_PF));
	EXPECT_EQ(cpu->event.error, 0x11);
	map(1, 0x100000, 7);
	EXPECT_EQ(mmu_fetch(cpu, WINDOW + PAGE, bytes, &at), 15);
	cpu->cr4 |= CR4_SMEP;
	mmu_paging_changed(cpu);
	mmu_flush_all(cpu);
	EXPECT(RAISES(mmu_fetch(cpu, WINDOW + PAGE, bytes, &at), EXCEPTION_PF));
	EXPECT_EQ(cpu->event.error, 0x11);
}

static bool jump_has(uint64_t linear)
{
	return cpu->jump[cpu->view][jump_index(linear)].address == linear;
}

TEST(jump_cache_follows_translations)
{
	static char code;

	begin();
	map(0, 0x100000, 7);
	map(1, 0x101000, 7 | 0x100);
	for (unsigned page = 0; page < 2; page++) {
		const struct fetch_entry *entry = mmu_fetch_page(cpu, WINDOW + page * PAGE);

		EXPECT_EQ(entry->physical, (0x100000 + page * PAGE) | page);
		jump_cache_add(cpu, WINDOW + page * PAGE + 0x20, &code, entry->physical & 1);
	}
	mmu_flush_page(cpu, WINDOW + 7 * PAGE);
	EXPECT(jump_has(WINDOW + 0x20) && jump_has(WINDOW + PAGE + 0x20));
	mmu_flush_non_global(cpu);
	EXPECT(!jump_has(WINDOW + 0x20) && jump_has(WINDOW + PAGE + 0x20));
	mmu_flush_page(cpu, WINDOW + PAGE + 0xfff);
	EXPECT(!jump_has(WINDOW + PAGE + 0x20));
}

static bool jump_has_beside(uint64_t linear)
{
	return cpu->jump[cpu->view][jump_other(jump_index(linear))].address == linear;
}

/* Three addresses of the same entry in WINDOW's page, or the entry beside it. */
#define SAME(n)	  (WINDOW + 0x111 + (n) * (1ull << 20) * 16)
#define BESIDE(n) (SAME(n) ^ 1)

TEST(of_two_jumps_of_one_entry_the_older_is_beside_it)
{
	static char code;

	begin();
	EXPECT_EQ(jump_index(SAME(0)), jump_index(SAME(1)));
	EXPECT_EQ(jump_index(BESIDE(0)), jump_other(jump_index(SAME(0))));
	jump_cache_add(cpu, SAME(0), &code, true);
	jump_cache_add(cpu, SAME(1), &code, false);
	EXPECT(jump_has(SAME(1)) && jump_has_beside(SAME(0)));
	/* It is what it was: global, and of that page. */
	mmu_flush_non_global(cpu);
	EXPECT(!jump_has(SAME(1)) && jump_has_beside(SAME(0)));
	jump_cache_add(cpu, SAME(2), &code, false);
	EXPECT(jump_has(SAME(2)) && jump_has_beside(SAME(0)));
	jump_cache_flush_page(cpu, SAME(0), 12);
	EXPECT(jump_has(SAME(2)) && !jump_has_beside(SAME(0)));
}

TEST(a_jump_is_driven_out_of_its_own_entry_only_now_and_then)
{
	unsigned stayed = 0;
	static char code;

	begin();
	for (unsigned i = 0; i < 400; i++) {
		jump_cache_add(cpu, BESIDE(0), &code, false);
		jump_cache_add(cpu, SAME(i & 1), &code, false);
		stayed += jump_has(BESIDE(0));
	}
	EXPECT_EQ(stayed, 301); /* in 399 times */
}

static bool cross_has(uint64_t linear)
{
	return cpu->cross[cpu->view][cross_index(linear)].address == linear;
}

static void cross_enter(uint64_t linear, void *code)
{
	mmu_fetch_page(cpu, linear);
	mmu_fetch_page(cpu, linear + PAGE);
	jump_cache_add_crossing(cpu, linear, code);
	EXPECT(cross_has(linear));
}

TEST(what_crosses_goes_with_either_page)
{
	static char code;

	begin();
	map(0, 0x100000, 7);
	map(1, 0x101000, 7 | 0x100);
	cross_enter(WINDOW + PAGE - 2, &code);
	mmu_flush_page(cpu, WINDOW + 7 * PAGE);
	EXPECT(cross_has(WINDOW + PAGE - 2));
	mmu_flush_page(cpu, WINDOW);
	EXPECT(!cross_has(WINDOW + PAGE - 2));
	cross_enter(WINDOW + PAGE - 2, &code);
	mmu_flush_page(cpu, WINDOW + PAGE);
	EXPECT(!cross_has(WINDOW + PAGE - 2));
	cross_enter(WINDOW + PAGE - 2, &code);
	mmu_flush_non_global(cpu);
	EXPECT(!cross_has(WINDOW + PAGE - 2));
	cross_enter(WINDOW + PAGE - 2, &code);
	jump_cache_flush_view(cpu, cpu->view);
	EXPECT(!cross_has(WINDOW + PAGE - 2));
	cross_enter(WINDOW + PAGE - 2, &code);
	jump_cache_drop_crossing(cpu, WINDOW + PAGE - 2);
	EXPECT(!cross_has(WINDOW + PAGE - 2));
}

TEST(jumps_into_a_large_page_go_with_it)
{
	static char code;

	begin();
	put64(PD2 + 8, 0x400000 | 0x87);
	mmu_fetch_page(cpu, WINDOW + 0x201000);
	jump_cache_add(cpu, WINDOW + 0x201234, &code, false);
	mmu_flush_page(cpu, WINDOW + 0x3ff000);
	EXPECT(!jump_has(WINDOW + 0x201234));
}

TEST(write_tags_are_taken_away_by_physical_page)
{
	begin();
	map(0, 0x100000, 7);
	map(5, 0x100000, 7);
	map(6, 0x101000, 7);
	mmu_store(cpu, WINDOW, 1, 1, MMU_WRITE), mmu_store(cpu, WINDOW + 5 * PAGE, 1, 1, MMU_WRITE);
	mmu_store(cpu, WINDOW + 6 * PAGE, 1, 1, MMU_WRITE);
	mmu_protect_physical(cpu, 0x100123);
	EXPECT(cpu->tlb[VIEW_KERNEL][(WINDOW >> 12) % TLB_SIZE].write != WINDOW);
	EXPECT(cpu->tlb[VIEW_KERNEL][((WINDOW >> 12) + 5) % TLB_SIZE].write != WINDOW + 5 * PAGE);
	EXPECT(cpu->tlb[VIEW_KERNEL][((WINDOW >> 12) + 6) % TLB_SIZE].write == WINDOW + 6 * PAGE);
	EXPECT(cpu->tlb[VIEW_KERNEL][(WINDOW >> 12) % TLB_SIZE].read == WINDOW);
}

/* Tags count, and those that were evicted last: an instruction may still be about to store. */
TEST(others_see_who_may_store_to_a_page)
{
	begin();
	map(0, 0x100000, 7);
	EXPECT(!mmu_may_store(cpu, 0x100000));
	mmu_load(cpu, WINDOW, 1, MMU_READ);
	EXPECT(!mmu_may_store(cpu, 0x100000));
	mmu_store(cpu, WINDOW, 1, 1, MMU_WRITE);
	EXPECT(mmu_may_store(cpu, 0x100fff));
	EXPECT(!mmu_may_store(cpu, 0x101000));
	mmu_protect_physical(cpu, 0x100000);
	EXPECT(!mmu_may_store(cpu, 0x100000));
	mmu_store(cpu, WINDOW, 1, 1, MMU_WRITE);
	/* Another page takes the entry. */
	cpu->tlb[VIEW_KERNEL][(WINDOW >> 12) % TLB_SIZE].read = WINDOW + TLB_SIZE * PAGE;
	map(0, 0x101000, 5);
	mmu_load(cpu, WINDOW, 1, MMU_READ);
	EXPECT(!mmu_may_store(cpu, 0x101000));
	EXPECT(mmu_may_store(cpu, 0x100000));
	for (unsigned i = 0; i < TLB_EVICTED; i++)
		cpu->evicted[i] = 0x5000;
	EXPECT(!mmu_may_store(cpu, 0x100000));
}

TEST(pages_with_translated_code_have_no_write_tag)
{
	begin();
	map(0, 0x100000, 7);
	exclusive_enter(cpu);
	REQUIRE(code_page_prepare(cpu, 0x100000));
	EXPECT(!mmu_host(cpu, WINDOW, 8, MMU_WRITE));
	mmu_store(cpu, WINDOW, 8, 77, MMU_WRITE);
	EXPECT_EQ(get64(0x100000), 77);
	EXPECT(mmu_host(cpu, WINDOW, 8, MMU_READ) == vm.memory.base + 0x100000);
	exclusive_leave(cpu);
}

static uint64_t device_last_offset, device_last_value;
static unsigned device_accesses;

static uint64_t device_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	device_accesses++;
	return 0x0807060504030201 >> offset * 8;
}

static void device_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
			 bool *fault)
{
	device_accesses++;
	device_last_offset = offset;
	device_last_value = value;
}

TEST(devices)
{
	static const struct region_ops ops = {
		.read = device_read, .write = device_write, .sizes = 1 | 2 | 4 | 8};
	static struct region region = {.name = "device", .ops = &ops};

	begin();
	vm_lock(&vm);
	REQUIRE(space_add(&vm.mmio, &region, 0xfed00000, 4096) == 0);
	vm_unlock(&vm);
	map(0, 0xfed00000, 7);
	EXPECT_EQ(mmu_load(cpu, WINDOW, 4, MMU_READ), 0x04030201);
	EXPECT_EQ(device_accesses, 1);
	EXPECT_EQ(mmu_load(cpu, WINDOW + 2, 2, MMU_READ), 0x0403);
	mmu_store(cpu, WINDOW + 4, 4, 0xaabbccdd, MMU_WRITE);
	EXPECT_EQ(device_last_offset, 4);
	EXPECT_EQ(device_last_value, 0xaabbccdd);
	EXPECT(!mmu_host(cpu, WINDOW, 4, MMU_READ));
	EXPECT_EQ(device_accesses, 3);
	map(1, 0xfee01000, 7); /* nobody answers */
	EXPECT_EQ(mmu_load(cpu, WINDOW + PAGE, 4, MMU_READ), 0xffffffff);
}

TEST(segments_in_64_bit_code)
{
	begin();
	cpu->segment[SEGMENT_FS].base = 0x1000;
	cpu->segment[SEGMENT_DS].base = 0x9999;
	EXPECT_EQ(segment_linear(cpu, SEGMENT_FS, 0x10, 8, MMU_READ), 0x1010);
	EXPECT_EQ(segment_linear(cpu, SEGMENT_DS, 0x10, 8, MMU_READ), 0x10);
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_DS, 0x7ffffffffffc, 8, MMU_READ), EXCEPTION_GP));
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_SS, 0x800000000000, 1, MMU_READ), EXCEPTION_SS));
	EXPECT_EQ(segment_linear(cpu, SEGMENT_DS, 0xffff800000000000, 8, MMU_READ),
		  0xffff800000000000);
}

TEST(segments_in_32_bit_code)
{
	fixture_create();
	protected_mode();
	load();
	cpu->segment[SEGMENT_DS] =
		(struct segment){.attributes = 0x4093, .limit = 0xfff, .base = 0xfffff000};
	EXPECT_EQ(segment_linear(cpu, SEGMENT_DS, 0xffc, 4, MMU_WRITE), 0xfffffffc);
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_DS, 0xffd, 4, MMU_WRITE), EXCEPTION_GP));
	cpu->segment[SEGMENT_DS].attributes = 0x4091; /* read-only */
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_DS, 0, 4, MMU_WRITE), EXCEPTION_GP));
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_CS, 0, 4, MMU_WRITE), EXCEPTION_GP));
	EXPECT_EQ(segment_linear(cpu, SEGMENT_CS, 4, 4, MMU_READ), 4);
	cpu->segment[SEGMENT_ES] = (struct segment){.attributes = 0};
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_ES, 0, 1, MMU_READ), EXCEPTION_GP));
	cpu->segment[SEGMENT_SS].limit = 0xff;
	EXPECT(RAISES(segment_linear(cpu, SEGMENT_SS, 0x100, 1, MMU_READ), EXCEPTION_SS));
}
