/* SPDX-License-Identifier: BSD-2-Clause */
/* The dirty log of the software engine: every page that has changed is in it. */
#include "translate_fixture.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/dirty.h"

#define WORDS (MEMORY / 4096 / 64)

static uint64_t bitmap[WORDS];
static uint8_t *before;

static bool in_log(uint64_t address)
{
	return bitmap[address / 4096 / 64] >> address / 4096 % 64 & 1;
}

static unsigned count(void)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < WORDS; i++)
		bits += (unsigned)__builtin_popcountll(bitmap[i]);
	return bits;
}

static void collect(void)
{
	memset(bitmap, 0, sizeof(bitmap));
	REQUIRE(dirty_collect(&vm, bitmap) == 0);
}

/* Pages that differ from how they were and are not in the log. */
static unsigned missed(void)
{
	unsigned pages = 0;

	for (uint64_t at = 0; at < MEMORY; at += 4096)
		pages += memcmp(before + at, vm.memory.base + at, 4096) && !in_log(at);
	return pages;
}

static void remember(void)
{
	if (!before)
		before = malloc(MEMORY);
	REQUIRE(before);
	memcpy(before, vm.memory.base, MEMORY);
}

static void create(unsigned way)
{
	fixture_create();
	engine_interpret_only(&vm, way == 0);
	if (way == 2)
		engine_windows(&vm, ENGINE_WINDOWS_ALL);
	long_mode();
}

static void destroy(void)
{
	vm_destroy(&vm);
}

/* rdi: where; stores 8 bytes to four pages, 0x1000 apart, five times over; hlt. */
#define STORES                                                                                     \
	"\xb9\x05\x00\x00\x00"			   /* mov ecx, 5 */                                \
	"\x48\xff\x07"				   /* inc qword [rdi] */                           \
	"\x48\x89\x8f\x00\x10\x00\x00"		   /* mov [rdi + 0x1000], rcx */                   \
	"\xc7\x87\xfe\x2f\x00\x00\x01\x02\x03\x04" /* mov dword [rdi + 0x2ffe], ... */             \
	"\xff\xc9"				   /* dec ecx */                                   \
	"\x75\xe8"				   /* jnz */                                       \
	"\xf4"

static void go(uint64_t where)
{
	vcpu->state.rip = CODE;
	vcpu->state.gpr[RDI] = where;
	vcpu->state.activity = VCPU_RUNNING;
	vm.engine->reset(vcpu);
	EXPECT_EQ(run(), EXIT_HALT);
}

TEST(stores_are_logged)
{
	for (unsigned way = 0; way < 3; way++) {
		create(way);
		put(CODE, STORES, sizeof(STORES) - 1);
		go(0x200000);
		REQUIRE(dirty_start(&vm) == 0);
		remember();
		collect();
		EXPECT_EQ(count(), 0);
		go(0x200000);
		collect();
		EXPECT_EQ(missed(), 0);
		EXPECT(in_log(0x200000) && in_log(0x201000) && in_log(0x202000) &&
		       in_log(0x203000));
		EXPECT(count() <= 8);
		collect();
		EXPECT_EQ(count(), 0);
		destroy();
	}
}

/* The tags of before a collection are worth nothing after it. */
TEST(each_collection_begins_anew)
{
	for (unsigned way = 0; way < 3; way++) {
		create(way);
		put(CODE, STORES, sizeof(STORES) - 1);
		REQUIRE(dirty_start(&vm) == 0);
		for (unsigned round = 0; round < 5; round++) {
			remember();
			/* Without a reset of the engine the TLB stays. */
			cpu->rip = vcpu->state.rip = CODE;
			cpu->gpr[RDI] = 0x300000;
			if (!round)
				go(0x300000);
			else
				EXPECT_EQ(run(), EXIT_HALT);
			collect();
			EXPECT_EQ(missed(), 0);
			EXPECT(in_log(0x300000) && in_log(0x303000));
		}
		dirty_stop(&vm);
		go(0x300000);
		REQUIRE(dirty_start(&vm) == 0);
		collect();
		EXPECT_EQ(count(), 0);
		destroy();
	}
}

/* Accessed and dirty bits are stores too. */
TEST(page_tables_are_logged)
{
	for (unsigned way = 0; way < 3; way++) {
		create(way);
		put(CODE, STORES, sizeof(STORES) - 1);
		for (unsigned i = 0; i < 8; i++)
			put64(PT + 8 * i, (0x400000 + 0x1000 * i) | 3);
		REQUIRE(dirty_start(&vm) == 0);
		remember();
		go(WINDOW);
		collect();
		EXPECT_EQ(missed(), 0);
		EXPECT(in_log(PT) && in_log(0x400000));
		EXPECT(get64(PT) & 0x40);
		destroy();
	}
}

/* A page with code, whose stores go another way. */
TEST(stores_to_code_are_logged)
{
	for (unsigned way = 0; way < 3; way++) {
		create(way);
		put(CODE, STORES, sizeof(STORES) - 1);
		REQUIRE(dirty_start(&vm) == 0);
		go(0x200000);
		collect();
		remember();
		go(CODE + 0x800);
		collect();
		EXPECT_EQ(missed(), 0);
		EXPECT(in_log(CODE));
		destroy();
	}
}

TEST(devices_stores_are_logged)
{
	create(1);
	REQUIRE(dirty_start(&vm) == 0);
	put64(0x500ff8, 1);
	put64(0x600ffc, 1);
	collect();
	EXPECT_EQ(count(), 3);
	EXPECT(in_log(0x500000) && in_log(0x600000) && in_log(0x601000));
	destroy();
}

/* A collector on its own thread, as in a migration: what it copies at the end is all of it. */
static atomic_bool ending;

static void *guest_thread(void *argument)
{
	(void)argument;
	while (!atomic_load(&ending))
		vm.engine->run(vcpu, &stopped);
	return NULL;
}

TEST(a_running_guest_is_followed)
{
	/* Stores a counter to pages of 0x200000 on, in an order that chance has. */
	static const char code[] = "\x48\x69\xc0\x95\x19\x57\x08" /* imul rax, rax, 0x8571995 */
				   "\x48\xff\xc0"		  /* inc rax */
				   "\x48\x89\xc3"		  /* mov rbx, rax */
				   "\x48\xc1\xeb\x14"		  /* shr rbx, 20 */
				   "\x81\xe3\xf8\xff\x1f\x00"	  /* and ebx, 0x1ffff8 */
				   "\x48\x89\x83\x00\x00\x20\x00" /* mov [rbx + 0x200000], rax */
				   "\xeb\xe0";

	for (unsigned way = 1; way < 3; way++) {
		pthread_t thread;
		uint8_t *copy = malloc(MEMORY);
		uint64_t last[WORDS];
		unsigned seen = 0;

		create(way);
		put(CODE, code, sizeof(code) - 1);
		REQUIRE(copy && dirty_start(&vm) == 0);
		memcpy(copy, vm.memory.base, MEMORY);
		atomic_store(&ending, false);
		REQUIRE(pthread_create(&thread, NULL, guest_thread, NULL) == 0);
		while (seen < 5000) {
			collect();
			seen += count();
			for (unsigned page = 0; page < MEMORY / 4096; page++)
				if (in_log(page * 4096ull))
					memcpy(copy + page * 4096ull,
					       vm.memory.base + page * 4096ull, 4096);
		}
		atomic_store(&ending, true);
		vm.engine->kick(vcpu);
		vcpu_post(vcpu, PENDING_PAUSE);
		vm.engine->kick(vcpu);
		pthread_join(thread, NULL);
		memset(last, 0, sizeof(last));
		REQUIRE(dirty_collect(&vm, last) == 0);
		for (unsigned page = 0; page < MEMORY / 4096; page++)
			if (last[page / 64] >> page % 64 & 1)
				memcpy(copy + page * 4096ull, vm.memory.base + page * 4096ull,
				       4096);
		EXPECT(memcmp(copy, vm.memory.base, MEMORY) == 0);
		EXPECT(memcmp(copy + 0x200000, copy + 0x300000, 0x100000) != 0);
		free(copy);
		destroy();
	}
}
