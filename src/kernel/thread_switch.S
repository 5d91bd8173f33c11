/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From one thread's stack to another's. What C expects to survive a call is on the stack of who leaves;
 * all else is lost anyway. The order is known to thread.c, which makes the stack of a new thread.
 */
#define USER_DATA 0x1b /* cpu.h's selectors */
#define USER_CODE 0x23

	.text

/* void switch_stacks(uint64_t *leaves, uint64_t comes) */
	.global switch_stacks
	.type switch_stacks, @function
switch_stacks:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	retq
	.size switch_stacks, . - switch_stacks

/* Where a new thread's first switch returns to. */
	.global switch_begin
	.type switch_begin, @function
switch_begin:
	xorl %ebp, %ebp
	call schedule_finish
	call thread_begin
	ud2
	.size switch_begin, . - switch_begin

/*
 * _Noreturn void switch_to_user(uint64_t entry, uint64_t stack, uint64_t argument): the process sees
 * no register of ours. entry is canonical: iretq would fault here otherwise, in ring 0.
 */
	.global switch_to_user
	.type switch_to_user, @function
switch_to_user:
	pushq $USER_DATA
	pushq %rsi
	pushq $0x202
	pushq $USER_CODE
	pushq %rdi
	movq %rdx, %rdi
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	xorl %ebx, %ebx
	xorl %ecx, %ecx
	xorl %edx, %edx
	xorl %esi, %esi
	xorl %ebp, %ebp
	xorl %r8d, %r8d
	xorl %r9d, %r9d
	xorl %r10d, %r10d
	xorl %r11d, %r11d
	xorl %r12d, %r12d
	xorl %r13d, %r13d
	xorl %r14d, %r14d
	xorl %r15d, %r15d
	swapgs
	iretq
	.size switch_to_user, . - switch_to_user
	.section .note.GNU-stack, "", @progbits
