/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RAM as the kernel knows it, a slot for each range; and its log of written pages.
 * KVM_GET_DIRTY_LOG write-protects what it reports, so that the next write is logged again. (A ring
 * of dirty pages instead would have each vcpu leave the guest when its ring is full; the bitmap
 * costs one call a round, however much was written.)
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "core/dirty.h"
#include "core/engine.h"
#include "engines/kvm/internal.h"
#include "lib/bits.h"

int memory_slot(const struct vm *vm, unsigned index, uint32_t flags)
{
	const struct memory_range *range = &vm->memory.range[index];
	struct kvm_userspace_memory_region region = {
		.slot = index,
		.flags = flags,
		.guest_phys_addr = range->base,
		.memory_size = range->size,
		.userspace_addr = (uintptr_t)vm->memory.base + range->offset,
	};

	return ioctl(machine_of(vm)->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

static int flags_set(struct vm *vm, uint32_t flags)
{
	int error = 0;

	for (unsigned i = 0; i < vm->memory.count && !error; i++)
		error = memory_slot(vm, i, flags);
	return error;
}

static int kvm_dirty_start(struct vm *vm)
{
	struct kvm_machine *machine = machine_of(vm);
	int error;

	if (!machine->dirty_log) {
		machine->dirty_log_size = dirty_words(vm) * sizeof(uint64_t);
		machine->dirty_log = host_pages(machine->dirty_log_size);
	}
	if (!machine->dirty_log)
		return -ENOMEM;
	error = flags_set(vm, KVM_MEM_LOG_DIRTY_PAGES);
	if (error)
		flags_set(vm, 0);
	return error;
}

static void mark_word(struct vm *vm, uint64_t offset, uint64_t word)
{
	for (; word; word &= word - 1)
		dirty_mark(vm, offset + (uint64_t)bits_lowest(word) * DIRTY_PAGE_SIZE,
			   DIRTY_PAGE_SIZE);
}

static int kvm_dirty_collect(struct vm *vm)
{
	struct kvm_machine *machine = machine_of(vm);

	for (unsigned i = 0; i < vm->memory.count; i++) {
		const struct memory_range *range = &vm->memory.range[i];
		struct kvm_dirty_log log = {.slot = i, .dirty_bitmap = machine->dirty_log};

		if (ioctl(machine->fd, KVM_GET_DIRTY_LOG, &log))
			return -errno;
		for (uint64_t at = 0; at < range->size / DIRTY_PAGE_SIZE / 64; at++)
			mark_word(vm, range->offset + at * 64 * DIRTY_PAGE_SIZE,
				  machine->dirty_log[at]);
	}
	return 0;
}

static void kvm_dirty_stop(struct vm *vm)
{
	flags_set(vm, 0);
}

const struct engine_dirty kvm_dirty = {
	.start = kvm_dirty_start,
	.collect = kvm_dirty_collect,
	.stop = kvm_dirty_stop,
};
