/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping and waking: the vm's next timer, and vcpus that wait.
 *
 * Timers here are those of the machine's slow chips; local APICs, and vcpus that are halted, are
 * the kernel's. So the main thread alone runs timers: it sleeps on metal_start.events until the
 * next deadline. It is left asleep when the deadline moves to a later time: it then wakes too early
 * once, and sleeps again.
 */
#include "core/host.h"
#include "engines/metal/call.h"
#include "hosts/metal/machine.h"

void wake_main(void)
{
	_Atomic uint32_t *events = &metal_start()->events;

	if (!(atomic_fetch_or(events, EVENT_SELF) & EVENT_SELF))
		METAL_CALL(METAL_WAKE, (uintptr_t)events, 1);
}

void host_vm_notify(struct vm *vm)
{
	wake_main();
}

void host_wake_at(struct vm *vm, uint64_t deadline)
{
	struct metal_vm *metal_vm = metal_vm_of(vm);

	if (!metal_vm)
		return; /* vm_create's; wake_wait looks at what is wanted before it sleeps */
	metal_vm->wanted = deadline;
	if (deadline < metal_vm->armed)
		wake_main();
}

/* Timers that are due are run; until when to sleep. */
static uint64_t serve_timers(struct vm *vm)
{
	struct metal_vm *metal_vm = metal_vm_of(vm);
	uint64_t deadline;

	vm_lock(vm);
	if (metal_vm->wanted != UINT64_MAX && metal_vm->wanted <= host_now())
		timers_run(vm);
	deadline = metal_vm->armed = metal_vm->wanted;
	vm_unlock(vm);
	return deadline;
}

uint32_t wake_wait(struct vm *vm)
{
	struct metal_vm *metal_vm = metal_vm_of(vm);
	_Atomic uint32_t *events = &metal_start()->events;
	uint64_t deadline = serve_timers(vm);
	uint32_t found = atomic_exchange(events, 0);

	if (!found) {
		METAL_CALL(METAL_WAIT, (uintptr_t)events, 0, deadline);
		found = atomic_exchange(events, 0);
	}
	vm_lock(vm);
	metal_vm->armed = 0;
	vm_unlock(vm);
	return found;
}

void host_vcpu_wait(struct vcpu *vcpu, uint64_t deadline)
{
	if (!atomic_exchange(&vcpu->wake, 0)) {
		METAL_CALL(METAL_WAIT, (uintptr_t)&vcpu->wake, 0, deadline);
		/* A token that is cleared here is not lost: whoever left it had said in `pending`
		 * why, and our caller looks there. */
		atomic_store(&vcpu->wake, 0);
	}
}

/* Vcpus that are halted are the kernel's, which knows who else is ready. */
bool host_vcpu_poll(struct vcpu *vcpu, uint32_t bits, uint64_t nanoseconds, bool *crowded)
{
	*crowded = false;
	return atomic_load(&vcpu->pending) & bits;
}

void host_vcpu_wake(struct vcpu *vcpu)
{
	if (atomic_exchange(&vcpu->wake, 1) == 0)
		METAL_CALL(METAL_WAKE, (uintptr_t)&vcpu->wake, 1);
}
