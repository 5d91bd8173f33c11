/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only instructions of the kernel that reach a process's memory by its own addresses. A fault at
 * one of them goes on at its fix-up (trap.h).
 */
#include "kernel/smap.h"

	.text

/*
 * uint64_t user_copy(void *to, const void *from, uint64_t size): how many bytes were not copied. The
 * one of the two that is the process's is canonical and below METAL_USER_END.
 */
	.global user_copy
	.type user_copy, @function
user_copy:
	SMAP_ALLOW
	movq %rdx, %rcx
	shrq $3, %rcx
	andl $7, %edx
eights:	rep movsq
	movl %edx, %ecx
ones:	rep movsb
	SMAP_FORBID
	movq %rcx, %rax
	retq
	/* One of the eight bytes is not there: byte by byte, as far as it goes. */
eights_faulted:
	leaq (%rdx,%rcx,8), %rcx
	jmp ones
ones_faulted:
	SMAP_FORBID
	movq %rcx, %rax
	retq
	.size user_copy, . - user_copy

	.pushsection .fix_ups, "a"
	.quad eights, eights_faulted
	.quad ones, ones_faulted
	.popsection
	.section .note.GNU-stack, "", @progbits
