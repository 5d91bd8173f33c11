/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void svm_enter(struct vcpu *vcpu, struct svm *svm): into the guest and back. AMD APM volume 2,
 * sections 15.5 (VMRUN), 15.5.2 (VMSAVE, VMLOAD), 15.17 (global interrupt flag).
 *
 * VMRUN and #VMEXIT switch rip, rsp, rax, rflags, control registers, es, cs, ss, ds, GDT and IDT. The
 * other general registers are moved here. FS, GS, TR, LDT and the MSRs of system calls go by VMSAVE and
 * VMLOAD, but only on the outer way: the short one gives C its GS base and nothing else.
 *
 *	svm_enter                                       return
 *	  CLGI, STI      (1)                              STGI (3)
 *	  VMSAVE host                                     CLI
 *	  VMLOAD guest                                    VMLOAD host
 *	    |                                             VMSAVE guest
 *	    |                                               ^
 *	    v                                               | false
 *	  registers --> VMRUN ~~ guest ~~ #VMEXIT --> registers
 *	    ^                                               |
 *	    |          true                                 v
 *	    +---- GS: guest's <---- svm_fast <---- GS: host's      (2)
 *
 * (1) GIF holds all interrupts back, NMI too, until VMRUN sets it; IF is on since the guest is left for
 * the computer's interrupts only if the host had it on.
 * (2) GIF is 0 from #VMEXIT on. TR and the MSRs are the guest's, so nothing may fault here.
 * (3) An NMI that waited comes here; what waits behind IF is taken by whoever called.
 */
#include "kernel/svm/svm.h"

	.text
	.globl	svm_enter
	.type	svm_enter, @function
svm_enter:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	subq	$8, %rsp	/* so that rsp is a multiple of 16 at the call below */
	pushq	%rsi		/* 8(%rsp): svm */
	pushq	%rdi		/* 0(%rsp): vcpu, which begins with its registers */
	movq	%rsi, %rbx
	clgi
	sti
	movq	SVM_HOST(%rbx), %rax
	vmsave	%rax
	movq	SVM_VMCB(%rbx), %rax
	vmload	%rax

.Lagain:
	movq	8(%rdi), %rcx
	movq	16(%rdi), %rdx
	movq	24(%rdi), %rbx
	movq	40(%rdi), %rbp
	movq	48(%rdi), %rsi
	movq	64(%rdi), %r8
	movq	72(%rdi), %r9
	movq	80(%rdi), %r10
	movq	88(%rdi), %r11
	movq	96(%rdi), %r12
	movq	104(%rdi), %r13
	movq	112(%rdi), %r14
	movq	120(%rdi), %r15
	movq	56(%rdi), %rdi
	vmrun	%rax

	pushq	%rdi
	movq	8(%rsp), %rdi
	movq	%rcx, 8(%rdi)
	movq	%rdx, 16(%rdi)
	movq	%rbx, 24(%rdi)
	movq	%rbp, 40(%rdi)
	movq	%rsi, 48(%rdi)
	popq	56(%rdi)
	movq	%r8, 64(%rdi)
	movq	%r9, 72(%rdi)
	movq	%r10, 80(%rdi)
	movq	%r11, 88(%rdi)
	movq	%r12, 96(%rdi)
	movq	%r13, 104(%rdi)
	movq	%r14, 112(%rdi)
	movq	%r15, 120(%rdi)
	movq	8(%rsp), %rbx
	cmpb	$0, SVM_STAYS(%rbx)
	je	.Lleave

	rdgsbase %rax
	movq	%rax, SVM_GUEST_GS(%rbx)
	movq	SVM_HOST_GS(%rbx), %rax
	wrgsbase %rax
	call	svm_fast
	movq	(%rsp), %rdi
	movq	SVM_GUEST_GS(%rbx), %rcx
	wrgsbase %rcx
	testb	%al, %al
	movq	SVM_VMCB(%rbx), %rax
	jnz	.Lagain

.Lleave:
	movq	SVM_VMCB(%rbx), %rax
	vmsave	%rax
	movq	SVM_HOST(%rbx), %rax
	vmload	%rax
	cli
	stgi
	addq	$24, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size	svm_enter, . - svm_enter
	.section .note.GNU-stack, "", @progbits
