/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two copies of a vcpu's registers, and how they are kept from contradicting each other. Once
 * the vcpu has run, the kernel's count. vcpu->state counts
 *	- `stale`: when it has been replaced, until it has been handed to the kernel;
 *	- `synced`: from kvm_sync() to the next run, which hands it over if it has been changed.
 * The same goes for the APIC, with `apic_stale` alone: it is only changed as a whole. Registers and
 * APIC are handed over together, since the kernel's sregs have a part of the APIC.
 *
 * After a reset, a restore or a pause all vcpus' are handed over before the first of them runs, by
 * whichever thread comes first. For handing over replaces what waits at an APIC: a message that a
 * vcpu sent which runs already would be lost.
 *
 * The TSC's offset is moved by both sides: by the guest through its MSRs, and by vm_resume. So what
 * the kernel last had is remembered, and what has been added to ours since is added to the
 *kernel's.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engines/kvm/internal.h"
#include "lib/bytes.h"
#include "lib/format.h"
#include "x86/msr.h"

int sync_ioctl(struct kvm_processor *processor, unsigned long request, const char *name,
	       void *argument)
{
	int result = ioctl(processor->fd, request, argument);

	if (result >= 0)
		return 0;
	result = -errno;
	format(processor->reason, sizeof(processor->reason), "vcpu %u: %s: %s", processor->vcpu->id,
	       name, strerror(-result));
	return result;
}

int sync_msr(struct kvm_processor *processor, unsigned long request, uint32_t number,
	     uint64_t *value)
{
	struct {
		struct list_head head;
		struct kvm_msr_entry entry[1];
	} msrs = {.head = {.count = 1}, .entry = {{.index = number, .data = *value}}};
	int done = ioctl(processor->fd, request, &msrs);

	*value = msrs.entry[0].data;
	if (done == 1)
		return 0;
	format(processor->reason, sizeof(processor->reason), "vcpu %u: MSR %#x can't be %s",
	       processor->vcpu->id, number, request == KVM_GET_MSRS ? "read" : "set");
	return done < 0 ? -errno : -EINVAL;
}

/* The kernel's offset becomes ours. */
static int store_time(struct kvm_processor *processor)
{
	uint64_t offset = processor->vcpu->state.tsc_offset;
	struct kvm_device_attr attribute = {.group = KVM_VCPU_TSC_CTRL,
					    .attr = KVM_VCPU_TSC_OFFSET,
					    .addr = (uintptr_t)&offset};
	int error = sync_ioctl(processor, KVM_SET_DEVICE_ATTR, "KVM_VCPU_TSC_OFFSET", &attribute);

	processor->tsc_offset = offset;
	return error;
}

/* MSRs are transferred up to the first that the kernel refuses. */
static int transfer_msrs(struct kvm_processor *processor, struct registers *registers,
			 unsigned long request, const char *name)
{
	int done = ioctl(processor->fd, request, &registers->msrs);

	if (done == (int)registers->msrs.head.count)
		return 0;
	if (done < 0)
		return sync_ioctl(processor, request, name, &registers->msrs);
	format(processor->reason, sizeof(processor->reason),
	       "vcpu %u: %s: MSR %#x with value %#llx was refused", processor->vcpu->id, name,
	       registers->msrs.entry[done].index,
	       (unsigned long long)registers->msrs.entry[done].data);
	return -EINVAL;
}

struct transfer {
	unsigned long request;
	const char *name;
	size_t offset;
};
#define TRANSFER(request, member)                                                                  \
	{                                                                                          \
		request, #request, offsetof(struct registers, member)                              \
	}

static int transfer(struct kvm_processor *processor, struct registers *registers,
		    const struct transfer *list, size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && !error; i++)
		error = sync_ioctl(processor, list[i].request, list[i].name,
				   (uint8_t *)registers + list[i].offset);
	return error;
}

/* The activity first: asking for it has the kernel take an INIT or start-up message that waits. */
static int fetch_registers(struct kvm_processor *processor, struct registers *registers)
{
	static const struct transfer list[] = {
		TRANSFER(KVM_GET_MP_STATE, mp),	       TRANSFER(KVM_GET_REGS, regs),
		TRANSFER(KVM_GET_SREGS, sregs),	       TRANSFER(KVM_GET_XSAVE, xsave),
		TRANSFER(KVM_GET_XCRS, xcrs),	       TRANSFER(KVM_GET_DEBUGREGS, debug),
		TRANSFER(KVM_GET_VCPU_EVENTS, events),
	};
	int error = transfer(processor, registers, list, sizeof(list) / sizeof(list[0]));

	if (error)
		return error;
	return transfer_msrs(processor, registers, KVM_GET_MSRS, "KVM_GET_MSRS");
}

/* An NMI that the kernel has not begun to deliver becomes ours, where a saved machine has it. */
static int take_nmi(struct kvm_processor *processor, struct kvm_vcpu_events *events)
{
	if (!events->nmi.pending)
		return 0;
	events->nmi.pending = 0;
	events->flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	atomic_fetch_or(&processor->vcpu->pending, PENDING_NMI);
	return sync_ioctl(processor, KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", events);
}

/* What the guest has done to its TSC, by what IA32_TSC_ADJUST is now. */
static void take_adjust(struct kvm_processor *processor, uint64_t adjust)
{
	struct vcpu_state *state = &processor->vcpu->state;
	uint64_t by = adjust - state->tsc_adjust;

	state->tsc_adjust = adjust;
	state->tsc_offset += by;
	processor->tsc_offset += by;
}

int sync_fetch(struct kvm_processor *processor)
{
	struct vcpu *vcpu = processor->vcpu;
	const struct cpu_model *model = vcpu->vm->cpu_model;
	struct registers registers;
	uint64_t adjust, now;
	int error;

	/* The MSRs' numbers. */
	registers_from_state(&registers, &vcpu->state, model);
	error = fetch_registers(processor, &registers);
	if (!error)
		error = take_nmi(processor, &registers.events);
	if (error)
		return error;
	adjust = vcpu->state.tsc_adjust;
	registers_to_state(&vcpu->state, &registers, model);
	now = vcpu->state.tsc_adjust;
	vcpu->state.tsc_adjust = adjust;
	take_adjust(processor, now);
	return 0;
}

void kvm_sync(struct vcpu *vcpu)
{
	struct kvm_processor *processor = processor_of(vcpu);

	if (processor->stale || processor->synced)
		return;
	if (sync_fetch(processor)) {
		host_log(LOG_ERROR, "engine kvm: %s", processor->reason);
		return;
	}
	bytes_copy(&processor->known, &vcpu->state, sizeof(processor->known));
	processor->synced = true;
}

/* Order: the APIC's mode is in the sregs; a deadline counts only in its timer's mode, and with the
 * TSC as it is to be. */
int sync_store(struct kvm_processor *processor)
{
	static const struct transfer before[] = {
		TRANSFER(KVM_SET_SREGS, sregs),
	};
	static const struct transfer after[] = {
		TRANSFER(KVM_SET_REGS, regs),	       TRANSFER(KVM_SET_XCRS, xcrs),
		TRANSFER(KVM_SET_XSAVE, xsave),	       TRANSFER(KVM_SET_DEBUGREGS, debug),
		TRANSFER(KVM_SET_VCPU_EVENTS, events), TRANSFER(KVM_SET_MP_STATE, mp),
	};
	struct vcpu *vcpu = processor->vcpu;
	struct registers registers;
	struct kvm_mp_state waiting;
	int error = 0;

	registers_from_state(&registers, &vcpu->state, vcpu->vm->cpu_model);
	if (!processor->apic_stale)
		error = apic_fetch(processor, &processor->apic);
	registers.sregs.apic_base = processor->apic.base;
	registers.sregs.cr8 = apic_get_tpr(&processor->apic);
	/* What waits for the processor as it was is for that one. */
	if (!error)
		error = sync_ioctl(processor, KVM_GET_MP_STATE, "KVM_GET_MP_STATE", &waiting);
	if (!error)
		error = transfer(processor, &registers, before, sizeof(before) / sizeof(before[0]));
	if (!error)
		error = apic_store(processor);
	if (!error)
		error = store_time(processor);
	if (!error)
		error = transfer_msrs(processor, &registers, KVM_SET_MSRS, "KVM_SET_MSRS");
	if (!error)
		error = apic_store_deadline(processor, processor->apic.timer_deadline);
	if (!error)
		error = transfer(processor, &registers, after, sizeof(after) / sizeof(after[0]));
	if (error)
		return error;
	processor->stale = processor->apic_stale = processor->paused = false;
	processor->fresh = true;
	return 0;
}

/* After a pause: the time has been moved. */
static int hand_over_time(struct kvm_processor *processor)
{
	struct vcpu *vcpu = processor->vcpu;
	uint64_t adjust = 0;
	int error = 0;

	if (vcpu->state.tsc_offset != processor->tsc_offset) {
		error = sync_msr(processor, KVM_GET_MSRS, MSR_TSC_ADJUST, &adjust);
		if (!error)
			take_adjust(processor, adjust);
		if (!error)
			error = store_time(processor);
		if (!error)
			error = apic_resumed(processor);
	}
	/* Otherwise others never stopped: no time is to be made up for. */
	processor->paused = false;
	return error;
}

static bool is_changed(struct kvm_processor *processor)
{
	struct vcpu_state *state = &processor->vcpu->state;

	processor->known.tsc_offset = state->tsc_offset;
	return !bytes_equal(&processor->known, state, sizeof(*state));
}

static int hand_over(struct kvm_processor *processor)
{
	int error = 0;

	if (!processor->prepared) {
		error = cpuid_prepare(processor);
		processor->prepared = !error;
	}
	if (!error && (processor->stale || processor->apic_stale ||
		       (processor->synced && is_changed(processor)))) {
		/* The registers are handed over as a whole; those in the kernel are needed for it.
		 */
		if (!processor->stale && !processor->synced)
			error = sync_fetch(processor);
		if (!error)
			error = sync_store(processor);
	} else if (!error && (processor->paused ||
			      processor->vcpu->state.tsc_offset != processor->tsc_offset)) {
		error = hand_over_time(processor);
	}
	processor->synced = false;
	return error;
}

static bool is_due(const struct kvm_processor *processor)
{
	return !processor->prepared || processor->stale || processor->apic_stale ||
	       processor->synced || processor->paused ||
	       processor->vcpu->state.tsc_offset != processor->tsc_offset;
}

void sync_replaced(struct kvm_processor *processor, bool *which)
{
	struct kvm_machine *machine = machine_of(processor->vcpu->vm);

	pthread_mutex_lock(&machine->hand_over);
	*which = true;
	atomic_store(&machine->replaced, true);
	pthread_mutex_unlock(&machine->hand_over);
}

/* Those that are not in the guest, and won't be before this is done. One that fails does so again
 * on its own thread, which says why. */
static void hand_all_over(struct kvm_machine *machine, const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct kvm_processor *one = processor_of(vm->vcpus[i]);

		if (one->stale || one->paused)
			hand_over(one);
	}
	atomic_store(&machine->replaced, false);
}

int sync_hand_over(struct kvm_processor *processor)
{
	struct vm *vm = processor->vcpu->vm;
	struct kvm_machine *machine = machine_of(vm);
	int error = 0;

	if (!atomic_load(&machine->replaced) && !is_due(processor))
		return 0;
	pthread_mutex_lock(&machine->hand_over);
	if (atomic_load(&machine->replaced))
		hand_all_over(machine, vm);
	if (is_due(processor))
		error = hand_over(processor);
	pthread_mutex_unlock(&machine->hand_over);
	return error;
}
