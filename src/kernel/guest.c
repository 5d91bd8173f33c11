/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's memory and its interrupt messages. All large pages are the machine's from the moment
 * it is created, so it can't run out later; each is zeroed when it is first touched, by the guest
 * or by its process.
 */
#include "kernel/guest.h"

#include "kernel/frame.h"
#include "kernel/log.h"
#include "kernel/process.h"
#include "kernel/schedule.h"
#include "kernel/vcpu.h"
#include "kernel/vendor.h"
#include "lib/checked.h"
#include "lib/error.h"

/* Guest-physical addresses end here: what nested tables of four levels reach, less than which no
 * processor model has. */
#define GUEST_PHYSICAL_END UINT64_C(0x400000000000)

const struct vendor *vendor;

void guest_probe(void)
{
	const char *complaint = svm_vendor.probe();

	if (complaint)
		log_line("guests: %s", complaint);
	else
		vendor = &svm_vendor;
}

int guest_processor_init(void)
{
	if (!vendor)
		return 0;
	vcpu_fpu_processor_init();
	return vendor->processor_init();
}

static int take_memory(struct guest *guest)
{
	unsigned owner = process_owner(guest->process);

	for (uint64_t i = 0; i < guest->size / LARGE_SIZE; i++) {
		guest->large[i] = frame_alloc_large(owner).value;
		if (!guest->large[i])
			return -ENOMEM;
		schedule_point();
	}
	return 0;
}

int guest_create(struct guest **out, struct process *process, uint64_t memory, unsigned vcpus)
{
	struct guest *guest;
	int error;

	if (!vendor)
		return -ENODEV;
	if (memory + FRAMES_KEPT > frames_free())
		return -ENOMEM;
	guest = kernel_pages(sizeof(*guest));
	if (!guest)
		return -ENOMEM;
	guest->process = process;
	guest->size = memory;
	guest->vcpus_max = vcpus;
	guest->large = kernel_pages(memory / LARGE_SIZE * sizeof(guest->large[0]));
	error = guest->large ? nested_create(guest) : -ENOMEM;
	if (!error)
		error = take_memory(guest);
	if (error) {
		guest_destroy(guest);
		return error;
	}
	*out = guest;
	return 0;
}

/*
 * Processors may still hold translations of this guest: under address space ids that none will use
 * again before it has flushed them (svm.c). So its pages can be given to others at once.
 */
void guest_destroy(struct guest *guest)
{
	unsigned owner = process_owner(guest->process);

	for (unsigned i = 0; i < guest->vcpu_count; i++)
		vcpu_destroy(guest->vcpu[i]);
	nested_destroy(guest);
	if (guest->large) {
		for (uint64_t i = 0; i < guest->size / LARGE_SIZE && guest->large[i]; i++) {
			frame_free_large(pa(guest->large[i] & ~(uint64_t)GUEST_LARGE_USED), owner);
			schedule_point();
		}
		kernel_pages_free((void *)guest->large,
				  guest->size / LARGE_SIZE * sizeof(guest->large[0]));
	}
	kernel_pages_free(guest, sizeof(*guest));
}

/* Only one may zero it: the other's first bytes might be in it already. */
static pa_t touch_first(struct guest *guest, _Atomic uint64_t *large)
{
	uint64_t entry = *large & ~(uint64_t)(GUEST_LARGE_USED | GUEST_LARGE_ZEROED);
	pa_t page = pa(entry);

	if (atomic_compare_exchange_strong(large, &entry, entry | GUEST_LARGE_ZEROED)) {
		frame_clear_large(page);
		atomic_fetch_add_explicit(&guest->touched, LARGE_SIZE, memory_order_relaxed);
		atomic_store_explicit(large, page.value | GUEST_LARGE_USED, memory_order_release);
	} else {
		while (!(atomic_load_explicit(large, memory_order_acquire) & GUEST_LARGE_USED))
			__builtin_ia32_pause();
	}
	return page;
}

pa_t guest_touch(struct guest *guest, uint64_t offset)
{
	_Atomic uint64_t *large = &guest->large[offset / LARGE_SIZE];
	uint64_t entry = atomic_load_explicit(large, memory_order_acquire);

	return entry & GUEST_LARGE_USED ? pa(entry - GUEST_LARGE_USED) : touch_first(guest, large);
}

void *guest_memory(struct guest *guest, uint64_t address, uint64_t size)
{
	unsigned count = atomic_load_explicit(&guest->range_count, memory_order_acquire);

	for (unsigned i = 0; i < count; i++) {
		const struct guest_range *range = &guest->range[i];
		uint64_t at = address - range->base;

		if (at >= range->size)
			continue;
		if (size > LARGE_SIZE - address % LARGE_SIZE)
			return NULL;
		return (uint8_t *)direct(guest_touch(guest, at + range->offset)) +
		       address % LARGE_SIZE;
	}
	return NULL;
}

static int check_range(const struct guest *guest, uint64_t base, uint64_t size, uint64_t offset)
{
	if (!size || (base | size | offset) % LARGE_SIZE || size > guest->size ||
	    offset > guest->size - size || base >= GUEST_PHYSICAL_END ||
	    size > GUEST_PHYSICAL_END - base)
		return -EINVAL;
	if (ranges_overlap(base, size, APIC_ADDRESS, LARGE_SIZE))
		return -EINVAL;
	for (unsigned i = 0; i < guest->range_count; i++)
		if (ranges_overlap(base, size, guest->range[i].base, guest->range[i].size))
			return -EEXIST;
	return guest->range_count < GUEST_RANGES_MAX ? 0 : -ENOSPC;
}

int64_t guest_map(struct guest *guest, uint64_t base, uint64_t size, uint64_t offset)
{
	int64_t result;

	lock_take(&guest->lock);
	result = check_range(guest, base, size, offset);
	if (!result)
		result = nested_prepare(guest, base, size);
	if (!result) {
		guest->range[guest->range_count] =
			(struct guest_range){.base = base, .size = size, .offset = offset};
		atomic_fetch_add_explicit(&guest->range_count, 1, memory_order_release);
	}
	lock_drop(&guest->lock);
	return result;
}

int64_t guest_message(struct guest *guest, uint64_t address, uint32_t data)
{
	struct apic_message message;
	bool taken;

	if (!apic_message_from_msi(&message, address, data))
		return -EINVAL;
	lock_take(&guest->apic_lock);
	taken = apics_deliver(guest->apic, guest->vcpu_count, &guest->last_lowest, &message);
	lock_drop(&guest->apic_lock);
	return taken;
}

int64_t guest_line(struct guest *guest, unsigned input, bool level)
{
	lock_take(&guest->apic_lock);
	for (unsigned i = 0; i < guest->vcpu_count; i++)
		apic_lint_set(guest->apic[i], input, level);
	lock_drop(&guest->apic_lock);
	return 0;
}

void guest_count(const struct guest *guest, struct metal_process_info *info)
{
	info->guest_touched = atomic_load_explicit(&guest->touched, memory_order_relaxed);
	info->vcpus = guest->vcpu_count;
	for (unsigned i = 0; i < guest->vcpu_count; i++) {
		const struct vcpu *vcpu = guest->vcpu[i];

		info->vcpu_time[i] = vcpu_guest_time(vcpu);
		for (unsigned reason = 0; reason < METAL_REASONS; reason++)
			info->exits[reason] += vcpu->exits[reason];
	}
}
