/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The multiboot header (Multiboot 0.6.96, 3.1), the way into the mode that the test was compiled
 * for, and the entries of all 256 vectors.
 */
#define MAGIC 0x1badb002
#define FLAGS 0x00000003 /* modules on page boundaries; tell the memory */

	.section .multiboot, "a"
	.balign 4
	.long MAGIC, FLAGS, -(MAGIC + FLAGS)

	.section .bss
	.balign 4096
#ifdef __x86_64__
pml4:	.skip 4096
pdpt:	.skip 4096
page_directories:
	.skip 4 * 4096
#endif
	.skip 65536
stack_top:

	.section .rodata
	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff /* 0x08: 32-bit code */
	.quad 0x00cf93000000ffff /* 0x10: data */
	.quad 0x00af9b000000ffff /* 0x18: 64-bit code */
	.quad 0x008f9b000000ffff /* 0x20: 16-bit code */
gdt_end:
	.globl gdt_pointer
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
	.long 0

	.text
	.code32
	.globl start
start:
	cld
	movl $stack_top, %esp
	movl %ebx, %ebp
	lgdt gdt_pointer
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
#ifdef __x86_64__
	/* One level 4 entry, four level 3 entries, and 2048 pages of 2 MiB. */
	movl $pdpt + 3, pml4
	movl $page_directories + 3, %eax
	xorl %ecx, %ecx
1:	movl %eax, pdpt(, %ecx, 8)
	addl $4096, %eax
	incl %ecx
	cmpl $4, %ecx
	jne 1b
	movl $0x83, %eax
	xorl %ecx, %ecx
2:	movl %eax, page_directories(, %ecx, 8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jne 2b
	movl $pml4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax /* LME */
	wrmsr
	movl %cr0, %eax
	andl $~4, %eax		/* EM */
	orl $0x80010022, %eax	/* PG, WP, NE, MP */
	movl %eax, %cr0
	ljmp $0x18, $3f
	.code64
3:	movl %ebp, %edi
	xorl %ebp, %ebp
	call guest_start
	ud2
#else
	movl %cr4, %eax
	orl $0x600, %eax
	movl %eax, %cr4
	movl %cr0, %eax
	andl $~4, %eax
	orl $0x22, %eax
	movl %eax, %cr0
	ljmp $0x08, $3f
3:	pushl $0
	pushl $0
	pushl $0
	pushl %ebp
	xorl %ebp, %ebp
	call guest_start
	ud2
#endif

	/* 16 bytes each: an error code where the processor pushes none, and the vector. */
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push $0
	.endif
	.byte 0x68 /* push imm32 */
	.long vector
	jmp trap_common
	.set vector, vector + 1
	.endr
	.balign 16

trap_common:
#ifdef __x86_64__
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	mov %rsp, %rbx
	and $-16, %rsp
	cld
	call trap_enter
	mov %rbx, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq
#else
	pusha
	movl %esp, %eax
	movl %esp, %ebx
	andl $-16, %esp
	subl $12, %esp
	pushl %eax
	cld
	call trap_enter
	movl %ebx, %esp
	popa
	addl $8, %esp
	iret
#endif
	.section .note.GNU-stack, "", @progbits
