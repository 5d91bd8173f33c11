/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulation of device accesses: one element of a string instruction. Both of its operands are found
 * before anything is read, so a fault comes without a device having been asked for nothing.
 */
#include "x86/handlers.h"
#include "x86/mmio_attempt.h"
#include "x86/paging.h"

enum { RAX = 0, RCX = 1, RDX = 2, RSI = 6, RDI = 7 };

static enum mmio_result find_source(struct attempt *attempt, unsigned size, struct place *source)
{
	uint64_t offset = gpr_get(attempt, RSI, attempt->insn->address_size, false);

	return place_find(attempt, source, attempt->insn->segment, offset, size, 0);
}

static enum mmio_result find_target(struct attempt *attempt, unsigned size, unsigned access,
				    struct place *target)
{
	uint64_t offset = gpr_get(attempt, RDI, attempt->insn->address_size, false);

	return place_find(attempt, target, SEGMENT_ES, offset, size, access);
}

static void advance(struct attempt *attempt, unsigned number, unsigned size)
{
	uint64_t step = attempt->rflags & FLAG_DF ? -(uint64_t)size : size;

	gpr_set(attempt, number, attempt->insn->address_size, false, attempt->gpr[number] + step);
}

/* Counts the element; goes on with the next one if there is one and it isn't the end. */
static void element_done(struct attempt *attempt, bool ends)
{
	unsigned width = attempt->insn->address_size;

	if (!attempt->insn->rep)
		return;
	gpr_set(attempt, RCX, width, false, attempt->gpr[RCX] - 1);
	if (!ends && gpr_get(attempt, RCX, width, false))
		attempt->rip = attempt->mmio->rip;
}

/* repe ends when not equal, repne when equal. */
static bool compare_ends(const struct attempt *attempt)
{
	return (attempt->insn->rep == 0xf3) != !!(attempt->rflags & FLAG_ZF);
}

static enum mmio_result string_move(struct attempt *attempt, unsigned size)
{
	struct place source, target;
	uint64_t value;
	enum mmio_result result = find_source(attempt, size, &source);

	if (!result)
		result = find_target(attempt, size, PAGING_WRITE, &target);
	if (!result)
		result = place_get(attempt, &source, &value);
	if (!result)
		result = place_put(attempt, &target, value);
	advance(attempt, RSI, size);
	advance(attempt, RDI, size);
	element_done(attempt, false);
	return result;
}

static enum mmio_result string_store(struct attempt *attempt, unsigned size)
{
	struct place target;
	enum mmio_result result = find_target(attempt, size, PAGING_WRITE, &target);

	if (!result)
		result = place_put(attempt, &target, gpr_get(attempt, RAX, size, false));
	advance(attempt, RDI, size);
	element_done(attempt, false);
	return result;
}

static enum mmio_result string_load(struct attempt *attempt, unsigned size)
{
	struct place source;
	uint64_t value;
	enum mmio_result result = find_source(attempt, size, &source);

	if (!result)
		result = place_get(attempt, &source, &value);
	if (!result)
		gpr_set(attempt, RAX, size, false, value);
	advance(attempt, RSI, size);
	element_done(attempt, false);
	return result;
}

static enum mmio_result string_compare(struct attempt *attempt, unsigned size)
{
	struct place source, target;
	uint64_t left, right;
	enum mmio_result result = find_source(attempt, size, &source);

	if (!result)
		result = find_target(attempt, size, 0, &target);
	if (!result)
		result = place_get(attempt, &source, &left);
	if (!result)
		result = place_get(attempt, &target, &right);
	if (result)
		return result;
	alu_binary(ALU_CMP, size, &left, right, &attempt->rflags);
	advance(attempt, RSI, size);
	advance(attempt, RDI, size);
	element_done(attempt, compare_ends(attempt));
	return MMIO_DONE;
}

static enum mmio_result string_scan(struct attempt *attempt, unsigned size)
{
	struct place target;
	uint64_t left = gpr_get(attempt, RAX, size, false), right;
	enum mmio_result result = find_target(attempt, size, 0, &target);

	if (!result)
		result = place_get(attempt, &target, &right);
	if (result)
		return result;
	alu_binary(ALU_CMP, size, &left, right, &attempt->rflags);
	advance(attempt, RDI, size);
	element_done(attempt, compare_ends(attempt));
	return MMIO_DONE;
}

static enum mmio_result string_in(struct attempt *attempt, unsigned size)
{
	struct place target;
	uint64_t value;
	enum mmio_result result = find_target(attempt, size, PAGING_WRITE, &target);

	if (!result)
		result = port_access(attempt, false, gpr_get(attempt, RDX, 2, false), size, &value);
	if (!result)
		result = place_put(attempt, &target, value);
	advance(attempt, RDI, size);
	element_done(attempt, false);
	return result;
}

static enum mmio_result string_out(struct attempt *attempt, unsigned size)
{
	struct place source;
	uint64_t value;
	enum mmio_result result = find_source(attempt, size, &source);

	if (!result)
		result = place_get(attempt, &source, &value);
	if (!result)
		result = port_access(attempt, true, gpr_get(attempt, RDX, 2, false), size, &value);
	advance(attempt, RSI, size);
	element_done(attempt, false);
	return result;
}

enum mmio_result mmio_string(struct attempt *attempt)
{
	/* The memory operand comes first, or is as large as the first. */
	unsigned size = operand_bytes(attempt, 0);

	if (attempt->insn->rep && !gpr_get(attempt, RCX, attempt->insn->address_size, false))
		return MMIO_RETRY;
	switch (attempt->insn->op->handler) {
	case HANDLER_MOVS:
		return string_move(attempt, size);
	case HANDLER_STOS:
		return string_store(attempt, size);
	case HANDLER_LODS:
		return string_load(attempt, size);
	case HANDLER_CMPS:
		return string_compare(attempt, size);
	case HANDLER_SCAS:
		return string_scan(attempt, size);
	case HANDLER_INS:
		return string_in(attempt, size);
	default: /* HANDLER_OUTS */
		return string_out(attempt, size);
	}
}
