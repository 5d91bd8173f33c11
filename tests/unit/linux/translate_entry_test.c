/* SPDX-License-Identifier: BSD-2-Clause */
/* The entries of blocks (translate.c): what they do about flags and kick, and what becomes of them
 * when their block is dropped. */
#include "translate_guest.h"

#include <pthread.h>
#include <unistd.h>

#define HANDLER 0x160000u
#define COUNTS	0x170000u

static struct guest guest;

/* What the code leaves in rbx, without windows and with them. */
static void expect_sum(const uint8_t *code, const uint8_t *end, uint64_t sum)
{
	for (unsigned i = 0; i < 2; i++) {
		guest_create(&guest, 1);
		engine_windows(&guest.vm, i ? ENGINE_WINDOWS_ALL : 0);
		EXPECT_EQ(guest_run(&guest, code, end)->gpr[RBX], sum);
	}
}

/* Two blocks, and the way back is a jcc, a jcc behind which flags are wanted, a jmp. */
GUEST(by_jcc, "1: jmp 2f; nop; 2: mov $1, %eax; test %eax, %eax; jnz 1b; hlt");
GUEST(by_jcc_with_flags, "1: adc $0, %rbx; jmp 2f; nop; 2: mov $1, %eax; cmp $2, %eax; jc 1b; hlt");
GUEST(by_jmp, "1: jmp 2f; nop; 2: mov $1, %eax; jmp 1b; hlt");
GUEST(in_one, "1: mov $1, %eax; test %eax, %eax; jnz 1b; hlt");

TEST(ways_back_can_be_interrupted)
{
	const uint8_t *codes[][2] = {{by_jcc, by_jcc_end},
				     {by_jcc_with_flags, by_jcc_with_flags_end},
				     {by_jmp, by_jmp_end},
				     {in_one, in_one_end}};

	for (unsigned i = 0; i < 2 * sizeof(codes) / sizeof(codes[0]); i++) {
		guest_create(&guest, 1);
		engine_windows(&guest.vm, i % 2 ? ENGINE_WINDOWS_ALL : 0);
		memcpy(guest_at(&guest, GUEST_CODE), codes[i / 2][0],
		       (size_t)(codes[i / 2][1] - codes[i / 2][0]));
		guest_run_kicked(&guest);
	}
}

/*
 * The second block wants the first one's carry, but begins with what needs RFLAGS: its reg entry is
 * in front of the mem entry. It is rewritten each time, and so dropped. Each round adds 1, and the
 * lower byte of ecx.
 */
GUEST(rewrites,
      "mov $0x150000, %esi; mov $1000, %ecx;"
      "1: mov %cl, 3f+1(%rip); stc; jmp 2f; nop;"
      "2: mov (%rsi), %rdx; adc $0, %rbx; 3: mov $0, %al; movzbl %al, %eax; add %rax, %rbx;"
      "dec %ecx; jnz 1b; hlt");

TEST(entries_of_dropped_blocks_lead_on)
{
	uint64_t sum = 0;

	for (unsigned i = 1; i <= 1000; i++)
		sum += 1 + (i & 255);
	expect_sum(rewrites, rewrites_end, sum);
}

/* The same two blocks, each with other ways in: forward with the flags in RFLAGS or in memory, and
 * back. rbx: the carries. */
GUEST(ways_in, "mov $0x150000, %esi; mov $3000, %ecx; xor %edi, %edi;"
	       "1: test $1, %cl; jz 3f; stc; jmp 2f; 3: stc; mov (%rsi), %rax; jmp 2f; nop;"
	       "2: mov (%rsi), %rdx; adc $0, %rbx; xor $1, %edi; jz 4f; stc; jmp 2b;"
	       "4: dec %ecx; jnz 1b; hlt");

TEST(entries_agree_about_flags)
{
	expect_sum(ways_in, ways_in_end, 6000);
}

/*
 * The second block wants no flags, but only its sixth instruction says so: who leads there has not
 * looked as far. When ecx is 50, that one becomes adc.
 */
GUEST(wants_none_at_first,
      "mov $100, %ecx; 1: cmp $50, %ecx; jne 5f; movb $0xd3, 3f+2(%rip); 5: jmp 6f; nop;"
      "6: stc; jmp 2f; nop; 2: .rept 5; mov %rax, %rax; .endr; 3: cmp $0, %rbx; dec %ecx;"
      "jnz 1b; hlt");

TEST(a_block_may_come_to_want_flags)
{
	expect_sum(wants_none_at_first, wants_none_at_first_end, 50);
}

/* Interrupts: COUNTS has how many came right behind a sti, and how many there were. */
GUEST(counts, "push %rax; mov 8(%rsp), %rax; cmpb $0xfb, -1(%rax); jne 1f; incq 0x170000;"
	      "1: incq 0x170008; pop %rax; iretq");

static int acknowledge(struct vcpu *vcpu)
{
	vcpu_withdraw(vcpu, PENDING_INTERRUPT);
	return 0x40;
}

static _Atomic bool interrupting, interrupted_enough;

static void *interrupt(void *nothing)
{
	while (!atomic_load(&interrupted_enough)) {
		atomic_fetch_or(&guest.vm.vcpus[0]->pending, PENDING_INTERRUPT);
		engine_translate.kick(guest.vm.vcpus[0]);
		atomic_store(&interrupting, true);
		usleep(70);
	}
	return nothing;
}

static void create_interrupted(void)
{
	static struct interrupt_controller interrupts;
	uint64_t *idt;

	guest_create(&guest, 1);
	interrupts.acknowledge = acknowledge;
	guest.vm.vcpus[0]->interrupts = &interrupts;
	memcpy(guest_at(&guest, HANDLER), counts, (size_t)(counts_end - counts));
	idt = guest_at(&guest, GUEST_IDT);
	idt[0x80] = (HANDLER & 0xffff) | 8u << 16 | 1ull << 32 | 0x8eull << 40 |
		    (uint64_t)(HANDLER >> 16) << 48;
}

static void run_interrupted(const uint8_t *code, const uint8_t *end)
{
	const uint64_t *counted = guest_at(&guest, COUNTS);
	pthread_t thread;

	atomic_store(&interrupted_enough, false);
	atomic_store(&interrupting, false);
	REQUIRE(pthread_create(&thread, NULL, interrupt, NULL) == 0);
	while (!atomic_load(&interrupting))
		usleep(10);
	guest_run(&guest, code, end);
	atomic_store(&interrupted_enough, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(counted[0], 0);
	EXPECT(counted[1] > 0);
}

/* The vcpu runs user code that may use sti, and finds data at rsi. */
static void make_user(void)
{
	static const struct segment user_code = {0x1b, 0xa0fb, 0xffffffff, 0},
				    user_data = {0x23, 0xc0f3, 0xffffffff, 0};
	struct vcpu_state *state = &guest.vm.vcpus[0]->state;
	uint64_t *gdt = guest_at(&guest, GUEST_GDT);

	gdt[3] = 0x00affb000000ffff;
	gdt[4] = 0x00cff3000000ffff;
	for (unsigned i = 0; i < 6; i++)
		state->segment[i] = user_data;
	state->segment[SEGMENT_CS] = user_code;
	state->gdtr.limit = 39;
	state->rflags |= 3 << 12;
	state->gpr[RSI] = 0x150000;
}

/* Each block behind a sti is new, and saves flags at its reg entry. */
GUEST(shadows, ".rept 20000; sti; mov (%rsi), %rdx; adc $0, %rbx; cli; .endr; hlt");

TEST(no_interrupt_comes_right_behind_sti)
{
	for (unsigned i = 0; i < 2; i++) {
		create_interrupted();
		engine_windows(&guest.vm, i ? ENGINE_WINDOWS_ALL : 0);
		make_user();
		run_interrupted(shadows, shadows_end);
	}
}

/* A kernel's, as the last byte of some 3,500 pages: what follows is another block. */
GUEST(first_page, "mov $3, %ecx; mov $0x200000, %eax; jmp *%rax");
GUEST(a_page, "mov %rsi, %rdx; cli; jmp .+0xffb; .org a_page+0xfff; sti");
GUEST(last_page, "cli; mov %cr3, %rax; mov %rax, %cr3; dec %ecx; jz 1f; mov $0x200000, %eax;"
		 "jmp *%rax; 1: hlt");

TEST(nor_where_sti_ends_a_page)
{
	create_interrupted();
	for (uint32_t page = 0x200; page < 0xffe; page++)
		memcpy(guest_at(&guest, page << 12), a_page, 4096);
	memcpy(guest_at(&guest, 0xffe000), last_page, (size_t)(last_page_end - last_page));
	run_interrupted(first_page, first_page_end);
}

/*
 * Behind a user's sti begins a loop that checks its windows in front of it, and is made anew each
 * time, for a function elsewhere stores to it: its old entries lead to C. r9 is 1 until its first
 * instruction is done.
 */
#define LOADS  0x110000u
#define STORES 0x120000u
GUEST(counts_first, "cmp $1, %r9d; jne 1f; incq 0x170000; 1: incq 0x170008; iretq");
GUEST(loads, "mov 8(%rsi), %rax; ret");
GUEST(stores, "movb $1, 1(%r8); ret");
GUEST(loop, "mov $0x110000, %edx; mov $0x120000, %ebp; lea 3f(%rip), %r8; mov $400, %r12d;"
	    "0: call *%rbp; mov $8, %ecx; mov $1, %r9d; sti; 1: mov $0, %r9d; mov (%rsi), %rbx;"
	    "3: mov $1, %eax; xor %eax, %eax; call *%rdx; dec %ecx; jnz 1b; cli; dec %r12d;"
	    "jnz 0b; hlt");

TEST(nor_in_front_of_a_loop_that_is_made_anew)
{
	for (unsigned i = 0; i < 10; i++) {
		create_interrupted();
		engine_windows(&guest.vm, ENGINE_WINDOWS_ALL);
		make_user();
		memcpy(guest_at(&guest, HANDLER), counts_first,
		       (size_t)(counts_first_end - counts_first));
		memcpy(guest_at(&guest, LOADS), loads, (size_t)(loads_end - loads));
		memcpy(guest_at(&guest, STORES), stores, (size_t)(stores_end - stores));
		run_interrupted(loop, loop_end);
		EXPECT(guest_cpu(&guest, 0)->code->count_rounds > 100);
	}
}
