/* SPDX-License-Identifier: BSD-2-Clause */
/* Emulation of device accesses: push, pop and the near branches that go through memory. */
#include <stddef.h>

#include "x86/handlers.h"
#include "x86/mmio_attempt.h"
#include "x86/paging.h"

enum { RSP = 4 };

static unsigned stack_width(const struct attempt *attempt)
{
	if (attempt->mmio->code_size == CODE_64)
		return 8;
	return attempt->mmio->stack_size == CODE_16 ? 2 : 4;
}

/* The place below the top; rsp is moved there. */
static enum mmio_result push_find(struct attempt *attempt, unsigned size, struct place *slot)
{
	unsigned width = stack_width(attempt);
	uint64_t top = value_cut(attempt->gpr[RSP] - size, width);

	gpr_set(attempt, RSP, width, false, top);
	return place_find(attempt, slot, SEGMENT_SS, top, size, PAGING_WRITE);
}

static enum mmio_result pop_find(struct attempt *attempt, unsigned size, struct place *slot)
{
	unsigned width = stack_width(attempt);
	uint64_t top = gpr_get(attempt, RSP, width, false);

	gpr_set(attempt, RSP, width, false, value_cut(top + size, width));
	return place_find(attempt, slot, SEGMENT_SS, top, size, 0);
}

/* Goes to another place in the code segment. */
static enum mmio_result jump(struct attempt *attempt, uint64_t target)
{
	const struct mmio *mmio = attempt->mmio;

	target = value_cut(target, attempt->insn->operand_size);
	if (mmio->code_size == CODE_64 ? (int64_t)(target << 16) >> 16 != (int64_t)target
				       : target > mmio->segment_limit[SEGMENT_CS])
		return attempt_fault(attempt, VECTOR_GP, 0);
	attempt->rip = target;
	return MMIO_DONE;
}

static enum mmio_result do_push(struct attempt *attempt)
{
	struct place memory, slot;
	uint64_t value;
	enum mmio_result result = MMIO_DONE;

	if (attempt->insn->memory)
		result = memory_find(attempt, &memory);
	else
		result = operand_get(attempt, 0, NULL, &value); /* rsp, as it was */
	if (!result)
		result = push_find(attempt, attempt->insn->operand_size, &slot);
	if (!result && attempt->insn->memory)
		result = place_get(attempt, &memory, &value);
	return result ? result : place_put(attempt, &slot, value);
}

/* rsp is as after it where the destination's address depends on it, and when it is the destination
 * itself. */
static enum mmio_result do_pop(struct attempt *attempt)
{
	struct place memory, slot;
	uint64_t value;
	enum mmio_result result = pop_find(attempt, attempt->insn->operand_size, &slot);

	if (!result && attempt->insn->memory)
		result = memory_find(attempt, &memory);
	if (!result)
		result = place_get(attempt, &slot, &value);
	return result ? result : operand_put(attempt, 0, &memory, value);
}

static enum mmio_result do_jump(struct attempt *attempt)
{
	struct place memory;
	uint64_t target;
	enum mmio_result result = memory_find(attempt, &memory);

	if (!result)
		result = place_get(attempt, &memory, &target);
	return result ? result : jump(attempt, target);
}

static enum mmio_result do_call(struct attempt *attempt)
{
	const struct insn *insn = attempt->insn;
	struct place memory, slot;
	uint64_t target, next = attempt->rip;
	enum mmio_result result = MMIO_DONE;

	if (insn->memory)
		result = memory_find(attempt, &memory);
	else if (insn->op->handler == HANDLER_CALL_NEAR)
		target = next + (uint64_t)insn->immediate;
	else
		result = operand_get(attempt, 0, NULL, &target);
	if (!result)
		result = push_find(attempt, insn->operand_size, &slot);
	if (!result && insn->memory)
		result = place_get(attempt, &memory, &target);
	if (!result)
		result = jump(attempt, target);
	return result ? result : place_put(attempt, &slot, next);
}

static enum mmio_result do_ret(struct attempt *attempt)
{
	unsigned width = stack_width(attempt);
	struct place slot;
	uint64_t target;
	enum mmio_result result = pop_find(attempt, attempt->insn->operand_size, &slot);

	if (!result)
		result = place_get(attempt, &slot, &target);
	gpr_set(attempt, RSP, width, false, attempt->gpr[RSP] + (uint16_t)attempt->insn->immediate);
	return result ? result : jump(attempt, target);
}

enum mmio_result mmio_stack(struct attempt *attempt)
{
	switch (attempt->insn->op->handler) {
	case HANDLER_PUSH:
		return do_push(attempt);
	case HANDLER_POP:
		return do_pop(attempt);
	case HANDLER_JMP_INDIRECT:
		return do_jump(attempt);
	case HANDLER_RET_NEAR:
		return do_ret(attempt);
	default: /* HANDLER_CALL_NEAR, HANDLER_CALL_INDIRECT */
		return do_call(attempt);
	}
}
