/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers, flags and memory operands of copied instructions.
 *
 *	lea  T0, [operand]
 *	mov  T1, T0
 *	shr  T1, 12 - 5
 *	and  T1d, (TLB_SIZE - 1) << 5
 *	xor  T0, gs:[T1 + tlb[view].read or .write]	; offset in the page if it hits
 *	cmp  T0, 4096 - size
 *	ja   miss					; STUB_READ, STUB_WRITE
 *	add  T0, gs:[T1 + tlb[view].host]
 *	op   [T0]
 *
 * An instruction changes nothing of the guest's before its last look-up, so a miss can begin it
 *anew after a TLB fill. Flags that are still wanted are in cpu->flags during a look-up, for the
 *interpreter may have to take over there.
 */
#include "engines/translate/translation.h"

#include "lib/check.h"
#include "x86/handlers.h"

/* Flags */

void flags_clobber(struct translation *t, unsigned live)
{
	if (live && !(t->state & FLAGS_IN_MEM)) {
		CHECK(t->state & FLAGS_IN_REG);
		emit_flags_save(&t->emit);
		t->state |= FLAGS_IN_MEM;
	}
	t->state &= FLAGS_IN_MEM;
}

void flags_need(struct translation *t)
{
	if (t->state & FLAGS_IN_REG)
		return;
	CHECK(t->state & FLAGS_IN_MEM);
	emit_flags_load(&t->emit);
	t->state |= FLAGS_IN_REG;
}

/* Registers */

unsigned register_get(struct translation *t, unsigned number, unsigned scratch)
{
	if (!is_spilled(number))
		return host_register(number);
	emit_cpu(&t->emit, EMIT_LOAD, 8, scratch, gpr_offset(number));
	return scratch;
}

void register_put(struct translation *t, unsigned number, unsigned from)
{
	if (is_spilled(number))
		emit_cpu(&t->emit, EMIT_STORE, 8, from, gpr_offset(number));
	else if (host_register(number) != from)
		emit_move(&t->emit, host_register(number), from);
}

void register_put_word(struct translation *t, unsigned number, unsigned from)
{
	if (is_spilled(number)) {
		emit_cpu(&t->emit, EMIT_STORE, 2, from, gpr_offset(number));
		return;
	}
	emit_u8(&t->emit, 0x66);
	emit_registers(&t->emit, EMIT_LOAD, 4, host_register(number), from);
}

/* Addresses */

static bool emit_rip_relative(struct translation *t, const struct insn *insn)
{
	int64_t offset = insn->displacement + translation_step(t)->offset + insn->length;

	if (t->placed) {
		offset += (int64_t)t->page.linear;
		emit_constant(&t->emit, T0,
			      insn->address_size == 4 ? (uint32_t)offset : (uint64_t)offset);
		return true;
	}
	if (offset != (int32_t)offset)
		return false;
	emit_cpu(&t->emit, EMIT_LOAD, 8, T0, offsetof(struct cpu, code_page));
	if (offset || insn->address_size == 4)
		emit_based(&t->emit, EMIT_LEA, insn->address_size, T0, T0, (int32_t)offset);
	return true;
}

bool emit_operand_address(struct translation *t, const struct insn *insn, bool linear)
{
	bool has_base = insn->base != INSN_NO_REGISTER, has_index = insn->index != INSN_NO_REGISTER;
	unsigned base = INSN_NO_REGISTER, index = INSN_NO_REGISTER;

	if (insn->address_size == 2)
		return false;
	if (insn->base == INSN_RIP) {
		if (!emit_rip_relative(t, insn))
			return false;
	} else if (!has_base && !has_index) {
		emit_constant(&t->emit, T0,
			      insn->address_size == 4 ? (uint32_t)insn->displacement
						      : (uint64_t)insn->displacement);
	} else {
		if (has_base)
			base = register_get(t, insn->base, T0);
		if (has_index)
			index = register_get(t, insn->index, T1);
		if (base != T0 || has_index || insn->displacement || insn->address_size != 8)
			emit_memory(&t->emit, EMIT_LEA, insn->address_size, T0, base, index,
				    insn->scale, (int32_t)insn->displacement);
	}
	if (linear && (insn->segment == SEGMENT_FS || insn->segment == SEGMENT_GS))
		emit_cpu(&t->emit, EMIT_ADD, 8, T0,
			 (uint32_t)(offsetof(struct cpu, segment) +
				    insn->segment * sizeof(struct segment) +
				    offsetof(struct segment, base)));
	return true;
}

/* Look-up */

enum lookup_page operand_page(const struct insn *insn)
{
	if (insn->index != INSN_NO_REGISTER)
		return PAGE_ANY;
	if (insn->base == RSP)
		return PAGE_STACK;
	if (insn->segment == SEGMENT_FS || insn->segment == SEGMENT_GS)
		return insn->base > 15 ? PAGE_FIXED : PAGE_ANY;
	return insn->base == INSN_RIP ? PAGE_NEAR : insn->base > 15 ? PAGE_FIXED : PAGE_ANY;
}

#define ENTRY_BITS 5
_Static_assert(sizeof(struct tlb_entry) == 1 << ENTRY_BITS, "the look-up shifts by it");

static uint32_t tlb_offset(const struct translation *t, size_t member)
{
	return (uint32_t)(offsetof(struct cpu, tlb) +
			  t->view * sizeof(((struct cpu *)NULL)->tlb[0]) + member);
}

static uint32_t recent_offset(const struct translation *t, unsigned slot, size_t member)
{
	return (uint32_t)(offsetof(struct cpu, recent) +
			  (t->view * RECENT_SIZE + slot) * sizeof(struct recent_entry) + member);
}

/* Slots are given out in turn, so that neighbours do not share them. */
static unsigned next_slot(struct translation *t, bool write)
{
	unsigned *next = &t->code->recent_next[write];

	if (++*next >= RECENT_SIZE / 2 || *next < RECENT_SITES / 2)
		*next = RECENT_SITES / 2;
	return 2 * *next + write;
}

/* A block's rip-relative operands share slots if they go to the same page. */
static unsigned near_slot(struct translation *t, bool write)
{
	const struct step *step = translation_step(t);
	int64_t target = step->insn.displacement + step->offset + step->insn.length;
	struct near_slot *slots = t->near_slots[write];
	unsigned *count = &t->near_count[write];

	for (unsigned i = 0; i < *count; i++)
		if (slots[i].page == (int32_t)(target >> 12))
			return slots[i].slot;
	if (*count == NEAR_SLOTS)
		return next_slot(t, write);
	slots[*count] = (struct near_slot){(int32_t)(target >> 12), (uint16_t)next_slot(t, write)};
	return slots[(*count)++].slot;
}

static unsigned pick_slot(struct translation *t, enum lookup_page page, bool write)
{
	if (page == PAGE_STACK && t->other_stack) {
		if (!t->other_slots[write])
			t->other_slots[write] = (uint16_t)next_slot(t, write);
		return t->other_slots[write];
	}
	if (page == PAGE_STACK)
		return write ? RECENT_STACK_WRITE : RECENT_STACK_READ;
	return page == PAGE_NEAR ? near_slot(t, write) : next_slot(t, write);
}

/* Through the TLB alone. */
static void emit_lookup_in_tlb(struct translation *t, unsigned size, bool write)
{
	size_t tag = write ? offsetof(struct tlb_entry, write) : offsetof(struct tlb_entry, read);
	struct emit *emit = &t->emit;
	struct stub *stub;

	emit_move(emit, T1, T0);
	emit_shift(emit, GROUP_SHR, 8, T1, 12 - ENTRY_BITS);
	emit_group(emit, GROUP_AND, 4, T1, (TLB_SIZE - 1) << ENTRY_BITS);
	emit_cpu_indexed(emit, EMIT_XOR, T0, T1, tlb_offset(t, tag));
	emit_group(emit, GROUP_CMP, 8, T0, 4096 - (int)size);
	stub = translation_stub(t, write ? STUB_WRITE : STUB_READ,
				emit_jcc_open(emit, CONDITION_A, false));
	stub->size = t->looked_up ? 0 : (uint8_t)size;
	t->looked_up = true;
	emit_cpu_indexed(emit, EMIT_ADD, T0, T1, tlb_offset(t, offsetof(struct tlb_entry, host)));
}

void emit_lookup(struct translation *t, unsigned size, bool write, enum lookup_page page)
{
	unsigned slot;
	struct emit *emit = &t->emit;
	struct stub *stub;

	CHECK(!(t->state & FLAGS_IN_REG) && size >= 1 && size <= 64);
	if (page == PAGE_ANY) {
		emit_lookup_in_tlb(t, size, write);
		return;
	}
	slot = pick_slot(t, page, write);
	CHECK(slot % 2 == write); /* struct recent_entry */
	emit_cpu(emit, EMIT_SUB, 8, T0, recent_offset(t, slot, offsetof(struct recent_entry, tag)));
	emit_group(emit, GROUP_CMP, 8, T0, 4096 - (int)size);
	stub = translation_stub(t, STUB_RECENT, emit_jcc_open(emit, CONDITION_A, false));
	stub->size = (uint8_t)size;
	stub->slot = (uint16_t)slot;
	stub->write = write;
	stub->again = t->looked_up;
	t->looked_up = true;
	emit_cpu(emit, EMIT_ADD, 8, T0,
		 recent_offset(t, slot, offsetof(struct recent_entry, host)));
	stub->back = emit->at;
}

/* The call of thunk_recent_read or _write, and its words. */
void emit_recent_stub(struct translation *t, const struct stub *stub)
{
	struct emit *emit = &t->emit;

	emit_call(emit, translation_trampoline(t, stub->write ? TRAMPOLINE_RECENT_WRITE
							      : TRAMPOLINE_RECENT_READ));
	emit_jump(emit, stub->back);
	emit_u32(emit, translation_info(t, stub->step));
	emit_u32(emit, recent_offset(t, stub->slot, 0));
	emit_u32(emit, tlb_offset(t, stub->write ? offsetof(struct tlb_entry, write)
						 : offsetof(struct tlb_entry, read)));
	emit_u32(emit, (uint32_t)offsetof(struct cpu, recent_used) +
			       (t->view * RECENT_SIZE + stub->slot) / RECENT_GROUP);
	emit_u32(emit, 4096u - stub->size);
	emit_u32(emit, stub->again);
}

/* Copies */

/* Who holds the spilled registers that an instruction names. */
struct plan {
	struct insn_registers registers;
	uint16_t loaded;
	uint8_t rename[16];
};

/* mov, movzx, movsx, movsxd of 4 or 8 bytes: they write a whole register, whatever it was. */
static bool is_move(const struct insn *insn)
{
	unsigned opcode = insn->opcode;

	if (insn->vex || insn->operand_size == 2)
		return false;
	if (insn->map == 1)
		return (opcode & ~1u) == 0xb6 || (opcode & ~1u) == 0xbe;
	return insn->map == 0 && (opcode == 0x89 || opcode == 0x8b || opcode == 0x63 ||
				  opcode == 0xc7 || (opcode & ~7u) == 0xb8);
}

/* Gives each spilled register one of the free host registers (a mask). False if there are too few.
 */
static bool plan_make(struct plan *plan, const struct insn *insn, unsigned available)
{
	plan->registers = insn_registers(insn);
	plan->loaded = plan->registers.used & SPILLED;
	if (is_move(insn))
		plan->loaded &= plan->registers.read;
	for (unsigned i = RAX; i <= R15; i++) {
		plan->rename[i] = (uint8_t)host_register(i);
		if (!(plan->registers.used & SPILLED & 1u << i))
			continue;
		if (!available)
			return false;
		plan->rename[i] = (uint8_t)__builtin_ctz(available);
		available &= available - 1;
	}
	return true;
}

/*
 * The same for a VEX instruction of general registers, with `sources` for what it reads: it writes
 * whole registers, after it has read all, so that results may be in T0 and T1 whatever was there.
 */
static bool plan_share(struct plan *plan, const struct insn *insn, unsigned sources)
{
	unsigned results = 1u << T0 | 1u << T1;

	plan_make(plan, insn, 0);
	plan->loaded = plan->registers.read & SPILLED;
	if (!insn->vex || (insn->op->attributes & (OP_SSE | OP_AVX)) ||
	    (plan->loaded & plan->registers.written))
		return false;
	for (unsigned i = R9; i <= R11; i++) {
		unsigned *available = plan->loaded & 1u << i ? &sources : &results;

		if (!(plan->registers.used & 1u << i))
			continue;
		if (!*available)
			return false;
		plan->rename[i] = (uint8_t)__builtin_ctz(*available);
		*available &= *available - 1;
	}
	return true;
}

static void plan_load(struct translation *t, const struct plan *plan)
{
	for (unsigned i = R9; i <= R11; i++)
		if (plan->loaded & 1u << i)
			emit_cpu(&t->emit, EMIT_LOAD, 8, plan->rename[i], gpr_offset(i));
}

static void plan_store(struct translation *t, const struct plan *plan)
{
	for (unsigned i = R9; i <= R11; i++)
		if (plan->registers.written & 1u << i)
			emit_cpu(&t->emit, EMIT_STORE, 8, plan->rename[i], gpr_offset(i));
}

static bool may_write_flags(const struct insn *insn)
{
	return ((insn->op->flags_written | insn->op->flags_undefined) & FLAG_STATUS) != 0;
}

/* Before a copied instruction: flags that it reads, or leaves alone in part, must be in RFLAGS. */
static bool wants_flags(const struct step *step)
{
	unsigned keeps = step->live_after & ~insn_flags_killed(&step->insn);

	return (insn_flags_read(&step->insn) & FLAG_STATUS) ||
	       (may_write_flags(&step->insn) && keeps);
}

bool flags_are_awaited(const struct translation *t)
{
	for (unsigned i = t->current; i < t->count && !t->steps[i].interpret; i++) {
		if (wants_flags(&t->steps[i]))
			return true;
		if (may_write_flags(&t->steps[i].insn))
			return false;
	}
	return false;
}

bool flags_are_clobbered_first(const struct translation *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct step *step = &t->steps[i];
		const struct insn *insn = &step->insn;

		if (step->interpret)
			return true;
		switch (insn->op->class) {
		case CLASS_COPY:
			if (wants_flags(step))
				return false;
			if (insn->memory && !is_stack_operand(t, insn))
				return true;
			break;
		case CLASS_BRANCH:
			return insn->op->handler != HANDLER_JCC &&
			       insn->op->handler != HANDLER_LOOP &&
			       insn->op->handler != HANDLER_JCXZ &&
			       insn->op->handler != HANDLER_JMP;
		case CLASS_INLINE:
			if (insn->op->handler != HANDLER_LEA && insn->op->handler != HANDLER_NOP &&
			    !(t->stack && !insn->memory &&
			      (insn->op->handler == HANDLER_PUSH ||
			       insn->op->handler == HANDLER_POP)))
				return true;
			break;
		default:
			return true;
		}
	}
	return false;
}

static void flags_before_copy(struct translation *t)
{
	if (wants_flags(translation_step(t)))
		flags_need(t);
}

static void flags_after_copy(struct translation *t, const struct insn *insn)
{
	if (may_write_flags(insn))
		t->state = FLAGS_IN_REG;
}

/* mov of 8 bytes between a spilled register and another: from memory or to it. */
static bool copy_spilled(struct translation *t, const struct insn *insn)
{
	bool from_reg = insn->opcode == 0x89;
	unsigned to = from_reg ? insn->rm : insn->reg, from = from_reg ? insn->reg : insn->rm;

	if (insn->map || insn->vex || insn->operand_size != 8 ||
	    (insn->opcode != 0x89 && insn->opcode != 0x8b) || is_spilled(to) == is_spilled(from))
		return false;
	if (is_spilled(to))
		emit_cpu(&t->emit, EMIT_STORE, 8, host_register(from), gpr_offset(to));
	else
		emit_cpu(&t->emit, EMIT_LOAD, 8, host_register(to), gpr_offset(from));
	return true;
}

static bool copy_registers(struct translation *t, const struct insn *insn)
{
	uint8_t bytes[16];
	struct plan plan;
	unsigned length;

	if (copy_spilled(t, insn))
		return true;
	if (!plan_make(&plan, insn, 1u << T0 | 1u << T1) &&
	    !plan_share(&plan, insn, 1u << T0 | 1u << T1))
		return false;
	if ((plan.registers.used & (SPILLED | 1u << RSP)) || translation_step(t)->older) {
		length = insn_encode(insn, bytes, plan.rename, 0);
		if (!length)
			return false;
	} else {
		length = insn->length;
		bytes_copy(bytes, translation_step(t)->bytes, length);
	}
	flags_before_copy(t);
	plan_load(t, &plan);
	translation_note_flags(t);
	bytes_copy(t->emit.at, bytes, length);
	t->emit.at += length;
	plan_store(t, &plan);
	flags_after_copy(t, insn);
	return true;
}

/*
 * Operands that know their page have their slots. An x87 or MMX instruction may raise a pending #MF
 * before it reaches for memory: with a look-up, #PF comes first, as in the interpreter.
 */
bool uses_window(const struct translation *t, const struct step *step)
{
	const struct code_page *page =
		is_callees(t, (unsigned)(step - t->steps)) ? &t->callee.page : &t->home;

	return t->windows && operand_page(&step->insn) == PAGE_ANY &&
	       !(step->insn.op->attributes & (OP_X87 | OP_MMX)) &&
	       !code_wanders(t->code, page->physical + step->offset);
}

static bool copy_stack(struct translation *t, const struct insn *insn, const struct plan *plan)
{
	const struct insn_address address = {
		.base = HOST_RSP, .index = T0, .displacement = (int32_t)insn->displacement};
	uint8_t bytes[16];

	if (!insn_encode_at(insn, bytes, plan->rename, &address))
		return false;
	flags_before_copy(t);
	plan_load(t, plan);
	emit_stack_delta(t, T0);
	t->emit.at += insn_encode_at(insn, t->emit.at, plan->rename, &address);
	plan_store(t, plan);
	flags_after_copy(t, insn);
	return true;
}

/*
 * Three registers and memory (mulx, andn, ...), with two of them spilled: the memory operand is
 * loaded into T0 first, and the instruction's form without memory takes it from there.
 */
static bool copy_loaded(struct translation *t, const struct insn *insn)
{
	struct insn loaded = *insn;
	struct insn_address address = {.base = T0, .index = INSN_NO_REGISTER};
	unsigned size = insn_memory_size(insn);
	uint8_t bytes[16];
	struct plan plan;

	if (insn->address_size == 2 || !plan_share(&plan, insn, 1u << T1))
		return false;
	/* The third of the spilled ones, which it does not name. */
	loaded.memory = false;
	loaded.rm = (uint8_t)__builtin_ctz(SPILLED & ~(unsigned)plan.registers.used);
	plan.rename[loaded.rm] = T0;
	if (!insn_encode(&loaded, bytes, plan.rename, 0))
		return false;
	if (window_is_known(t, insn)) {
		emit_window_known(t, insn, &address);
	} else if (uses_window(t, translation_step(t))) {
		if (!emit_window(t, insn, size, true, &address))
			return false;
	} else {
		flags_clobber(t, translation_step(t)->live_before);
		if (!emit_operand_address(t, insn, true))
			return false;
		emit_lookup(t, size, false, operand_page(insn));
	}
	translation_note_flags(t);
	emit_memory(&t->emit, EMIT_LOAD, size, T0, address.base, address.index, 1,
		    address.displacement);
	flags_before_copy(t);
	plan_load(t, &plan);
	t->emit.at += insn_encode(&loaded, t->emit.at, plan.rename, 0);
	plan_store(t, &plan);
	flags_after_copy(t, insn);
	return true;
}

/* Flags are left where they are, so they may have to be fetched first, by way of T1. */
static bool copy_known(struct translation *t, const struct insn *insn, const struct plan *plan)
{
	struct insn_address address;

	if (plan->registers.high_byte || !window_is_known(t, insn))
		return false;
	flags_before_copy(t);
	emit_window_known(t, insn, &address);
	plan_load(t, plan);
	translation_note_flags(t);
	t->emit.at += insn_encode_at(insn, t->emit.at, plan->rename, &address);
	plan_store(t, plan);
	flags_after_copy(t, insn);
	return true;
}

/*
 * ah, ch, dh and bh cannot be named together with T0, which takes a REX prefix: rsi is made to hold
 * the address meanwhile (it cannot be an operand, for a byte instruction with one of those names
 * only the first four).
 */
static bool copy_memory(struct translation *t, const struct insn *insn)
{
	unsigned size = insn_memory_size(insn);
	bool write = insn_memory_access(insn) & ACCESS_WRITE, exchanged;
	struct insn_address address = {.index = INSN_NO_REGISTER};
	uint8_t bytes[16];
	struct plan plan;

	if (!size || size > 64 || insn->address_size == 2)
		return false;
	if (!plan_make(&plan, insn, 1u << T1))
		return copy_loaded(t, insn);
	exchanged = plan.registers.high_byte;
	if (!exchanged && is_stack_operand(t, insn))
		return copy_stack(t, insn, &plan);
	address.base = exchanged ? RSI : T0;
	if (!insn_encode_at(insn, bytes, plan.rename, &address))
		return false;
	if (copy_known(t, insn, &plan))
		return true;
	if (!exchanged && uses_window(t, translation_step(t))) {
		bool t1 = !(plan.registers.used & SPILLED) && !wants_flags(translation_step(t));

		if (!emit_window(t, insn, size, t1, &address))
			return false;
	} else {
		flags_clobber(t, translation_step(t)->live_before);
		if (!emit_operand_address(t, insn, true))
			return false;
		/* With rsi exchanged a fault could not be told exactly: not through a slot that may
		 * be empty. */
		emit_lookup(t, size, write, exchanged ? PAGE_ANY : operand_page(insn));
	}
	flags_before_copy(t);
	plan_load(t, &plan);
	translation_note_flags(t);
	if (exchanged)
		emit_registers(&t->emit, EMIT_XCHG, 8, RSI, T0);
	t->emit.at += insn_encode_at(insn, t->emit.at, plan.rename, &address);
	if (exchanged)
		emit_registers(&t->emit, EMIT_XCHG, 8, RSI, T0);
	plan_store(t, &plan);
	flags_after_copy(t, insn);
	return true;
}

bool translate_copy(struct translation *t)
{
	const struct insn *insn = &translation_step(t)->insn;

	return insn->memory ? copy_memory(t, insn) : copy_registers(t, insn);
}
