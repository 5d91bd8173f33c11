/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's process: one vm, a thread for each vcpu, and the main thread, which sleeps on
 * metal_start.events and looks after timers, frames, the console and what the manager asks.
 */
#ifndef HOSTS_METAL_MACHINE_H
#define HOSTS_METAL_MACHINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/plug.h"
#include "core/vm.h"
#include "hosts/metal/channel.h"

/* The bit of metal_start.events by which our own threads wake the main thread. */
#define EVENT_SELF 0x80000000u

/* vm->host_private. */
struct metal_vm {
	/* The vm's timers (wake.c), under the vm's lock. */
	uint64_t wanted; /* the deadline asked for by host_wake_at */
	uint64_t armed;	 /* until when the main thread sleeps at most; 0 while it is awake */
	/* The vcpus' threads (threads.c). */
	_Atomic uint32_t generation; /* how often they were started */
	_Atomic uint32_t running;    /* how many have not come back since */
};

static inline struct metal_vm *metal_vm_of(const struct vm *vm)
{
	return vm->host_private;
}

/* wake.c */

/* Has the main thread look around once more. Any thread, any lock. */
void wake_main(void);
/* Runs the timers that are due; then sleeps until an event or the next timer. The events, which are
 * no more set then. Main thread, vm's lock not held. */
uint32_t wake_wait(struct vm *vm);

/* threads.c */

/* Makes a thread for each vcpu. 0 or a negative errno. */
int threads_create(struct vm *vm);
/* All vcpus begin to run. */
void threads_start(struct vm *vm);
/* Waits until all have left vcpu_run; they do so after vm_stop. */
void threads_join(struct vm *vm);

/* console.c: consoles on the channel's rings. Vm's lock held. */
struct metal_console {
	struct console console; /* first */
	struct channel *channel;
	bool full;	  /* write() took less than it was given */
	bool takes_input; /* of several on one channel, one */
	char held[64];	  /* input that the device had no room for */
	size_t held_from, held_to;
};
void console_init(struct metal_console *console, struct channel *channel, bool takes_input);
/* The manager has changed something: there may be input, or room for output. */
void console_look(struct metal_console *console);

/* netport.c: the port of the machine's switch. */

/* NULL if it is plugged into none. */
struct netport *netport_open(const uint8_t mac[6]);
/* Frames wait. Vm's lock held. */
void netport_look(struct netport *port);

#endif
