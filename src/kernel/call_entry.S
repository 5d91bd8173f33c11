/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall and back (AMD APM 2, section 6.1.1). Interrupts are off from the first instruction on (the
 * flag mask, call.c), but the stack is still the process's: two instructions change that.
 *
 * sysret faults in ring 0, on some processors, if rcx is not canonical. It cannot be: it is the address
 * behind a syscall instruction, and nothing is mapped from METAL_USER_END on, 64 KiB below the end
 * of the lower half.
 */
	.text

	.global call_entry
	.type call_entry, @function
call_entry:
	swapgs
	movq %rsp, %gs:16
	movq %gs:8, %rsp
	pushq %gs:16
	pushq %r11
	pushq %rcx
	pushq %rbp
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %r10
	pushq %r8
	pushq %r9
	/* call_handle(rax, rdi, rsi, rdx, r10, r8); back-traces end here. */
	xorl %ebp, %ebp
	movq %r8, %r9
	movq %r10, %r8
	movq %rdx, %rcx
	movq %rsi, %rdx
	movq %rdi, %rsi
	movq %rax, %rdi
	call call_handle
	popq %r9
	popq %r8
	popq %r10
	popq %rdx
	popq %rsi
	popq %rdi
	popq %rbp
	popq %rcx
	popq %r11
	popq %rsp
	swapgs
	sysretq
	.size call_entry, . - call_entry
	.section .note.GNU-stack, "", @progbits
