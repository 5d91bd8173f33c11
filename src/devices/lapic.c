/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APICs: what lies around the model (x86/apic.h, which names the manual).
 *
 * Not modelled: see x86/apic.h.
 */
#include "devices/lapic.h"

#include "core/engine.h"
#include "core/snapshot.h"
#include "lib/check.h"

/* NULL where the APICs are ours. */
static const struct engine_apics *engine_apics(const struct lapics *lapics)
{
	return lapics->vm->engine->apics;
}

/* What the model asks */

static struct lapic *lapic_of(struct apic *apic)
{
	return container_of(apic, struct lapic, apic);
}

static uint64_t model_time(struct apic *apic)
{
	return vm_time(lapic_of(apic)->vcpu->vm);
}

static uint64_t model_tsc(struct apic *apic)
{
	return vcpu_tsc(lapic_of(apic)->vcpu);
}

static uint64_t model_tsc_frequency(struct apic *apic)
{
	return host_tsc_frequency();
}

static void model_timer_set(struct apic *apic, uint64_t deadline)
{
	uint64_t now = model_time(apic);

	if (deadline != APIC_TIMER_NEVER)
		deadline = now + apic_timer_left(now, deadline);
	timer_set(&lapic_of(apic)->timer, deadline);
}

static struct apic *const *model_all(struct apic *apic, unsigned *count, unsigned **last_lowest)
{
	struct lapics *lapics = lapic_of(apic)->all;

	*count = lapics->count;
	*last_lowest = &lapics->last_lowest;
	return lapics->apics;
}

static void model_changed(struct apic *apic)
{
	struct vcpu *vcpu = lapic_of(apic)->vcpu;
	bool waits = apic_interrupt_waits(apic);
	uint32_t pending = atomic_load_explicit(&vcpu->pending, memory_order_relaxed);

	/* The bit changes only here, under the vm's lock, so it needn't be set twice. */
	if (waits == !!(pending & PENDING_INTERRUPT))
		return;
	if (waits)
		vcpu_post(vcpu, PENDING_INTERRUPT);
	else
		vcpu_withdraw(vcpu, PENDING_INTERRUPT);
}

static void model_nmi(struct apic *apic)
{
	vcpu_post(lapic_of(apic)->vcpu, PENDING_NMI);
}

static void model_init(struct apic *apic)
{
	vcpu_post(lapic_of(apic)->vcpu, PENDING_INIT);
}

static void model_sipi(struct apic *apic, uint8_t vector)
{
	struct vcpu *vcpu = lapic_of(apic)->vcpu;

	vcpu->sipi_vector = vector;
	vcpu_post(vcpu, PENDING_SIPI);
}

static void broadcast_eoi(struct lapics *lapics, uint8_t vector)
{
	if (lapics->eoi)
		lapics->eoi(lapics->eoi_listener, vector);
}

static void model_eoi(struct apic *apic, uint8_t vector)
{
	broadcast_eoi(lapic_of(apic)->all, vector);
}

static const struct apic_ops model_ops = {
	.time = model_time,
	.tsc = model_tsc,
	.tsc_frequency = model_tsc_frequency,
	.timer_set = model_timer_set,
	.all = model_all,
	.changed = model_changed,
	.nmi = model_nmi,
	.init = model_init,
	.sipi = model_sipi,
	.eoi = model_eoi,
};

/* A copy of an engine's APIC is only looked at and reset, which asks for no more than this. */

static void copy_timer_set(struct apic *apic, uint64_t deadline)
{
}

static void copy_changed(struct apic *apic)
{
}

static const struct apic_ops copy_ops = {.timer_set = copy_timer_set, .changed = copy_changed};

static void timer_expired(struct timer *timer)
{
	apic_timer_expired(&container_of(timer, struct lapic, timer)->apic);
}

/* Messages and pins */

bool lapics_deliver(struct lapics *lapics, const struct apic_message *message)
{
	const struct engine_apics *own = engine_apics(lapics);
	uint64_t address;
	uint32_t data;

	if (!own)
		return apics_deliver(lapics->apics, lapics->count, &lapics->last_lowest, message);
	apic_message_to_msi(message, &address, &data);
	return own->message(lapics->vm, address, data);
}

void lapics_msi(void *listener, uint64_t address, uint32_t data)
{
	struct lapics *lapics = listener;
	const struct engine_apics *own = engine_apics(lapics);
	struct apic_message message;

	if (!apic_message_from_msi(&message, address, data))
		return;
	if (own)
		own->message(lapics->vm, address, data);
	else
		apics_deliver(lapics->apics, lapics->count, &lapics->last_lowest, &message);
}

void lapics_lint_set(void *listener, unsigned input, bool level)
{
	struct lapics *lapics = listener;
	const struct engine_apics *own = engine_apics(lapics);

	if (input > 1 || lapics->lint[input] == level)
		return;
	lapics->lint[input] = level;
	if (own)
		own->lint(lapics->vm, input, level);
	else
		for (unsigned i = 0; i < lapics->count; i++)
			apic_lint_set(lapics->apics[i], input, level);
}

/* What the processor asks */

static struct lapic *lapic_of_vcpu(const struct vcpu *vcpu)
{
	return vcpu->interrupts_private;
}

static int pic_vector(struct lapics *lapics)
{
	return lapics->pic_acknowledge ? lapics->pic_acknowledge(lapics->pic) : -1;
}

static int lapic_acknowledge(struct vcpu *vcpu)
{
	struct lapic *lapic = lapic_of_vcpu(vcpu);

	if (!apic_external_waits(&lapic->apic))
		return apic_acknowledge(&lapic->apic);
	apic_acknowledge_external(&lapic->apic);
	return pic_vector(lapic->all);
}

static uint64_t lapic_get_tpr(struct vcpu *vcpu)
{
	return apic_get_tpr(&lapic_of_vcpu(vcpu)->apic);
}

static void lapic_set_tpr(struct vcpu *vcpu, uint64_t cr8)
{
	apic_set_tpr(&lapic_of_vcpu(vcpu)->apic, cr8);
}

static void lapic_init_signal(struct vcpu *vcpu)
{
	apic_reset(&lapic_of_vcpu(vcpu)->apic, true, false);
}

static const struct interrupt_controller lapic_controller = {
	.acknowledge = lapic_acknowledge,
	.get_tpr = lapic_get_tpr,
	.set_tpr = lapic_set_tpr,
	.init = lapic_init_signal,
};

/* What an engine with its own asks: for the 8259s' vector, and what lies behind the APICs. */

static int outer_acknowledge(struct vcpu *vcpu)
{
	return pic_vector(lapic_of_vcpu(vcpu)->all);
}

static void outer_init_signal(struct vcpu *vcpu)
{
	struct lapic *lapic = lapic_of_vcpu(vcpu);
	const struct engine_apics *own = engine_apics(lapic->all);

	own->get(vcpu, &lapic->apic);
	apic_reset(&lapic->apic, true, false);
	own->set(vcpu, &lapic->apic);
}

static void outer_eoi(struct vcpu *vcpu, uint8_t vector)
{
	broadcast_eoi(lapic_of_vcpu(vcpu)->all, vector);
}

static const struct interrupt_controller outer_controller = {
	.acknowledge = outer_acknowledge,
	.init = outer_init_signal,
	.eoi = outer_eoi,
};

/* The device */

static void lapics_reset(struct device *device)
{
	struct lapics *lapics = container_of(device, struct lapics, device);
	const struct engine_apics *own = engine_apics(lapics);

	lapics->last_lowest = 0;
	lapics->lint[0] = lapics->lint[1] = false;
	for (unsigned i = 0; i < lapics->count; i++) {
		apic_reset(lapics->apics[i], false, i == 0);
		if (own)
			own->set(lapics->vm->vcpus[i], lapics->apics[i]);
	}
	if (own)
		own->lint(lapics->vm, 0, false);
}

static void apic_state(struct apic *apic, struct snapshot *snapshot)
{
	snapshot_u64(snapshot, &apic->base);
	snapshot_u32(snapshot, &apic->tpr);
	snapshot_u32(snapshot, &apic->ldr);
	snapshot_u32(snapshot, &apic->dfr);
	snapshot_u32(snapshot, &apic->svr);
	snapshot_u32(snapshot, &apic->esr);
	snapshot_u32(snapshot, &apic->esr_pending);
	snapshot_u64(snapshot, &apic->icr);
	for (unsigned i = 0; i < LVT_COUNT; i++)
		snapshot_u32(snapshot, &apic->lvt[i]);
	snapshot_u32(snapshot, &apic->divide);
	snapshot_u32(snapshot, &apic->initial_count);
	snapshot_bool(snapshot, &apic->timer_running);
	snapshot_u64(snapshot, &apic->timer_start);
	snapshot_u64(snapshot, &apic->timer_deadline);
	for (unsigned i = 0; i < 4; i++) {
		snapshot_u64(snapshot, &apic->irr[i]);
		snapshot_u64(snapshot, &apic->isr[i]);
		snapshot_u64(snapshot, &apic->tmr[i]);
	}
	snapshot_bool(snapshot, &apic->extint_message);
}

static void lapic_state(struct lapic *lapic, struct snapshot *snapshot)
{
	const struct engine_apics *own = engine_apics(lapic->all);
	const char *wrong;

	if (own && !snapshot->loading)
		own->get(lapic->vcpu, &lapic->apic);
	apic_state(&lapic->apic, snapshot);
	if (!snapshot->loading)
		return;
	lapic->apic.lint0 = lapic->all->lint[0];
	lapic->moved_logged = false;
	wrong = apic_check(&lapic->apic);
	if (wrong)
		snapshot_fail(snapshot, wrong);
}

static void lapics_state(struct device *device, struct snapshot *snapshot)
{
	struct lapics *lapics = container_of(device, struct lapics, device);
	uint32_t count = lapics->count, last = lapics->last_lowest;

	snapshot_u32(snapshot, &count);
	snapshot_u32(snapshot, &last);
	snapshot_bool(snapshot, &lapics->lint[0]);
	snapshot_bool(snapshot, &lapics->lint[1]);
	if (count != lapics->count)
		snapshot_fail(snapshot, "local APIC: saved with another number of processors");
	lapics->last_lowest = last % lapics->count;
	for (unsigned i = 0; i < lapics->count; i++)
		lapic_state(&lapics->lapic[i], snapshot);
}

static void lapics_loaded(struct device *device)
{
	struct lapics *lapics = container_of(device, struct lapics, device);
	const struct engine_apics *own = engine_apics(lapics);

	for (unsigned i = 0; i < lapics->count; i++) {
		if (own) {
			own->set(lapics->vm->vcpus[i], lapics->apics[i]);
			continue;
		}
		apic_timer_arm(lapics->apics[i]);
		model_changed(lapics->apics[i]);
	}
	if (own)
		own->lint(lapics->vm, 0, lapics->lint[0]);
}

bool lapics_await_end(const struct lapics *lapics, uint8_t vector)
{
	const uint64_t bit = 1ull << vector % 64;
	const unsigned word = vector / 64;

	for (unsigned i = 0; i < lapics->count; i++) {
		const struct apic *apic = lapics->apics[i];

		if (((apic->irr[word] | apic->isr[word]) & bit) || (apic->svr & SVR_NO_BROADCAST))
			return true;
	}
	return false;
}

static const struct device_ops lapics_ops = {
	.name = "lapic",
	.version = 1,
	.reset = lapics_reset,
	.state = lapics_state,
	.loaded = lapics_loaded,
};

static void lapic_init(struct lapic *lapic, struct lapics *all, struct vcpu *vcpu)
{
	bool own = engine_apics(all);

	lapic->all = all;
	lapic->vcpu = vcpu;
	lapic->apic.id = vcpu->id;
	lapic->apic.ops = own ? &copy_ops : &model_ops;
	all->apics[vcpu->id] = &lapic->apic;
	timer_init(&lapic->timer, vcpu->vm, timer_expired);
	vcpu->interrupts_private = lapic;
	vcpu->interrupts = own ? &outer_controller : &lapic_controller;
	if (!own)
		lapic_registers_init(lapic);
}

void lapics_init(struct lapics *lapics, struct vm *vm)
{
	*lapics = (struct lapics){.vm = vm, .count = vm->vcpu_count};
	CHECK(lapics->count >= 1 && lapics->count <= VM_VCPUS_MAX);
	device_init(&lapics->device, vm, &lapics_ops, "0");
	if (!engine_apics(lapics))
		lapics_registers_init(lapics);
	for (unsigned i = 0; i < lapics->count; i++)
		lapic_init(&lapics->lapic[i], lapics, vm->vcpus[i]);
	lapics_reset(&lapics->device);
}
