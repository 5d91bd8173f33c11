/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop: KVM_RUN, and what it returns with.
 *
 * Whatever the guest asks of a device is answered here (vcpu_access), and the answer is in struct
 * kvm_run. The next KVM_RUN finishes the instruction with it, which is not done before: so nobody
 * is shown the registers in between. Asked to leave, the loop has KVM_RUN finish it and return at
 * once (immediate_exit), and only then returns itself.
 *
 * A kick sets immediate_exit and sends the thread a signal. Whoever kicks has set what it is about
 * before; the loop clears immediate_exit and then looks for that. If the kick comes between the
 * look and KVM_RUN, immediate_exit is set again and KVM_RUN returns at once; if during KVM_RUN, the
 * signal ends it. So none is lost.
 *
 * The 8259s' INTR is LINT0 of all APICs. The kernel knows which of them let it in, and says so in
 * ready_for_interrupt_injection; the vector goes in as an interrupt whose delivery has begun
 * (KVM_SET_VCPU_EVENTS), for that is seen in a saved machine. What KVM_INTERRUPT would hand over is
 * not, until it has been delivered.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/engine.h"
#include "engines/kvm/internal.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/format.h"

#define LOG_LINES_MAX	 8
#define VECTOR_UD	 6
#define EMULATION_FAILED KVM_INTERNAL_ERROR_EMULATION

const char *const kvm_reason_names[KVM_REASONS] = {
	[KVM_REASON_PORT] = "ports",
	[KVM_REASON_MEMORY] = "device memory",
	[KVM_REASON_MSR] = "MSRs",
	[KVM_REASON_EOI] = "ends of interrupts",
	[KVM_REASON_WINDOW] = "interrupt windows",
	[KVM_REASON_KICK] = "kicks",
	[KVM_REASON_OTHER] = "other",
};

void kvm_log(struct vcpu *vcpu, const char *format, ...)
{
	struct kvm_machine *machine = machine_of(vcpu->vm);
	unsigned count = atomic_fetch_add(&machine->logged, 1);
	char line[160];
	va_list arguments;

	if (count >= LOG_LINES_MAX)
		return;
	va_start(arguments, format);
	vformat(line, sizeof(line), format, arguments);
	va_end(arguments);
	host_log(LOG_INFO, "vcpu %u: %s%s", vcpu->id, line,
		 count == LOG_LINES_MAX - 1 ? " (no more of these will be shown)" : "");
}

static void immediate_exit_set(struct kvm_run *run, uint8_t value)
{
	__atomic_store_n(&run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

void kvm_vcpu_kick(struct vcpu *vcpu)
{
	struct kvm_processor *processor = processor_of(vcpu);
	int thread = atomic_load(&processor->thread);

	immediate_exit_set(processor->run, 1);
	if (thread)
		syscall(SYS_tgkill, machine_of(vcpu->vm)->process, thread, SIGUSR1);
}

/* Accesses */

static uint64_t load(const void *from, unsigned size)
{
	return bytes_load(from, size);
}

/* `count` accesses of `size` bytes to one port, as of a repeated ins or outs. */
static void port(struct kvm_processor *processor)
{
	struct kvm_run *run = processor->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		struct exit exit = {.kind = EXIT_PORT,
				    .write = run->io.direction == KVM_EXIT_IO_OUT,
				    .size = run->io.size,
				    .address = run->io.port};

		if (exit.write)
			exit.value = load(data, exit.size);
		vcpu_access(processor->vcpu, &exit);
		if (!exit.write)
			bytes_store(data, exit.value, exit.size);
	}
}

/* The size of the first of the pieces that an access is made of: a power of two, aligned unless the
 * whole access is one. */
static unsigned piece(uint64_t address, unsigned length)
{
	unsigned size = 8;

	if (is_power_of_two(length))
		return length;
	while (size > length || !is_aligned(address, size))
		size /= 2;
	return size;
}

static void memory(struct kvm_processor *processor)
{
	struct kvm_run *run = processor->run;
	unsigned length = run->mmio.len < 8 ? run->mmio.len : 8, size;

	for (unsigned at = 0; at < length; at += size) {
		struct exit exit = {.kind = EXIT_MEMORY,
				    .write = run->mmio.is_write,
				    .address = run->mmio.phys_addr + at};

		size = piece(exit.address, length - at);
		exit.size = (uint8_t)size;
		if (exit.write)
			exit.value = load(run->mmio.data + at, size);
		vcpu_access(processor->vcpu, &exit);
		if (!exit.write)
			bytes_store(run->mmio.data + at, exit.value, size);
	}
}

static void msr(struct kvm_processor *processor, bool write)
{
	struct kvm_run *run = processor->run;
	uint64_t value = 0;
	bool done;

	if (write)
		done = msr_write(processor->vcpu, run->msr.index, run->msr.data);
	else
		done = msr_read(processor->vcpu, run->msr.index, &value);
	if (!write)
		run->msr.data = value;
	run->msr.error = !done;
}

/* A level-triggered interrupt ended. The kernel reports it also to guests that have turned the
 * broadcast off, and that tell the I/O APIC themselves. */
static void end_of_interrupt(struct kvm_processor *processor)
{
	struct vcpu *vcpu = processor->vcpu;
	uint8_t vector = processor->run->eoi.vector;

	vm_lock(vcpu->vm);
	routes_ended(&machine_of(vcpu->vm)->routes, vector);
	vm_unlock(vcpu->vm);
	if (!apic_suppresses_eoi(processor))
		vcpu_end_of_interrupt(vcpu, vector);
}

/* Events */

static int events_transfer(struct kvm_processor *processor, struct kvm_vcpu_events *events,
			   bool set)
{
	return set ? sync_ioctl(processor, KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", events)
		   : sync_ioctl(processor, KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS", events);
}

/* An interrupt does not by itself end a hlt here. */
static int wake(struct kvm_processor *processor)
{
	struct kvm_mp_state mp;
	int error = sync_ioctl(processor, KVM_GET_MP_STATE, "KVM_GET_MP_STATE", &mp);

	if (error || mp.mp_state != KVM_MP_STATE_HALTED)
		return error;
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	return sync_ioctl(processor, KVM_SET_MP_STATE, "KVM_SET_MP_STATE", &mp);
}

/* The processor can take an interrupt now: the 8259s' vector. */
static int inject(struct kvm_processor *processor)
{
	struct kvm_vcpu_events events;
	int vector, error = events_transfer(processor, &events, false);

	processor->run->ready_for_interrupt_injection = 0;
	if (error || events.interrupt.injected)
		return error;
	vector = vcpu_take_interrupt(processor->vcpu);
	if (vector < 0)
		return 0;
	events.interrupt.injected = 1;
	events.interrupt.nr = (uint8_t)vector;
	events.interrupt.soft = 0;
	error = events_transfer(processor, &events, true);
	return error ? error : wake(processor);
}

static int nmi(struct kvm_processor *processor)
{
	struct vcpu *vcpu = processor->vcpu;
	bool pin = atomic_exchange(&processor->nmi_pin, false) && apic_lint1_is_nmi(processor);

	if (!pin && !(atomic_load(&vcpu->pending) & PENDING_NMI))
		return 0;
	vcpu_withdraw(vcpu, PENDING_NMI);
	return sync_ioctl(processor, KVM_NMI, "KVM_NMI", NULL);
}

/* What is to be delivered before the next KVM_RUN. */
static int deliver(struct kvm_processor *processor)
{
	struct kvm_run *run = processor->run;
	const struct kvm_machine *machine = machine_of(processor->vcpu->vm);
	int error = 0;

	if (atomic_load_explicit(&processor->nmi_pin, memory_order_relaxed) ||
	    (atomic_load(&processor->vcpu->pending) & PENDING_NMI))
		error = nmi(processor);
	run->request_interrupt_window = 0;
	if (error || !atomic_load(&machine->intr))
		return error;
	/* Whether it can be taken is known when KVM_RUN has returned with nothing left to do. */
	if (processor->unfinished || processor->fresh)
		immediate_exit_set(run, 1);
	else if (run->ready_for_interrupt_injection)
		error = inject(processor);
	run->request_interrupt_window = atomic_load(&machine->intr);
	return error;
}

/* Exits */

static bool failed(struct kvm_processor *processor, struct exit *exit)
{
	*exit = (struct exit){.kind = EXIT_FAILED, .reason = processor->reason};
	return false;
}

/* An instruction on a device's memory that the kernel's emulator doesn't know: #UD, as on an engine
 * that doesn't know it. */
static bool emulation_failed(struct kvm_processor *processor, struct exit *exit)
{
	const struct kvm_run *run = processor->run;
	const uint8_t *bytes = run->emulation_failure.insn_bytes;
	struct kvm_vcpu_events events;

	if (run->emulation_failure.ndata >= 3 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		kvm_log(processor->vcpu,
			"KVM can't emulate the instruction %02x %02x %02x %02x %02x %02x %02x %02x "
			"(#UD)",
			bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6],
			bytes[7]);
	else
		kvm_log(processor->vcpu, "KVM can't emulate an instruction (#UD)");
	if (events_transfer(processor, &events, false))
		return failed(processor, exit);
	events.exception.injected = 1;
	events.exception.nr = VECTOR_UD;
	events.exception.has_error_code = 0;
	return events_transfer(processor, &events, true) ? failed(processor, exit) : true;
}

static bool unknown_exit(struct kvm_processor *processor, struct exit *exit)
{
	const struct kvm_run *run = processor->run;
	uint64_t detail = 0;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		detail = run->fail_entry.hardware_entry_failure_reason;
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		detail = run->internal.suberror;
	else if (run->exit_reason == KVM_EXIT_UNKNOWN)
		detail = run->hw.hardware_exit_reason;
	format(processor->reason, sizeof(processor->reason),
	       "vcpu %u: KVM_RUN ended with reason %u, %#llx", processor->vcpu->id,
	       run->exit_reason, (unsigned long long)detail);
	return failed(processor, exit);
}

/* False: it is for our caller. */
static bool act(struct kvm_processor *processor, struct exit *exit)
{
	enum kvm_reason reason = KVM_REASON_OTHER;

	processor->unfinished = false;
	switch (processor->run->exit_reason) {
	case KVM_EXIT_IO:
		reason = KVM_REASON_PORT;
		processor->unfinished = true;
		port(processor);
		break;
	case KVM_EXIT_MMIO:
		reason = KVM_REASON_MEMORY;
		processor->unfinished = true;
		memory(processor);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		reason = KVM_REASON_MSR;
		processor->unfinished = true;
		msr(processor, processor->run->exit_reason == KVM_EXIT_X86_WRMSR);
		break;
	case KVM_EXIT_IOAPIC_EOI:
		reason = KVM_REASON_EOI;
		end_of_interrupt(processor);
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		reason = KVM_REASON_WINDOW;
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		*exit = (struct exit){.kind = EXIT_SHUTDOWN};
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		if (processor->run->internal.suberror == EMULATION_FAILED)
			return emulation_failed(processor, exit);
		return unknown_exit(processor, exit);
	default:
		return unknown_exit(processor, exit);
	}
	processor->reasons[reason]++;
	return true;
}

/* KVM_RUN, once. False: the caller is to leave with exit. */
static bool enter(struct kvm_processor *processor, struct exit *exit)
{
	int error;

	if (!ioctl(processor->fd, KVM_RUN, 0)) {
		processor->fresh = false;
		return act(processor, exit);
	}
	error = errno;
	processor->reasons[KVM_REASON_KICK]++;
	if (error == EINTR || error == EAGAIN) {
		processor->unfinished = processor->fresh = false;
		return true;
	}
	format(processor->reason, sizeof(processor->reason), "vcpu %u: KVM_RUN: %s",
	       processor->vcpu->id, strerror(error));
	return failed(processor, exit);
}

/* Whether core wants the vcpu. */
static bool is_wanted(struct kvm_processor *processor)
{
	if (processor->run->immediate_exit)
		immediate_exit_set(processor->run, 0);
	return atomic_load(&processor->vcpu->pending) &
	       ~(uint32_t)(PENDING_INTERRUPT | PENDING_NMI);
}

void kvm_vcpu_run(struct vcpu *vcpu, struct exit *exit)
{
	struct kvm_processor *processor = processor_of(vcpu);

	if (!atomic_load_explicit(&processor->thread, memory_order_relaxed))
		atomic_store(&processor->thread, (int)syscall(SYS_gettid));
	*exit = (struct exit){.kind = EXIT_KICKED};
	for (;;) {
		bool wanted = is_wanted(processor);

		if (wanted && !processor->unfinished)
			break;
		if (wanted)
			immediate_exit_set(processor->run, 1);
		else if (sync_hand_over(processor) || deliver(processor)) {
			failed(processor, exit);
			return;
		}
		if (!enter(processor, exit))
			return;
	}
	/* A vcpu that is held may be paused where it stands. */
	if (atomic_load(&vcpu->pending) & (PENDING_PAUSE | PENDING_HOLD))
		apic_paused(processor);
}
