/* SPDX-License-Identifier: BSD-2-Clause */
/* An idle machine gives its code back, and runs on as before; one that is busy keeps it. */
#include "translate_guest.h"

#include <unistd.h>

#include "core/host.h"
#include "engines/translate/copy.h"
#include "engines/translate/idle.h"
#include "engines/translate/window.h"

static struct guest guest;

static struct machine_code *cache(void)
{
	return guest_cpu(&guest, 0)->code;
}

GUEST(adds, "mov $0x200000, %ebx; mov $1000, %ecx; xor %edx, %edx; 1: add %rcx, (%rbx); "
	    "add %rcx, %rdx; dec %ecx; jnz 1b; hlt");

/* To hlt, and what it computes is right. */
static void run(void)
{
	struct vcpu *vcpu = guest.vm.vcpus[0];

	*(uint64_t *)guest_at(&guest, GUEST_DATA) = 0;
	guest_state(&vcpu->state);
	engine_translate.reset(vcpu);
	engine_translate.run(vcpu, &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.gpr[RDX], 500500);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, GUEST_DATA), 500500);
}

/* Where block number 0 has its first byte of code. */
static const uint8_t *first_byte(void)
{
	return cache()->memory.write + 8192;
}

/* A machine whose cache holds so much, and that has halted all the time since it was last looked
 * at. */
static void create(uint32_t used, unsigned vcpus)
{
	guest_create(&guest, vcpus);
	cache()->code_used = 8192;
	guest_run(&guest, adds, adds_end);
	EXPECT(*first_byte() != 0);
	cache()->code_used = used;
}

static void pass_time(void)
{
	guest_cpu(&guest, 0)->idle.since -= IDLE_PERIOD;
}

TEST(an_idle_machine_gives_back_what_it_has_translated)
{
	create(IDLE_KEEP + 4096, 1);
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 0);
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	EXPECT_EQ(cache()->block_count, 0);
	EXPECT_EQ(cache()->note_count, 0);
	EXPECT_EQ(*first_byte(), 0);
	EXPECT_EQ(cache()->blocks[0].count, 0);
	EXPECT(!code_lookup(cache(), GUEST_CODE, 0, guest_cpu(&guest, 0)->mode));
	run();
	EXPECT(cache()->block_count > 0);
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
}

TEST(little_code_is_kept)
{
	create(IDLE_KEEP / 2, 1);
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 0);
	EXPECT(*first_byte() != 0);
}

/* The cache was full, and what was flushed is there still. */
TEST(what_a_flush_has_left_is_given_back_alone)
{
	create(IDLE_KEEP / 2, 1);
	cache()->code_peak = IDLE_KEEP * 2;
	cache()->memory.write[IDLE_KEEP] = 7;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	EXPECT(cache()->block_count > 0);
	EXPECT(*first_byte() != 0);
	EXPECT_EQ(cache()->memory.write[IDLE_KEEP], 0);
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
}

TEST(a_busy_machine_keeps_its_code)
{
	create(IDLE_KEEP + 4096, 1);
	guest_cpu(&guest, 0)->idle.inside += IDLE_PERIOD / 8;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 0);
}

TEST(other_vcpus_keep_a_machine_busy)
{
	create(IDLE_KEEP + 4096, 3);
	guest_cpu(&guest, 1)->idle.inside += IDLE_PERIOD / 8;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 0);
	guest_cpu(&guest, 2)->inside = 1;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 0);
	guest_cpu(&guest, 2)->inside = 0;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
}

TEST(who_needs_much_again_soon_may_keep_it)
{
	create(IDLE_KEEP + 4096, 1);
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	cache()->code_used = IDLE_KEEP + 4096;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	cache()->code_used = 2 * IDLE_KEEP + 4096;
	cache()->trimmed -= 1ull << 38;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 2);
	/* Long after, no more than at first. */
	cache()->code_used = IDLE_KEEP + 4096;
	cache()->trimmed -= 1ull << 41;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 3);
}

/* By a system call, which faults where we would. */
static bool is_mapped(uint64_t host)
{
	int pipes[2];
	bool is;

	REQUIRE(pipe(pipes) == 0);
	is = write(pipes[1], (const void *)(uintptr_t)host, 1) == 1;
	close(pipes[0]);
	close(pipes[1]);
	return is;
}

TEST(windows_are_made_anew)
{
	struct cpu *cpu;
	uint64_t faults;

	guest_create(&guest, 1);
	cpu = guest_cpu(&guest, 0);
	engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
	guest_run(&guest, adds, adds_end);
	faults = cpu->count_window_faults;
	EXPECT(faults > 0);
	EXPECT(is_mapped(window_first(cpu) + GUEST_DATA));
	cache()->code_peak = IDLE_KEEP * 2;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	EXPECT(!is_mapped(window_first(cpu) + GUEST_DATA));
	run();
	EXPECT(is_mapped(window_first(cpu) + GUEST_DATA));
	EXPECT(cpu->count_window_faults > faults);
}

TEST(stubs_are_made_anew)
{
	unsigned count = 0;
	struct copy *copy;

	guest_create(&guest, 1);
	copy = engine_copy(guest_cpu(&guest, 0));
	engine_interpret_only(&guest.vm, true);
	guest_run(&guest, adds, adds_end);
	for (unsigned i = 0; i < COPY_BUCKETS; i++)
		count += copy->stub[i].code != NULL;
	EXPECT(count > 0);
	cache()->code_peak = IDLE_KEEP * 2;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	for (unsigned i = 0; i < COPY_BUCKETS; i++)
		EXPECT(!copy->stub[i].code);
	run();
}

static unsigned entries(const struct cpu *cpu)
{
	unsigned count = 0;

	for (unsigned view = 0; view < VIEW_COUNT; view++) {
		for (unsigned i = 0; i < TLB_SIZE; i++)
			count += cpu->tlb[view][i].host != NULL;
		for (unsigned i = 0; i < JUMP_SIZE; i++)
			count += cpu->jump[view][i].code != NULL;
	}
	return count;
}

TEST(tlb_and_jump_caches_are_given_back)
{
	struct cpu *cpu;

	guest_create(&guest, 1);
	cpu = guest_cpu(&guest, 0);
	guest_run(&guest, adds, adds_end);
	EXPECT(entries(cpu) > 1);
	cache()->code_peak = IDLE_KEEP * 2;
	pass_time();
	run();
	EXPECT_EQ(atomic_load(&cache()->trims), 1);
	EXPECT_EQ(entries(cpu), 0);
	run();
	EXPECT(entries(cpu) > 1);
}

TEST(tables_are_cleared_to_the_byte)
{
	uint8_t *pages = host_pages(4 * 4096);

	REQUIRE(pages != NULL);
	memset(pages, 1, 4 * 4096);
	code_memory_clear(pages + 100, 200);
	code_memory_clear(pages + 4000, 8192);
	code_memory_clear(pages + 16384 - 4097, 0);
	EXPECT_EQ(pages[99], 1);
	EXPECT_EQ(pages[100], 0);
	EXPECT_EQ(pages[299], 0);
	EXPECT_EQ(pages[300], 1);
	EXPECT_EQ(pages[3999], 1);
	for (unsigned i = 4000; i < 4000 + 8192; i++)
		EXPECT_EQ(pages[i], 0);
	EXPECT_EQ(pages[4000 + 8192], 1);
	EXPECT_EQ(pages[16384 - 4097], 1);
	host_pages_free(pages, 4 * 4096);
}
