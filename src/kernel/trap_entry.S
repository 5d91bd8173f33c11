/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of all 256 vectors: each makes a struct trap_frame (trap.h) on the stack and calls trap().
 * AMD APM 2, chapter 8.
 *
 * NMIs, double faults and machine checks come at any instruction, so with whichever GS base (between
 * syscall and swapgs, around a guest): they have stacks of their own, above whose top is the address
 * of the processor's struct cpu (cpu.c puts it there).
 */
#include "kernel/smap.h"

#define MSR_GS_BASE 0xc0000101
#define FRAME_SIZE  176

	.macro push_registers
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	.endm

	.macro pop_registers
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	.endm

	.text
	.globl trap_stubs
	.balign 16
trap_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	/* These the processor pushes an error code for. */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || \
	      vector == 29 || vector == 30)
	pushq $0
	.endif
	pushq $vector
	.if vector == 2 || vector == 8 || vector == 18
	jmp trap_anywhere
	.else
	jmp trap_common
	.endif
	.set vector, vector + 1
	.endr

trap_common:
	testb $3, 24(%rsp)
	jz 1f
	swapgs
1:	push_registers
	cld
	SMAP_FORBID
	/* What a back-trace follows: as if called from where it came. */
	movq %rsp, %rdi
	call trap
	.globl trap_return
trap_return:
	cli
	testb $3, 144(%rsp)
	jz 1f
	swapgs
1:	pop_registers
	iretq

trap_anywhere:
	push_registers
	cld
	SMAP_FORBID
	movl $MSR_GS_BASE, %ecx
	rdmsr
	movl %eax, %ebx
	movl %edx, %r12d
	movq FRAME_SIZE(%rsp), %rax
	movq %rax, %rdx
	shrq $32, %rdx
	wrmsr
	movq %rsp, %rdi
	call trap
	movl $MSR_GS_BASE, %ecx
	movl %ebx, %eax
	movl %r12d, %edx
	wrmsr
	pop_registers
	iretq

	.section .note.GNU-stack, "", @progbits
