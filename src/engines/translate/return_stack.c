/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/return_stack.h"

#include "core/host.h"
#include "engines/translate/code_cache.h"
#include "engines/translate/enter.h"
#include "engines/translate/window_memory.h"

#define PAGE_SIZE 4096u
#define BYTES	  (PAGE_SIZE + 65536u) /* 8,192 calls */

/* A return that finds nothing comes to thunk_return_empty. */
bool return_stack_create(struct cpu *cpu)
{
	uint8_t *memory = host_pages(BYTES);

	if (!memory)
		return false;
	if (!window_memory_unmap(memory, PAGE_SIZE)) {
		host_pages_free(memory, BYTES);
		return false;
	}
	cpu->returns_top = (uint64_t *)(void *)(memory + BYTES) - 1;
	*cpu->returns_top = (uint64_t)(uintptr_t)thunk_return_empty;
	return_stack_empty(cpu);
	return true;
}

static uint64_t first_byte(const struct cpu *cpu)
{
	return (uint64_t)(uintptr_t)(cpu->returns_top + 1) - BYTES;
}

void return_stack_destroy(struct cpu *cpu)
{
	host_pages_free((void *)(uintptr_t)first_byte(cpu), BYTES);
}

void return_stack_check(struct cpu *cpu)
{
	uint32_t drops = atomic_load_explicit(&cpu->code->drops, memory_order_relaxed);

	if (cpu->returns_mode == cpu->mode && cpu->returns_drops == drops)
		return;
	cpu->returns_mode = cpu->mode;
	cpu->returns_drops = drops;
	return_stack_empty(cpu);
}

bool return_stack_overflows(const struct cpu *cpu, uint64_t host)
{
	return host - first_byte(cpu) < PAGE_SIZE;
}
