/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread for each vcpu. They are made once and stay: between one start of the guest and the next
 * they wait for `generation` to change.
 */
#include "core/host.h"
#include "engines/metal/call.h"
#include "hosts/metal/machine.h"
#include "hosts/metal/stack.h"
#include "lib/bits.h"
#include "lib/error.h"

static void wait_for_start(struct metal_vm *metal_vm, uint32_t last)
{
	while (atomic_load(&metal_vm->generation) == last)
		METAL_CALL(METAL_WAIT, (uintptr_t)&metal_vm->generation, last, UINT64_MAX);
}

_Noreturn static void thread_main(struct vcpu *vcpu)
{
	struct metal_vm *metal_vm = metal_vm_of(vcpu->vm);

	for (uint32_t generation = 0;; generation++) {
		wait_for_start(metal_vm, generation);
		vcpu_run(vcpu);
		if (atomic_fetch_sub(&metal_vm->running, 1) == 1)
			METAL_CALL(METAL_WAKE, (uintptr_t)&metal_vm->running, 1);
	}
}

/* Twice the size holds one that lies at a multiple of it. Untouched pages cost nothing. */
static int thread_create(struct vcpu *vcpu)
{
	void *memory = host_pages(2 * METAL_STACK_SIZE);
	uint64_t top, *first;
	int64_t result;

	if (!memory)
		return -ENOMEM;
	top = align_up((uintptr_t)memory, METAL_STACK_SIZE) + METAL_STACK_SIZE;
	/* As if it had been called, with nowhere to return to. */
	first = (uint64_t *)(top - 16) + 1;
	*first = 0;
	result = METAL_CALL(METAL_THREAD_CREATE, (uintptr_t)thread_main, (uintptr_t)first,
			    (uintptr_t)vcpu);
	return result < 0 ? (int)result : 0;
}

int threads_create(struct vm *vm)
{
	int error = 0;

	for (unsigned i = 0; i < vm->vcpu_count && !error; i++)
		error = thread_create(vm->vcpus[i]);
	return error;
}

void threads_start(struct vm *vm)
{
	struct metal_vm *metal_vm = metal_vm_of(vm);

	atomic_store(&metal_vm->running, vm->vcpu_count);
	atomic_fetch_add(&metal_vm->generation, 1);
	METAL_CALL(METAL_WAKE, (uintptr_t)&metal_vm->generation, vm->vcpu_count);
}

void threads_join(struct vm *vm)
{
	struct metal_vm *metal_vm = metal_vm_of(vm);
	uint32_t running;

	while ((running = atomic_load(&metal_vm->running)))
		METAL_CALL(METAL_WAIT, (uintptr_t)&metal_vm->running, running, UINT64_MAX);
}
