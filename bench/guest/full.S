/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A multiboot 1 kernel that writes to each page of a GiB, and then letters to COM1 for ever: a
 * machine all of whose memory is in use, and which is heard as soon as it goes on.
 */
#define MAGIC 0x1badb002
#define FLAGS 0
#define FIRST 0x200000
#define END   0x40000000

	.code32
	.section .text
	.balign 4
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)
	.globl start
start:
	cli
	movl $FIRST, %ebx
1:	movl %ebx, (%ebx)
	addl $0x1000, %ebx
	cmpl $END, %ebx
	jb 1b
	movw $0x3f8, %dx
	movb $'a', %al
2:	outb %al, %dx
	jmp 2b
	.section .note.GNU-stack, "", @progbits
