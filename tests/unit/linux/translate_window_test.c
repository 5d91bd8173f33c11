/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows: that they follow the guest's TLB maintenance, its rights and its code; when they are
 * used at all. Small guests run with them as well (tests/run-guests). */
#include "translate_guest.h"

#include <pthread.h>
#include <unistd.h>

#include "engines/translate/mmu.h"
#include "engines/translate/window.h"
#include "x86/paging.h"

#define PAGE_A 0x150000u
#define PAGE_B 0x151000u
#define OTHER  0x40000u /* tables of another address space: the first 2 MiB, and nothing else */

static struct guest guest;

static uint64_t *entry_of(uint64_t tables, uint64_t linear)
{
	return (uint64_t *)guest_at(&guest, tables + 0x3000) + (linear >> 12);
}

static void create(unsigned vcpus)
{
	guest_create(&guest, vcpus);
	engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
	memcpy(guest_at(&guest, OTHER + 0x3000), guest_at(&guest, GUEST_TABLES + 0x3000), 0x1000);
	*(uint64_t *)guest_at(&guest, OTHER) = (OTHER + 0x1000) | 7;
	*(uint64_t *)guest_at(&guest, OTHER + 0x1000) = (OTHER + 0x2000) | 7;
	*(uint64_t *)guest_at(&guest, OTHER + 0x2000) = (OTHER + 0x3000) | 7;
	*(uint64_t *)guest_at(&guest, PAGE_A) = 0xaaaa;
	*(uint64_t *)guest_at(&guest, PAGE_B) = 0xbbbb;
}

static struct vcpu_state *run(const uint8_t *code, const uint8_t *end)
{
	return guest_run(&guest, code, end);
}

static uint64_t faults(void)
{
	return guest_cpu(&guest, 0)->count_window_faults;
}

GUEST(sum, "mov $0x150000, %ebx; mov $1000, %ecx; 1: mov (%rbx), %rax; add %rcx, (%rbx);"
	   "add (%rbx), %rdx; movl $1, 8(%rbx,%rcx,2); dec %ecx; jnz 1b; hlt");

TEST(a_page_faults_once_for_reading_and_once_for_writing)
{
	create(1);
	run(sum, sum_end);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, PAGE_A), 0xaaaa + 500500);
	EXPECT_EQ(faults(), 2);
	EXPECT_EQ(*entry_of(GUEST_TABLES, PAGE_A) & 0x60, 0x60);
}

/* r8 = before, r9 = after the page table said something else and was flushed. */
#define CHANGE(flush)                                                                              \
	"mov $0x150000, %ebx; mov (%rbx), %r8; movq $0x151007, 0x4000+0x150*8; " flush             \
	"; mov (%rbx), %r9; movq $0x150007, 0x4000+0x150*8; " flush "; hlt"
GUEST(by_invlpg, CHANGE("invlpg (%rbx)"));
GUEST(by_cr3, CHANGE("mov %cr3, %rax; mov %rax, %cr3"));
GUEST(by_pge, CHANGE("mov %cr4, %rax; xor $0x80, %al; mov %rax, %cr4"));
GUEST(by_invpcid_page, CHANGE("push %rbx; push $0; mov $0, %eax; invpcid (%rsp), %rax"));
GUEST(by_invpcid_context, CHANGE("push %rbx; push $0; mov $1, %eax; invpcid (%rsp), %rax"));
GUEST(by_invpcid_all, CHANGE("push %rbx; push $0; mov $2, %eax; invpcid (%rsp), %rax"));
GUEST(by_invpcid_local, CHANGE("push %rbx; push $0; mov $3, %eax; invpcid (%rsp), %rax"));

TEST(every_flush_is_followed)
{
	static const struct {
		const uint8_t *code, *end;
	} codes[] = {{by_invlpg, by_invlpg_end},
		     {by_cr3, by_cr3_end},
		     {by_pge, by_pge_end},
		     {by_invpcid_page, by_invpcid_page_end},
		     {by_invpcid_context, by_invpcid_context_end},
		     {by_invpcid_all, by_invpcid_all_end},
		     {by_invpcid_local, by_invpcid_local_end}};

	create(1);
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct vcpu_state *state;

		guest_state(&guest.vm.vcpus[0]->state);
		guest.vm.vcpus[0]->state.cr4 |= 1 << 17;
		memset(guest_at(&guest, GUEST_CODE), 0, 256);
		vm_written(&guest.vm, gpa(GUEST_CODE), 256);
		engine_translate.reset(guest.vm.vcpus[0]);
		state = run(codes[i].code, codes[i].end);
		EXPECT_EQ(state->gpr[R8], 0xaaaa);
		EXPECT_EQ(state->gpr[R9], 0xbbbb);
	}
	EXPECT(faults() >= 2 * sizeof(codes) / sizeof(codes[0]));
}

/*
 * Two address spaces with PCIDs 0 and 1. The second's page is B. r8: A; r9: B; r10: A without a
 * flush, its window still there; r11: after its entry has been changed to B meanwhile, and
 * invalidated for PCID 0 while 1 was current.
 */
GUEST(switching, "mov $0x150000, %ebx; mov $0x1000, %esi; mov $0x40001, %edi; mov $1, %eax;"
		 "shl $63, %rax; or %rax, %rsi; or %rax, %rdi; mov (%rbx), %r8;"
		 "mov %rdi, %cr3; mov (%rbx), %r9; mov %rsi, %cr3; mov (%rbx), %r10;"
		 "mov %rdi, %cr3; mov (%rbx), %r9; movq $0x151007, 0x4000+0x150*8;"
		 "push %rbx; push $0; xor %eax, %eax; invpcid (%rsp), %rax;"
		 "mov %rsi, %cr3; mov (%rbx), %r11; hlt");

TEST(address_spaces_keep_theirs)
{
	struct vcpu_state *state;

	create(1);
	*entry_of(OTHER, PAGE_A) = PAGE_B | 7;
	guest.vm.vcpus[0]->state.cr4 |= 1 << 17;
	state = run(switching, switching_end);
	EXPECT_EQ(state->gpr[R8], 0xaaaa);
	EXPECT_EQ(state->gpr[R9], 0xbbbb);
	EXPECT_EQ(state->gpr[R10], 0xaaaa);
	EXPECT_EQ(state->gpr[R11], 0xbbbb);
	EXPECT_EQ(faults(), 4); /* A, B, the second's stack, A after invpcid */
}

/* The page is mapped writable when its code is run for the first time; then it is changed. */
GUEST(writes_code, "mov $0x150000, %ebx; movl $0xc3c0ff, (%rbx); xor %eax, %eax; call *%rbx;"
		   "movl $0xc3c8ff, (%rbx); call *%rbx; call *%rbx; movl $0xc3c0ff, (%rbx);"
		   "call *%rbx; hlt");

TEST(stores_to_code_are_seen)
{
	create(1);
	EXPECT_EQ((uint32_t)run(writes_code, writes_code_end)->gpr[RAX], 0);
	EXPECT(faults() >= 3);
}

GUEST(writer, "mov $0x150000, %ebx; mov %r8d, (%rbx); hlt");
GUEST(caller, "mov $0x150000, %ebx; xor %eax, %eax; call *%rbx; hlt");

static uint64_t run_vcpu(unsigned number, uint64_t rip, uint64_t r8)
{
	struct vcpu *vcpu = guest.vm.vcpus[number];

	guest_state(&vcpu->state);
	vcpu->state.rip = rip;
	vcpu->state.gpr[R8] = r8;
	vcpu->state.gpr[RSP] = GUEST_STACK - number * 0x1000;
	engine_translate.run(vcpu, &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_HALT);
	return vcpu->state.gpr[RAX];
}

/* Without a reset in between, so that the other vcpu's window stays what it is. */
TEST(another_vcpu_takes_the_right_to_write)
{
	struct vcpu *vcpu;

	create(2);
	memcpy(guest_at(&guest, GUEST_CODE), writer, (size_t)(writer_end - writer));
	memcpy(guest_at(&guest, GUEST_CODE + 0x1000), caller, (size_t)(caller_end - caller));
	run_vcpu(1, GUEST_CODE, 0xc3c0ff);
	EXPECT_EQ(run_vcpu(0, GUEST_CODE + 0x1000, 0), 1);
	vcpu = guest.vm.vcpus[1];
	EXPECT_EQ(guest_cpu(&guest, 1)->code->page_windows[PAGE_A >> 12], 0);
	vcpu->state.rip = GUEST_CODE;
	guest_cpu(&guest, 1)->rip = GUEST_CODE;
	guest_cpu(&guest, 1)->gpr[R8] = 0xc3c8ff;
	engine_translate.run(vcpu, &guest.exit);
	guest_cpu(&guest, 0)->rip = GUEST_CODE + 0x1000;
	engine_translate.run(guest.vm.vcpus[0], &guest.exit);
	EXPECT_EQ((uint32_t)guest.vm.vcpus[0]->state.gpr[RAX], UINT32_MAX);
}

/* rbx is given; what lies at the end of a window, and what is not canonical. */
GUEST(load_rbx, "mov (%rbx), %rax; hlt");
GUEST(load_sum, "mov (%rbx,%rcx), %rax; hlt");
GUEST(store_sum, "mov %rax, (%rbx,%rcx); hlt");
GUEST(xchg_rbx, "xchg %rax, (%rbx); hlt");
/* Through the stack segment: the host's fault is another one, #SS. */
GUEST(load_rbp, "mov %rbx, %rbp; mov (%rbp), %rax; hlt");
GUEST(add_rbp, "mov %rbx, %rbp; add %rax, 8(%rbp); hlt");

static uint64_t vector_of(const uint8_t *code, const uint8_t *end, uint64_t rbx, uint64_t rcx)
{
	struct vcpu *vcpu = guest.vm.vcpus[0];

	guest_state(&vcpu->state);
	vcpu->state.gpr[RBX] = rbx;
	vcpu->state.gpr[RCX] = rcx;
	vcpu->state.gpr[RAX] = 0x1234;
	vcpu->state.gpr[R15] = 0xff;
	memset(guest_at(&guest, GUEST_CODE), 0, 64);
	vm_written(&guest.vm, gpa(GUEST_CODE), 64);
	engine_translate.reset(vcpu);
	run(code, end);
	return vcpu->state.gpr[R15];
}

static uint64_t expected(uint64_t linear)
{
	if (!paging_canonical(linear) || !paging_canonical(linear + 7))
		return 13;
	return linear < GUEST_MEMORY - 7 ? 0xff : 14;
}

static uint64_t on_stack(uint64_t linear)
{
	uint64_t vector = expected(linear);

	return vector == 13 ? 12 : vector;
}

TEST(addresses_at_the_edge)
{
	static const uint64_t wild[] = {1ull << 63,
					(1ull << 63) + 0x1000,
					(1ull << 63) + 0x7fffffff,
					0x800000000000,
					0x7ffffffffff9,
					0xffff7ffffffffff8,
					0xfffffffffffffff9,
					1ull << 61,
					(1ull << 63) | 1ull << 61,
					1ull << 62,
					3ull << 62};

	create(1);
	for (unsigned i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		uint64_t far = wild[i] + 0x200000;

		EXPECT_EQ(vector_of(load_rbx, load_rbx_end, wild[i], 0), expected(wild[i]));
		EXPECT_EQ(vector_of(load_sum, load_sum_end, 0x1000, wild[i] - 0x1000),
			  expected(wild[i]));
		EXPECT_EQ(vector_of(store_sum, store_sum_end, wild[i], 0), expected(wild[i]));
		EXPECT_EQ(vector_of(xchg_rbx, xchg_rbx_end, far, 0), expected(far));
		EXPECT_EQ(vector_of(load_rbp, load_rbp_end, wild[i], 0), on_stack(wild[i]));
		EXPECT_EQ(vector_of(add_rbp, add_rbp_end, wild[i] - 8, 0), on_stack(wild[i]));
	}
	/* 4 bytes on both sides of the end of the first window */
	EXPECT_EQ(vector_of(load_rbx, load_rbx_end, 0x7ffffffc, 0), 14);
	EXPECT_EQ(vector_of(load_rbx, load_rbx_end, PAGE_A + 0xffc, 0), 0xff);
	EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[RAX], 0xbbbb00000000);
}

/* The second page of a store may not be written: nothing is. */
TEST(a_store_across_pages_is_whole_or_not_at_all)
{
	create(1);
	*entry_of(GUEST_TABLES, PAGE_B) = PAGE_B | 5;
	EXPECT_EQ(vector_of(store_sum, store_sum_end, PAGE_A, 0xff8), 0xff);
	EXPECT_EQ(vector_of(store_sum, store_sum_end, PAGE_A, 0xffc), 14);
	EXPECT_EQ(guest.vm.vcpus[0]->state.cr2, PAGE_B);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, PAGE_A + 0xff8), 0x1234);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, PAGE_B), 0xbbbb);
	/* And the kernel's page is not the user's, though the kernel's window has it. */
	EXPECT_EQ(guest_cpu(&guest, 0)->windows_on, ENGINE_WINDOWS_ALL);
}

/* User code in a loop, interrupted again and again. Selector 27: user's 64-bit code. */
GUEST(loop, "mov $0x150000, %ebx; 1: incq (%rbx); jmp 1b");
/* Pages without end, each touched once: windows don't pay. */
GUEST(touch, "1: mov $0x110000, %ebx; 2: incq (%rbx); add $0x1000, %ebx; cmp $0x1f0000, %ebx;"
	     "jb 2b; jmp 1b");

static _Atomic bool stop;

/* A guest's timer, more or less. */
static void *interrupt(void *nothing)
{
	while (!stop) {
		atomic_fetch_or(&guest.vm.vcpus[0]->pending, PENDING_PAUSE);
		engine_translate.kick(guest.vm.vcpus[0]);
		usleep(200);
	}
	return nothing;
}

/* Interrupts the code, at level 3, until windows are used for it (or not), in vain so many times at
 * the most. */
static bool comes_to(bool windows, unsigned times)
{
	struct vcpu *vcpu = guest.vm.vcpus[0];
	pthread_t thread;
	bool found = false;

	stop = false;
	REQUIRE(pthread_create(&thread, NULL, interrupt, NULL) == 0);
	for (unsigned i = 0; i < times && !found; i++) {
		atomic_store(&vcpu->pending, 0);
		engine_translate.run(vcpu, &guest.exit);
		EXPECT_EQ(guest.exit.kind, EXIT_KICKED);
		found = !!(guest_cpu(&guest, 0)->mode & MODE_WINDOW) == windows;
	}
	stop = true;
	pthread_join(thread, NULL);
	return found;
}

static void start_user(const uint8_t *code, const uint8_t *end)
{
	struct vcpu_state *state;

	create(1);
	state = &guest.vm.vcpus[0]->state;
	engine_windows(&guest.vm, 0);
	memcpy(guest_at(&guest, GUEST_CODE), code, (size_t)(end - code));
	guest_state(state);
	state->segment[SEGMENT_CS] = (struct segment){27, 0xa0fb, 0xffffffff, 0};
	state->segment[SEGMENT_SS] = (struct segment){35, 0xc0f3, 0xffffffff, 0};
}

TEST(code_that_runs_long_gets_windows)
{
	start_user(loop, loop_end);
	EXPECT(comes_to(true, 1000));
	EXPECT(!comes_to(false, 50));
	EXPECT(faults() <= 4);
	EXPECT(guest_cpu(&guest, 0)->windows_on == ENGINE_WINDOWS_USER);
}

/* A function in each of 224 pages. */
GUEST(functions, "1: mov $0x110000, %ebx; 2: call *%rbx; add $0x1000, %ebx; cmp $0x1f0000, %ebx;"
		 "jb 2b; jmp 1b");

TEST(code_of_many_pages_gets_windows_later)
{
	start_user(functions, functions_end);
	for (unsigned page = 0x110000; page < 0x1f0000; page += 0x1000)
		memcpy(guest_at(&guest, page), (const uint8_t[]){0xc3}, 1);
	EXPECT(!comes_to(true, 20));
	EXPECT(comes_to(true, 1000));
}

/* Flushed at each round, pages cost more than they bring. */
TEST(windows_that_do_not_pay_are_closed_for_a_while)
{
	start_user(touch, touch_end);
	EXPECT(comes_to(true, 1000));
	for (unsigned i = 0; i < 100 && (guest_cpu(&guest, 0)->mode & MODE_WINDOW); i++) {
		mmu_flush_all(guest_cpu(&guest, 0));
		comes_to(false, 1);
	}
	EXPECT(!(guest_cpu(&guest, 0)->mode & MODE_WINDOW));
	EXPECT(comes_to(true, 1000));
}

/* More windows in turn than a slot has places: the TLB is asked then. */
GUEST(wander, "mov $0x150000, %ebx; mov $0x80150000, %esi; mov $0x100150000, %rdi; mov $300, %ecx;"
	      "1: mov %rbx, %rdx; call 2f; mov %rsi, %rdx; call 2f; mov %rdi, %rdx; call 2f;"
	      "dec %ecx; jnz 1b; hlt; 2: add (%rdx), %rax; ret");

TEST(what_wanders_looks_into_the_tlb)
{
	uint64_t *table;

	create(1);
	table = guest_at(&guest, GUEST_TABLES + 0x1000);
	table[2] = table[4] = table[0];
	EXPECT_EQ(run(wander, wander_end)->gpr[RAX], 900 * 0xaaaaull);
	EXPECT(guest_cpu(&guest, 0)->code->count_dropped >= 1);
	EXPECT(guest_cpu(&guest, 0)->code->count_dropped <= 4);
}

/*
 * Operands of one register, of which the first checks for all. The flags live across them; the
 * second page is met by the second for the first time.
 */
GUEST(chain, "mov $0x150ff8, %ebx; mov $-1, %rax; mov %rax, %rcx; mov %rax, %rdx;"
	     "add (%rbx), %rax; adc 8(%rbx), %rcx; adc -8(%rbx), %rdx; setc %r8b;"
	     "adc %r9, 16(%rbx); hlt");

TEST(operands_share_a_check_and_keep_flags)
{
	struct vcpu_state *state;

	create(1);
	*(uint64_t *)guest_at(&guest, PAGE_A + 0xff8) = 1;
	*(uint64_t *)guest_at(&guest, PAGE_B + 8) = 7;
	guest.vm.vcpus[0]->state.gpr[R9] = 5;
	state = run(chain, chain_end);
	EXPECT_EQ(state->gpr[RAX], 0);
	EXPECT_EQ(state->gpr[RCX], 0xbbbb); /* and carry */
	EXPECT_EQ(state->gpr[RDX], 0);
	EXPECT_EQ(state->gpr[R8] & 1, 1);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, PAGE_B + 8), 13);
	EXPECT_EQ(faults(), 3); /* A, B, B for writing */
}

/*
 * Registers that are the same share a check, until one of them is written, moved or made the same
 * as a third; r10 leads from A in one window to B in another one.
 */
GUEST(same,
      "mov $0x150000, %ebx; mov $0x200001000, %r10;"
      "mov %rbx, %rdi; mov (%rdi), %rax; add 8(%rbx), %rcx; xor %r10, %rbx; add 8(%rbx), %rcx;"
      "hlt");
GUEST(same_written, "mov $0x150000, %ebx; mov $0x200001000, %r10; mov %rbx, %r12; xor %r10, %r12;"
		    "mov %rbx, %rdi; mov %r12, %rbx; mov (%rdi), %rax; add 8(%rbx), %rcx;"
		    "add 8(%rdi), %rcx; hlt");
GUEST(same_third, "mov $0x150000, %ebx; mov $0x200001000, %r10; mov %rbx, %r12; xor %r10, %r12;"
		  "mov %rbx, %rdi; mov %r12, %rdi; mov (%rbx), %rax; add 8(%rdi), %rcx;"
		  "add 8(%r12), %rdx; mov %rdi, %rsi; mov %rbx, %rsi; add 8(%rsi), %rcx;"
		  "add 8(%rdi), %rdx; hlt");
GUEST(same_once, "mov $0x150000, %ebx; mov $0x200001000, %r10; mov %rbx, %rdi; mov %rbx, %rsi;"
		 "xor %r10, %rbx; mov (%rdi), %rax; add 8(%rbx), %rcx; add 8(%rsi), %rcx; hlt");
GUEST(same_moved, "mov $0x14fff0, %ebx; mov %rbx, %rdi; add $16, %rbx; mov 16(%rdi), %rax;"
		  "add 8(%rbx), %rcx; mov %rbx, %rsi; lea -8(%rsi), %rsi; add 16(%rsi), %rcx; hlt");

TEST(registers_that_are_the_same_share_a_check)
{
	static const struct {
		const uint8_t *code, *end;
		uint64_t rcx, rdx, misses;
	} cases[] = {
		{same, same_end, 0x3333, 0, 2},
		{same_written, same_written_end, 0x3333, 0, 2},
		{same_third, same_third_end, 0x3333, 0x4444, 2},
		{same_once, same_once_end, 0x3333, 0, 3},
		{same_moved, same_moved_end, 0x2222, 0, 2},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vcpu_state *state;
		uint64_t *table;

		create(1);
		table = guest_at(&guest, GUEST_TABLES + 0x1000);
		table[8] = table[0];
		*(uint64_t *)guest_at(&guest, PAGE_A + 8) = 0x1111;
		*(uint64_t *)guest_at(&guest, PAGE_B + 8) = 0x2222;
		state = run(cases[i].code, cases[i].end);
		EXPECT_EQ(state->gpr[RAX], 0xaaaa);
		EXPECT_EQ(state->gpr[RCX], cases[i].rcx);
		EXPECT_EQ(state->gpr[RDX], cases[i].rdx);
		EXPECT_EQ(guest_cpu(&guest, 0)->count_slot_misses, cases[i].misses);
	}
}

/* A list whose nodes are in one window after the other: the register is another one each time. */
GUEST(list, "mov $0x150000, %ebx; mov 8(%rbx), %rax; mov (%rbx), %rbx; add 8(%rbx), %rax;"
	    "mov (%rbx), %rbx; add 8(%rbx), %rax; lea 0x1000(%rbx), %rbx; mov (%rbx), %rcx;"
	    "mov 16(%rbx), %rdx; hlt");

TEST(a_register_that_is_written_is_checked_anew)
{
	struct vcpu_state *state;
	uint64_t *table;

	create(1);
	table = guest_at(&guest, GUEST_TABLES + 0x1000);
	table[2] = table[4] = table[0];
	*(uint64_t *)guest_at(&guest, PAGE_A) = 0x80151000;
	*(uint64_t *)guest_at(&guest, PAGE_A + 8) = 1;
	*(uint64_t *)guest_at(&guest, PAGE_B) = 0x100150000;
	*(uint64_t *)guest_at(&guest, PAGE_B + 8) = 2;
	*(uint64_t *)guest_at(&guest, PAGE_B + 16) = 4;
	state = run(list, list_end);
	EXPECT_EQ(state->gpr[RAX], 4);
	EXPECT_EQ(state->gpr[RCX], 0x100150000);
	EXPECT_EQ(state->gpr[RDX], 4);
}

/* The register goes to two windows in turn, and the check finds them in the slot's two places. */
GUEST(turns, "mov $0x150000, %ebx; mov $0x200001000, %r10; mov $9, %ecx;"
	     "1: add (%rbx), %rax; add 8(%rbx), %rdx; mov 16(%rbx), %rsi; xor %r10, %rbx;"
	     "loop 1b; hlt"); /* so that it has one round in its block */

TEST(a_check_exchanges_the_places)
{
	struct vcpu_state *state;
	uint64_t *table;

	create(1);
	table = guest_at(&guest, GUEST_TABLES + 0x1000);
	table[8] = table[0];
	*(uint64_t *)guest_at(&guest, PAGE_A + 8) = 0x1111;
	*(uint64_t *)guest_at(&guest, PAGE_B + 8) = 0x2222;
	state = run(turns, turns_end);
	EXPECT_EQ(state->gpr[RAX], 5 * 0xaaaa + 4 * 0xbbbb);
	EXPECT_EQ(state->gpr[RDX], 5 * 0x1111 + 4 * 0x2222);
	EXPECT_EQ(guest_cpu(&guest, 0)->count_slot_misses, 3);
}

/*
 * All windows are in use, so that the second operand, in yet another one, has one closed, and all
 * slots emptied, between the check and the operand that relies on it.
 */
GUEST(between, "mov $0x80000000, %r10d; mov $0x150000, %esi; mov $15, %ecx;"
	       "1: add %r10, %rsi; mov (%rsi), %rax; dec %ecx; jnz 1b; mov $0x150000, %ebx;"
	       "lea (%rsi,%r10), %rdi; mov $4, %ecx;"
	       "2: mov (%rbx), %rax; mov (%rdi), %rdx; add %rax, %r8; add %rdx, %r8;"
	       "add 8(%rbx), %r9; mov 16(%rbx), %r11; add %r10, %rdi; xor %r10, %rbx;"
	       "loop 2b; hlt");

TEST(a_slot_is_emptied_behind_its_check)
{
	struct vcpu_state *state;
	uint64_t *table;

	create(1);
	table = guest_at(&guest, GUEST_TABLES + 0x1000);
	for (unsigned i = 2; i < 64; i += 2)
		table[i] = table[0];
	*(uint64_t *)guest_at(&guest, PAGE_A + 8) = 0x1111;
	*(uint64_t *)guest_at(&guest, PAGE_A + 16) = 0x2222;
	state = run(between, between_end);
	EXPECT_EQ(state->gpr[R8], 8 * 0xaaaa);
	EXPECT_EQ(state->gpr[R9], 4 * 0x1111);
	EXPECT_EQ(state->gpr[R11], 0x2222);
}

/* What one check would have to cover lies in two windows, or in one and where no address is; before
 * it, in one. */
GUEST(two_windows, "mov %rbx, %r12; mov $0x150000, %ebx; mov $3, %ecx;"
		   "1: mov (%rbx), %rax; mov 8(%rbx), %rdx; add %rdx, 16(%rbx);"
		   "dec %ecx; cmp $1, %ecx; cmove %r12, %rbx; test %ecx, %ecx; jnz 1b; hlt");

TEST(a_range_that_no_window_holds)
{
	struct vcpu_state *state;
	uint64_t *table;

	create(1);
	table = guest_at(&guest, GUEST_TABLES + 0x1000);
	table[1] = table[2] = table[0];
	table[512 + 511] = table[512];
	*(uint64_t *)guest_at(&guest, 0x1ffff8) = 0x3333;
	*(uint64_t *)guest_at(&guest, 8) = 1;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t rdx = *(uint64_t *)guest_at(&guest, 0);

		EXPECT_EQ(vector_of(two_windows, two_windows_end, 0x7ffffff8, 0), 0xff);
		state = &guest.vm.vcpus[0]->state;
		EXPECT_EQ(state->gpr[RAX], 0x3333);
		EXPECT_EQ(state->gpr[RDX], rdx);
		EXPECT_EQ(*(uint64_t *)guest_at(&guest, 8), 1 + (i + 1) * rdx);
	}
	EXPECT_EQ(vector_of(two_windows, two_windows_end, 0x7ffffffffff8, 0), 14);
	EXPECT_EQ(vector_of(two_windows, two_windows_end, 0xfffffffffffffff8, 0), 14);
	EXPECT_EQ(vector_of(two_windows, two_windows_end, 1ull << 63, 0), 13);
}

/*
 * What moves by constants is not checked again: within its window, into the next one, and from
 * there back; but by more than WINDOW_REACH it is.
 */
GUEST(moves,
      "mov %rbx, %r12; mov $3, %ecx; 1: mov %r12, %rbx; mov (%rbx), %rax; lea 8(%rbx), %rbx;"
      "add (%rbx), %rax; add $0x30000, %rbx; add (%rbx), %rax; incq 8(%rbx); sub $0x30008, %rbx;"
      "add (%rbx), %rax; add $0x131000, %rbx; add (%rbx), %rax; sub $-8, %rbx; add (%rbx), %rax;"
      "dec %ecx; jnz 1b; hlt");

TEST(a_register_that_moves_is_followed)
{
	static const uint64_t bases[] = {0x20000, 0x7fff0000, 0x7fffffff8};
	uint64_t *table;

	create(1);
	table = guest_at(&guest, GUEST_TABLES + 0x1000);
	for (unsigned i = 1; i < 64; i++)
		table[i] = table[0];
	table[512 + 511] = table[512];
	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		static const uint64_t offsets[] = {0, 8, 0x30008, 0x131000, 0x131008};
		uint64_t *counted = guest_at(&guest, (bases[i] + 0x30010) & 0x1fffff);

		for (unsigned j = 0; j < 5; j++)
			*(uint64_t *)guest_at(&guest, (bases[i] + offsets[j]) & 0x1fffff) =
				1ull << 8 * j;
		*counted = 0;
		EXPECT_EQ(vector_of(moves, moves_end, bases[i], 0), 0xff);
		EXPECT_EQ(guest.vm.vcpus[0]->state.gpr[RAX], 0x101010102);
		EXPECT_EQ(*counted, 3);
	}
}

TEST(hosts_without_bmi2_have_windows)
{
	create(1);
	guest_cpu(&guest, 0)->code->bmi2 = false;
	run(sum, sum_end);
	EXPECT_EQ(*(uint64_t *)guest_at(&guest, PAGE_A), 0xaaaa + 500500);
	EXPECT_EQ(faults(), 2);
}
