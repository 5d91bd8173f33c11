/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the further processors begin: smp.c copies this to a page below 1 MiB and sends its number as
 * the start-up message's vector (Intel SDM 3, section 8.4.4). From real mode straight to long mode, by
 * page tables below 4 GiB that have this page where it is, not writable: what is written here goes
 * through the direct map, or comes before paging.
 */
#include "kernel/boot/boot_layout.h"

#define DIRECT_BASE 0xffff800000000000

	.section .rodata
	.balign 16
	.globl trampoline, trampoline_end
	.code16
trampoline:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	xorl %ebx, %ebx
	movw %cs, %bx
	shll $4, %ebx
	leal (long_mode - trampoline)(%ebx), %eax
	movl %eax, far_pointer - trampoline
	leal (gdt - trampoline)(%ebx), %eax
	movl %eax, gdt_pointer + 2 - trampoline
	lgdtl gdt_pointer - trampoline
	movl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl TRAMPOLINE_ROOT, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER: LME, NXE */
	rdmsr
	orl $0x900, %eax
	wrmsr
	movl $0x80010033, %eax /* PG, WP, NE, ET, MP, PE */
	movl %eax, %cr0
	ljmpl *far_pointer - trampoline

	.balign 8
gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long 0
far_pointer:
	.long 0
	.word 8

	.code64
long_mode:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movabsq $DIRECT_BASE, %rax
	addq %rax, %rbx
	/* A processor that was given up and comes late finds no stack. */
	xorl %eax, %eax
	xchgq %rax, TRAMPOLINE_STACK(%rbx)
	testq %rax, %rax
	jz 1f
	movq %rax, %rsp
	movq TRAMPOLINE_CPU(%rbx), %rdi
	xorl %ebp, %ebp
	pushq $0 /* there is no way back */
	jmp *TRAMPOLINE_ENTRY(%rbx)
1:	hlt
	jmp 1b
trampoline_end:

	.section .note.GNU-stack, "", @progbits
