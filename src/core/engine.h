/* SPDX-License-Identifier: BSD-2-Clause */
/* An engine is a way to run a vcpu. */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

struct vm;
struct vcpu;
struct exit;

struct engine {
	const char *name;
	/* 0 if it can truly run guests here; else a negative errno. A line about why (either way)
	 * goes into reason. */
	int (*probe)(char *reason, size_t size);
	/* After memory is laid out, before vcpus. Negative errno. */
	int (*vm_create)(struct vm *vm);
	void (*vm_destroy)(struct vm *vm);
	/* On any thread. */
	int (*vcpu_create)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);
	/*
	 * Runs the vcpu from vcpu->state until something is asked; fills exit; leaves vcpu->state
	 * up to date. Returns soon with EXIT_KICKED after kick(). Delivers PENDING_INTERRUPT
	 * (vcpu_take_interrupt) and PENDING_NMI itself when the guest can take them; returns
	 * EXIT_KICKED for the other pending bits (also when they are set before it begins). After
	 * EXIT_PORT, EXIT_MEMORY or EXIT_MSR it is called next with the same struct exit, which
	 * then holds the answer. Always on the same thread for one vcpu; vm's lock not held.
	 */
	void (*run)(struct vcpu *vcpu, struct exit *exit);
	/* Any thread: a running vcpu looks at vcpu->pending soon. Cheap and idempotent. */
	void (*kick)(struct vcpu *vcpu);
	/* See vm_written. NULL where the processor takes care. */
	void (*written)(struct vm *vm, uint64_t address, uint64_t length);
	/*
	 * The vcpu does not run, and its state has been replaced from outside: a machine reset or a
	 * restore (all vcpus stopped; vm's lock held), or an INIT message (on the vcpu's thread,
	 * others run; lock not held). May be NULL.
	 */
	void (*reset)(struct vcpu *vcpu);
};

#endif
