/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What unit tests on a host can't see: memory as it is, real page faults, timers, other processors.
 * Linked with all of the kernel, which calls selftest on the first processor before there are
 * processes. Each test gives everything back, and tells the first thing that was not so.
 */
#include <stdatomic.h>
#include <stddef.h>

#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/register.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/string.h"
#include "x86/paging.h"
#include "x86/registers.h"

/* Ends the test with what was expected. */
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return #condition;                                                         \
	} while (0)

#define OWNER	    (OWNER_PROCESS + 1)
#define MILLISECOND 1000000

extern const uint8_t text_start[], constants_start[], boot_stack[];

static bool is_zero(const uint64_t *words, uint64_t size)
{
	for (uint64_t i = 0; i < size / 8; i++)
		if (words[i])
			return false;
	return true;
}

/* Whether a load, or a store of what is there, comes to its end. */
static bool can_read(uint64_t address)
{
	bool done = false;
	uint8_t value;

	__asm__ volatile("1:\tmovb (%2), %1\n\t"
			 "movb $1, %0\n"
			 "2:\n\t"
			 ".pushsection .fix_ups, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : "+q"(done), "=&q"(value)
			 : "r"(address)
			 : "memory");
	return done;
}

static bool can_write(uint64_t address)
{
	bool done = false;

	__asm__ volatile("1:\tlock; orb $0, (%1)\n\t"
			 "movb $1, %0\n"
			 "2:\n\t"
			 ".pushsection .fix_ups, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : "+q"(done)
			 : "r"(address)
			 : "memory", "cc");
	return done;
}

static const char *test_frames(void)
{
	uint64_t before = frames_free(), owned = frame_owned(OWNER);
	pa_t frame = frame_alloc(OWNER);
	void *pages = kernel_pages(5 * PAGE_SIZE);

	EXPECT(frame.value && is_zero(direct(frame), PAGE_SIZE));
	EXPECT(frame_owner(frame) == OWNER && frame_owned(OWNER) == owned + PAGE_SIZE);
	EXPECT(pages && is_zero(pages, 5 * PAGE_SIZE));
	for (unsigned i = 0; i < 5; i++)
		EXPECT(frame_owner(pa(direct_pa(pages).value + i * PAGE_SIZE)) == OWNER_KERNEL);
	bytes_fill(direct(frame), 0xff, PAGE_SIZE);
	frame_free(frame, OWNER);
	EXPECT(frame_owner(frame) == OWNER_FREE);
	frame = frame_alloc(OWNER);
	EXPECT(is_zero(direct(frame), PAGE_SIZE));
	frame_free(frame, OWNER);
	kernel_pages_free(pages, 5 * PAGE_SIZE);
	EXPECT(frames_free() == before && frame_owned(OWNER) == owned);
	return NULL;
}

static const char *test_many_frames(void)
{
	uint64_t before = frames_free(), list = 0, count = 0;

	/* More than one large page has; each holds the address of the one before. */
	for (; count < 2000; count++) {
		pa_t frame = frame_alloc(OWNER);

		EXPECT(frame.value);
		*(uint64_t *)direct(frame) = list;
		list = frame.value;
	}
	EXPECT(frames_free() <= before - count * PAGE_SIZE);
	while (list) {
		pa_t frame = pa(list);

		list = *(uint64_t *)direct(frame);
		frame_free(frame, OWNER);
	}
	EXPECT(frames_free() == before);
	return NULL;
}

static const char *test_large_frames(void)
{
	uint64_t before = frames_free();
	pa_t a = frame_alloc_large(OWNER), b = frame_alloc_large(OWNER);

	EXPECT(a.value && b.value > a.value && is_aligned(a.value | b.value, LARGE_SIZE));
	EXPECT(frame_owner(pa(a.value + LARGE_SIZE - 1)) == OWNER);
	bytes_fill(direct(a), 0xff, LARGE_SIZE);
	frame_clear_large(a);
	EXPECT(is_zero(direct(a), LARGE_SIZE));
	frame_free_large(a, OWNER);
	frame_free_large(b, OWNER);
	EXPECT(frames_free() == before);
	return NULL;
}

static const char *test_page_tables(void)
{
	uint64_t before = frames_free(), at = UINT64_C(0x40000000) - PAGE_SIZE, address;
	uint64_t end = at + PAGE_SIZE + LARGE_SIZE;
	pa_t root = page_tree_create(OWNER), physical, memory = frame_alloc_large(OWNER);
	unsigned rights;

	EXPECT(root.value && memory.value);
	/* A small page, then a large one. */
	EXPECT(!page_map(root, at, memory, PAGE_SIZE, PAGE_MAP_USER | PAGE_MAP_WRITE, OWNER));
	EXPECT(!page_map(root, at + PAGE_SIZE, memory, LARGE_SIZE, PAGE_MAP_USER, OWNER));
	EXPECT(page_find(root, at + 5, &physical, &rights));
	EXPECT(physical.value == memory.value + 5 && rights == (PAGE_MAP_USER | PAGE_MAP_WRITE));
	EXPECT(page_find(root, at + PAGE_SIZE + 0x12345, &physical, &rights));
	EXPECT(physical.value == memory.value + 0x12345 && rights == PAGE_MAP_USER);
	EXPECT(!page_find(root, at + PAGE_SIZE + LARGE_SIZE, &physical, &rights));
	EXPECT(page_find(root, (uint64_t)text_start, &physical, &rights));
	address = at;
	EXPECT(page_take(root, &address, end, &physical) && physical.value == memory.value);
	EXPECT(page_take(root, &address, end, &physical) && physical.value == memory.value);
	EXPECT(!page_take(root, &address, end, &physical));
	EXPECT(!page_find(root, at, &physical, &rights));
	page_tree_destroy(root, OWNER);
	frame_free_large(memory, OWNER);
	EXPECT(frames_free() == before);
	return NULL;
}

/* Whether nothing below this entry, at this level, is both writable and executable, or a process's.
 */
static bool is_safe(uint64_t entry, unsigned level)
{
	const uint64_t *table = direct(pa(entry & PAGE_ADDRESS));

	if (!(entry & PAGE_PRESENT))
		return true;
	if (entry & PAGE_USER)
		return false;
	if (!level || entry & PAGE_LARGE)
		return !(entry & PAGE_WRITABLE) || entry & PAGE_NX;
	for (unsigned i = 0; i < 512; i++)
		if (!is_safe(table[i], level - 1))
			return false;
	return true;
}

/* The same for the kernel's half; the other half of its tree is empty. */
static bool kernel_is_safe(void)
{
	const uint64_t *root = direct(page_kernel_root);

	for (unsigned i = 0; i < 512; i++)
		if (i < 256 ? root[i] & PAGE_PRESENT : !is_safe(root[i], 3))
			return false;
	return true;
}

/* Where the direct map has what is in the image. */
static uint64_t alias_of(const void *at)
{
	unsigned rights;
	pa_t physical;

	return page_find(page_kernel_root, (uint64_t)at, &physical, &rights)
		       ? (uint64_t)direct(physical)
		       : 0;
}

static const char *test_protection(void)
{
	uint64_t text = (uint64_t)text_start, constants = (uint64_t)constants_start;
	uint64_t text_alias = alias_of(text_start), constants_alias = alias_of(constants_start);
	uint64_t stack = stack_create();
	static uint8_t data;

	EXPECT(can_read(text_alias) && can_read(constants_alias));
	EXPECT(can_read(text) && !can_write(text) && !can_write(text_alias));
	EXPECT(can_read(constants) && !can_write(constants) && !can_write(constants_alias));
	EXPECT(can_write((uint64_t)&data));
	EXPECT(!can_read((uint64_t)boot_stack - 1));
	EXPECT(stack && can_write(stack - 1) && can_write(stack - 4 * PAGE_SIZE));
	EXPECT(!can_read(stack - 4 * PAGE_SIZE - 1));
	/* The boot's identity map is gone, and no address that is none goes anywhere. */
	EXPECT(!can_read(0) && !can_read(0x200000) && !can_read(UINT64_C(0x8000000000000000)));
	stack_destroy(stack);
	EXPECT(kernel_is_safe());
	return NULL;
}

/* A process's memory is out of reach unless that is asked for (SMAP). */
static const char *test_user_memory(void)
{
	uint64_t before = frames_free(), old = cr3_read();
	pa_t root = page_tree_create(OWNER), frame = frame_alloc(OWNER);
	bool reached;

	EXPECT(root.value && frame.value);
	EXPECT(!page_map(root, PAGE_SIZE, frame, PAGE_SIZE, PAGE_MAP_USER | PAGE_MAP_WRITE, OWNER));
	cr3_write(root.value);
	reached = can_read(PAGE_SIZE);
	cr3_write(old);
	page_tree_destroy(root, OWNER);
	frame_free(frame, OWNER);
	EXPECT(reached == !(cpu_features.cr4 & CR4_SMAP));
	EXPECT(frames_free() == before);
	return NULL;
}

static const char *test_stacks(void)
{
	static uint64_t tops[40];
	uint64_t before = 0;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ARRAY_LENGTH(tops); i++) {
			tops[i] = stack_create();
			EXPECT(tops[i] && can_write(tops[i] - 8));
		}
		for (unsigned i = 0; i < ARRAY_LENGTH(tops); i++)
			stack_destroy(tops[i]);
		EXPECT(!before || frames_free() == before);
		before = frames_free();
	}
	return NULL;
}

static unsigned timer_calls, timer_order;
static uint64_t timer_earliest;

static struct timer timer_a, timer_b, timer_c;

static void timer_called(struct timer *timer)
{
	timer_order = timer_order * 10 + (timer == &timer_a ? 1 : timer == &timer_b ? 2 : 3);
	timer_calls++;
	if (clock_now() < timer_earliest)
		timer_order = 0;
}

static const char *test_timers(void)
{
	uint64_t now = clock_now();

	timer_earliest = now + MILLISECOND;
	timer_init(&timer_a, timer_called);
	timer_init(&timer_b, timer_called);
	timer_init(&timer_c, timer_called);
	timer_set(&timer_a, now + 3 * MILLISECOND);
	timer_set(&timer_b, now + MILLISECOND);
	timer_set(&timer_c, now + 2 * MILLISECOND);
	timer_cancel(&timer_c);
	while (timer_calls < 2)
		cpu_idle();
	EXPECT(timer_order == 21 && clock_now() >= now + 3 * MILLISECOND);
	/* One that is due already; one set twice. */
	timer_set(&timer_c, now);
	timer_set(&timer_a, clock_now() + MILLISECOND);
	timer_set(&timer_a, clock_now() + 2 * MILLISECOND);
	while (timer_calls < 4)
		cpu_idle();
	EXPECT(timer_order == 2131);
	return NULL;
}

/* Many, in any order, every third of which is cancelled. */
#define MANY 300
static struct timer many_timers[MANY];
static uint64_t many_deadline[MANY];
static unsigned many_called, many_wrong;

static void many_call(struct timer *timer)
{
	unsigned number = (unsigned)(timer - many_timers);

	many_called++;
	many_wrong += clock_now() < many_deadline[number] || number % 3 == 0;
	many_deadline[number] = 0;
}

static const char *test_many_timers(void)
{
	uint64_t now = clock_now();
	uint32_t random = 1;

	for (unsigned i = 0; i < MANY; i++) {
		random = random * 1664525 + 1013904223;
		many_deadline[i] = now + (random >> 8) % (5 * MILLISECOND);
		timer_init(&many_timers[i], many_call);
		timer_set(&many_timers[i], many_deadline[i]);
	}
	for (unsigned i = 0; i < MANY; i += 3)
		timer_cancel(&many_timers[i]);
	while (many_called < MANY - MANY / 3)
		cpu_idle();
	EXPECT(!many_wrong && many_called == MANY - MANY / 3);
	for (unsigned i = 0; i < MANY; i++)
		EXPECT(i % 3 ? !many_deadline[i] : many_timers[i].deadline == TIMER_NEVER);
	return NULL;
}

static void note_id(void *context)
{
	*(uint32_t *)context = cpu_this()->id;
}

static void count_up(void *context)
{
	atomic_fetch_add((_Atomic unsigned *)context, 1);
}

static const char *test_calls(void)
{
	_Atomic unsigned count = 0;

	for (unsigned i = 0; i < cpu_count(); i++) {
		uint32_t id = UINT32_MAX;

		cpu_call(cpu_at(i), note_id, &id);
		EXPECT(id == i);
	}
	cpu_call_all(count_up, &count);
	EXPECT(count == cpu_count());
	return NULL;
}

/* All call all at the same time. */
#define CROSS_CALLS 10
static _Atomic unsigned cross_count, cross_done;
static struct timer cross_timers[CPUS_MAX];
static uint64_t cross_time;

static void cross_called(struct timer *timer)
{
	for (unsigned i = 0; i < CROSS_CALLS; i++)
		cpu_call_all(count_up, (void *)&cross_count);
	atomic_fetch_add(&cross_done, 1);
}

static void cross_set(void *context)
{
	struct timer *timer = &cross_timers[cpu_this()->id];

	timer_init(timer, cross_called);
	timer_set(timer, cross_time);
}

static const char *test_cross_calls(void)
{
	cross_time = clock_now() + 5 * MILLISECOND;
	cpu_call_all(cross_set, NULL);
	while (atomic_load(&cross_done) < cpu_count()) {
		cpu_take_interrupts();
		__builtin_ia32_pause();
	}
	EXPECT(cross_count == cpu_count() * cpu_count() * CROSS_CALLS);
	return NULL;
}

static void note_time(void *context)
{
	*(uint64_t *)context = clock_now();
}

static const char *test_clock(void)
{
	uint64_t before = clock_now(), there, after;

	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < cpu_count(); i++) {
			cpu_call(cpu_at(i), note_time, &there);
			after = clock_now();
			EXPECT(before <= there && there <= after);
			before = after;
		}
	before = clock_now();
	clock_delay(MILLISECOND);
	EXPECT(clock_now() >= before + MILLISECOND);
	EXPECT(clock_tsc_at(before + MILLISECOND) <= clock_tsc());
	return NULL;
}

static const char *test_symbols(void)
{
	uint64_t offset;
	const char *name = symbol_find((uint64_t)panic + 1, &offset);

	EXPECT(name && string_equal(name, "panic") && offset == 1);
	EXPECT(!symbol_find(0, &offset));
	return NULL;
}

static const struct {
	const char *name;
	const char *(*run)(void);
} tests[] = {
	{"frames", test_frames},
	{"many frames", test_many_frames},
	{"large frames", test_large_frames},
	{"page tables", test_page_tables},
	{"write protection", test_protection},
	{"user memory", test_user_memory},
	{"stacks", test_stacks},
	{"timers", test_timers},
	{"many timers", test_many_timers},
	{"calls to processors", test_calls},
	{"calls across", test_cross_calls},
	{"clock", test_clock},
	{"symbols", test_symbols},
};

/* A line for each test and one for all. */
void selftest(void);
void selftest(void)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < ARRAY_LENGTH(tests); i++) {
		const char *wrong = tests[i].run();

		failed += wrong != NULL;
		if (wrong)
			log_line("selftest %s: FAILED: %s", tests[i].name, wrong);
		else
			log_line("selftest %s: passed", tests[i].name);
	}
	log_line("selftest: %u passed, %u failed", (unsigned)ARRAY_LENGTH(tests) - failed, failed);
}
