/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multiboot 1 kernel (Multiboot Specification 0.6.96, section 3) whose first instructions write a
 * byte to COM1: the time from the start of the process to the first instruction of a kernel.
 */
#define MAGIC 0x1badb002
#define FLAGS 0

	.code32
	.section .text
	.balign 4
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)
	.globl start
start:
	movw $0x3f8, %dx
	movb $'!', %al
	outb %al, %dx
	movb $'\n', %al
	outb %al, %dx
	cli
1:	hlt
	jmp 1b
	.section .note.GNU-stack, "", @progbits
