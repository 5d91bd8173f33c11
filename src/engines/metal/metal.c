/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop, and how the two copies of a vcpu's registers are kept from contradicting each
 * other. While the vcpu runs, the kernel's count. vcpu->state counts
 *	- `stale`: when it has been replaced (reset, INIT), until it has been handed to the kernel;
 *	- `synced`: from sync() to the next run, which hands it over if it has been changed.
 * The same goes for the APIC, with `apic_stale` alone: it is only changed as a whole.
 *
 * The TSC's offset is moved by both sides: by the guest through its MSRs, and by vm_resume. So what
 * we last knew is remembered, and what vm_resume has added since is added to the kernel's.
 *
 * Not modelled: local APIC timers stand still in a pause only as far as their guest does not see
 * them; one that comes due in it is pending when the guest goes on.
 */
#include "engines/metal/metal.h"

#include "core/engine.h"
#include "core/vm.h"
#include "engines/metal/call.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"
#include "lib/format.h"
#include "x86/apic.h"
#include "x86/cpuid.h"
#include "x86/cpuid_entries.h"

_Static_assert(sizeof(struct apic) <= METAL_APIC_SIZE, "struct metal_vcpu has too little room");

struct metal_vcpu_own {
	struct metal_vcpu *page; /* shared with the kernel */
	bool stale, synced;
	bool answer_due; /* what the exit asked for is in it when we are run again */
	bool apic_stale;
	struct apic apic;     /* apic_stale: the one to be handed over */
	uint64_t tsc_offset;  /* the kernel's, as last known */
	uint64_t time_offset; /* the vm's, as last handed over */
	char reason[80];      /* of EXIT_FAILED */
};

static struct metal_vcpu_own *own_of(const struct vcpu *vcpu)
{
	return vcpu->engine_private;
}

static int metal_probe(char *reason, size_t size)
{
	format(reason, size, "guests run on the processor");
	return 0;
}

static int metal_vm_create(struct vm *vm)
{
	int64_t error = 0;

	for (unsigned i = 0; i < vm->memory.count && !error; i++) {
		const struct memory_range *range = &vm->memory.range[i];

		error = METAL_CALL(METAL_GUEST_MAP, range->base, range->size, range->offset);
	}
	return error < 0 ? (int)error : 0;
}

/* The kernel takes it all back when the process ends. */
static void metal_vm_destroy(struct vm *vm)
{
}

_Static_assert(CPUID_ENTRIES_MAX <= METAL_CPUID_MAX,
	       "struct metal_vcpu_config has too little room");

static void fill_cpuid(struct metal_vcpu_config *config, const struct vcpu *vcpu)
{
	struct cpuid_entry entries[CPUID_ENTRIES_MAX];

	config->cpuid_count =
		cpuid_entries(vcpu->vm->cpu_model, vcpu->id, vcpu->vm->vcpu_total, entries);
	for (unsigned i = 0; i < config->cpuid_count; i++) {
		struct metal_cpuid *to = &config->cpuid[i];

		to->leaf = entries[i].leaf;
		to->subleaf = entries[i].subleaf;
		to->any_subleaf = entries[i].any_subleaf;
		bytes_copy(to->value, entries[i].value, sizeof(to->value));
	}
}

static int create_in_kernel(struct vcpu *vcpu, struct metal_vcpu **page)
{
	const struct cpu_model *model = vcpu->vm->cpu_model;
	struct metal_vcpu_config *config = host_pages(sizeof(*config));
	int64_t address;

	if (!config)
		return -ENOMEM;
	config->xcr0 = cpu_model_xcr0(model);
	config->cr4 = cpu_model_cr4(model);
	config->arch_capabilities = cpu_model_arch_capabilities(model);
	config->physical_bits = cpu_model_physical_bits(model);
	fill_cpuid(config, vcpu);
	address = METAL_CALL(METAL_VCPU_CREATE, vcpu->id, (uintptr_t)config);
	host_pages_free(config, sizeof(*config));
	*page = (struct metal_vcpu *)address;
	return address < 0 ? (int)address : 0;
}

static int metal_vcpu_create(struct vcpu *vcpu)
{
	struct metal_vcpu_own *own = host_pages(sizeof(*own));
	int error;

	if (!own)
		return -ENOMEM;
	error = create_in_kernel(vcpu, &own->page);
	if (error) {
		host_pages_free(own, sizeof(*own));
		return error;
	}
	own->stale = true;
	vcpu->engine_private = own;
	return 0;
}

static void metal_vcpu_destroy(struct vcpu *vcpu)
{
	host_pages_free(vcpu->engine_private, sizeof(struct metal_vcpu_own));
	vcpu->engine_private = NULL;
}

/* Has the kernel store registers and APIC into the page; and learns what the guest did to its TSC.
 */
static void fetch(struct vcpu *vcpu)
{
	struct metal_vcpu_own *own = own_of(vcpu);

	CHECK(METAL_CALL(METAL_VCPU_STATE, vcpu->id) == 0);
	vcpu->state.tsc_offset += own->page->state.tsc_offset - own->tsc_offset;
	own->tsc_offset = own->page->state.tsc_offset;
}

static void metal_sync(struct vcpu *vcpu)
{
	struct metal_vcpu_own *own = own_of(vcpu);

	if (own->stale || own->synced)
		return;
	fetch(vcpu);
	state_from_metal(&vcpu->state, &own->page->state);
	own->synced = true;
}

static void metal_reset(struct vcpu *vcpu)
{
	own_of(vcpu)->stale = true;
}

static void metal_kick(struct vcpu *vcpu)
{
	METAL_CALL(METAL_VCPU_KICK, vcpu->id);
}

/* APICs */

static bool metal_message(struct vm *vm, uint64_t address, uint32_t data)
{
	return METAL_CALL(METAL_APIC_MESSAGE, address, data) > 0;
}

static void metal_lint(struct vm *vm, unsigned input, bool level)
{
	METAL_CALL(METAL_APIC_LINE, input, level);
}

static void metal_apic_get(struct vcpu *vcpu, struct apic *apic)
{
	struct metal_vcpu_own *own = own_of(vcpu);
	struct apic stored;

	if (own->apic_stale) {
		apic_copy(apic, &own->apic);
		return;
	}
	fetch(vcpu);
	bytes_copy(&stored, own->page->apic, sizeof(stored));
	apic_copy(apic, &stored);
}

static void metal_apic_set(struct vcpu *vcpu, const struct apic *apic)
{
	struct metal_vcpu_own *own = own_of(vcpu);

	apic_copy(&own->apic, apic);
	own->apic_stale = true;
}

/* Running */

/* What the kernel is to know before it runs the vcpu. */
static void hand_over_time(struct vcpu *vcpu)
{
	struct metal_vcpu_own *own = own_of(vcpu);

	if (!own->stale && vcpu->state.tsc_offset == own->tsc_offset &&
	    vcpu->vm->time_offset == own->time_offset)
		return;
	/* What the guest has added itself stays; a reset's offset is the whole of it. */
	if (!own->stale)
		fetch(vcpu);
	own->tsc_offset = own->page->state.tsc_offset = vcpu->state.tsc_offset;
	own->time_offset = own->page->time_offset = vcpu->vm->time_offset;
	own->page->load |= METAL_LOAD_TIME;
}

static void hand_over_state(struct vcpu *vcpu)
{
	struct metal_vcpu_own *own = own_of(vcpu);
	struct metal_state state = own->page->state;

	state_to_metal(&state, &vcpu->state);
	if (own->apic_stale)
		state.cr8 = apic_get_tpr(&own->apic);
	if (own->stale || !bytes_equal(&state, &own->page->state, sizeof(state))) {
		own->page->state = state;
		own->page->load |= METAL_LOAD_STATE;
	}
	own->stale = own->synced = false;
}

static void hand_over(struct vcpu *vcpu)
{
	struct metal_vcpu_own *own = own_of(vcpu);

	hand_over_time(vcpu);
	if (own->stale || own->synced)
		hand_over_state(vcpu);
	if (own->apic_stale) {
		bytes_copy(own->page->apic, &own->apic, sizeof(own->apic));
		own->page->load |= METAL_LOAD_APIC;
		own->apic_stale = false;
	}
	own->page->runnable = vcpu->state.activity != VCPU_WAIT_FOR_SIPI;
}

static void fill_access(struct vcpu *vcpu, struct exit *exit, enum exit_kind kind)
{
	struct metal_vcpu_own *own = own_of(vcpu);
	const struct metal_exit *asked = &own->page->exit;

	*exit = (struct exit){.kind = kind,
			      .write = asked->write,
			      .size = asked->size,
			      .address = asked->address,
			      .value = asked->value};
	own->answer_due = true;
}

static void start_up(struct vcpu *vcpu, uint8_t vector)
{
	vm_lock(vcpu->vm);
	vcpu->sipi_vector = vector;
	vm_unlock(vcpu->vm);
	vcpu_post(vcpu, PENDING_SIPI);
}

static void fail(struct vcpu *vcpu, struct exit *exit, const char *what, int64_t code)
{
	struct metal_vcpu_own *own = own_of(vcpu);

	format(own->reason, sizeof(own->reason), "vcpu %u: %s %#llx", vcpu->id, what,
	       (unsigned long long)code);
	*exit = (struct exit){.kind = EXIT_FAILED, .reason = own->reason};
}

/* What the kernel came back with. Whether it is for our caller. */
static bool take_exit(struct vcpu *vcpu, struct exit *exit)
{
	struct metal_exit *asked = &own_of(vcpu)->page->exit;
	int vector;

	switch (asked->kind) {
	case METAL_EXIT_PORT:
		fill_access(vcpu, exit, EXIT_PORT);
		return true;
	case METAL_EXIT_MEMORY:
		fill_access(vcpu, exit, EXIT_MEMORY);
		return true;
	case METAL_EXIT_SHUTDOWN:
		*exit = (struct exit){.kind = EXIT_SHUTDOWN};
		return true;
	case METAL_EXIT_FAILED:
		fail(vcpu, exit, "the processor left the guest with code", (int64_t)asked->address);
		return true;
	case METAL_EXIT_EOI:
		vcpu_end_of_interrupt(vcpu, (uint8_t)asked->address);
		break;
	case METAL_EXIT_EXTINT:
		vector = vcpu_take_interrupt(vcpu);
		asked->value = vector < 0 ? UINT64_MAX : (uint64_t)vector;
		break;
	case METAL_EXIT_INIT:
		vcpu_post(vcpu, PENDING_INIT);
		break;
	case METAL_EXIT_SIPI:
		start_up(vcpu, (uint8_t)asked->address);
		break;
	}
	return false;
}

static void metal_run(struct vcpu *vcpu, struct exit *exit)
{
	struct metal_vcpu_own *own = own_of(vcpu);
	int64_t result;

	if (own->answer_due)
		own->page->exit.value = exit->value;
	own->answer_due = false;
	*exit = (struct exit){.kind = EXIT_KICKED};
	while (!(atomic_load(&vcpu->pending) & ~(uint32_t)(PENDING_INTERRUPT | PENDING_NMI))) {
		hand_over(vcpu);
		result = METAL_CALL(METAL_VCPU_RUN, vcpu->id);
		if (result < 0) {
			fail(vcpu, exit, "the kernel does not run it: error", -result);
			return;
		}
		if (take_exit(vcpu, exit))
			return;
	}
}

static const struct engine_apics apics = {
	.message = metal_message,
	.lint = metal_lint,
	.get = metal_apic_get,
	.set = metal_apic_set,
};

const struct engine engine_metal = {
	.name = "metal",
	.probe = metal_probe,
	.vm_create = metal_vm_create,
	.vm_destroy = metal_vm_destroy,
	.vcpu_create = metal_vcpu_create,
	.vcpu_destroy = metal_vcpu_destroy,
	.run = metal_run,
	.kick = metal_kick,
	.reset = metal_reset,
	.sync = metal_sync,
	.apics = &apics,
};
