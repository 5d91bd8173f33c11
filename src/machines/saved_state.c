/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sequence of sections, each with name, instance, version and length: the clock, each vcpu, each
 * device in the order of device_init. They must be those that the vm has, in this order, for what
 * one line or region means depends on the others.
 *
 * Guest time stands still from the pause before the save to the resume after the load; so do the
 * TSCs, which are saved as the guest sees them. The wall clock went on, and the guest's
 * battery-backed clock shows that.
 */
#include "machines/saved_state.h"

#include "core/engine.h"
#include "core/host.h"
#include "core/snapshot.h"
#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "x86/state.h"

#define CLOCK_VERSION 1
#define VCPU_VERSION  1
#define NAME_MAX      32

#define PENDING_SAVED (PENDING_INTERRUPT | PENDING_NMI | PENDING_INIT | PENDING_SIPI)

/* What is in front of a section's bytes. */
struct section {
	char name[NAME_MAX], instance[NAME_MAX];
	uint32_t version, length;
};

/* Sections */

static void text_state(struct snapshot *snapshot, char text[NAME_MAX])
{
	uint8_t length = (uint8_t)string_length(text);

	snapshot_u8(snapshot, &length);
	if (length >= NAME_MAX) {
		snapshot_fail(snapshot, "a name in it is too long");
		length = 0;
	}
	snapshot_bytes(snapshot, text, length);
	text[length] = '\0';
}

static void section_state(struct snapshot *snapshot, struct section *section)
{
	text_state(snapshot, section->name);
	text_state(snapshot, section->instance);
	snapshot_u32(snapshot, &section->version);
	snapshot_u32(snapshot, &section->length);
}

static struct section section_of(const char *name, const char *instance, uint32_t version)
{
	struct section section = {.version = version};

	CHECK(string_length(name) < NAME_MAX && string_length(instance) < NAME_MAX);
	bytes_copy(section.name, name, string_length(name));
	bytes_copy(section.instance, instance, string_length(instance));
	return section;
}

/* A name that is hostile, for a line. */
static void printable(char text[NAME_MAX])
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* One way or the other; body does the same in both. */
struct part {
	const char *name, *instance;
	uint32_t version;
	void (*body)(void *context, struct snapshot *snapshot);
	void *context;
};

static void part_write(struct snapshot *all, const struct part *part)
{
	struct section section = section_of(part->name, part->instance, part->version);
	size_t before = all->position, begin;

	section_state(all, &section);
	begin = all->position;
	part->body(part->context, all);
	if (all->error)
		return;
	section.length = (uint32_t)(all->position - begin);
	begin = all->position;
	all->position = before;
	section_state(all, &section);
	all->position = begin;
}

static int part_wrong(const struct section *found, const struct part *part, char *reason)
{
	if (string_equal(found->name, part->name) && string_equal(found->instance, part->instance))
		format(reason, SAVED_STATE_REASON,
		       "%s %s was saved in version %u, and this Lodge knows version %u", part->name,
		       part->instance, found->version, part->version);
	else
		format(reason, SAVED_STATE_REASON,
		       "it holds %s %s where this machine has %s %s: they are not the same machine",
		       found->name, found->instance, part->name, part->instance);
	return -EINVAL;
}

static int part_read(struct snapshot *all, const struct part *part, char *reason)
{
	struct section expected = section_of(part->name, part->instance, part->version);
	struct section found = {.version = 0};
	struct snapshot own;

	section_state(all, &found);
	printable(found.name);
	printable(found.instance);
	if (!all->error && found.length > all->size - all->position)
		snapshot_fail(all, "the saved state ends too early");
	if (all->error) {
		format(reason, SAVED_STATE_REASON, "%s %s: %s", part->name, part->instance,
		       all->reason);
		return -EINVAL;
	}
	if (!string_equal(found.name, expected.name) ||
	    !string_equal(found.instance, expected.instance) || found.version != expected.version)
		return part_wrong(&found, part, reason);
	own = (struct snapshot){
		.loading = true, .bytes = all->bytes + all->position, .size = found.length};
	part->body(part->context, &own);
	if (!own.error && own.position != own.size)
		snapshot_fail(&own, "its saved state is longer than it should be");
	all->position += found.length;
	if (!own.error)
		return 0;
	format(reason, SAVED_STATE_REASON, "%s %s: %s", part->name, part->instance, own.reason);
	return -EINVAL;
}

/* The clock */

struct clock {
	struct vm *vm;
	uint64_t time, wall;
};

static void clock_body(void *context, struct snapshot *snapshot)
{
	struct clock *clock = context;

	snapshot_u64(snapshot, &clock->time);
	snapshot_u64(snapshot, &clock->wall);
	/* No machine runs for a hundred years; sums with deadlines stay far from the end. */
	if (clock->time >> 62)
		snapshot_fail(snapshot, "it has run for too long to be true");
	if (snapshot->loading && !snapshot->error)
		clock->vm->time_offset = clock->time - clock->vm->paused_at;
}

/* Vcpus */

static void segment_body(struct segment *segment, struct snapshot *snapshot)
{
	snapshot_u16(snapshot, &segment->selector);
	snapshot_u16(snapshot, &segment->attributes);
	snapshot_u32(snapshot, &segment->limit);
	snapshot_u64(snapshot, &segment->base);
}

static void table_body(struct table_register *table, struct snapshot *snapshot)
{
	snapshot_u64(snapshot, &table->base);
	snapshot_u16(snapshot, &table->limit);
}

static void words_body(uint64_t *words, unsigned count, struct snapshot *snapshot)
{
	for (unsigned i = 0; i < count; i++)
		snapshot_u64(snapshot, &words[i]);
}

#define WORDS(array) (array), sizeof(array) / sizeof((array)[0])

/* All but the TSC. */
static void registers_body(struct vcpu_state *state, struct snapshot *snapshot)
{
	uint64_t *const single[] = {
		&state->rip,
		&state->rflags,
		&state->cr0,
		&state->cr2,
		&state->cr3,
		&state->cr4,
		&state->xcr0,
		&state->efer,
		&state->star,
		&state->lstar,
		&state->cstar,
		&state->sfmask,
		&state->kernel_gs_base,
		&state->sysenter_cs,
		&state->sysenter_esp,
		&state->sysenter_eip,
		&state->pat,
		&state->tsc_aux,
		&state->misc_enable,
		&state->spec_ctrl,
		&state->debugctl,
		&state->xss,
		&state->mtrr_def_type,
		&state->tsc_adjust,
	};

	words_body(WORDS(state->gpr), snapshot);
	for (unsigned i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		snapshot_u64(snapshot, single[i]);
	for (unsigned i = 0; i < 6; i++)
		segment_body(&state->segment[i], snapshot);
	segment_body(&state->ldtr, snapshot);
	segment_body(&state->tr, snapshot);
	table_body(&state->gdtr, snapshot);
	table_body(&state->idtr, snapshot);
	words_body(WORDS(state->dr), snapshot);
	words_body(WORDS(state->mtrr_fixed), snapshot);
	words_body(WORDS(state->mtrr_variable), snapshot);
	snapshot_u8(snapshot, &state->activity);
	snapshot_u8(snapshot, &state->interrupt_shadow);
	snapshot_u8(snapshot, &state->nmi_blocked);
	snapshot_u8(snapshot, &state->exception_pending);
	snapshot_u8(snapshot, &state->exception_vector);
	snapshot_u8(snapshot, &state->exception_has_error);
	snapshot_u32(snapshot, &state->exception_error);
	snapshot_bytes(snapshot, state->xsave, sizeof(state->xsave));
}

static void vcpu_body(void *context, struct snapshot *snapshot)
{
	struct vcpu *vcpu = context;
	uint64_t tsc = vcpu_tsc(vcpu);
	uint32_t pending = atomic_load(&vcpu->pending) & PENDING_SAVED;
	const char *wrong;

	registers_body(&vcpu->state, snapshot);
	snapshot_u64(snapshot, &tsc);
	snapshot_u32(snapshot, &pending);
	snapshot_u8(snapshot, &vcpu->sipi_vector);
	if (!snapshot->loading)
		return;
	if (pending & ~(uint32_t)PENDING_SAVED)
		snapshot_fail(snapshot, "an event is pending that there isn't");
	wrong = state_check(&vcpu->state, vcpu->vm->cpu_model);
	if (wrong)
		snapshot_fail(snapshot, wrong);
	vcpu->state.tsc_offset = tsc - vcpu->vm->paused_tsc;
	atomic_fetch_and(&vcpu->pending, ~(uint32_t)PENDING_SAVED);
	if (!snapshot->error)
		atomic_fetch_or(&vcpu->pending, pending);
}

/* The whole */

static void device_body(void *context, struct snapshot *snapshot)
{
	struct device *device = context;

	device->ops->state(device, snapshot);
}

/* Calls `each` for the parts in their order, until one fails. */
static int parts_visit(struct vm *vm, struct clock *clock,
		       int (*each)(struct snapshot *all, const struct part *part, char *reason),
		       struct snapshot *all, char *reason)
{
	struct part part = {"clock", "0", CLOCK_VERSION, clock_body, clock};
	int error = each(all, &part, reason);
	char number[8];

	for (unsigned i = 0; i < vm->vcpu_count && !error; i++) {
		format(number, sizeof(number), "%u", i);
		part = (struct part){"vcpu", number, VCPU_VERSION, vcpu_body, vm->vcpus[i]};
		error = each(all, &part, reason);
	}
	for (struct device *device = vm->devices; device && !error; device = device->next) {
		part = (struct part){device->ops->name, device->instance, device->ops->version,
				     device_body, device};
		error = each(all, &part, reason);
	}
	return error;
}

static int write_one(struct snapshot *all, const struct part *part, char *reason)
{
	part_write(all, part);
	return all->error;
}

int saved_state_write(struct vm *vm, uint8_t *bytes, size_t size, size_t *length)
{
	struct clock clock = {vm, vm_time(vm), host_wall_clock()};
	struct snapshot all = {.bytes = bytes, .size = size};
	int error;

	CHECK(vm_paused(vm));
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_sync(vm->vcpus[i]);
	error = parts_visit(vm, &clock, write_one, &all, NULL);
	*length = all.position;
	return error;
}

/* As vm_vcpu_parked leaves it, but that no thread is there to be parked. */
static void stand_still(struct vm *vm)
{
	vm->pausing = vm->paused = true;
	vm->paused_at = host_now();
	vm->paused_tsc = vm_tsc(vm);
}

int saved_state_read(struct vm *vm, const uint8_t *bytes, size_t length, char *reason)
{
	struct clock clock = {.vm = vm};
	struct snapshot all = {.loading = true, .bytes = (uint8_t *)bytes, .size = length};
	int error;

	stand_still(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_sync(vm->vcpus[i]);
	error = parts_visit(vm, &clock, part_read, &all, reason);
	if (!error && all.position != all.size) {
		format(reason, SAVED_STATE_REASON,
		       "it holds devices that this machine doesn't have");
		error = -EINVAL;
	}
	return error;
}

void saved_state_begin(struct vm *vm)
{
	devices_loaded(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (vm->engine->reset)
			vm->engine->reset(vm->vcpus[i]);
}
