/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator: each piece of guest code runs interpreted and translated, and both must end
 * alike. */
#include "translate_guest.h"

static struct guest guest;

static void expect_alike(const struct vcpu_state *a, const struct vcpu_state *b)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < 16; i++)
		if (a->gpr[i] != b->gpr[i])
			FAIL("%s: interpreted %lx, translated %lx", names[i], a->gpr[i], b->gpr[i]);
	EXPECT_EQ(a->rip, b->rip);
	EXPECT_EQ(a->rflags, b->rflags);
	/* FCW, FSW, FTW; then behind FIP and FDP. */
	EXPECT_MEM(a->xsave, b->xsave, 6);
	EXPECT_MEM(a->xsave + 24, b->xsave + 24, 4);
	EXPECT_MEM(a->xsave + 32, b->xsave + 32, 416 - 32);
}

/* Returns the end of the translated run, whose memory is kept. */
static struct vcpu_state *run_both(const uint8_t *code, const uint8_t *end)
{
	static uint8_t memory[GUEST_MEMORY];
	struct vcpu_state interpreted;

	guest_create(&guest, 1);
	engine_interpret_only(&guest.vm, true);
	interpreted = *guest_run(&guest, code, end);
	EXPECT_EQ(guest_cpu(&guest, 0)->count_blocks, 0);
	memcpy(memory, guest_at(&guest, 0), GUEST_MEMORY);
	vm_destroy(&guest.vm);
	guest_create(&guest, 1);
	expect_alike(&interpreted, guest_run(&guest, code, end));
	EXPECT(guest_cpu(&guest, 0)->count_blocks > 0);
	EXPECT_MEM(memory, guest_at(&guest, 0), GUEST_MEMORY);
	return &guest.vm.vcpus[0]->state;
}

#define RUN(name) run_both(name, name##_end)

GUEST(straight, "mov $5, %eax; lea 3(%rax,%rax,2), %rbx; add %rbx, %rax; sub $100, %rax; hlt");
TEST(straight_code_runs)
{
	EXPECT_EQ(RUN(straight)->gpr[RAX], 5 + 18 - 100);
}

/* Operand and stack are 2 MiB apart: they take the same TLB entry from each other. */
GUEST(same_entry, "mov $0x400000 - 64, %rsp; lea -0x200000(%rsp), %rbx; lea 1f(%rip), %rax; mov "
		  "%rax, -8(%rbx); mov $7, %ecx;"
		  "pushq -8(%rbx); pop %rdx; call *-8(%rbx); hlt; 1: inc %ecx; ret");
TEST(two_operands_of_one_tlb_entry)
{
	EXPECT_EQ(RUN(same_entry)->gpr[RCX], 8);
}

GUEST(loop_sum, "xor %eax, %eax; mov $1000, %ecx; 1: add %rcx, %rax; dec %ecx; jnz 1b; hlt");
TEST(a_loop_goes_round)
{
	EXPECT_EQ(RUN(loop_sum)->gpr[RAX], 500500);
}

GUEST(memory_access,
      "mov $0x200000, %rdi; mov $0x1122334455667788, %rax; mov %rax, (%rdi); addl $1, 4(%rdi);"
      "mov %ah, 9(%rdi); xchg %bh, 9(%rdi); movzwl 1(%rdi), %edx; adcq $-1, 8(%rdi); sbb 3(%rdi), "
      "%cl;"
      "incq 16(%rdi); lock xaddl %eax, 16(%rdi); mov 0x200003, %r8d; hlt");
TEST(memory_is_reached)
{
	struct vcpu_state *state = RUN(memory_access);

	EXPECT_EQ(state->gpr[RBX], 0x7700);
	EXPECT_EQ(state->gpr[RDX], 0x6677);
}

GUEST(spilled, "mov $0x1111, %r9d; mov $-1, %r10; lea (%r9,%r9,2), %r11; mov %r11d, %r10d; add "
	       "%r10, %r9;"
	       "mov $0x200000, %r12; mov %r9, (%r12); mov %r12, %r9; add 0(%r9), %r11; movb $7, "
	       "(%r9); mov (%r9), %r10b;"
	       "mov $8, %r10d; mov %r11, (%r9,%r10,4); mov (%r9,%r10,4), %r11w; xchg %r9, %r11; "
	       "push %r9; push %r10;"
	       "pop %r11; pop %rax; cmp %r11, %r10; setz %r9b; cmovnz %eax, %r10d; mov %r10, "
	       "%rsp; shl $3, %r11; bswap %r11; hlt");
TEST(spilled_registers_keep_their_values)
{
	RUN(spilled);
}

GUEST(renamed, "mov $0x1111, %r13d; mov $-1, %r14; lea (%r13,%r13,2), %r15; mov %r15d, %r14d; add "
	       "%r14, %r13;"
	       "mov $0x200000, %r12; mov %r13, (%r12); mov %r12, %r13; add 0(%r13), %r15; movb $7, "
	       "(%r13); mov (%r13), %r14b;"
	       "mov $8, %r14d; mov %r15, (%r13,%r14,4); mov (%r13,%r14,4), %r15w; xchg %r13, %r15; "
	       "push %r13; push %r14;"
	       "pop %r15; pop %rax; cmp %r15, %r14; setz %r13b; cmovnz %eax, %r14d; mov %r14, "
	       "%rsp; shl $3, %r15; bswap %r15; hlt");
TEST(other_registers_keep_theirs)
{
	RUN(renamed);
}

GUEST(flags_kept, "mov $0x200000, %rdi; xor %edx, %edx; stc; mov (%rdi), %rax; adc $0, %edx; cmp "
		  "$1, %edx; push %rdx;"
		  "pop %rbx; setz %cl; sub $2, %edx; incl (%rdi); mov 8(%rdi), %rax; adc $0, %rdx; "
		  "pushf; pop %rsi; cmp %edx, %edx;"
		  "lea 1(%rax), %rax; mov %rax, 16(%rdi); cmovz %rsi, %r8; std; pushf; cld; pop "
		  "%r9; sahf; lahf; hlt");
TEST(flags_survive_look_ups)
{
	RUN(flags_kept);
}

GUEST(calls, "mov $20, %edi; call fib; hlt;"
	     "fib: cmp $2, %edi; jb 1f; push %rdi; dec %edi; call fib; pop %rdi; push %rax; sub "
	     "$2, %edi; call fib; pop %rdx;"
	     "add %rdx, %rax; ret; 1: mov %edi, %eax; ret");
TEST(calls_and_returns)
{
	EXPECT_EQ(RUN(calls)->gpr[RAX], 6765);
}

GUEST(far_pages, "xor %eax, %eax; mov $300, %ecx; 1: call 3f; lea 4f(%rip), %rbx; call *%rbx; push "
		 "%rbx; call *(%rsp); pop %rbx;"
		 "dec %ecx; jnz 1b; hlt; .fill 5000, 1, 0x90; 3: add $1, %eax; ret; .fill 5000, 1, "
		 "0x90; 4: add $100, %rax; ret $0");
TEST(other_pages_are_reached)
{
	EXPECT_EQ(RUN(far_pages)->gpr[RAX], 300 * 201);
	EXPECT(guest_cpu(&guest, 0)->count_lookups < 40);
}

GUEST(counted, "mov $100, %ecx; xor %eax, %eax; 1: inc %eax; loop 1b; jrcxz 2f; hlt; 2: mov $3, "
	       "%ecx; 3: dec %eax; jz 4f; loopne 3b;"
	       "4: lea -5(%rcx), %rcx; jecxz 5f; add $1000, %eax; 5: hlt");
TEST(loop_and_jrcxz)
{
	EXPECT_EQ(RUN(counted)->gpr[RAX], 1097);
}

GUEST(vectors, "mov $0x200000, %rdi; movl $0x40490fdb, (%rdi); movss (%rdi), %xmm0; sqrtss %xmm0, "
	       "%xmm1; cvtsi2sd %rdi, %xmm2;"
	       "mulsd %xmm2, %xmm2; movsd %xmm2, 8(%rdi); movups %xmm1, 16(%rdi); movaps 16(%rdi), "
	       "%xmm9; pshufd $0x1b, %xmm9, %xmm3;"
	       "movq %xmm3, %r13; movd %r13d, %xmm15; fildq 8(%rdi); fsqrt; fstpl 32(%rdi); hlt");
TEST(vector_instructions)
{
	RUN(vectors);
}

GUEST(divide, "mov $0x123456, %ebx; stc; mov $1, %eax; xor %edx, %edx; mov $0, %ecx; mov $77, "
	      "%r14d; div %ecx; hlt");
TEST(divide_error_is_precise)
{
	struct vcpu_state *state = RUN(divide);
	uint64_t *frame = guest_at(&guest, state->gpr[RSP]);

	EXPECT_EQ(state->gpr[R15], EXCEPTION_DE);
	EXPECT_EQ(frame[0], GUEST_CODE + (uint64_t)(divide_end - divide) - 3);
	EXPECT_EQ(state->gpr[R14], 77);
}

GUEST(misaligned, "mov $0x200001, %r13d; movaps (%r13), %xmm0; hlt");
TEST(misalignment_is_a_general_protection_fault)
{
	struct vcpu_state *state = RUN(misaligned);
	uint64_t *frame = guest_at(&guest, state->gpr[RSP]);

	EXPECT_EQ(state->gpr[R15], EXCEPTION_GP);
	EXPECT_EQ(frame[0], 0);
	EXPECT_EQ(frame[1], GUEST_CODE + 6);
}

GUEST(not_present, "mov $0x12345678000, %rbx; push $9; pop %rcx; add %ecx, (%rbx); hlt");
TEST(page_fault_is_precise)
{
	struct vcpu_state *state = RUN(not_present);
	uint64_t *frame = guest_at(&guest, state->gpr[RSP]);

	EXPECT_EQ(state->gpr[R15], EXCEPTION_PF);
	EXPECT_EQ(frame[0], 2);
	EXPECT_EQ(frame[1], GUEST_CODE + 13);
	EXPECT_EQ(state->cr2, 0x12345678000);
	EXPECT_EQ(state->gpr[RCX], 9);
}

GUEST(not_canonical, "mov $0x7000000000000000, %rbx; mov (%rbx), %eax; hlt");
TEST(non_canonical_addresses_fault)
{
	EXPECT_EQ(RUN(not_canonical)->gpr[R15], EXCEPTION_GP);
}

GUEST(crossing, "mov $0x200ffd, %rdi; mov $0x8877665544332211, %rax; mov %rax, (%rdi); addl $5, "
		"1(%rdi); lock incq (%rdi);"
		"mov (%rdi), %rbx; movups (%rdi), %xmm1; pushq -1(%rdi); hlt");
TEST(accesses_across_pages)
{
	RUN(crossing);
}

GUEST(self_patching,
      "lea 2f+1(%rip), %rdi; mov $10, %ecx; xor %edx, %edx; 1: incl (%rdi); 2: mov $0, %eax; add "
      "%eax, %edx; dec %ecx;"
      "jnz 1b; lea 3f(%rip), %rdi; movb $0xf4, (%rdi); 3: nop; mov $0xbad, %edx; hlt");
TEST(code_may_change_itself)
{
	EXPECT_EQ(RUN(self_patching)->gpr[RDX], 55);
}

GUEST(page_end, "mov $50, %ecx; xor %eax, %eax; jmp 1f; .org page_end + 4094 - 9; 1: add $1, %rax; "
		"nop; nop; nop; nop; nop;"
		"lea 0x11223344(%rax,%rcx,4), %rbx; dec %ecx; jnz 1b; hlt");
TEST(instructions_across_pages)
{
	EXPECT_EQ(RUN(page_end)->gpr[RAX], 50);
}

GUEST(strings, "mov $0x200000, %edi; mov $0xab, %eax; mov $5000, %ecx; rep stosb; mov $0x200000, "
	       "%esi; mov $0x300801, %edi;"
	       "mov $700, %ecx; rep movsq; mov $0x300801, %edi; mov $-1, %ecx; xor %eax, %eax; "
	       "repne scasb; hlt");
TEST(string_instructions)
{
	RUN(strings);
}

GUEST(segments, "mov $0xc0000101, %ecx; mov $0x200000, %eax; xor %edx, %edx; wrmsr; movl $7, "
		"%gs:0x10; mov %gs:8(%rcx), %ebx; hlt");
TEST(segment_bases)
{
	struct vcpu_state *state = RUN(segments);

	EXPECT_EQ(state->segment[SEGMENT_GS].base, 0x200000);
	EXPECT_EQ(*(uint32_t *)guest_at(&guest, 0x200010), 7);
}

GUEST(addresses,
      "mov $0xffffffff00200000, %rbx; movl $1, (%ebx); lea 4(%ebx,%ebx), %rcx; lea 6(%rbx), %edx; "
      "lea 2f(%rip), %rsi;"
      "lea 2f(%eip), %rdi; 2: lea (%rbx), %cx; movabs 0x200000, %eax; mov 2b(%rip), %r9; hlt");
TEST(address_sizes)
{
	RUN(addresses);
}

GUEST(endless, "1: jmp 1b");
TEST(a_kick_ends_a_loop)
{
	struct vcpu *vcpu;

	guest_create(&guest, 1);
	vcpu = guest.vm.vcpus[0];
	memcpy(guest_at(&guest, GUEST_CODE), endless, 2);
	vcpu_post(vcpu, PENDING_STOP);
	engine_translate.run(vcpu, &guest.exit);
	EXPECT_EQ(guest.exit.kind, EXIT_KICKED);
	EXPECT_EQ(vcpu->state.rip, GUEST_CODE);
}

/* Ten times round, with carry kept: the first time by the handler, then written out. */
GUEST(access_check, "mov $0x200000, %ebx; mov $10, %ecx; xor %eax, %eax; xor %edx, %edx;"
		    "1: stc; stac; adc $0, %rdx; mov (%rbx), %rsi; add %rsi, %rax; stc; clac;"
		    "adc $0, %rdx; dec %ecx; jnz 1b; hlt");

TEST(stac_and_clac_with_smap_and_without)
{
	for (unsigned smap = 0; smap < 2; smap++) {
		struct vcpu_state *state;

		guest_create(&guest, 1);
		*(uint64_t *)guest_at(&guest, GUEST_DATA) = 7;
		guest.vm.vcpus[0]->state.cr4 |= smap << 21;
		state = guest_run(&guest, access_check, access_check_end);
		EXPECT_EQ(state->gpr[RAX], 70);
		EXPECT_EQ(state->gpr[RDX], 20);
		EXPECT_EQ(state->rflags >> 18 & 1, 0);
		EXPECT(guest_cpu(&guest, 0)->count_calls <= (smap ? 6 : 21));
		vm_destroy(&guest.vm);
	}
}

/* Was the code above written out, or did it call its handlers each time? */
static void expect_few_calls(void)
{
	EXPECT(guest_cpu(&guest, 0)->count_calls < 20);
}

/* Bits near and far, before and behind, of both sizes, in registers of all kinds; CF is gathered in
 * r14, and ZF, which is not theirs, in r13 and r12. */
GUEST(bits, "mov $0x208000, %ebx; mov $300, %ecx; 1: imul $-37, %rcx, %rax; imul $91, %ecx, %r9d;"
	    "mov %rbx, %r10; lea 1(%rcx,%rcx), %r11d;"
	    "bts %rax, (%rbx); rcl $1, %r14; bts %eax, 64(%rbx); rcl $1, %r14;"
	    "btr %r9, (%rbx); rcl $1, %r14; btc %r9d, 8(%r10); rcl $1, %r14;"
	    "lock bts %r11, (%rbx,%rcx,8); rcl $1, %r14; lock btr %eax, -4096(%r10);"
	    "rcl $3, %r14; bt %rsp, (%rbx); rcl $1, %r14; xor %edx, %edx; bt %r11, (%rbx);"
	    "setz %dl; adc $0, %rdx; add %rdx, %r13; or $1, %edx; bt %eax, (%rbx); jz 2f;"
	    "adc $0, %r12; 2: dec %ecx; jnz 1b; hlt");
TEST(bits_of_memory)
{
	RUN(bits);
	expect_few_calls();
}

GUEST(bits_kept, "mov $0x208000, %ebx; mov $300, %ecx; 1: xor %edx, %edx; bts %rcx, (%rbx);"
		 "jnz 2f; inc %r12; 2: dec %ecx; jnz 1b; hlt");
TEST(bits_of_memory_leave_the_zero_flag)
{
	EXPECT_EQ(RUN(bits_kept)->gpr[R12], 300);
}

GUEST(no_bits, "mov $0x208000, %ebx; mov $1 << 32, %rax; bts %rax, (%rbx); hlt");
TEST(bits_of_memory_that_is_not_there)
{
	EXPECT_EQ(RUN(no_bits)->gpr[R15], EXCEPTION_PF);
}

GUEST(selectors, "mov $0x1234567887654321, %rax; mov %rax, %r9; mov %ds, %ax; mov %es, %r9w;"
		 "mov %cs, %ecx; mov %ss, %rdx; mov %fs, %r10; mov %gs, %r11d; hlt");
TEST(selectors_are_read)
{
	struct vcpu_state *state = RUN(selectors);

	EXPECT_EQ(state->gpr[RAX], 0x1234567887650010);
	EXPECT_EQ(state->gpr[R9], 0x1234567887650010);
	EXPECT_EQ(state->gpr[RCX], 8);
	EXPECT_EQ(state->gpr[R10], 16);
	expect_few_calls();
}

#define WITH_BASES "mov %cr4, %rax; or $0x10000, %eax; mov %rax, %cr4;"

GUEST(bases, WITH_BASES
      "mov $100, %ecx; 1: mov $0x200100, %eax; wrfsbase %rax; mov $0xffff800000000000, %r9;"
      "wrgsbase %r9; rdgsbase %r10; movq $77, %fs:8; rdfsbase %rdx; add 8(%rdx), %r12;"
      "wrfsbase %ecx; rdfsbase %r11d; add %r11, %r13; dec %ecx; jnz 1b; hlt");
TEST(bases_are_set_and_read)
{
	struct vcpu_state *state = RUN(bases);

	EXPECT_EQ(state->gpr[R10], 0xffff800000000000);
	EXPECT_EQ(state->gpr[R12], 7700);
	EXPECT_EQ(state->gpr[R13], 5050);
	EXPECT_EQ(state->segment[SEGMENT_GS].base, 0xffff800000000000);
}

GUEST(bad_base, WITH_BASES "mov $0x1000, %ecx; wrfsbase %rcx; mov $1 << 47, %rcx; wrfsbase %rcx");
TEST(a_base_that_is_not_canonical)
{
	struct vcpu_state *state = RUN(bad_base);

	EXPECT_EQ(state->gpr[R15], EXCEPTION_GP);
	EXPECT_EQ(state->segment[SEGMENT_FS].base, 0x1000);
}

GUEST(no_bases, "mov $0x1000, %ecx; wrgsbase %rcx; hlt");
TEST(bases_that_are_not_allowed)
{
	struct vcpu_state *state = RUN(no_bases);

	EXPECT_EQ(state->gpr[R15], EXCEPTION_UD);
	EXPECT_EQ(state->segment[SEGMENT_GS].base, 0);
}

GUEST(interrupts_on, "mov $1000, %ecx; 1: sti; inc %eax; stc; cli; adc $0, %ebx; sti; pushf;"
		     "pop %rdx; cli; dec %ecx; jnz 1b; hlt");
TEST(interrupts_go_on_and_off)
{
	struct vcpu_state *state = RUN(interrupts_on);

	EXPECT_EQ(state->gpr[RAX], 1000);
	EXPECT_EQ(state->gpr[RBX], 1000);
	EXPECT_EQ(state->gpr[RDX] & FLAG_IF, FLAG_IF);
	expect_few_calls();
}
