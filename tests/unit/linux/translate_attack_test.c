/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest code that knows where the host's things are: translated code and its writable view, struct
 * cpu, windows, guest memory as the host sees it, our program and stack. All of these addresses are
 * only the guest's own, which has nothing there, however it comes by.
 */
#include "translate_guest.h"

#include <sys/auxv.h>

#include "engines/translate/window.h"

#define GOOD 0x150000u

static struct guest guest;

/* 50 times to a good address, so that all that is remembered of it is there; then once to rbx. */
#define ATTACK(access)                                                                             \
	"mov $0x150000, %esi; mov $50, %ecx; mov $0x150000, %ebp; xor %edx, %edx;"                 \
	"1: " access "; dec %ecx; jnz 1b; mov %rbx, %rsi; mov %rbx, %rbp; inc %ecx; jmp 1b"
GUEST(by_base, ATTACK("mov (%rsi), %rax"));
GUEST(by_stack, ATTACK("mov 0(%rbp), %rax"));
GUEST(by_index, ATTACK("mov (%rsi,%rdx,8), %rax"));
GUEST(by_store, ATTACK("mov %rcx, (%rsi)"));
GUEST(by_add, ATTACK("lock add %rcx, 8(%rsi)"));
GUEST(by_vector, ATTACK("movups (%rsi), %xmm0"));
GUEST(by_vector_store, ATTACK("movups %xmm0, (%rsi)"));
GUEST(by_push, ATTACK("lea 8(%rsi), %rsp; push %rax"));
GUEST(by_pop, ATTACK("mov %rsi, %rsp; pop %rax"));
GUEST(by_strings,
      ATTACK("mov %rsi, %rdi; mov %ecx, %r8d; mov $8, %ecx; rep stosb; mov %r8d, %ecx"));
GUEST(by_x87, ATTACK("fninit; fildq (%rsi)"));
GUEST(by_exchange, ATTACK("xchg %rax, (%rsi)"));
GUEST(by_jump, "jmp *%rbx");
GUEST(by_call, "call *%rbx");
GUEST(by_ret, "push %rbx; ret");

static const struct attack {
	const uint8_t *code, *end;
} attacks[] = {
	{by_base, by_base_end},
	{by_stack, by_stack_end},
	{by_index, by_index_end},
	{by_store, by_store_end},
	{by_add, by_add_end},
	{by_vector, by_vector_end},
	{by_vector_store, by_vector_store_end},
	{by_push, by_push_end},
	{by_pop, by_pop_end},
	{by_strings, by_strings_end},
	{by_x87, by_x87_end},
	{by_exchange, by_exchange_end},
	{by_jump, by_jump_end},
	{by_call, by_call_end},
	{by_ret, by_ret_end},
};

static void attack(const struct attack *attack, uint64_t target)
{
	struct vcpu *vcpu = guest.vm.vcpus[0];

	guest_state(&vcpu->state);
	vcpu->state.gpr[RBX] = target;
	memset(guest_at(&guest, GUEST_CODE), 0, 256);
	vm_written(&guest.vm, gpa(GUEST_CODE), 256);
	engine_translate.reset(vcpu);
	guest_run(&guest, attack->code, attack->end);
	if (!EXPECT_EQ(vcpu->state.gpr[R15], 14) || !EXPECT(vcpu->state.cr2 - target < 16))
		printf("attack %u at %#lx\n", (unsigned)(attack - attacks), target);
}

static void attack_all(bool interpreted, unsigned windows)
{
	const struct cpu *cpu;
	uint64_t stack = 0;

	guest_create(&guest, 1);
	engine_interpret_only(&guest.vm, interpreted);
	engine_windows(&guest.vm, windows);
	cpu = guest_cpu(&guest, 0);
	for (unsigned i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		uint64_t window = window_first(cpu);
		const uint64_t targets[] = {
			(uintptr_t)cpu,
			(uintptr_t)&cpu->gpr,
			(uintptr_t)&cpu->tlb,
			(uintptr_t)cpu->windows,
			(uintptr_t)cpu->code,
			(uintptr_t)cpu->code->memory.run,
			(uintptr_t)cpu->code->memory.run + 0x1000,
			(uintptr_t)cpu->code->memory.write,
			(uintptr_t)guest.vm.memory.base,
			(uintptr_t)guest.vm.memory.base + GUEST_CODE,
			(uintptr_t)guest.vm.memory.base + GOOD,
			(uintptr_t)&guest,
			(uintptr_t)&stack,
			(uintptr_t)engine_translate.run,
			getauxval(AT_SYSINFO_EHDR),
			window ? window + GOOD : 0x7fff00000000,
		};

		for (unsigned j = 0; j < sizeof(targets) / sizeof(targets[0]); j++)
			attack(&attacks[i], targets[j]);
	}
	EXPECT_EQ(stack, 0);
	EXPECT(!(windows && !window_first(cpu)));
}

TEST(host_addresses_are_nothing_when_interpreted)
{
	attack_all(true, 0);
}

TEST(host_addresses_are_nothing_when_translated)
{
	attack_all(false, 0);
}

TEST(host_addresses_are_nothing_through_windows)
{
	attack_all(false, ENGINE_WINDOWS_ALL);
}
