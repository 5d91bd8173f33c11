/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the boot loader starts the kernel: multiboot2 (version 2.0, sections 3.1 and 3.2), 32-bit
 * protected mode without paging, eax the magic, ebx the information. Goes to long mode with page
 * tables that last until page.c has made better ones: the first 4 GiB where they are and at
 * DIRECT_BASE, the image at IMAGE_BASE.
 *
 * The image may have been loaded anywhere: ebp holds where, once it is known.
 */
#include "kernel/boot/boot_layout.h"

#define MULTIBOOT_HEADER 0xe85250d6
#define MULTIBOOT_MAGIC	 0x36d76289
#define COM1		 0x3f8

	.section .boot, "ax"
	.balign 8
boot_start:
header:
	.long MULTIBOOT_HEADER, 0, header_end - header
	.long 0x100000000 - (MULTIBOOT_HEADER + (header_end - header))
	/* The memory map must be there. */
	.word 1, 0
	.long 12, 6
	.balign 8
	/* Modules begin on pages. */
	.word 6, 0
	.long 8
	/* Anywhere from 2 MiB to 4 GiB, at a multiple of 2 MiB, as low as possible. */
	.word 10, 0
	.long 24, 0x200000, 0xffffffff, 0x200000, 1
	.word 0, 0
	.long 8
header_end:

	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	cmpl $MULTIBOOT_MAGIC, %eax
	jne hang
	/* The information's second word is reserved: our first stack, of one word. */
	leal 8(%ebx), %esp
	call here
here:	popl %ebp
	subl $(here - boot_start), %ebp
	leal (boot_stack_top - IMAGE_BASE)(%ebp), %esp

	/* Long mode and no-execute? */
	leal (message_processor - boot_start)(%ebp), %esi
	movl $0x80000000, %eax
	pushl %ebx
	cpuid
	cmpl $0x80000001, %eax
	jb complain
	movl $0x80000001, %eax
	cpuid
	popl %ebx
	andl $0x20100000, %edx
	cmpl $0x20100000, %edx
	jne complain

	/* Identity: four directories of 512 pages of 2 MiB. */
	leal (tables_low - IMAGE_BASE)(%ebp), %edi
	movl $0x83, %eax
	movl $2048, %ecx
1:	movl %eax, (%edi)
	movl $0, 4(%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	leal (tables_low - IMAGE_BASE + 3)(%ebp), %eax
	leal (tables_low_3 - IMAGE_BASE)(%ebp), %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	loop 1b
	/* The image. */
	leal 0x83(%ebp), %eax
	leal (tables_image - IMAGE_BASE)(%ebp), %edi
	movl $(BOOT_IMAGE_MAX / 0x200000), %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	leal (tables_image - IMAGE_BASE + 3)(%ebp), %eax
	movl %eax, (tables_image_3 - IMAGE_BASE + 510 * 8)(%ebp)
	/* The root. */
	leal (tables_low_3 - IMAGE_BASE + 3)(%ebp), %eax
	movl %eax, (tables_root - IMAGE_BASE)(%ebp)
	movl %eax, (tables_root - IMAGE_BASE + 256 * 8)(%ebp)
	leal (tables_image_3 - IMAGE_BASE + 3)(%ebp), %eax
	movl %eax, (tables_root - IMAGE_BASE + 511 * 8)(%ebp)

	movl %cr4, %eax
	orl $0x20, %eax /* PAE */
	movl %eax, %cr4
	leal (tables_root - IMAGE_BASE)(%ebp), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER: LME, NXE */
	rdmsr
	orl $0x900, %eax
	wrmsr
	movl $0x80000033, %eax /* PG, NE, ET, MP, PE */
	movl %eax, %cr0

	leal (gdt - boot_start)(%ebp), %eax
	movl %eax, (gdt_pointer + 2 - boot_start)(%ebp)
	lgdt (gdt_pointer - boot_start)(%ebp)
	leal (long_mode - boot_start)(%ebp), %eax
	pushl $8
	pushl %eax
	lret

/* esi: a line for the serial port, whatever its speed is. */
complain:
	lodsb
	testb %al, %al
	jz hang
	movb %al, %ah
	movw $(COM1 + 5), %dx
1:	inb %dx, %al
	testb $0x20, %al
	jz 1b
	movb %ah, %al
	movw $COM1, %dx
	outb %al, %dx
	jmp complain
hang:
	hlt
	jmp hang

message_processor:
	.asciz "Lodge needs a 64-bit processor with no-execute pages\r\n"
	.balign 8
gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word . - gdt - 1
	.quad 0

	.code64
long_mode:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movabsq $high, %rax
	jmp *%rax

	.text
high:
	leaq boot_stack_top(%rip), %rsp
	movl %ebx, %edi
	movl %ebp, %esi
	xorl %ebp, %ebp
	call kernel_main
	ud2

	.section .boot_tables, "aw", @nobits
	.balign 4096
tables_root:	.skip 4096
tables_low_3:	.skip 4096
tables_low:	.skip 4 * 4096
tables_image_3:	.skip 4096
tables_image:	.skip 4096

	.section .note.GNU-stack, "", @progbits
