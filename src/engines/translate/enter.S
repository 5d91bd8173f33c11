/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into translated code, out of it, and from it into C.
 *
 * Inside, the host's rsp is that of the return stack (return_stack.h), gs:0 is struct cpu, and the guest's registers are where docs/translate.md says. A call-out
 * is `call` of one of the thunks below (by way of code memory's trampolines), followed by words that tell the C function what is wanted. It
 * gets the cpu and the address of those words, with all of the guest's registers and flags in struct cpu, and returns the code address to
 * go on at: flags are then both in cpu->flags and in RFLAGS.
 */
#include "engines/translate/cpu_offsets.h"

	.text

.macro save_registers
	mov	%rax, %gs:CPU_GPR+0*8
	mov	%rcx, %gs:CPU_GPR+1*8
	mov	%rdx, %gs:CPU_GPR+2*8
	mov	%rbx, %gs:CPU_GPR+3*8
	mov	%r11, %gs:CPU_GPR+4*8
	mov	%rbp, %gs:CPU_GPR+5*8
	mov	%rsi, %gs:CPU_GPR+6*8
	mov	%rdi, %gs:CPU_GPR+7*8
	mov	%r8, %gs:CPU_GPR+8*8
	mov	%r12, %gs:CPU_GPR+12*8
	mov	%r13, %gs:CPU_GPR+13*8
	mov	%r14, %gs:CPU_GPR+14*8
	mov	%r15, %gs:CPU_GPR+15*8
.endm

.macro load_flags_and_registers
	movzwl	%gs:CPU_FLAGS, %eax
	add	$0x7f, %al
	sahf
	mov	%gs:CPU_GPR+0*8, %rax
	mov	%gs:CPU_GPR+1*8, %rcx
	mov	%gs:CPU_GPR+2*8, %rdx
	mov	%gs:CPU_GPR+3*8, %rbx
	mov	%gs:CPU_GPR+4*8, %r11
	mov	%gs:CPU_GPR+5*8, %rbp
	mov	%gs:CPU_GPR+6*8, %rsi
	mov	%gs:CPU_GPR+7*8, %rdi
	mov	%gs:CPU_GPR+8*8, %r8
	mov	%gs:CPU_GPR+12*8, %r12
	mov	%gs:CPU_GPR+13*8, %r13
	mov	%gs:CPU_GPR+14*8, %r14
	mov	%gs:CPU_GPR+15*8, %r15
.endm

/* rax: where to. */
.macro resume
	mov	%rax, %r9
	mov	%gs:CPU_RETURNS, %rsp
	load_flags_and_registers
	jmp	*%r9
.endm

/*
 * The same behind a call-out, by a return: so the host's processor, which pairs calls and returns, predicts those of the guest's that
 * follow; and this one, if it leads to right behind the call.
 */
.macro resume_call
	mov	%rax, %r9
	mov	%gs:CPU_RETURNS, %rsp
	load_flags_and_registers
	push	%r9
	ret
.endm

/* From the return stack to the dispatcher's. */
.macro leave_stack
	mov	%rsp, %gs:CPU_RETURNS
	mov	%gs:CPU_HOST_STACK, %rsp
.endm

.macro save_flags
	mov	%rax, %r10
	seto	%al
	lahf
	movw	%ax, %gs:CPU_FLAGS
	mov	%r10, %rax
.endm

.macro function name
	.globl	\name
	.type	\name, @function
	.align	16
\name:
.endm

/* void translate_enter(struct cpu *cpu, const void *code) */
function translate_enter
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	mov	%rsp, %gs:CPU_HOST_STACK
	mov	%rsi, %rax
	resume
	.size	translate_enter, . - translate_enter

/* Jumped to by resume: the guest's state is in struct cpu. Returns from translate_enter. */
function translate_leave
	mov	%gs:CPU_HOST_STACK, %rsp
	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size	translate_leave, . - translate_leave

.macro thunk name, function, words=0
function \name
	save_registers
	pop	%rsi
	leave_stack
	.if	\words
	add	$\words, %rsi
	.endif
	mov	%gs:CPU_SELF, %rdi
	mov	%r9, %rdx
	mov	%r10, %rcx
	call	\function
	resume_call
	.size	\name, . - \name
.endm

/* Jumped to, for it does not come back: T1 is the address of the words. */
.macro thunk_jumped_to name, function
function \name
	save_registers
	leave_stack
	mov	%gs:CPU_SELF, %rdi
	mov	%r10, %rsi
	call	\function
	resume
	.size	\name, . - \name
.endm

/* Flags come in RFLAGS: into cpu->flags with them first. */
.macro thunk_with_flags name, function
function \name
	save_flags
	save_registers
	pop	%rsi
	leave_stack
	mov	%gs:CPU_SELF, %rdi
	call	\function
	resume_call
	.size	\name, . - \name
.endm

	thunk			thunk_read, translate_read
	thunk			thunk_write, translate_write
	thunk			thunk_window, translate_window
	thunk			thunk_fixed, translate_fixed
	thunk			thunk_call, translate_call, JUMP_BEHIND
	thunk_jumped_to		thunk_end, translate_end
	thunk			thunk_interpret, translate_interpret
	thunk			thunk_goto, translate_goto
	thunk			thunk_site, translate_site
	thunk			thunk_callee, translate_callee
	thunk			thunk_link, translate_link
	thunk_with_flags	thunk_link_flags, translate_link
	thunk			thunk_stale, translate_stale
	thunk_with_flags	thunk_stale_flags, translate_stale

/*
 * The page is not the one in the look-up's slot. Behind the call: a jump to where the look-up goes on, with T0 the host address; info (for
 * C); offsets in struct cpu of the slot, of the first tag of the TLB that counts, and of the byte for the slot's group; 4096 - size;
 * whether it is the second look-up (for C). T0 is the linear address less the slot's tag.
 */
.macro thunk_recent name, function, tag
function \name
	mov	(%rsp), %r10
	add	$JUMP_BEHIND, %r10
	leave_stack
	push	%rax
	push	%rcx
	push	%rdx
	mov	4(%r10), %eax
	add	%gs:(%rax), %r9
	mov	%r9, %rcx
	shr	$TLB_INDEX_SHIFT, %rcx
	and	$TLB_INDEX_MASK, %ecx
	add	8(%r10), %ecx
	mov	%gs:(%rcx), %rdx
	mov	%rdx, %gs:(%rax)
	xor	%r9, %rdx
	mov	%gs:(TLB_HOST - \tag)(%rcx), %rcx
	mov	%rcx, %gs:8(%rax)
	mov	16(%r10), %eax
	cmp	%rax, %rdx
	ja	1f
	mov	12(%r10), %eax
	movb	$1, %gs:(%rax)
	lea	(%rcx, %rdx), %r9
	pop	%rdx
	pop	%rcx
	pop	%rax
	mov	%gs:CPU_RETURNS, %rsp
	ret
1:	mov	4(%r10), %eax
	movabs	$RECENT_EMPTY_TAG, %rcx
	mov	%rcx, %gs:(%rax)
	mov	%rcx, %gs:8(%rax)
	pop	%rdx
	pop	%rcx
	pop	%rax
	save_registers
	addq	$8, %gs:CPU_RETURNS
	mov	%r10, %rsi
	mov	%gs:CPU_SELF, %rdi
	mov	%r9, %rdx
	call	\function
	resume_call
	.size	\name, . - \name
.endm

	thunk_recent		thunk_recent_read, translate_recent_read, TLB_READ
	thunk_recent		thunk_recent_write, translate_recent_write, TLB_WRITE

/* rcx = the offset of T0's entry in the jump caches. */
.macro jump_index
	mov	%r9d, %ecx
	shl	$4, %ecx
	xor	%r9d, %ecx
	and	$JUMP_INDEX_MASK, %ecx
	movzbl	%gs:CPU_VIEW, %r10d
	shl	$JUMP_VIEW_SHIFT, %r10d
	add	%r10d, %ecx
.endm

/*
 * Jumped to, or by a call of the guest's called: T0 is the linear address to go on at, which is not in its entry of the jump cache, or
 * kick is set. There may be one beside it.
 */
function thunk_jump
	mov	%rcx, %gs:CPU_SCRATCH
	jump_index
	xor	$JUMP_OTHER, %ecx
	cmp	%gs:CPU_JUMP(%rcx), %r9
	jne	1f
	cmpl	$0, %gs:CPU_KICK
	jne	1f
	mov	%gs:CPU_JUMP+8(%rcx), %r10
	and	$-4096, %r9
	mov	%r9, %gs:CPU_CODE_PAGE
	mov	%gs:CPU_SCRATCH, %rcx
	jmp	*%r10
1:	mov	%gs:CPU_SCRATCH, %rcx
	save_registers
	leave_stack
	mov	%r9, %gs:CPU_RIP
	mov	%gs:CPU_SELF, %rdi
	call	translate_jump
	resume
	.size	thunk_jump, . - thunk_jump

/*
 * The guest returns to T0, which is not where the last call came from: that has just been taken from the return stack, and is below it.
 * Goes there if one of the calls before came from there, which is the last one then; else by the jump cache, with the last call still to
 * come back. But a kernel has turned to another task then, most likely, and nothing on the stack is of use. Flags are in cpu->flags. The
 * constant is that of emit_return_point.
 */
function thunk_return
	mov	%rcx, %gs:CPU_SCRATCH
	lea	-8(%rsp), %r10
	.rept	8
	add	$8, %r10
	cmp	%gs:CPU_RETURNS_TOP, %r10
	jae	2f
	mov	(%r10), %rcx
	cmp	%r9, RETURN_POINT_CONSTANT(%rcx)
	je	1f
	.endr
2:	sub	$8, %rsp
	cmpb	$0, %gs:CPU_VIEW
	je	go_to_t0
	mov	%gs:CPU_RETURNS_TOP, %rsp
	jmp	go_to_t0
1:	mov	%r10, %rsp
	mov	%gs:CPU_SCRATCH, %rcx
	ret
	.size	thunk_return, . - thunk_return

/* Returned to from the end of the return stack: T0 is where to. */
function thunk_return_empty
	sub	$8, %rsp
	mov	%rcx, %gs:CPU_SCRATCH
go_to_t0:
	jump_index
	mov	%gs:CPU_JUMP+8(%rcx), %r10
	cmp	%gs:CPU_JUMP(%rcx), %r9
	mov	%gs:CPU_SCRATCH, %rcx
	jne	thunk_jump
	cmpl	$0, %gs:CPU_KICK
	jne	thunk_jump
	jmp	*%r10
	.size	thunk_return_empty, . - thunk_return_empty

/*
 * A signal handler sends us here after a fault of the host's processor that is the guest's: state is in struct cpu, the stack is
 * the dispatcher's, or wherever a fault in a stub found it. fault_raise comes back only from translated code's, with where to go on.
 */
function fault_resume
	and	$-16, %rsp
	mov	%gs:CPU_SELF, %rdi
	cld
	call	fault_raise
	mov	%gs:CPU_HOST_STACK, %rsp
	resume
	.size	fault_resume, . - fault_resume

	.section .note.GNU-stack, "", @progbits
