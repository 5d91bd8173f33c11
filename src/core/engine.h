/* SPDX-License-Identifier: BSD-2-Clause */
/* An engine is a way to run a vcpu. */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct apic;	   /* x86/apic.h */
struct cpuid_host; /* x86/cpuid.h */
struct doorbell;   /* core/doorbell.h */
struct vm;
struct vcpu;
struct exit;

/*
 * What an engine does that has the local APICs itself (KVM's kernel, or ours): interrupt messages
 * go to it, and it sleeps by itself while a vcpu has nothing to do.
 */
struct engine_apics {
	/* A write of data to 0xfeexxxxx, as of a device's MSI. Whether anyone took it. Vm's lock
	 * held. */
	bool (*message)(struct vm *vm, uint64_t address, uint32_t data);
	/* The pins of all APICs: 0 is LINT0 (the 8259s' INTR), 1 is LINT1. Vm's lock held. */
	void (*lint)(struct vm *vm, unsigned input, bool level);
	/*
	 * The registers: devices/lapic.c sets them at power-on, at a reset, after a restore, and
	 * gets and sets them at an INIT. id and ops are not the engine's business. The vcpu does
	 * not run (its own thread, or all are stopped). Vm's lock held.
	 */
	void (*get)(struct vcpu *vcpu, struct apic *apic);
	void (*set)(struct vcpu *vcpu, const struct apic *apic);
};

/*
 * How an engine takes part in the dirty log (core/dirty.h), whose functions call these as they have
 * been called. The engine enters what vcpus write with dirty_mark: at the write, or in collect.
 */
struct engine_dirty {
	/* From its return on, each write of a vcpu will be found by collect. 0 or a negative errno.
	 */
	int (*start)(struct vm *vm);
	/* When it returns, all pages that a vcpu wrote before it was called are marked, and a write
	 * after it returned will be marked anew. 0 or a negative errno, with nothing lost. */
	int (*collect)(struct vm *vm);
	void (*stop)(struct vm *vm);
};

/* How an engine takes writes to doorbells itself (core/doorbell.h). Vm's lock held. */
struct engine_doorbells {
	/*
	 * From now on a write to bell->address need not end a run: doorbell_ring is called for it
	 * soon, on any thread. bell->slot is the engine's. Negative errno: each is an access.
	 */
	int (*place)(struct vm *vm, struct doorbell *bell);
	/* The opposite. Whether it was written to and doorbell_ring has not been called for that;
	 * it won't be. */
	bool (*remove)(struct vm *vm, struct doorbell *bell);
};

/* What an engine tells of its work, by names of its own, for people and programs. */
enum engine_unit { ENGINE_EVENTS, ENGINE_NANOSECONDS, ENGINE_BYTES };
struct engine_counter {
	const char *name;
	enum engine_unit unit;
	uint64_t value;
};
#define ENGINE_COUNTERS_MAX 40

/* TSCs that differ by no more than that are of one speed. */
#define ENGINE_TSC_MILLIONTHS 250u

static inline bool engine_tsc_agrees(uint64_t a, uint64_t b)
{
	uint64_t apart = a > b ? a - b : b - a;

	return apart <= a / 1000000 * ENGINE_TSC_MILLIONTHS;
}

struct engine {
	const char *name;
	/* 0 if it can truly run guests here; else a negative errno. A line about why (either way)
	 * goes into reason. */
	int (*probe)(char *reason, size_t size);
	/* What this host can give a guest's processor, where cpuid_host_read does not tell; its
	 * TSC's frequency is not filled. NULL: it does. */
	void (*processor)(struct cpuid_host *host);
	/* After memory is laid out, before vcpus. Negative errno. */
	int (*vm_create)(struct vm *vm);
	void (*vm_destroy)(struct vm *vm);
	/* On any thread. */
	int (*vcpu_create)(struct vcpu *vcpu);
	void (*vcpu_destroy)(struct vcpu *vcpu);
	/*
	 * Runs the vcpu from vcpu->state until something is asked; fills exit; leaves vcpu->state
	 * up to date, or for `sync` to bring up to date. Returns soon with EXIT_KICKED after
	 * kick(). Delivers PENDING_INTERRUPT (vcpu_take_interrupt) and PENDING_NMI itself when the
	 * guest can take them; returns EXIT_KICKED for the other pending bits (also when they are
	 * set before it begins). After EXIT_PORT, EXIT_MEMORY or EXIT_MSR it is called next with
	 * the same struct exit, which then holds the answer. Always on the same thread for one
	 * vcpu; vm's lock not held.
	 */
	void (*run)(struct vcpu *vcpu, struct exit *exit);
	/* Any thread: a running vcpu looks at vcpu->pending soon. Cheap and idempotent. */
	void (*kick)(struct vcpu *vcpu);
	/* See vm_written. NULL where the processor takes care. */
	void (*written)(struct vm *vm, uint64_t address, uint64_t length);
	/*
	 * The vcpu does not run, and its state has been replaced from outside: a machine reset or a
	 * restore (all vcpus stopped; vm's lock held), or an INIT message (on the vcpu's thread,
	 * others run; lock not held). What `sync` would have brought is void. The registers of an
	 * APIC of the engine's own have been set before, and stay. May be NULL.
	 */
	void (*reset)(struct vcpu *vcpu);
	/*
	 * Brings vcpu->state up to date; what is changed in it then counts when the vcpu runs next.
	 * The vcpu does not run: on its own thread, or with all vcpus stopped. NULL where the state
	 * always is up to date. Called through vcpu_sync.
	 */
	void (*sync)(struct vcpu *vcpu);
	/*
	 * Fills counters[0..ENGINE_COUNTERS_MAX) with what there is to tell of the vcpu, or, for
	 * NULL, of what all share; how many. The same ones in the same order for each vcpu. Any
	 * thread, also while vcpus run: then as of a moment ago. NULL where there are none.
	 */
	unsigned (*counters)(const struct vm *vm, const struct vcpu *vcpu,
			     struct engine_counter *counters);
	/* Asks for counters of time as well, which take some to measure. Before any vcpu runs. NULL
	 * where that makes no difference. */
	void (*measure)(struct vm *vm);
	/*
	 * NULL where local APICs are devices. Otherwise the engine's own: PENDING_INTERRUPT and
	 * PENDING_NMI are never posted, CR8 and the APIC's registers never asked for, EXIT_HALT
	 * never comes; `run` is called in every activity and sleeps when it is VCPU_HALTED or
	 * VCPU_WAIT_FOR_SIPI. An INIT or start-up message that arrives there it carries out itself,
	 * or posts it as PENDING_INIT or PENDING_SIPI (with vcpu->sipi_vector) and returns
	 * EXIT_KICKED. It takes the 8259s' vectors with vcpu_take_interrupt, and calls
	 * vcpu_end_of_interrupt for level-triggered ones. An NMI that `sync` found waiting there is
	 * PENDING_NMI, for who saves the machine; the next run delivers it.
	 */
	const struct engine_apics *apics;
	/* It asks memory_fetch before it looks at RAM that may be absent (core/memory.h). Without
	 * it, all has to be there before the first vcpu runs. */
	bool fetches;
	/* NULL where there is no dirty log. */
	const struct engine_dirty *dirty;
	/*
	 * Has guests' TSCs run at frequency (Hz), if the host's doesn't by more than
	 * ENGINE_TSC_MILLIONTHS, and sets vm->tsc_ratio. After vcpus are made, before any has run
	 * or has state. 0, -ENOTSUP with the host's frequency in *here, or another negative errno.
	 * NULL: they always run as the host's.
	 */
	int (*tsc)(struct vm *vm, uint64_t frequency, uint64_t *here);
	/* NULL where a write to a doorbell is an access like any other. */
	const struct engine_doorbells *doorbells;
};

#endif
