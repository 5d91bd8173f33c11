/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vcpu's life: made once, run again and again by a thread of its process. METAL_VCPU_RUN comes
 * back for what is the process's; all else is done here.
 *
 * How nothing is lost between a vcpu and those that want something of it (an interrupt, a kick),
 * whichever processor they are on: who wants sets a bit of `wanted` and then looks at `place`; the
 * vcpu sets `place` and then looks at `wanted`. Both are sequentially consistent, so at least one
 * sees the other. PLACE_GUEST: the other kicks the processor. The vcpu has interrupts off from its
 * look at `wanted` until it is in the guest, which a waiting interrupt ends at once, so the kick
 * cannot come too early. PLACE_WAITING: the other wakes the thread, and a wake that comes before
 * the sleep is remembered. A bit that is set already needs neither: whoever set it did that, and
 * the vcpu takes the bit away only where it then acts on it.
 *
 * Others look and wake with the guest's apic_lock held. The vcpu leaves PLACE_WAITING with the lock
 * held too: then nobody can still be about to wake a thread that has gone.
 *
 * What an interrupt of the processor brings while the vcpu does not run waits in the same way:
 * cpu->reschedule is looked at with interrupts off before each entry.
 */
#include "kernel/vcpu.h"

#include <stdarg.h>

#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/register.h"
#include "kernel/vendor.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"

#define LOG_LINES_MAX 16

/* vcpu->state is whatever the process says. */
static void load_state(struct vcpu *vcpu)
{
	vcpu_sanitize(vcpu);
	vcpu_fpu_sanitize(&vcpu->state, vcpu->xcr0_allowed);
	vendor->load(vcpu);
}

static int vcpu_init(struct vcpu *vcpu, struct guest *guest, unsigned id, struct metal_vcpu *page,
		     const struct metal_vcpu_config *config)
{
	int error;

	vcpu->guest = guest;
	vcpu->id = id;
	vcpu->page = page;
	if (!cpuid_table_set(&vcpu->cpuid, config) || config->physical_bits < 32 ||
	    config->physical_bits > 52)
		return -EINVAL;
	vcpu->xcr0_allowed = (config->xcr0 & cpu_features.xcr0) | 1;
	vcpu->cr4_allowed = config->cr4 & cpu_features.cr4;
	vcpu->arch_capabilities = config->arch_capabilities;
	vcpu->paging_features = (struct paging_features){
		.physical_bits = (uint8_t)(config->physical_bits < cpu_features.physical_bits
						   ? config->physical_bits
						   : cpu_features.physical_bits),
		.gigabyte_pages = cpu_features.gigabyte_pages,
	};
	vcpu_apic_init(vcpu);
	error = vendor->create(vcpu);
	if (error)
		return error;
	load_state(vcpu);
	return 0;
}

int64_t vcpu_create(struct guest *guest, unsigned id, struct metal_vcpu *page,
		    const struct metal_vcpu_config *config)
{
	struct vcpu *vcpu;
	int error;

	if (id != guest->vcpu_count || id >= guest->vcpus_max)
		return -EINVAL;
	vcpu = kernel_pages(sizeof(*vcpu));
	if (!vcpu)
		return -ENOMEM;
	error = vcpu_init(vcpu, guest, id, page, config);
	if (error) {
		kernel_pages_free(vcpu, sizeof(*vcpu));
		return error;
	}
	lock_take(&guest->apic_lock);
	guest->vcpu[id] = vcpu;
	guest->apic[id] = &vcpu->apic;
	guest->vcpu_count++;
	lock_drop(&guest->apic_lock);
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	timer_cancel_wait(&vcpu->timer);
	vendor->destroy(vcpu);
	kernel_pages_free(vcpu, sizeof(*vcpu));
}

void vcpu_want(struct vcpu *vcpu, uint32_t bits)
{
	if ((atomic_fetch_or(&vcpu->wanted, bits) & bits) == bits)
		return;
	switch (atomic_load(&vcpu->place)) {
	case PLACE_GUEST:
		if (vcpu->cpu != cpu_this())
			cpu_kick(vcpu->cpu);
		break;
	case PLACE_WAITING:
		thread_wake(vcpu->thread);
		break;
	}
}

static struct vcpu *vcpu_at(struct guest *guest, unsigned id)
{
	return id < guest->vcpu_count ? guest->vcpu[id] : NULL;
}

int64_t vcpu_kick(struct guest *guest, unsigned id)
{
	struct vcpu *vcpu = vcpu_at(guest, id);

	if (!vcpu)
		return -EINVAL;
	lock_take(&guest->apic_lock);
	vcpu_want(vcpu, WANTED_KICK);
	lock_drop(&guest->apic_lock);
	return 0;
}

void vcpu_leave_processor(struct vcpu *vcpu)
{
	if (vcpu->live != cpu_this())
		return;
	vcpu_fpu_save(vcpu);
	vcpu_debug_save(vcpu);
	vcpu->live = NULL;
}

static void leave_call(void *context)
{
	vcpu_leave_processor(context);
}

/* Its thread may be in its process on another processor, with the registers still there. */
static void fetch_registers(struct vcpu *vcpu)
{
	struct cpu *live = vcpu->live;

	if (live && live != cpu_this())
		cpu_call(live, leave_call, vcpu);
}

/* What the process has put into the page. */
static int take_load(struct vcpu *vcpu)
{
	struct metal_vcpu *page = vcpu->page;
	uint32_t load = *(volatile uint32_t *)&page->load;
	uint64_t tsc_offset = vcpu->state.tsc_offset;

	page->load = 0;
	vcpu->runnable = *(volatile uint32_t *)&page->runnable;
	if (load & METAL_LOAD_STATE) {
		vcpu_leave_processor(vcpu);
		bytes_copy(&vcpu->state, &page->state, sizeof(vcpu->state));
		vcpu->state.tsc_offset = tsc_offset;
		load_state(vcpu);
		vcpu->asked = vcpu->nmi_pending = false;
	}
	if (load & METAL_LOAD_TIME)
		vcpu_set_time(vcpu, page->time_offset, page->state.tsc_offset);
	return load & METAL_LOAD_APIC ? vcpu_apic_load(vcpu, page->apic) : 0;
}

static bool take(struct vcpu *vcpu, uint32_t bit)
{
	return (vcpu->wanted & bit) && (atomic_fetch_and(&vcpu->wanted, ~bit) & bit);
}

/* What others want, and what an end of interrupt has left. True: the process is asked. */
static bool take_wanted(struct vcpu *vcpu)
{
	if (vcpu->eoi_vector >= 0) {
		vcpu_ask(vcpu, METAL_EXIT_EOI, (unsigned)vcpu->eoi_vector);
		vcpu->eoi_vector = -1;
		return true;
	}
	if (!vcpu->wanted)
		return false;
	if (take(vcpu, WANTED_KICK))
		return vcpu_ask(vcpu, METAL_EXIT_KICKED, 0);
	if (take(vcpu, WANTED_INIT))
		return vcpu_ask(vcpu, METAL_EXIT_INIT, 0);
	if (take(vcpu, WANTED_SIPI) && !vcpu->runnable)
		return vcpu_ask(vcpu, METAL_EXIT_SIPI, vcpu->sipi_vector);
	if (take(vcpu, WANTED_NMI))
		vcpu->nmi_pending = true;
	take(vcpu, WANTED_INTERRUPT);
	return false;
}

static void wait(struct vcpu *vcpu)
{
	atomic_store(&vcpu->place, PLACE_WAITING);
	if (!atomic_load(&vcpu->wanted))
		thread_block(TIMER_NEVER);
	lock_take(&vcpu->guest->apic_lock);
	atomic_store(&vcpu->place, PLACE_OUTSIDE);
	lock_drop(&vcpu->guest->apic_lock);
}

/* Into the guest and back, unless somebody wants something. True: the process is asked. */
static bool enter(struct vcpu *vcpu)
{
	uint64_t before;

	if (vcpu->cpu != cpu_this()) {
		vcpu->cpu = cpu_this();
		vcpu_apic_moved(vcpu);
	}
	atomic_store(&vcpu->place, PLACE_GUEST);
	if (atomic_load(&vcpu->wanted)) {
		atomic_store(&vcpu->place, PLACE_OUTSIDE);
		return false;
	}
	if (vcpu_deliver(vcpu)) {
		atomic_store(&vcpu->place, PLACE_OUTSIDE);
		vcpu_ask(vcpu, METAL_EXIT_EXTINT, 0);
		return vcpu->asked = true;
	}
	before = clock_tsc();
	vcpu_fpu_load(vcpu);
	vendor->run(vcpu);
	vcpu->guest_ticks += clock_tsc() - before;
	atomic_store(&vcpu->place, PLACE_OUTSIDE);
	return vcpu_handle(vcpu);
}

/* Until the process has to be asked something. */
static int run(struct vcpu *vcpu)
{
	for (;;) {
		if (thread_must_end())
			return -EAGAIN;
		if (cpu_this()->reschedule) {
			schedule();
			continue;
		}
		if (take_wanted(vcpu))
			return 0;
		if (!vcpu->runnable || (vcpu->state.halted && !vcpu_wakes(vcpu))) {
			wait(vcpu);
			continue;
		}
		vcpu->state.halted = 0;
		if (enter(vcpu))
			return 0;
	}
}

int64_t vcpu_run(struct guest *guest, unsigned id)
{
	struct vcpu *vcpu = vcpu_at(guest, id);
	bool again = false;
	int result;

	if (!vcpu)
		return -EINVAL;
	if (atomic_exchange(&vcpu->busy, true))
		return -EBUSY;
	fetch_registers(vcpu);
	vcpu->thread = thread_this();
	result = take_load(vcpu);
	if (!result && vcpu->asked) {
		vcpu->asked = false;
		again = vcpu_answered(vcpu, *(volatile uint64_t *)&vcpu->page->exit.value);
	}
	if (!result && !again)
		result = run(vcpu);
	vcpu->page->exit = vcpu->question;
	vcpu->page->guest_time = vcpu_guest_time(vcpu);
	atomic_store(&vcpu->busy, false);
	return result;
}

/* An event whose delivery was begun goes where the state can show it. */
static void store_event(struct vcpu *vcpu)
{
	struct event *event = &vcpu->event;

	vcpu->state.exception_pending = event->kind == EVENT_FAULT;
	vcpu->state.exception_vector = event->vector;
	vcpu->state.exception_has_error = event->has_error;
	vcpu->state.exception_error = event->error;
	if (event->kind != EVENT_FAULT)
		vcpu_event_give_back(vcpu);
}

int64_t vcpu_store(struct guest *guest, unsigned id)
{
	struct vcpu *vcpu = vcpu_at(guest, id);

	if (!vcpu)
		return -EINVAL;
	if (atomic_exchange(&vcpu->busy, true))
		return -EBUSY;
	fetch_registers(vcpu);
	vcpu_leave_processor(vcpu);
	vendor->store(vcpu);
	store_event(vcpu);
	vcpu->state.cr8 = vcpu->apic.tpr >> 4;
	bytes_copy(&vcpu->page->state, &vcpu->state, sizeof(vcpu->state));
	vcpu_apic_store(vcpu, vcpu->page->apic);
	atomic_store(&vcpu->busy, false);
	return 0;
}

uint64_t vcpu_guest_time(const struct vcpu *vcpu)
{
	return clock_nanoseconds(vcpu->guest_ticks);
}

void vcpu_log(struct vcpu *vcpu, const char *format_text, ...)
{
	char text[128];
	va_list arguments;

	if (vcpu->logged++ >= LOG_LINES_MAX)
		return;
	va_start(arguments, format_text);
	vformat(text, sizeof(text), format_text, arguments);
	va_end(arguments);
	log_line("%s: vcpu %u at %#llx: %s", vcpu->guest->process->name, vcpu->id,
		 (unsigned long long)vcpu->state.rip, text);
}
