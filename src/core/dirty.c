/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bitmap stays when the log is turned off: a device on another thread may be about to mark a
 * page in it. What it marks then is thrown away by the next dirty_start.
 */
#include "core/dirty.h"

#include "core/engine.h"
#include "core/vm.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/checked.h"
#include "lib/error.h"

#define WORD_BITS 64u

static _Atomic uint64_t *bitmap_of(const struct vm *vm)
{
	return atomic_load(&vm->dirty.bitmap);
}

size_t dirty_words(const struct vm *vm)
{
	return (size_t)(vm->memory.size / DIRTY_PAGE_SIZE / WORD_BITS);
}

bool dirty_is_on(const struct vm *vm)
{
	return atomic_load_explicit(&vm->dirty.on, memory_order_acquire);
}

/* Takes all bits out; adds them to `to` unless that is NULL. */
static void take(struct vm *vm, uint64_t *to)
{
	_Atomic uint64_t *bitmap = bitmap_of(vm);

	for (size_t i = 0; i < dirty_words(vm); i++) {
		uint64_t bits = atomic_load_explicit(&bitmap[i], memory_order_relaxed)
					? atomic_exchange(&bitmap[i], 0)
					: 0;

		if (to)
			to[i] |= bits;
	}
}

int dirty_start(struct vm *vm)
{
	const struct engine_dirty *engine = vm->engine->dirty;
	int error;

	CHECK(!dirty_is_on(vm));
	if (!engine)
		return -ENOTSUP;
	if (!bitmap_of(vm)) {
		_Atomic uint64_t *bitmap = host_pages(dirty_words(vm) * sizeof(*bitmap));

		if (!bitmap)
			return -ENOMEM;
		atomic_store(&vm->dirty.bitmap, bitmap);
	}
	take(vm, NULL);
	atomic_store(&vm->dirty.on, true);
	error = engine->start(vm);
	if (error)
		atomic_store(&vm->dirty.on, false);
	return error;
}

int dirty_collect(struct vm *vm, uint64_t *bitmap)
{
	int error;

	CHECK(dirty_is_on(vm));
	error = vm->engine->dirty->collect(vm);
	if (!error)
		take(vm, bitmap);
	return error;
}

void dirty_stop(struct vm *vm)
{
	if (!dirty_is_on(vm))
		return;
	vm->engine->dirty->stop(vm);
	atomic_store(&vm->dirty.on, false);
}

void dirty_mark(struct vm *vm, uint64_t offset, uint64_t length)
{
	_Atomic uint64_t *bitmap = bitmap_of(vm);
	uint64_t page, last;

	CHECK(range_within(offset, length, vm->memory.size));
	if (length == 0)
		return;
	last = (offset + length - 1) / DIRTY_PAGE_SIZE;
	for (page = offset / DIRTY_PAGE_SIZE; page <= last; page++)
		atomic_fetch_or(&bitmap[page / WORD_BITS], BIT(page % WORD_BITS));
}

void dirty_destroy(struct vm *vm)
{
	host_pages_free((void *)bitmap_of(vm), dirty_words(vm) * sizeof(uint64_t));
	atomic_store(&vm->dirty.bitmap, NULL);
}
