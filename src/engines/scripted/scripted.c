/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/scripted/scripted.h"

#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"
#include "lib/string.h"
#include "x86/apic.h"

#define RFLAGS_IF 0x200u

struct scripted {
	const struct scripted_step *steps;
	struct exit *results;
	unsigned count, position, runs, kicks, resets, vectors;
	int vector[SCRIPTED_VECTORS_MAX];
	bool answer_due; /* the exit of the step before this position comes back with its answer */
	struct apic apic;
	struct vcpu_state state; /* while `hidden`: what vcpu->state should be */
	bool hidden;
	unsigned syncs;
};

struct scripted_vm {
	unsigned written;
	uint64_t address, length;
	unsigned messages;
	uint64_t message_address;
	uint32_t message_data;
	bool lint[2];
	bool dirty_fails;
	uint64_t *touched; /* pages that "vcpus" wrote, a bit each: scripted_touch */
};

static int failing_vcpu = -1;

static struct scripted *scripted_of(const struct vcpu *vcpu)
{
	return vcpu->engine_private;
}

static int scripted_probe(char *reason, size_t size)
{
	string_copy(reason, size, "plays back a list of exits: for tests only");
	return 0;
}

static int scripted_vm_create(struct vm *vm)
{
	vm->engine_private = host_pages(sizeof(struct scripted_vm));
	return vm->engine_private ? 0 : -ENOMEM;
}

static void scripted_vm_destroy(struct vm *vm)
{
	struct scripted_vm *scripted = vm->engine_private;

	host_pages_free(scripted->touched, dirty_words(vm) * sizeof(uint64_t));
	host_pages_free(vm->engine_private, sizeof(struct scripted_vm));
	vm->engine_private = NULL;
}

static int scripted_vcpu_create(struct vcpu *vcpu)
{
	if ((int)vcpu->id == failing_vcpu)
		return -ENOMEM;
	vcpu->engine_private = host_pages(sizeof(struct scripted));
	return vcpu->engine_private ? 0 : -ENOMEM;
}

static void scripted_vcpu_destroy(struct vcpu *vcpu)
{
	host_pages_free(vcpu->engine_private, sizeof(struct scripted));
	vcpu->engine_private = NULL;
}

static void deliver(struct vcpu *vcpu, int vector)
{
	struct scripted *scripted = scripted_of(vcpu);

	CHECK(scripted->vectors < SCRIPTED_VECTORS_MAX);
	scripted->vector[scripted->vectors++] = vector;
	vcpu->state.rflags &= ~(uint64_t)RFLAGS_IF;
}

static void take_events(struct vcpu *vcpu)
{
	uint32_t pending = atomic_load(&vcpu->pending);
	int vector;

	if ((pending & PENDING_NMI) && !vcpu->state.nmi_blocked) {
		vcpu_withdraw(vcpu, PENDING_NMI);
		vcpu->state.nmi_blocked = 1;
		deliver(vcpu, 2);
		return;
	}
	if (!(pending & PENDING_INTERRUPT) || !(vcpu->state.rflags & RFLAGS_IF) ||
	    vcpu->state.interrupt_shadow)
		return;
	vector = vcpu_take_interrupt(vcpu);
	if (vector >= 0)
		deliver(vcpu, vector);
}

static void scripted_run(struct vcpu *vcpu, struct exit *exit)
{
	struct scripted *scripted = scripted_of(vcpu);
	const struct scripted_step *step;

	scripted->runs++;
	if (scripted->answer_due && scripted->results)
		scripted->results[scripted->position - 1] = *exit;
	scripted->answer_due = false;
	*exit = (struct exit){.kind = EXIT_KICKED};
	if (atomic_load(&vcpu->pending) & ~(uint32_t)(PENDING_INTERRUPT | PENDING_NMI))
		return;
	take_events(vcpu);
	vcpu->state.interrupt_shadow = 0;
	if (scripted->position == scripted->count) {
		vm_stop(vcpu->vm, VM_POWERED_OFF, 0);
		return;
	}
	step = &scripted->steps[scripted->position++];
	if (step->before)
		step->before(vcpu);
	*exit = step->exit;
	scripted->answer_due = true;
}

static void scripted_kick(struct vcpu *vcpu)
{
	scripted_of(vcpu)->kicks++;
}

static void scripted_reset(struct vcpu *vcpu)
{
	scripted_of(vcpu)->resets++;
}

static void scripted_note_written(struct vm *vm, uint64_t address, uint64_t length)
{
	struct scripted_vm *scripted = vm->engine_private;

	scripted->written++;
	scripted->address = address;
	scripted->length = length;
}

void scripted_play(struct vcpu *vcpu, const struct scripted_step *steps, unsigned count,
		   struct exit *results)
{
	struct scripted *scripted = scripted_of(vcpu);

	scripted->steps = steps;
	scripted->count = count;
	scripted->position = 0;
	scripted->results = results;
	scripted->answer_due = false;
	if (results)
		bytes_fill(results, 0, count * sizeof(*results));
}

unsigned scripted_vector_count(const struct vcpu *vcpu)
{
	return scripted_of(vcpu)->vectors;
}

int scripted_vector(const struct vcpu *vcpu, unsigned index)
{
	return index < scripted_of(vcpu)->vectors ? scripted_of(vcpu)->vector[index] : -1;
}

unsigned scripted_position(const struct vcpu *vcpu)
{
	return scripted_of(vcpu)->position;
}

unsigned scripted_runs(const struct vcpu *vcpu)
{
	return scripted_of(vcpu)->runs;
}

unsigned scripted_kicks(const struct vcpu *vcpu)
{
	return scripted_of(vcpu)->kicks;
}

unsigned scripted_resets(const struct vcpu *vcpu)
{
	return scripted_of(vcpu)->resets;
}

unsigned scripted_written(const struct vm *vm, uint64_t *address, uint64_t *length)
{
	const struct scripted_vm *scripted = vm->engine_private;

	*address = scripted->address;
	*length = scripted->length;
	return scripted->written;
}

void scripted_vcpu_fails(int id)
{
	failing_vcpu = id;
}

/* With APICs */

/* Puts other values, or NULL for nonsense, into the vcpu's state, but for what is always core's. */
static void state_replace(struct vcpu *vcpu, const struct vcpu_state *with)
{
	uint64_t tsc_offset = vcpu->state.tsc_offset;
	uint8_t activity = vcpu->state.activity;

	if (with)
		bytes_copy(&vcpu->state, with, sizeof(vcpu->state));
	else
		bytes_fill(&vcpu->state, 0xcc, sizeof(vcpu->state));
	vcpu->state.tsc_offset = tsc_offset;
	vcpu->state.activity = activity;
}

static bool state_show(struct vcpu *vcpu)
{
	struct scripted *scripted = scripted_of(vcpu);

	if (!scripted->hidden)
		return false;
	state_replace(vcpu, &scripted->state);
	scripted->hidden = false;
	return true;
}

static void state_hide(struct vcpu *vcpu)
{
	struct scripted *scripted = scripted_of(vcpu);

	bytes_copy(&scripted->state, &vcpu->state, sizeof(vcpu->state));
	state_replace(vcpu, NULL);
	scripted->hidden = true;
}

static void scripted_apics_sync(struct vcpu *vcpu)
{
	if (state_show(vcpu))
		scripted_of(vcpu)->syncs++;
}

static void scripted_apics_reset(struct vcpu *vcpu)
{
	scripted_of(vcpu)->hidden = false;
	scripted_reset(vcpu);
}

static void scripted_apics_run(struct vcpu *vcpu, struct exit *exit)
{
	state_show(vcpu);
	if (vcpu->state.activity == VCPU_RUNNING) {
		scripted_run(vcpu, exit);
	} else {
		scripted_of(vcpu)->runs++;
		*exit = (struct exit){.kind = EXIT_KICKED};
		if (!atomic_load(&vcpu->pending))
			host_vcpu_wait(vcpu, UINT64_MAX);
	}
	state_hide(vcpu);
}

static void scripted_apics_kick(struct vcpu *vcpu)
{
	scripted_kick(vcpu);
	host_vcpu_wake(vcpu);
}

static bool scripted_message(struct vm *vm, uint64_t address, uint32_t data)
{
	struct scripted_vm *scripted = vm->engine_private;

	scripted->messages++;
	scripted->message_address = address;
	scripted->message_data = data;
	return true;
}

static void scripted_lint_set(struct vm *vm, unsigned input, bool level)
{
	struct scripted_vm *scripted = vm->engine_private;

	CHECK(input < 2);
	scripted->lint[input] = level;
}

static void scripted_apic_get(struct vcpu *vcpu, struct apic *apic)
{
	apic_copy(apic, &scripted_of(vcpu)->apic);
}

static void scripted_apic_set(struct vcpu *vcpu, const struct apic *apic)
{
	apic_copy(&scripted_of(vcpu)->apic, apic);
}

struct apic *scripted_apic(const struct vcpu *vcpu)
{
	return &scripted_of(vcpu)->apic;
}

unsigned scripted_messages(const struct vm *vm, uint64_t *address, uint32_t *data)
{
	const struct scripted_vm *scripted = vm->engine_private;

	*address = scripted->message_address;
	*data = scripted->message_data;
	return scripted->messages;
}

bool scripted_lint(const struct vm *vm, unsigned input)
{
	const struct scripted_vm *scripted = vm->engine_private;

	return scripted->lint[input & 1];
}

unsigned scripted_syncs(const struct vcpu *vcpu)
{
	return scripted_of(vcpu)->syncs;
}

/* The dirty log: as an engine whose processor keeps it, so that it has to be fetched. */

static int scripted_dirty_start(struct vm *vm)
{
	struct scripted_vm *scripted = vm->engine_private;
	size_t size = dirty_words(vm) * sizeof(uint64_t);

	if (scripted->dirty_fails)
		return -EIO;
	if (!scripted->touched)
		scripted->touched = host_pages(size);
	if (!scripted->touched)
		return -ENOMEM;
	bytes_fill(scripted->touched, 0, size);
	return 0;
}

static int scripted_dirty_collect(struct vm *vm)
{
	struct scripted_vm *scripted = vm->engine_private;

	if (scripted->dirty_fails)
		return -EIO;
	for (uint64_t page = 0; page < dirty_words(vm) * 64; page++) {
		if (scripted->touched[page / 64] >> page % 64 & 1)
			dirty_mark(vm, page * DIRTY_PAGE_SIZE, 1);
		scripted->touched[page / 64] &= ~(UINT64_C(1) << page % 64);
	}
	return 0;
}

static void scripted_dirty_stop(struct vm *vm)
{
}

void scripted_touch(struct vm *vm, uint64_t offset)
{
	struct scripted_vm *scripted = vm->engine_private;
	uint64_t page = offset / DIRTY_PAGE_SIZE;

	if (scripted->touched)
		scripted->touched[page / 64] |= UINT64_C(1) << page % 64;
}

void scripted_dirty_fails(struct vm *vm, bool fails)
{
	struct scripted_vm *scripted = vm->engine_private;

	scripted->dirty_fails = fails;
}

static const struct engine_dirty scripted_dirty = {
	.start = scripted_dirty_start,
	.collect = scripted_dirty_collect,
	.stop = scripted_dirty_stop,
};

static const struct engine_apics scripted_apics = {
	.message = scripted_message,
	.lint = scripted_lint_set,
	.get = scripted_apic_get,
	.set = scripted_apic_set,
};

const struct engine engine_scripted_apics = {
	.name = "scripted with APICs",
	.probe = scripted_probe,
	.vm_create = scripted_vm_create,
	.vm_destroy = scripted_vm_destroy,
	.vcpu_create = scripted_vcpu_create,
	.vcpu_destroy = scripted_vcpu_destroy,
	.run = scripted_apics_run,
	.kick = scripted_apics_kick,
	.written = scripted_note_written,
	.reset = scripted_apics_reset,
	.sync = scripted_apics_sync,
	.apics = &scripted_apics,
	.dirty = &scripted_dirty,
};

const struct engine engine_scripted = {
	.name = "scripted",
	.probe = scripted_probe,
	.vm_create = scripted_vm_create,
	.vm_destroy = scripted_vm_destroy,
	.vcpu_create = scripted_vcpu_create,
	.vcpu_destroy = scripted_vcpu_destroy,
	.run = scripted_run,
	.kick = scripted_kick,
	.written = scripted_note_written,
	.reset = scripted_reset,
};
