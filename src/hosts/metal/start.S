/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a process of bare metal begins, and the one door to the kernel (kernel/abi.h). */
#include "hosts/metal/stack.h"

	.text

/* The kernel begins here, with no stack. */
	.globl metal_entry
	.type metal_entry, @function
metal_entry:
	xor %ebp, %ebp
	lea first_stack + METAL_STACK_SIZE(%rip), %rsp
	call main
	mov %eax, %edi
	call metal_exit
	.size metal_entry, . - metal_entry

/* int64_t metal_call(enum metal_call number, uint64_t a, b, c, d, e): C's registers become the
 * call's. */
	.globl metal_call
	.type metal_call, @function
metal_call:
	mov %edi, %eax
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %r10
	mov %r9, %r8
	syscall
	ret
	.size metal_call, . - metal_call

/* A stack lies at a multiple of its size: that is how a thread knows itself (lock.c). */
	.bss
	.balign METAL_STACK_SIZE
first_stack:
	.skip METAL_STACK_SIZE

	.section .note.GNU-stack, "", @progbits
