/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls and returns. Where the mode has it, they are the host's calls and returns as well, by the
 * return stack (return_stack.h); here with the stack reached without look-ups (translate_stack.c):
 *
 *	call:	mov  [rsp + stack_delta - 8], return address
 *		lea  rsp, [rsp - 8]
 *		call target
 *	back:	mov  T1, return address		; where thunk_return looks for it
 *		cmp  T0, T1
 *		jne  thunk_return
 *		cmp  gs:[kick], 0
 *		jne  thunk_jump			; T0 is where to go on
 *
 *	ret:	mov  T0, [rsp + stack_delta]
 *		lea  rsp, [rsp + 8]
 *		flags to cpu->flags
 *		ret
 *
 * So the host returns to where the last call came from, whatever the guest has on its stack; and
 * there it is found out whether that is right. If not, thunk_return looks further up the return
 * stack, as after a longjmp; then the jump cache has it.
 */
#include "engines/translate/translation.h"

#include "engines/translate/cpu_offsets.h"
#include "lib/check.h"

void emit_push_return(struct translation *t, const struct step *step)
{
	int64_t behind = step->offset + step->insn.length;

	if (t->stack) {
		emit_linear(t, T1, behind);
		emit_stack_store(t, T1, -8);
	} else {
		emit_add(&t->emit, T0, HOST_RSP, -8);
		emit_lookup(t, 8, true, PAGE_STACK);
		emit_linear(t, T1, behind);
		emit_based(&t->emit, EMIT_STORE, 8, T1, T0, 0);
	}
	emit_add(&t->emit, HOST_RSP, HOST_RSP, -8);
}

void emit_return_point(struct translation *t, const struct step *step)
{
	struct emit *emit = &t->emit;
	int64_t behind = step->offset + step->insn.length;
	uint8_t *start = emit->at;

	emit_u16(emit, 0xb849 | (T1 & 7) << 8); /* mov T1, imm64 */
	CHECK(emit->at - start == RETURN_POINT_CONSTANT);
	emit_u64(emit, t->page.linear + (uint64_t)behind);
	emit_registers(emit, EMIT_CMP, 8, T0, T1);
	emit_close(emit_jcc_open(emit, CONDITION_NZ, false),
		   translation_trampoline(t, TRAMPOLINE_RETURN));
	emit_cpu_test32(emit, offsetof(struct cpu, kick));
	emit_close(emit_jcc_open(emit, CONDITION_NZ, false),
		   translation_trampoline(t, TRAMPOLINE_JUMP));
	t->state = FLAGS_IN_MEM;
}

void translate_ret(struct translation *t, const struct step *step)
{
	int32_t size = 8 + (int32_t)(uint16_t)step->insn.immediate;

	if (t->stack) {
		emit_stack_load(t, T0, 0);
	} else {
		flags_clobber(t, step->live_before);
		emit_move(&t->emit, T0, HOST_RSP);
		emit_lookup(t, 8, false, PAGE_STACK);
		emit_based(&t->emit, EMIT_LOAD, 8, T0, T0, 0);
	}
	emit_add(&t->emit, HOST_RSP, HOST_RSP, size);
	flags_clobber(t, step->live_before);
	if (t->returns)
		emit_u8(&t->emit, 0xc3);
	else
		emit_jump_cache(t, JUMP_ANYWHERE);
}
