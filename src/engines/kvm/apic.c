/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APICs, which are the kernel's: messages and pins go there, and the registers of
 * x86/apic.h are put into its form and taken out of it.
 *
 * The kernel's timer counts with the host's clock, which goes on while a machine is paused. So what
 * a vcpu's timer had left is noted when it leaves for a pause, and set again when it goes on; what
 * has fired in between is taken back by that.
 *
 * APICs that have been replaced are handed to the kernel when the first vcpu runs. What comes for
 * them until then (of a device that goes on when it has been loaded) is put into what is to be
 * handed over: it would be replaced in the kernel.
 *
 * Not modelled: LINT1 in other modes than NMI, and ExtINT as a message. A count that ended without
 * a period is restored with an initial count of zero, for the kernel would fire it once more.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "core/engine.h"
#include "engines/kvm/internal.h"
#include "lib/bytes.h"
#include "x86/msr.h"

#define VERSION	     (0x14u | (LVT_COUNT - 1) << 16 | 1u << 24)
#define DATA_LEVEL   0x8000u
#define DATA_MODE(d) ((d) >> 8 & 7)

static void put(struct kvm_lapic_state *lapic, unsigned number, uint32_t value)
{
	bytes_store32((uint8_t *)lapic->regs + number * 16, value);
}

uint32_t apic_kvm_register(const struct kvm_lapic_state *lapic, unsigned number)
{
	return bytes_load32((const uint8_t *)lapic->regs + number * 16);
}

/* The timer */

#define MODE_PERIODIC 1
#define MODE_DEADLINE 2

static unsigned timer_mode(uint32_t lvt)
{
	return lvt >> 17 & 3;
}

static unsigned divide_shift(uint32_t divide)
{
	return (((divide & 3) | (divide >> 1 & 4)) + 1) & 7;
}

/* What is left of the count at `now`. One that has run out, and whose interrupt has not come yet,
 * has one tick left. */
static uint32_t current_count(const struct apic *apic, uint64_t now)
{
	uint64_t ticks = (now - apic->timer_start) >> divide_shift(apic->divide);

	if (!apic->timer_running || !apic->initial_count)
		return 0;
	if (now < apic->timer_start)
		return apic->initial_count;
	if (timer_mode(apic->lvt[LVT_TIMER]) == MODE_PERIODIC)
		ticks %= apic->initial_count;
	return ticks < apic->initial_count ? apic->initial_count - (uint32_t)ticks : 1;
}

void apic_to_kvm(struct kvm_lapic_state *to, const struct apic *from, uint64_t now)
{
	uint32_t count = current_count(from, now);

	bytes_fill(to, 0, sizeof(*to));
	put(to, LAPIC_ID, from->id << 24);
	put(to, LAPIC_VERSION, VERSION);
	put(to, LAPIC_TPR, from->tpr);
	put(to, LAPIC_LDR, from->ldr);
	put(to, LAPIC_DFR, from->dfr);
	put(to, LAPIC_SVR, from->svr);
	for (unsigned i = 0; i < 8; i++) {
		put(to, LAPIC_ISR + i, (uint32_t)(from->isr[i / 2] >> i % 2 * 32));
		put(to, LAPIC_TMR + i, (uint32_t)(from->tmr[i / 2] >> i % 2 * 32));
		put(to, LAPIC_IRR + i, (uint32_t)(from->irr[i / 2] >> i % 2 * 32));
	}
	put(to, LAPIC_ESR, from->esr);
	put(to, LAPIC_ICR, (uint32_t)from->icr);
	put(to, LAPIC_ICR_HIGH, (uint32_t)(from->icr >> 32));
	for (unsigned i = 0; i < LVT_COUNT; i++)
		put(to, LAPIC_LVT + i, from->lvt[i]);
	put(to, LAPIC_INITIAL_COUNT, count ? from->initial_count : 0);
	put(to, LAPIC_CURRENT_COUNT, count);
	put(to, LAPIC_DIVIDE, from->divide);
}

static void vectors_from_kvm(uint64_t to[4], const struct kvm_lapic_state *from, unsigned number)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = apic_kvm_register(from, number + 2 * i) |
			(uint64_t)apic_kvm_register(from, number + 2 * i + 1) << 32;
}

/* The kernel makes short periods longer (kvm.min_timer_period_us), and its count is then above the
 * initial one at first. */
static void timer_from_kvm(struct apic *to, const struct kvm_lapic_state *from, uint64_t deadline,
			   uint64_t now)
{
	unsigned mode = timer_mode(to->lvt[LVT_TIMER]);
	uint32_t initial = apic_kvm_register(from, LAPIC_INITIAL_COUNT);
	uint32_t current = apic_kvm_register(from, LAPIC_CURRENT_COUNT);

	to->timer_deadline = mode == MODE_DEADLINE ? deadline : 0;
	to->initial_count = mode == MODE_DEADLINE ? 0 : initial;
	to->timer_running = mode != MODE_DEADLINE && initial && (current || mode == MODE_PERIODIC);
	if (to->timer_running && current < initial)
		to->timer_start = now - ((uint64_t)(initial - current) << divide_shift(to->divide));
	else if (to->timer_running)
		to->timer_start = now;
}

void apic_from_kvm(struct apic *to, const struct kvm_lapic_state *from, uint64_t base,
		   uint64_t deadline, uint64_t now)
{
	const struct apic_ops *ops = to->ops;
	uint32_t id = to->id;

	*to = (struct apic){
		.ops = ops,
		.id = id,
		.base = base,
		.tpr = apic_kvm_register(from, LAPIC_TPR),
		.ldr = apic_kvm_register(from, LAPIC_LDR),
		.dfr = apic_kvm_register(from, LAPIC_DFR),
		.svr = apic_kvm_register(from, LAPIC_SVR),
		.esr = apic_kvm_register(from, LAPIC_ESR),
		.icr = apic_kvm_register(from, LAPIC_ICR) |
		       (uint64_t)apic_kvm_register(from, LAPIC_ICR_HIGH) << 32,
		.divide = apic_kvm_register(from, LAPIC_DIVIDE),
	};
	for (unsigned i = 0; i < LVT_COUNT; i++)
		to->lvt[i] = apic_kvm_register(from, LAPIC_LVT + i);
	vectors_from_kvm(to->isr, from, LAPIC_ISR);
	vectors_from_kvm(to->tmr, from, LAPIC_TMR);
	vectors_from_kvm(to->irr, from, LAPIC_IRR);
	timer_from_kvm(to, from, deadline, now);
}

/* In and out of the kernel */

static int get_lapic(struct kvm_processor *processor, struct kvm_lapic_state *lapic)
{
	return sync_ioctl(processor, KVM_GET_LAPIC, "KVM_GET_LAPIC", lapic);
}

static int deadline_transfer(struct kvm_processor *processor, unsigned long request,
			     uint64_t *deadline)
{
	return sync_msr(processor, request, MSR_TSC_DEADLINE, deadline);
}

int apic_store_deadline(struct kvm_processor *processor, uint64_t deadline)
{
	return deadline_transfer(processor, KVM_SET_MSRS, &deadline);
}

int apic_fetch(struct kvm_processor *processor, struct apic *apic)
{
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	uint64_t deadline = 0;
	int error = get_lapic(processor, &lapic);

	if (!error)
		error = sync_ioctl(processor, KVM_GET_SREGS, "KVM_GET_SREGS", &sregs);
	if (!error)
		error = deadline_transfer(processor, KVM_GET_MSRS, &deadline);
	if (error)
		return error;
	if (processor->paused)
		put(&lapic, LAPIC_CURRENT_COUNT, processor->paused_count);
	apic_from_kvm(apic, &lapic, sregs.apic_base, deadline, vm_time(processor->vcpu->vm));
	return 0;
}

/* What was in service, or about to be, when the machine was saved: its end is to be reported. */
static void routes_restore(struct kvm_processor *processor)
{
	struct kvm_machine *machine = machine_of(processor->vcpu->vm);
	const struct apic *apic = &processor->apic;
	bool changed = false;

	for (unsigned vector = 16; vector < 256; vector++) {
		uint64_t bit = UINT64_C(1) << vector % 64;
		unsigned word = vector / 64;

		if ((apic->isr[word] | apic->irr[word]) & apic->tmr[word] & bit)
			changed |= routes_sent(&machine->routes,
					       APIC_ADDRESS | processor->vcpu->id << 12,
					       DATA_LEVEL | vector);
	}
	if (changed)
		routes_set(machine);
}

int apic_store(struct kvm_processor *processor)
{
	struct kvm_lapic_state lapic;

	apic_to_kvm(&lapic, &processor->apic, vm_time(processor->vcpu->vm));
	routes_restore(processor);
	return sync_ioctl(processor, KVM_SET_LAPIC, "KVM_SET_LAPIC", &lapic);
}

void apic_paused(struct kvm_processor *processor)
{
	struct kvm_lapic_state lapic;

	if (processor->apic_stale || get_lapic(processor, &lapic))
		return;
	processor->paused_count = apic_kvm_register(&lapic, LAPIC_CURRENT_COUNT);
	sync_replaced(processor, &processor->paused);
}

int apic_resumed(struct kvm_processor *processor)
{
	struct kvm_lapic_state lapic;
	uint64_t deadline = 0;
	int error;

	if (!processor->paused)
		return 0;
	error = get_lapic(processor, &lapic);
	if (error)
		return error;
	if (processor->paused_count) {
		put(&lapic, LAPIC_CURRENT_COUNT, processor->paused_count);
		return sync_ioctl(processor, KVM_SET_LAPIC, "KVM_SET_LAPIC", &lapic);
	}
	error = deadline_transfer(processor, KVM_GET_MSRS, &deadline);
	return error || !deadline ? error : apic_store_deadline(processor, deadline);
}

bool apic_suppresses_eoi(struct kvm_processor *processor)
{
	struct kvm_lapic_state lapic;

	return !get_lapic(processor, &lapic) &&
	       (apic_kvm_register(&lapic, LAPIC_SVR) & SVR_NO_BROADCAST);
}

bool apic_lint1_is_nmi(struct kvm_processor *processor)
{
	struct kvm_lapic_state lapic;
	uint32_t lvt;

	if (get_lapic(processor, &lapic))
		return false;
	lvt = apic_kvm_register(&lapic, LAPIC_LVT + LVT_LINT1);
	return !(lvt & LVT_MASKED) && DATA_MODE(lvt) == APIC_NMI;
}

/* What the device asks */

static void copy_changed(struct apic *apic)
{
}

static const struct apic_ops copy_ops = {.changed = copy_changed};

/* All APICs, if they have been replaced and none has been handed over: their number, else 0. */
static unsigned replaced(const struct vm *vm, struct apic *all[VM_VCPUS_MAX])
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct kvm_processor *processor = processor_of(vm->vcpus[i]);

		if (!processor->apic_stale)
			return 0;
		all[i] = &processor->apic;
	}
	return vm->vcpu_count;
}

static bool send(struct kvm_machine *machine, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {.address_lo = (uint32_t)address,
			      .address_hi = (uint32_t)(address >> 32),
			      .data = data};

	if ((data & DATA_LEVEL) && DATA_MODE(data) <= APIC_LOWEST_PRIORITY &&
	    routes_sent(&machine->routes, address, data) && routes_set(machine))
		return false;
	return ioctl(machine->fd, KVM_SIGNAL_MSI, &msi) > 0;
}

/* Not while any are handed over: they are read before they are written. */
static bool kvm_message(struct vm *vm, uint64_t address, uint32_t data)
{
	struct kvm_machine *machine = machine_of(vm);
	struct apic *all[VM_VCPUS_MAX];
	struct apic_message message;
	unsigned count;
	bool taken;

	pthread_mutex_lock(&machine->hand_over);
	count = replaced(vm, all);
	if (count && DATA_MODE(data) <= APIC_LOWEST_PRIORITY &&
	    apic_message_from_msi(&message, address, data))
		taken = apics_deliver(all, count, &machine->last_lowest, &message);
	else
		taken = send(machine, address, data);
	pthread_mutex_unlock(&machine->hand_over);
	return taken;
}

static void kvm_lint(struct vm *vm, unsigned input, bool level)
{
	struct kvm_machine *machine = machine_of(vm);

	if (input == 0)
		atomic_store(&machine->intr, level);
	for (unsigned i = 0; level && i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		if (input == 1)
			atomic_store(&processor_of(vcpu)->nmi_pin, true);
		if (atomic_load(&vcpu->place) == VCPU_IN_ENGINE)
			kvm_vcpu_kick(vcpu);
	}
}

static void kvm_apic_get(struct vcpu *vcpu, struct apic *apic)
{
	struct kvm_processor *processor = processor_of(vcpu);

	if (processor->apic_stale)
		apic_copy(apic, &processor->apic);
	else if (apic_fetch(processor, apic))
		host_log(LOG_ERROR, "%s", processor->reason);
}

static void kvm_apic_set(struct vcpu *vcpu, const struct apic *apic)
{
	struct kvm_processor *processor = processor_of(vcpu);

	processor->apic.ops = &copy_ops;
	apic_copy(&processor->apic, apic);
	processor->apic_stale = true;
	processor->paused = false;
}

const struct engine_apics kvm_apics = {
	.message = kvm_message,
	.lint = kvm_lint,
	.get = kvm_apic_get,
	.set = kvm_apic_set,
};
