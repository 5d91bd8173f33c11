/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine as the kernel has it: its memory, nested page tables, vcpus and their APICs. One for
 * each machine's process; the system calls METAL_GUEST_*, METAL_VCPU_* and METAL_APIC_* end here.
 */
#ifndef KERNEL_GUEST_H
#define KERNEL_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "kernel/address.h"
#include "kernel/lock.h"
#include "x86/apic.h"

struct process;
struct vcpu;

#define GUEST_RANGES_MAX 4

struct guest_range {
	uint64_t base, size, offset; /* guest-physical; into its memory */
};

/* Bits of an entry of guest->large. */
#define GUEST_LARGE_USED   1u /* zeroed, and perhaps written since */
#define GUEST_LARGE_ZEROED 2u /* somebody is just doing that */

struct guest {
	struct process *process;
	uint64_t size;		      /* bytes of guest memory */
	_Atomic uint64_t *large;      /* its large pages: physical addresses, with GUEST_LARGE_* */
	_Atomic uint64_t touched;     /* bytes that have been used */
	bool mapped_by_process;	      /* METAL_GUEST_MEMORY was called */
	struct lock lock;	      /* nested page tables, ranges */
	_Atomic unsigned range_count; /* read without the lock: a range stays as it is */
	struct guest_range range[GUEST_RANGES_MAX];
	pa_t nested; /* root of the nested page tables */
	pa_t *table; /* all pages of these tables */
	unsigned table_count, tables_max;
	struct lock apic_lock; /* all APICs, pending messages */
	unsigned last_lowest;
	unsigned vcpu_count, vcpus_max;
	struct vcpu *vcpu[METAL_VCPUS_MAX];
	struct apic *apic[METAL_VCPUS_MAX];
};

/* Sets memory aside for a machine. 0; -ENOMEM: there is not so much (nothing is kept then). */
int guest_create(struct guest **guest, struct process *process, uint64_t memory, unsigned vcpus);
/* Gives everything back. No thread of its runs any more. */
void guest_destroy(struct guest *guest);

/*
 * The large page at this offset of guest memory, zeroed if nobody has used it yet. For faults of
 * the process in its window at METAL_GUEST_ADDRESS, and of the guest. offset < size.
 */
pa_t guest_touch(struct guest *guest, uint64_t offset);

/*
 * Where [address, address + size) is in the direct map, if all of it is RAM of the guest within one
 * large page (which is touched); NULL if not.
 */
void *guest_memory(struct guest *guest, uint64_t address, uint64_t size);

/* The system calls of these names, with their arguments copied in and ranges still to be checked.
 * On the machine's own thread. */
int64_t guest_map(struct guest *guest, uint64_t base, uint64_t size, uint64_t offset);
/* page: the vcpu's struct metal_vcpu, in the direct map; config is a copy. The process's lock is
 * held. */
int64_t vcpu_create(struct guest *guest, unsigned id, struct metal_vcpu *page,
		    const struct metal_vcpu_config *config);
int64_t vcpu_run(struct guest *guest, unsigned id);
int64_t vcpu_kick(struct guest *guest, unsigned id);
int64_t vcpu_store(struct guest *guest, unsigned id); /* METAL_VCPU_STATE */
int64_t guest_message(struct guest *guest, uint64_t address, uint32_t data);
int64_t guest_line(struct guest *guest, unsigned input, bool level);

/* The thread that runs this vcpu leaves the processor: its registers go to memory. Interrupts off.
 */
void vcpu_leave_processor(struct vcpu *vcpu);

/* For METAL_PROCESS_INFO: time in the guest and exits. */
void guest_count(const struct guest *guest, struct metal_process_info *info);

/* Finds out, and says, whether this computer can run guests. And per processor, at its start;
 * -ENOMEM. */
void guest_probe(void);
int guest_processor_init(void);

/* nested.c: the nested page tables, where the guest's physical memory is in ours. Pages of 2 MiB
 * and 1 GiB only. */

/* Nothing is mapped; room for a list of all table pages. -ENOMEM. */
int nested_create(struct guest *guest);
/* The tables for such a range, with nothing in them yet, so that nested_fill needs no memory. Lock
 * held. -ENOMEM: what was made stays, and is given back with the guest. */
int nested_prepare(struct guest *guest, uint64_t base, uint64_t size);
/* Maps one large page in a prepared range; twice is no harm. Takes the lock. */
void nested_fill(struct guest *guest, uint64_t address, pa_t large);
/* Gives the tables back. */
void nested_destroy(struct guest *guest);

#endif
