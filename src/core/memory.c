/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/memory.h"

#include "core/engine.h"
#include "core/vm.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/checked.h"
#include "lib/error.h"

#define FOUR_GIB (UINT64_C(4) << 30)
#define GRANULE	 (UINT64_C(2) << 20)

static void range_add(struct memory *memory, uint64_t base, uint64_t size)
{
	struct memory_range *range = &memory->range[memory->count];

	range->base = base;
	range->size = size;
	range->offset = memory->count ? range[-1].offset + range[-1].size : 0;
	memory->count++;
}

int memory_init(struct memory *memory, uint64_t size, uint64_t hole_base)
{
	uint64_t low = size < hole_base ? size : hole_base;

	if (!size || !hole_base || hole_base > FOUR_GIB || !is_aligned(size | hole_base, GRANULE))
		return -EINVAL;
	*memory = (struct memory){.size = size, .handle = -1};
	memory->base = host_guest_memory(size, &memory->handle);
	if (!memory->base)
		return -ENOMEM;
	range_add(memory, 0, low);
	if (size > low)
		range_add(memory, FOUR_GIB, size - low);
	return 0;
}

/* Chunks, in whole words. */
static size_t absent_bytes(const struct memory *memory)
{
	return (size_t)((memory->size / MEMORY_CHUNK + 63) / 64 * sizeof(uint64_t));
}

int memory_await(struct memory *memory, struct memory_source *source)
{
	const uint64_t chunks = memory->size / MEMORY_CHUNK;
	_Atomic uint64_t *absent = host_pages(absent_bytes(memory));

	if (!absent)
		return -ENOMEM;
	for (uint64_t i = 0; i < chunks; i++)
		absent[i / 64] |= BIT(i % 64);
	memory->source = source;
	memory->absent = absent;
	return 0;
}

void memory_arrived(struct memory *memory, uint64_t offset)
{
	uint64_t chunk = offset / MEMORY_CHUNK;

	atomic_fetch_and_explicit(&memory->absent[chunk / 64], ~BIT(chunk % 64),
				  memory_order_release);
}

void memory_fetch(struct memory *memory, uint64_t offset, uint64_t length)
{
	if (!memory->absent || length == 0)
		return;
	for (uint64_t chunk = offset / MEMORY_CHUNK; chunk <= (offset + length - 1) / MEMORY_CHUNK;
	     chunk++)
		if (memory_is_absent(memory, chunk * MEMORY_CHUNK))
			memory->source->fetch(memory->source, chunk * MEMORY_CHUNK);
}

void memory_destroy(struct memory *memory)
{
	if (memory->base)
		host_guest_memory_free(memory->base, memory->size, memory->handle);
	host_pages_free((void *)memory->absent, absent_bytes(memory));
	*memory = (struct memory){.handle = -1};
}

static const struct memory_range *range_find(const struct memory *memory, uint64_t address)
{
	for (unsigned i = 0; i < memory->count; i++)
		if (address - memory->range[i].base < memory->range[i].size)
			return &memory->range[i];
	return NULL;
}

uint64_t memory_offset(const struct memory *memory, uint64_t address)
{
	const struct memory_range *range = range_find(memory, address);

	return range ? range->offset + (address - range->base) : UINT64_MAX;
}

void *vm_slice(struct vm *vm, gpa_t address, uint64_t length)
{
	struct memory *memory = &vm->memory;
	const struct memory_range *range = range_find(memory, address.value);
	uint64_t offset;

	if (!range || length == 0 ||
	    !range_within(address.value - range->base, length, range->size))
		return NULL;
	offset = range->offset + (address.value - range->base);
	memory_fetch(memory, offset, length);
	return memory->base + offset;
}

/* Whether all of it is RAM; neighbouring ranges count as one. */
static bool is_ram(const struct memory *memory, uint64_t address, uint64_t length)
{
	while (length > 0) {
		const struct memory_range *range = range_find(memory, address);
		uint64_t here;

		if (!range)
			return false;
		here = range->size - (address - range->base);
		if (here >= length)
			return true;
		address += here;
		length -= here;
	}
	return true;
}

static void copy(struct vm *vm, uint64_t address, uint8_t *bytes, uint64_t length, bool write)
{
	while (length > 0) {
		const struct memory_range *range = range_find(&vm->memory, address);
		uint64_t inside = address - range->base;
		uint64_t here = range->size - inside < length ? range->size - inside : length;
		uint8_t *ram = vm->memory.base + range->offset + inside;

		memory_fetch(&vm->memory, range->offset + inside, here);
		bytes_copy(write ? ram : bytes, write ? bytes : ram, here);
		address += here;
		bytes += here;
		length -= here;
	}
}

int vm_read(struct vm *vm, gpa_t address, void *bytes, uint64_t length)
{
	if (!is_ram(&vm->memory, address.value, length))
		return -EFAULT;
	copy(vm, address.value, bytes, length, false);
	return 0;
}

int vm_write(struct vm *vm, gpa_t address, const void *bytes, uint64_t length)
{
	if (!is_ram(&vm->memory, address.value, length))
		return -EFAULT;
	copy(vm, address.value, (uint8_t *)bytes, length, true);
	vm_written(vm, address, length);
	return 0;
}

gpa_t memory_address(const struct memory *memory, const void *host)
{
	uint64_t offset = (uint64_t)((const uint8_t *)host - memory->base);
	unsigned i = 0;

	while (i < memory->count && offset - memory->range[i].offset >= memory->range[i].size)
		i++;
	CHECK(i < memory->count);
	return gpa(memory->range[i].base + (offset - memory->range[i].offset));
}

/* The whole pages of it that are in the range. How many bytes were given back. */
static uint64_t discard_in(struct vm *vm, const struct memory_range *range, uint64_t from,
			   uint64_t to)
{
	const uint64_t page = 4096, last = range->base + range->size;
	const struct memory *memory = &vm->memory;

	from = from > range->base ? align_up(from < last ? from : last, page) : range->base;
	to = align_down(to < last ? to : last, page);
	if (from >= to)
		return 0;
	memory_fetch(&vm->memory, range->offset + (from - range->base), to - from);
	if (host_guest_memory_discard(memory->base, memory->handle,
				      range->offset + (from - range->base), to - from))
		return 0;
	/* Afterwards: what was translated meanwhile may be of what was there before. */
	vm_written(vm, gpa(from), to - from);
	return to - from;
}

uint64_t vm_discard(struct vm *vm, gpa_t address, uint64_t length)
{
	uint64_t given = 0, end;

	if (!checked_add(address.value, length, &end))
		end = UINT64_MAX;
	for (unsigned i = 0; i < vm->memory.count; i++)
		given += discard_in(vm, &vm->memory.range[i], address.value, end);
	return given;
}

/* All of it is RAM. */
static void mark(struct vm *vm, uint64_t address, uint64_t length)
{
	while (length > 0) {
		const struct memory_range *range = range_find(&vm->memory, address);
		uint64_t inside = address - range->base;
		uint64_t here = range->size - inside < length ? range->size - inside : length;

		dirty_mark(vm, range->offset + inside, here);
		address += here;
		length -= here;
	}
}

void vm_written(struct vm *vm, gpa_t address, uint64_t length)
{
	if (dirty_is_on(vm))
		mark(vm, address.value, length);
	if (vm->engine && vm->engine->written && length > 0)
		vm->engine->written(vm, address.value, length);
}
