/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/return_stack.h"

#include "core/host.h"
#include "engines/translate/code_cache.h"
#include "engines/translate/enter.h"
#include "engines/translate/window_memory.h"

#define PAGE_SIZE 4096u
#define BYTES	  (PAGE_SIZE + 65536u) /* 8,192 calls */

static uint64_t first_byte(const uint64_t *top)
{
	return (uint64_t)(uintptr_t)(top + 1) - BYTES;
}

static void destroy(uint64_t *top)
{
	host_pages_free((void *)(uintptr_t)first_byte(top), BYTES);
}

/* A return that finds nothing comes to thunk_return_empty. */
static uint64_t *create(void)
{
	uint8_t *memory = host_pages(BYTES);
	uint64_t *top;

	if (!memory)
		return NULL;
	top = (uint64_t *)(void *)(memory + BYTES) - 1;
	if (!window_memory_unmap(memory, PAGE_SIZE)) {
		destroy(top);
		return NULL;
	}
	*top = (uint64_t)(uintptr_t)thunk_return_empty;
	return top;
}

bool return_stack_create(struct cpu *cpu)
{
	struct return_stack *stack = cpu->return_stack;

	stack[0].top = create();
	stack[1].top = stack[0].top ? create() : NULL;
	if (!stack[1].top) {
		if (stack[0].top)
			destroy(stack[0].top);
		return false;
	}
	cpu->returns_in = stack;
	cpu->returns_top = stack->top;
	return_stack_empty(cpu, true);
	return true;
}

void return_stack_destroy(struct cpu *cpu)
{
	destroy(cpu->return_stack[0].top);
	destroy(cpu->return_stack[1].top);
}

void return_stack_empty(struct cpu *cpu, bool all)
{
	cpu->return_stack[0].at = cpu->return_stack[0].top;
	if (all)
		cpu->return_stack[1].at = cpu->return_stack[1].top;
	if (all || cpu->returns_in == cpu->return_stack)
		cpu->returns = cpu->returns_top;
}

/* Code without returns leaves alone what is there for the mode that it comes from and goes to. */
static uint32_t mode_of_returns(uint32_t mode)
{
	const uint32_t view = 3u << MODE_VIEW_SHIFT;

	if (mode_has_returns(mode) || (mode & view) == VIEW_USER << MODE_VIEW_SHIFT)
		return mode;
	return (mode & ~view) | VIEW_KERNEL << MODE_VIEW_SHIFT;
}

/* A call-out of the one may go on with the other by a return (resume_call), which wants a place. */
static void exchange(struct cpu *cpu, struct return_stack *stack)
{
	cpu->returns_in->at = cpu->returns;
	cpu->returns = stack->at;
	cpu->returns_top = stack->top;
	cpu->returns_in = stack;
	if (return_stack_overflows(cpu, (uint64_t)(uintptr_t)(stack->at - 1)))
		cpu->returns = stack->top;
}

void return_stack_check(struct cpu *cpu)
{
	struct return_stack *stack = &cpu->return_stack[cpu->view != VIEW_USER];
	uint32_t drops = atomic_load_explicit(&cpu->code->drops, memory_order_relaxed);

	if (cpu->returns_in != stack)
		exchange(cpu, stack);
	if (stack->drops == drops &&
	    (stack->mode == cpu->mode || stack->mode == mode_of_returns(cpu->mode)))
		return;
	stack->mode = mode_of_returns(cpu->mode);
	stack->drops = drops;
	cpu->returns = stack->top;
}

bool return_stack_overflows(const struct cpu *cpu, uint64_t host)
{
	return host - first_byte(cpu->returns_top) < PAGE_SIZE;
}
