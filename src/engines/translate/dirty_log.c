/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of the engine is apart from the vm's: what is taken out of it has to be taken while no
 * vcpu is inside, and together with the tags. A page that a vcpu marked between the two would be
 * lost, for its tag lets it write on unseen.
 */
#include "engines/translate/dirty_log.h"

#include "core/dirty.h"
#include "core/host.h"
#include "core/vm.h"
#include "engines/translate/engine.h"
#include "engines/translate/mmu.h"
#include "lib/error.h"

static size_t log_bytes(const struct vm *vm)
{
	return dirty_words(vm) * sizeof(uint64_t);
}

void dirty_log_enter(struct machine_code *code, uint64_t offset)
{
	_Atomic uint64_t *log = atomic_load(&code->written);
	uint64_t page = offset / DIRTY_PAGE_SIZE, bit = UINT64_C(1) << page % 64;

	if (page < code->page_count &&
	    !(atomic_load_explicit(&log[page / 64], memory_order_relaxed) & bit))
		atomic_fetch_or(&log[page / 64], bit);
}

/* In an exclusive section. */
static void take_tags(struct machine_code *code)
{
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		if (code->cpus[i])
			mmu_forget_writes(code->cpus[i]);
}

static int start(struct vm *vm)
{
	struct machine_code *code = engine_code(vm);
	_Atomic uint64_t *log = host_pages(log_bytes(vm));

	if (!log)
		return -ENOMEM;
	exclusive_begin_outside(code);
	atomic_store(&code->written, log);
	take_tags(code);
	exclusive_end_outside(code);
	return 0;
}

static int collect(struct vm *vm)
{
	struct machine_code *code = engine_code(vm);
	_Atomic uint64_t *log = atomic_load(&code->written);

	exclusive_begin_outside(code);
	take_tags(code);
	for (size_t word = 0; word < dirty_words(vm); word++) {
		uint64_t bits = atomic_load_explicit(&log[word], memory_order_relaxed);

		if (bits)
			atomic_store_explicit(&log[word], 0, memory_order_relaxed);
		for (; bits; bits &= bits - 1)
			dirty_mark(vm,
				   (word * 64 + (unsigned)__builtin_ctzll(bits)) * DIRTY_PAGE_SIZE,
				   DIRTY_PAGE_SIZE);
	}
	exclusive_end_outside(code);
	return 0;
}

static void stop(struct vm *vm)
{
	struct machine_code *code = engine_code(vm);
	_Atomic uint64_t *log = atomic_load(&code->written);

	exclusive_begin_outside(code);
	atomic_store(&code->written, NULL);
	exclusive_end_outside(code);
	host_pages_free((void *)log, log_bytes(vm));
}

void dirty_log_destroy(struct machine_code *code)
{
	host_pages_free((void *)atomic_load(&code->written), log_bytes(code->vm));
}

const struct engine_dirty dirty_log = {.start = start, .collect = collect, .stop = stop};
