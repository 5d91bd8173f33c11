/* SPDX-License-Identifier: BSD-2-Clause */
/* One guest: spaces, memory, devices, vcpus, timers, one lock. */
#ifndef CORE_VM_H
#define CORE_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/device.h"
#include "core/dirty.h"
#include "core/doorbell.h"
#include "core/host.h"
#include "core/memory.h"
#include "core/space.h"
#include "core/timer.h"
#include "core/vcpu.h"

#define VM_VCPUS_MAX 32

struct cpu_model; /* x86/cpuid.h */
struct engine;

/* Why the vm as a whole stopped. */
enum vm_stop {
	VM_RUNNING,
	VM_POWERED_OFF,
	VM_RESET,
	VM_PANICKED,
	VM_SHUTDOWN /* triple fault */,
	VM_TEST_EXIT,
	VM_KILLED,
	VM_FAILED
};

struct vm {
	struct host_lock lock; /* protects all but what says otherwise */
	struct memory memory;
	struct dirty dirty; /* no lock */
	struct space ports;
	struct space mmio;
	struct device *devices;
	struct timers timers;
	struct doorbell *doorbells; /* those that the engine takes */
	const struct engine *engine;
	void *engine_private;
	void *host_private;
	const struct cpu_model *cpu_model;
	unsigned vcpu_total; /* how many it has once vm_create is done */
	unsigned vcpu_count;
	struct vcpu *vcpus[VM_VCPUS_MAX];
	struct vcpu *current; /* whose access is being carried out; NULL for none. Devices like the
				 local APIC ask */
	_Atomic int stop;     /* enum vm_stop */
	int stop_code; /* with VM_TEST_EXIT: the value written; valid once the vcpus' threads have
			  ended */
	const char *stop_reason;     /* with VM_FAILED */
	_Atomic uint64_t held_until; /* host_now() before which no vcpu runs; 0: never held */
	uint64_t time_offset;	     /* guest time = host_now() + time_offset (wrapping) */
	bool pausing;		     /* between vm_pause and vm_resume */
	bool paused;		     /* all vcpus are parked: guest time stands still */
	uint32_t pauses; /* how often it became paused, or was to be paused when it was already */
	uint64_t paused_at, paused_tsc; /* host_now() and vm_tsc() when it became paused */
	/* Guests' TSCs run at another speed than the host's: ratio * 2^-shift times as fast. Ratio
	 * 0: they don't. Set by the engine's `tsc`. */
	uint64_t tsc_ratio;
	unsigned tsc_shift;
};

struct vm_config {
	unsigned vcpus;	      /* 1..VM_VCPUS_MAX */
	uint64_t memory_size; /* bytes, multiple of 2 MiB */
	uint64_t hole_base;   /* RAM below it, the rest from 4 GiB on */
	const struct engine *engine;
	const struct cpu_model *cpu_model;
};

/* Creates the vm with its memory, vcpus and the engine's part. 0 or a negative errno, with nothing
 * left behind. */
int vm_create(struct vm *vm, const struct vm_config *config);

/* No vcpu runs any more. */
void vm_destroy(struct vm *vm);

/*
 * Power-on state for all devices and vcpus, whose TSCs begin at 0 together; vm->stop is VM_RUNNING
 * again and pending events are forgotten. RAM keeps its contents. No vcpu runs; takes the vm's
 * lock.
 */
void vm_reset(struct vm *vm);

void vm_lock(struct vm *vm);
void vm_unlock(struct vm *vm);

/* What a vcpu's TSC without an offset is now. Any thread. */
uint64_t vm_tsc(const struct vm *vm);

/* Guest time in nanoseconds, 0 at vm_create. Vm's lock held. */
uint64_t vm_time(const struct vm *vm);

/*
 * Asks every vcpu to park; once all have, guest time (and the TSC, as they see it) stands still,
 * vm_paused() is true and host_vm_notify is called; at once if it is paused already. vm_resume lets
 * them go on as if no time had passed. Vm's lock held.
 */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);
bool vm_paused(const struct vm *vm);

/*
 * No vcpu runs before host_now() is `until`; 0 or what is past: those that are held go on at once.
 * Guest time goes on, and so do timers and devices. One that runs leaves its engine soon. Any
 * thread, any lock state; one caller at a time.
 */
void vm_hold(struct vm *vm, uint64_t until);

/* For vcpu_run: a vcpu's thread has parked. Vm's lock held. */
void vm_vcpu_parked(struct vm *vm);

/* Asks every vcpu to leave and calls host_vm_notify; the first reason stays. Any thread, any lock
 * state. */
void vm_stop(struct vm *vm, enum vm_stop why, int code);

#endif
