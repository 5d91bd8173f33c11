/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What translated code calls: with the guest's registers in struct cpu, but rip, which is known
 * from the words behind the call. A guest exception unwinds to the dispatcher from anywhere here.
 * The block that called may be gone on return from anything that can begin an exclusive section:
 * generation tells.
 */
#include "core/vm.h"
#include "engines/translate/enter.h"
#include "engines/translate/exception.h"
#include "engines/translate/fault.h"
#include "engines/translate/interpret.h"
#include "engines/translate/jump_cache.h"
#include "engines/translate/mmu.h"
#include "engines/translate/return_stack.h"
#include "engines/translate/timing.h"
#include "engines/translate/translation.h"
#include "engines/translate/translator.h"
#include "engines/translate/window.h"
#include "lib/check.h"
#include "x86/cpuid.h"
#include "x86/handlers.h"
#include "x86/paging.h"
#include "x86/registers.h"

/* Finding blocks */

/* NULL: something has changed, look again. */
static struct block *make_block(struct cpu *cpu, uint64_t physical, const uint8_t *page)
{
	struct machine_code *code = cpu->code;
	struct block *block = NULL;
	unsigned doing = timing_switch(cpu, TIMING_TRANSLATE);
	bool full;

	CHECK(code_page_prepare(cpu, physical));
	code_lock(&code->lock);
	full = !code_has_room(code);
	if (!full && code_page_prepared(cpu, physical)) {
		block = code_lookup(code, physical, block_linear(cpu->rip, cpu->mode), cpu->mode);
		if (!block)
			block = translate_block(cpu, physical, page);
	}
	code_unlock(&code->lock);
	if (full) {
		exclusive_begin(cpu);
		if (!code_has_room(code))
			code_make_room(code);
		exclusive_end(cpu);
	}
	timing_switch(cpu, doing);
	return block;
}

static uint64_t fetch_physical(const struct fetch_entry *entry, uint64_t linear)
{
	return (entry->physical & ~4095ull) | (linear & 4095);
}

/* The block for cpu->rip, which becomes the current one; NULL if there is no RAM. Raises #PF and
 * #GP of the fetch. */
static struct block *find_block(struct cpu *cpu)
{
	cpu->count_lookups++;
	timing_switch(cpu, TIMING_FIND);
	for (;;) {
		const struct fetch_entry *entry = mmu_fetch_page(cpu, cpu->rip);
		uint64_t physical = fetch_physical(entry, cpu->rip);
		bool global = entry->physical & 1;
		struct block *block;

		if (!entry->host)
			return NULL;
		block = code_lookup(cpu->code, physical, block_linear(cpu->rip, cpu->mode),
				    cpu->mode);
		if (!block)
			block = make_block(cpu, physical, entry->host);
		if (!block)
			continue;
		cpu->code_page = cpu->rip & ~4095ull;
		jump_cache_add(cpu, cpu->rip, code_entry(cpu->code, block), global);
		return block;
	}
}

/* NULL: something has changed, or it does not cross. */
static struct block *make_crossing(struct cpu *cpu, uint64_t physical, uint64_t second,
				   const uint8_t *host, const uint8_t *second_host)
{
	struct machine_code *code = cpu->code;
	unsigned doing = timing_switch(cpu, TIMING_TRANSLATE), room = 4096 - (physical & 4095);
	struct block *block = NULL;

	code_page_prepare(cpu, physical);
	code_page_prepare(cpu, second);
	code_lock(&code->lock);
	if (code_has_room(code) && code_page_prepared(cpu, physical) &&
	    code_page_prepared(cpu, second)) {
		uint8_t bytes[16] = {0};

		bytes_copy(bytes, host + (physical & 4095), room);
		bytes_copy(bytes + room, second_host, 15 - room);
		block = code_lookup_crossing(code, physical, second,
					     block_linear(cpu->rip, cpu->mode), cpu->mode);
		if (!block)
			block = translate_crossing(cpu, physical, second, host, bytes);
	}
	code_unlock(&code->lock);
	timing_switch(cpu, doing);
	return block;
}

/* The block for the instruction at cpu->rip, which crosses into the next page; or NULL: the
 * interpreter does it, this time, and raises what it raises. */
static struct block *find_crossing(struct cpu *cpu)
{
	uint64_t next = (cpu->rip | 4095) + 1, physical, second;
	const struct fetch_entry *entry;
	const uint8_t *host;
	struct block *block;

	if ((cpu->rip & 4095) <= 4096 - 15 || !paging_canonical(next))
		return NULL;
	if (!mmu_try_fetch_page(cpu, cpu->rip, &entry) || !entry->host)
		return NULL;
	physical = fetch_physical(entry, cpu->rip);
	host = entry->host;
	if (!mmu_try_fetch_page(cpu, next, &entry) || !entry->host)
		return NULL;
	second = fetch_physical(entry, next);
	block = code_lookup_crossing(cpu->code, physical, second, block_linear(cpu->rip, cpu->mode),
				     cpu->mode);
	if (!block)
		block = make_crossing(cpu, physical, second, host, entry->host);
	if (block)
		jump_cache_add_crossing(cpu, cpu->rip, code_entry(cpu->code, block));
	return block;
}

static bool is_kicked(const struct cpu *cpu)
{
	return atomic_load_explicit(&cpu->kick, memory_order_relaxed) || cpu->leave;
}

static const void *go_on(struct cpu *cpu);

static bool has_stack(struct cpu *cpu)
{
	return !(cpu->mode & MODE_WINDOW) || window_has_stack(cpu) || window_stack(cpu);
}

static const void *run(struct cpu *cpu, const void *code)
{
	return_stack_check(cpu);
	if (!cpu->vector_live)
		cpu_vector_load(cpu);
	timing_switch(cpu, TIMING_GUEST);
	return code;
}

/* On at an entry of a block of cpu->mode, for cpu->rip. */
static const void *enter(struct cpu *cpu, const void *entry)
{
	if (!has_stack(cpu))
		return go_on(cpu);
	cpu->windows_closed = false;
	return run(cpu, entry);
}

/*
 * On at code, in the middle of a block of cpu->mode, for cpu->rip. Operands there may rely on a
 * check of the window before them (translate_window.c): if one has gone, on where a block begins.
 */
static const void *resume(struct cpu *cpu, const void *code)
{
	if (!has_stack(cpu) || ((cpu->mode & MODE_WINDOW) && cpu->windows_closed))
		return go_on(cpu);
	return run(cpu, code);
}

static const void *leave(struct cpu *cpu)
{
	timing_switch(cpu, TIMING_DISPATCH);
	return (const void *)translate_leave;
}

/* On at cpu->rip, wherever that is. */
static const void *go_on(struct cpu *cpu)
{
	const struct jump_entry *entry = &cpu->jump[cpu->view][jump_index(cpu->rip)];
	struct block *block;

	if (is_kicked(cpu) || !translate_possible(cpu))
		return leave(cpu);
	if (entry->address != cpu->rip)
		entry = &cpu->jump[cpu->view][jump_other(jump_index(cpu->rip))];
	if (entry->address == cpu->rip) {
		cpu->code_page = cpu->rip & ~4095ull;
		return enter(cpu, entry->code);
	}
	block = find_block(cpu);
	return block ? enter(cpu, code_entry(cpu->code, block)) : leave(cpu);
}

/* Behind an instruction that may have made an event deliverable. */
static bool has_event(const struct cpu *cpu)
{
	uint32_t pending = atomic_load_explicit(&cpu->vcpu->pending, memory_order_relaxed);

	if ((pending & PENDING_INTERRUPT) && !(cpu->rflags & FLAG_IF))
		pending &= ~(uint32_t)PENDING_INTERRUPT;
	if ((pending & PENDING_NMI) && cpu->nmi_blocked)
		pending &= ~(uint32_t)PENDING_NMI;
	return pending != 0;
}

bool translate_run(struct cpu *cpu)
{
	struct block *block;

	if (is_kicked(cpu) || !translate_possible(cpu))
		return true;
	block = find_block(cpu);
	if (!block)
		return false;
	translate_enter(cpu, enter(cpu, code_entry(cpu->code, block)));
	return true;
}

/* Call-outs */

/* Where a call-out came from. */
struct place {
	struct block *block;
	struct note note[2]; /* of the instruction, and behind it */
	uint64_t rip;
	uint32_t generation;
};

/* Placed blocks do not keep cpu->code_page. */
static void set_page(struct cpu *cpu, const struct block *block)
{
	if (mode_is_placed(block->mode))
		cpu->code_page = block->linear;
}

static void read_place(struct cpu *cpu, struct place *place, uint32_t block, uint32_t step)
{
	struct machine_code *code = cpu->code;

	place->block = &code->blocks[block];
	set_page(cpu, place->block);
	note_read(&code->notes[place->block->notes], place->block->start, step, place->note);
	place->rip = cpu->rip = cpu->code_page + place->note->guest;
	place->generation = atomic_load_explicit(&code->generation, memory_order_relaxed);
}

static struct place find_place(struct cpu *cpu, uint32_t info)
{
	struct place place;

	read_place(cpu, &place, info >> 8, info & 0xff);
	return place;
}

/* The same for words: info, instruction's number, offsets in the page of it and of the one behind,
 * in the code of both. */
static struct place find_call(struct cpu *cpu, const struct words *words)
{
	struct machine_code *code = cpu->code;
	uint32_t guest = words->at[2], host = words->at[3];

	set_page(cpu, &code->blocks[words->at[0] >> 8]);
	cpu->rip = cpu->code_page + (guest & 0xffff);
	return (struct place){
		.block = &code->blocks[words->at[0] >> 8],
		.note = {{.host = (uint16_t)host, .guest = (uint16_t)guest},
			 {.host = (uint16_t)(host >> 16), .guest = (uint16_t)(guest >> 16)}},
		.rip = cpu->rip,
		.generation = atomic_load_explicit(&code->generation, memory_order_relaxed),
	};
}

/* The instruction has been done, wholly or (a repeated one) in part. */
static const void *go_behind(struct cpu *cpu, const struct place *place)
{
	struct machine_code *code = cpu->code;
	uint64_t offset = cpu->rip - cpu->code_page;

	if (cpu->leave ||
	    atomic_load_explicit(&code->generation, memory_order_relaxed) != place->generation ||
	    block_whole(place->block)->dropped || cpu->mode != place->block->mode)
		return go_on(cpu);
	if (offset == place->note[1].guest)
		return resume(cpu, code_entry(code, place->block) + place->note[1].host);
	if (cpu->rip == place->rip && !is_kicked(cpu)) /* repeated, and not done */
		return resume(cpu, code_entry(code, place->block) + place->note->host);
	return go_on(cpu);
}

/*
 * The block's bytes at the note, decoded once more, and carried out. They may have been changed by
 * another vcpu or a device since the block was made, which is dropped only after that. What follows
 * in a block with windows relies on what the instruction was (window_is_known): there is no way
 * back into that.
 */
static const void *interpret_here(struct cpu *cpu, const struct place *place)
{
	uint64_t physical = block_page(place->block) + place->note->guest;
	unsigned room = 4096 - (unsigned)(physical & 4095);
	const uint8_t *bytes = vm_slice(cpu->vm, gpa(physical), 1);

	CHECK(bytes);
	timing_switch(cpu, TIMING_INTERPRET);
	if (insn_decode(&cpu->insn, bytes, room < 15 ? room : 15, CODE_64) != DECODE_OK) {
		interpret(cpu); /* another vcpu has changed it */
		return go_on(cpu);
	}
	if (!cpu_model_has(cpu->vm->cpu_model, cpu->insn.op->feature))
		insn_fall_back(&cpu->insn);
	interpret_insn(cpu, &cpu->insn);
	/* Behind a branch is nothing in the block, even if that is where it has led. */
	if (cpu->insn.op->class == CLASS_BRANCH || cpu->insn.op->class == CLASS_END ||
	    (place->block->mode & MODE_WINDOW))
		return go_on(cpu);
	return go_behind(cpu, place);
}

/*
 * An instruction with two memory operands (push m, call m) would begin anew for ever if their pages
 * want the same TLB entry. True if its last miss was for another page of the same entry.
 */
static bool evicts_each_other(struct cpu *cpu, uint64_t linear)
{
	uint64_t changed = (linear ^ cpu->missed_linear) >> 12;
	bool same = cpu->missed_rip == cpu->rip;

	cpu->missed_rip = cpu->rip;
	cpu->missed_linear = linear;
	return same && changed && !(changed & (TLB_SIZE - 1));
}

/* words: info, size. A look-up missed: fills the TLB and begins the instruction anew, or else does
 * it here. */
static const void *look_up(struct cpu *cpu, const struct words *words, uint64_t linear,
			   unsigned access)
{
	struct place place = find_place(cpu, words->at[0]);
	unsigned size = words->at[1];

	timing_switch(cpu, TIMING_LOOK_UP);
	cpu->count_misses++;
	if (size && paging_canonical(linear) && paging_canonical(linear + size - 1) &&
	    !evicts_each_other(cpu, linear) && mmu_host(cpu, linear, size, access))
		return resume(cpu, code_entry(cpu->code, place.block) + place.note->host);
	return interpret_here(cpu, &place);
}

/* t0 is the address xor the tag at t1, which has not changed since. */
static uint64_t tag_at(const uint64_t *first, uint64_t t1)
{
	return *(
		const uint64_t *)(const void *)((const uint8_t *)first +
						(t1 & ((TLB_SIZE - 1) * sizeof(struct tlb_entry))));
}

const void *translate_read(struct cpu *cpu, const struct words *words, uint64_t t0, uint64_t t1)
{
	return look_up(cpu, words, t0 ^ tag_at(&cpu->tlb[cpu->view][0].read, t1), MMU_READ);
}

const void *translate_write(struct cpu *cpu, const struct words *words, uint64_t t0, uint64_t t1)
{
	return look_up(cpu, words, t0 ^ tag_at(&cpu->tlb[cpu->view][0].write, t1), MMU_WRITE);
}

/* Neither slot nor TLB has it. words: see enter.S. */
static const void *look_up_recent(struct cpu *cpu, const struct words *words, uint64_t linear,
				  unsigned access)
{
	const struct words plain = {{words->at[0], words->at[5] ? 0 : 4096 - words->at[4]}};

	return look_up(cpu, &plain, linear, access);
}

const void *translate_recent_read(struct cpu *cpu, const struct words *words, uint64_t linear)
{
	return look_up_recent(cpu, words, linear, MMU_READ);
}

const void *translate_recent_write(struct cpu *cpu, const struct words *words, uint64_t linear)
{
	return look_up_recent(cpu, words, linear, MMU_WRITE);
}

#define MISSES_FOR_TLB 64u /* of a slot, and what missed last is for the TLB */

/* words: info, offset of the slot in struct cpu. The window is not the slot's. */
const void *translate_window(struct cpu *cpu, const struct words *words, uint64_t linear)
{
	struct place place = find_place(cpu, words->at[0]);
	struct window_slot *slot = (void *)((uint8_t *)cpu + words->at[1]);

	timing_switch(cpu, TIMING_WINDOW);
	cpu->count_slot_misses++;
	if (!window_fill_slot(cpu, slot, linear)) {
		/* Operands behind this one may rely on the slot. */
		window_empty_slot(slot);
		code_window_missed(cpu->code, block_page(place.block));
		return interpret_here(cpu, &place);
	}
	if (slot->misses < MISSES_FOR_TLB)
		return resume(cpu, code_entry(cpu->code, place.block) + place.note->host);
	slot->misses = 0;
	code_window_wanders(cpu->code, place.block, place.note->guest);
	return go_on(cpu);
}

/* words: info, number, where to go on in the block's code. The operand, or the register that a loop
 * checks in front of it, is not where fixed_window.h has its window. */
const void *translate_fixed(struct cpu *cpu, const struct words *words, uint64_t linear)
{
	struct place place = find_place(cpu, words->at[0]);

	timing_switch(cpu, TIMING_WINDOW);
	cpu->count_slot_misses++;
	if (window_fill_fixed(cpu, words->at[1], linear))
		return resume(cpu, code_entry(cpu->code, place.block) + words->at[2]);
	fixed_window_missed(cpu->code, place.block, words->at[1]);
	return interpret_here(cpu, &place);
}

static void run_handler(struct cpu *cpu, uint32_t word)
{
	timing_switch(cpu, TIMING_HANDLER);
	cpu->count_calls++;
	/* a copy, for a flush may take the other away meanwhile */
	cpu->insn = cpu->code->insns[word & ~WORDS_CHECKED];
	if (word & WORDS_CHECKED)
		interpret_checked(cpu, &cpu->insn);
	else
		interpret_insn(cpu, &cpu->insn);
}

/* words: find_call's. */
const void *translate_call(struct cpu *cpu, const struct words *words)
{
	struct place place = find_call(cpu, words);

	run_handler(cpu, words->at[1]);
	return go_behind(cpu, &place);
}

const void *translate_end(struct cpu *cpu, const struct words *words)
{
	find_call(cpu, words);
	run_handler(cpu, words->at[1]);
	return has_event(cpu) ? leave(cpu) : go_on(cpu);
}

/* words: offset in the page. */
const void *translate_interpret(struct cpu *cpu, const struct words *words)
{
	struct block *block;

	timing_switch(cpu, TIMING_FIND);
	cpu->rip = cpu->code_page + words->at[0];
	block = find_crossing(cpu);
	if (block)
		return enter(cpu, code_entry(cpu->code, block));
	timing_switch(cpu, TIMING_INTERPRET);
	interpret(cpu);
	return has_event(cpu) ? leave(cpu) : go_on(cpu);
}

/* words: offset in the page. */
const void *translate_goto(struct cpu *cpu, const struct words *words)
{
	timing_switch(cpu, TIMING_FIND);
	cpu->rip = cpu->code_page + words->at[0];
	return go_on(cpu);
}

const void *translate_jump(struct cpu *cpu)
{
	timing_switch(cpu, TIMING_FIND);
	return go_on(cpu);
}

/* Where the entry of a block is, in code memory. */
static uint32_t link_target(const struct block *block, enum link_entry entry)
{
	if (entry == LINK_KICK)
		return block->code - KICK_ENTRY_BYTES;
	return entry == LINK_REG ? block->code + (uint32_t)block->reg_entry : block->code;
}

/* words: number of the block, target's offset in the page and its entry << 16, place of the jump in
 * code memory. */
const void *translate_link(struct cpu *cpu, const struct words *words)
{
	struct machine_code *code = cpu->code;
	uint32_t generation = atomic_load_explicit(&code->generation, memory_order_relaxed);
	uint32_t entry = words->at[1], place = words->at[2];
	const struct block *from = &code->blocks[words->at[0]];
	struct block *block;

	set_page(cpu, from);
	timing_switch(cpu, TIMING_FIND);
	cpu->rip = cpu->code_page + (entry & 0xffff);
	if (is_kicked(cpu))
		return leave(cpu);
	block = find_block(cpu);
	if (!block)
		return leave(cpu);
	code_lock(&code->lock);
	if (code->generation == generation && !block->dropped && block->mode == from->mode &&
	    block->page == from->page && block->linear == from->linear) {
		emit_close(code->memory.write + place,
			   code->memory.write + link_target(block, entry >> 16));
		code->count_links++;
	}
	code_unlock(&code->lock);
	return enter(cpu, code_entry(code, block));
}

/* An entry of a dropped block: leads to its successor from now on. words is the address behind the
 * entry's call. */
const void *translate_stale(struct cpu *cpu, const struct words *words)
{
	struct machine_code *code = cpu->code;
	uint32_t generation = atomic_load_explicit(&code->generation, memory_order_relaxed);
	struct block *stale = code_find_host(code, (uint64_t)(uintptr_t)words), *block;
	uint8_t *write = code->memory.write;

	CHECK(stale);
	set_page(cpu, stale);
	timing_switch(cpu, TIMING_FIND);
	cpu->rip = cpu->code_page + stale->start;
	if (stale->crosses)
		jump_cache_drop_crossing(cpu, cpu->rip);
	if (is_kicked(cpu) || !translate_possible(cpu))
		return leave(cpu);
	block = find_block(cpu);
	if (!block)
		return leave(cpu);
	code_lock(&code->lock);
	if (code->generation == generation && !block->dropped && !stale->crosses &&
	    block_physical(block) == block_physical(stale) && block->mode == stale->mode &&
	    block->linear == stale->linear) {
		emit_patch(write + stale->code, 0xe9, write + block->code);
		if (stale->reg_entry)
			emit_patch(write + stale->code + stale->reg_entry, 0xe9,
				   write + block->code + block->reg_entry);
	}
	code_unlock(&code->lock);
	return enter(cpu, code_entry(code, block));
}

/* Inlined calls (translate_callee.c) */

/* Behind code_page_prepare: may the function at physical stand in the block that calls it? Either
 * way that is known from now on, and the block is made anew. */
static void decide(struct cpu *cpu, const struct place *place, uint64_t linear, uint64_t physical,
		   const uint8_t *page)
{
	struct machine_code *code = cpu->code;
	struct block *block = place->block;

	code_lock(&code->lock);
	if (atomic_load_explicit(&code->generation, memory_order_relaxed) == place->generation &&
	    !block->dropped) {
		bool fits = code_page_prepared(cpu, physical) &&
			    translate_callee_fits(cpu, physical, page);

		call_site_enter(code, &(struct call_site){
					      .at = block_page(block) + place->note->guest,
					      .page = block->linear,
					      .mode = block->mode,
					      .plain = !fits,
					      .linear = linear,
					      .physical = physical,
				      });
		code_drop_run(code, block);
	}
	code_unlock(&code->lock);
}

/* words: info. A call to linear has been made often. It is interpreted, this once, so that no block
 * begins with it, where those with what is before it would end. */
const void *translate_site(struct cpu *cpu, const struct words *words, uint64_t linear)
{
	struct machine_code *code = cpu->code;
	struct place place = find_place(cpu, words->at[0]);
	const struct fetch_entry *entry;
	uint64_t physical;

	timing_switch(cpu, TIMING_TRANSLATE);
	if (!paging_canonical(linear) || !mmu_try_fetch_page(cpu, linear, &entry) || !entry->host)
		return resume(cpu, code_entry(code, place.block) + place.note->host);
	physical = fetch_physical(entry, linear);
	if (code_is_out_of_callees(code)) {
		exclusive_begin(cpu);
		if (code_is_out_of_callees(code))
			code_empty_callees(code);
		exclusive_end(cpu);
	}
	if (code_page_prepare(cpu, physical))
		decide(cpu, &place, linear, physical, entry->host);
	if (place.generation != atomic_load_explicit(&code->generation, memory_order_relaxed))
		return go_on(cpu);
	return interpret_here(cpu, &place);
}

/* words: info, offset of the callee's first instruction in the block's code, callee_number. The
 * call has pushed already. */
const void *translate_callee(struct cpu *cpu, const struct words *words)
{
	struct machine_code *code = cpu->code;
	struct place place = find_place(cpu, words->at[0]);
	const struct block *callee = place.block - 1;
	const struct fetch_entry *entry;

	timing_switch(cpu, TIMING_FIND);
	cpu->rip = callee->linear + callee->start;
	if (place.block->dropped) /* its number may be another one's */
		return go_on(cpu);
	if (mmu_try_fetch_page(cpu, cpu->rip, &entry) && entry->host &&
	    fetch_physical(entry, cpu->rip) == block_physical(callee)) {
		jump_cache_add_callee(cpu, words->at[2]);
		return resume(cpu, code_entry(code, place.block) + words->at[1]);
	}
	code_lock(&code->lock);
	call_site_forget(code, block_page(place.block) + place.note->guest, place.block->linear,
			 place.block->mode);
	code_drop(code, place.block);
	code_unlock(&code->lock);
	return go_on(cpu);
}

/* Faults of the host's processor */

/* The faulting instruction is a copied one, before which all registers but T0 and T1 are the
 * guest's. */
static bool recover(struct cpu *cpu, const struct fault *fault)
{
	struct machine_code *code = cpu->code;
	const struct block *block = code_find_host(code, fault->rip);
	struct place place;
	unsigned host;
	int step = -1;

	if (!block)
		return false;
	host = (unsigned)(fault->rip - (uint64_t)(uintptr_t)code_entry(code, block));
	if (block->inlines)
		step = note_find(&code->notes[block[-1].notes], block[-1].count, host);
	if (step >= 0)
		block--;
	else
		step = note_find(&code->notes[block->notes], block->count, host);
	if (step < 0)
		return false;
	cpu->fault_block = (uint32_t)(block - code->blocks);
	cpu->fault_step = (uint32_t)step;
	read_place(cpu, &place, cpu->fault_block, cpu->fault_step);
	for (unsigned i = RAX; i <= R15; i++)
		if (!is_spilled(i))
			cpu->gpr[i] = fault->gpr[host_register(i)];
	if (place.note->flags)
		cpu_set_status(cpu, (uint32_t)fault->rflags & FLAG_STATUS);
	return true;
}

bool fault_is_guest(struct cpu *cpu, const struct fault *fault, bool translated)
{
	switch (fault->vector) {
	case EXCEPTION_DE:
	case EXCEPTION_UD:
	case EXCEPTION_GP:
	case EXCEPTION_MF:
	case EXCEPTION_AC:
	case EXCEPTION_XM:
		break;
	case EXCEPTION_SS: /* an address that is not canonical, based on rbp (window.h) */
		if (!translated)
			return false;
		break;
	case EXCEPTION_PF:
		if (!translated || !window_owns(cpu, fault->address))
			return false;
		cpu->fault_address = fault->address;
		cpu->fault_write = fault->write;
		break;
	default:
		return false;
	}
	if (translated && !recover(cpu, fault))
		return false;
	if (translated)
		cpu->returns = (uint64_t *)(uintptr_t)fault->gpr[RSP];
	cpu->fault_vector = (uint8_t)fault->vector;
	cpu->fault_empty =
		translated && ((cpu->mode & MODE_WINDOW) || !paging_canonical(fault->gpr[T0]));
	if (fault->vector == EXCEPTION_XM && !(cpu->cr4 & CR4_OSXMMEXCPT))
		cpu->fault_vector = EXCEPTION_UD;
	return true;
}

/* A run of pushes or pops is told by its first instruction: is the fault's page another one's? */
static bool is_in_run(struct cpu *cpu, const struct place *place)
{
	uint64_t physical = block_page(place->block) + place->note->guest;
	const uint8_t *bytes = vm_slice(cpu->vm, gpa(physical), 1);
	uint64_t linear = cpu->gpr[RSP];
	struct insn insn;

	CHECK(bytes);
	if (insn_decode(&insn, bytes, 4096 - (unsigned)(physical & 4095), CODE_64) != DECODE_OK)
		return false;
	if (insn.op->handler == HANDLER_PUSH)
		linear -= 8;
	else if (insn.op->handler != HANDLER_POP)
		return false;
	return (window_linear(cpu, cpu->fault_address) ^ linear) >> 12 != 0;
}

/*
 * In a window, whose page is mapped; else the interpreter does the instruction. The first of a run
 * may well do without the page, and must not raise its #PF.
 */
static const void *go_on_from_window(struct cpu *cpu)
{
	struct machine_code *code = cpu->code;
	struct place place;
	bool run;

	read_place(cpu, &place, cpu->fault_block, cpu->fault_step);
	run = is_in_run(cpu, &place);
	if (window_fault(cpu, cpu->fault_address, cpu->fault_write, run))
		return resume(cpu, code_entry(code, place.block) + place.note->host);
	if (!run && cpu->mode == place.block->mode)
		code_window_missed(code, block_page(place.block));
	return interpret_here(cpu, &place);
}

const void *fault_raise(struct cpu *cpu)
{
	timing_switch(cpu, cpu->fault_vector == EXCEPTION_PF ? TIMING_WINDOW : TIMING_DISPATCH);
	if (cpu->fault_vector == EXCEPTION_PF)
		return go_on_from_window(cpu);
	if (cpu->fault_vector == EXCEPTION_SS ||
	    (cpu->fault_vector == EXCEPTION_GP && cpu->fault_empty)) {
		interpret(cpu);
		return leave(cpu);
	}
	if (cpu->fault_vector == EXCEPTION_GP || cpu->fault_vector == EXCEPTION_AC)
		exception_raise_error(cpu, cpu->fault_vector, 0);
	exception_raise(cpu, cpu->fault_vector);
}
