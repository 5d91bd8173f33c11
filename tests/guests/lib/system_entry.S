/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways in and out that C cannot write: state_run's, and the start of other processors. */
	.text
	.code64
	.globl state_enter
state_enter: /* (struct trap *) */
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, state_saved_rsp
	mov %rdi, %rsp
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
	lea 16(%rsp), %rsp
	.globl state_iretq
state_iretq:
	iretq

	.globl state_leave
state_leave:
	mov state_saved_rsp, %rsp
	mov $0x10, %eax
	mov %eax, %ss
	mov %eax, %ds
	mov %eax, %es
	pushq $2
	popfq
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.section .bss
	.balign 8
state_saved_rsp:
	.skip 8

	/* Copied to 0x8000: real mode, then protected, then long with the first one's tables. */
	.section .rodata
	.globl processor_trampoline, processor_trampoline_end
	.code16
processor_trampoline:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl gdt_pointer_low - processor_trampoline + 0x8000
	movl $0x620, %eax
	movl %eax, %cr4
	movl processor_root - processor_trampoline + 0x8000, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x900, %eax /* LME, NXE */
	wrmsr
	movl $0x80010033, %eax
	movl %eax, %cr0
	ljmpl $0x18, $processor_long
	.balign 4
gdt_pointer_low:
	.word 64 * 8 - 1
	.long gdt_table
	.globl processor_root
processor_root:
	.long 0
processor_trampoline_end:

	.text
	.code64
processor_long:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $1, %edi
	lock xadd %edi, processor_next
	mov %edi, %eax
	shl $14, %eax
	lea processor_stacks(%eax), %rsp
	xor %ebp, %ebp
	call processor_main
	ud2

	.section .bss
	.balign 4096
	.globl processor_stacks
processor_stacks: /* the end of the one with index i is i * 16 KiB behind: index 0 isn't used */
	.skip 32 * 16384
	.section .data
	.globl processor_next
processor_next:
	.long 1
	.section .note.GNU-stack, "", @progbits
