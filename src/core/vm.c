/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vm.h"

#include "core/engine.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"

void vm_lock(struct vm *vm)
{
	host_lock(&vm->lock);
}

void vm_unlock(struct vm *vm)
{
	host_unlock(&vm->lock);
}

static int vcpus_create(struct vm *vm, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct vcpu *vcpu = host_pages(sizeof(*vcpu));
		int error;

		if (!vcpu)
			return -ENOMEM;
		vcpu->vm = vm;
		vcpu->id = i;
		space_init(&vcpu->msrs, "msrs");
		vcpu_reset(vcpu);
		error = vm->engine->vcpu_create(vcpu);
		if (error) {
			host_pages_free(vcpu, sizeof(*vcpu));
			return error;
		}
		vm->vcpus[vm->vcpu_count++] = vcpu;
	}
	return 0;
}

static void vcpus_destroy(struct vm *vm)
{
	while (vm->vcpu_count > 0) {
		struct vcpu *vcpu = vm->vcpus[--vm->vcpu_count];

		vm->vcpus[vm->vcpu_count] = NULL;
		vm->engine->vcpu_destroy(vcpu);
		host_pages_free(vcpu, sizeof(*vcpu));
	}
}

int vm_create(struct vm *vm, const struct vm_config *config)
{
	int error;

	if (config->vcpus < 1 || config->vcpus > VM_VCPUS_MAX)
		return -EINVAL;
	bytes_fill(vm, 0, sizeof(*vm));
	host_lock_init(&vm->lock);
	space_init(&vm->ports, "ports");
	space_init(&vm->mmio, "memory");
	vm->engine = config->engine;
	vm->cpu_model = config->cpu_model;
	vm->vcpu_total = config->vcpus;
	vm->time_offset = -host_now();
	error = memory_init(&vm->memory, config->memory_size, config->hole_base);
	if (error)
		return error;
	error = vm->engine->vm_create(vm);
	if (error) {
		memory_destroy(&vm->memory);
		return error;
	}
	error = vcpus_create(vm, config->vcpus);
	if (error)
		vm_destroy(vm);
	return error;
}

void vm_destroy(struct vm *vm)
{
	vm_lock(vm);
	devices_destroy(vm);
	host_wake_at(vm, UINT64_MAX);
	vm_unlock(vm);
	vcpus_destroy(vm);
	vm->engine->vm_destroy(vm);
	dirty_destroy(vm);
	memory_destroy(&vm->memory);
}

uint64_t vm_tsc(const struct vm *vm)
{
	uint64_t tsc = host_tsc();

	return vm->tsc_ratio ? (uint64_t)((unsigned __int128)tsc * vm->tsc_ratio >> vm->tsc_shift)
			     : tsc;
}

void vm_reset(struct vm *vm)
{
	uint64_t tsc_offset = -vm_tsc(vm);

	vm_lock(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		vcpu_reset(vm->vcpus[i]);
		vm->vcpus[i]->state.tsc_offset = tsc_offset;
	}
	devices_reset(vm);
	/* A device that fell silent at its reset may have withdrawn or posted on the way. */
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		atomic_store(&vm->vcpus[i]->pending, 0);
		if (vm->engine->reset)
			vm->engine->reset(vm->vcpus[i]);
	}
	vm->current = NULL;
	vm->pausing = vm->paused = false;
	vm->stop_code = 0;
	vm->stop_reason = NULL;
	atomic_store(&vm->stop, VM_RUNNING);
	timers_wake(vm);
	vm_unlock(vm);
}

uint64_t vm_time(const struct vm *vm)
{
	return (vm->paused ? vm->paused_at : host_now()) + vm->time_offset;
}

static void post_all(struct vm *vm, uint32_t bits)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_post(vm->vcpus[i], bits);
}

void vm_stop(struct vm *vm, enum vm_stop why, int code)
{
	int running = VM_RUNNING;

	CHECK(why != VM_RUNNING);
	if (!atomic_compare_exchange_strong(&vm->stop, &running, (int)why))
		return;
	vm->stop_code = code;
	post_all(vm, PENDING_STOP);
	host_vm_notify(vm);
}

void vm_pause(struct vm *vm)
{
	if (vm->paused) {
		vm->pauses++;
		host_vm_notify(vm);
	}
	if (vm->pausing)
		return;
	vm->pausing = true;
	post_all(vm, PENDING_PAUSE);
}

bool vm_paused(const struct vm *vm)
{
	return vm->paused;
}

void vm_vcpu_parked(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (!vm->vcpus[i]->parked)
			return;
	if (!vm->pausing || vm->paused)
		return;
	/* What is due is still done: of a timer that has no next time nobody knows after a load. */
	if (!vm->timers.running)
		timers_run(vm);
	if (!vm->pausing)
		return;
	vm->paused_at = host_now();
	vm->paused_tsc = vm_tsc(vm);
	vm->paused = true;
	vm->pauses++;
	timers_wake(vm);
	host_vm_notify(vm);
}

void vm_hold(struct vm *vm, uint64_t until)
{
	bool later = until > atomic_exchange(&vm->held_until, until);

	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		if (later)
			vcpu_post(vm->vcpus[i], PENDING_HOLD);
		else
			host_vcpu_wake(vm->vcpus[i]);
	}
}

void vm_resume(struct vm *vm)
{
	if (!vm->pausing)
		return;
	if (vm->paused) {
		uint64_t ticks = vm_tsc(vm) - vm->paused_tsc;

		vm->time_offset -= host_now() - vm->paused_at;
		for (unsigned i = 0; i < vm->vcpu_count; i++)
			vm->vcpus[i]->state.tsc_offset -= ticks;
	}
	vm->pausing = vm->paused = false;
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		vm->vcpus[i]->parked = false;
		vcpu_withdraw(vm->vcpus[i], PENDING_PAUSE);
		host_vcpu_wake(vm->vcpus[i]);
	}
	doorbells_resume(vm);
	timers_wake(vm);
}
