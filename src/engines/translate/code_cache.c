/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block is dropped by turning both its entries (or the one, where no flags are read) into calls
 * of a thunk, each by one aligned store: whoever arrives over an old link, jump cache entry or
 * pointer then asks for the block anew. The thunk turns the dropped block's entries into jumps to
 * the new block, so that old links cost little.
 *
 * The page flags settle the race between a vcpu that is about to read a page's code and others that
 * are about to get a write tag for the page. The one sets CODE_PAGE_TRANSLATED and then looks for
 * tags in the others' TLBs; the other enters its tag and then looks at the flag; so at least one of
 * them sees the other. Most pages with code have been stored to long before, and nobody has a tag
 * any more: only if there is one, an exclusive section takes it away. CODE_PAGE_WRITABLE spares the
 * look into TLBs for pages that nobody ever stored to. Likewise a store without a tag comes first,
 * and then the look at the flag.
 */
#include "engines/translate/code_cache.h"

#include "core/host.h"
#include "engines/translate/code_hash.h"
#include "engines/translate/dirty_log.h"
#include "engines/translate/emit.h"
#include "engines/translate/enter.h"
#include "engines/translate/fault.h"
#include "engines/translate/jump_cache.h"
#include "engines/translate/mmu.h"
#include "engines/translate/probe.h"
#include "engines/translate/translation.h"
#include "lib/check.h"
#include "lib/error.h"

/*
 * What is translated only once, a boot for the most part, need not be kept: the cache is flushed
 * when it has FIRST_BYTES. If it is full again within FAST_REFILL ticks of the host's TSC (some ten
 * seconds), as with programs of more code than that, it grows and keeps what it has.
 */
#define DEFAULT_BYTES (128ull << 20)
#define FIRST_BYTES   (28u << 20)
#define FAST_REFILL   (1ull << 35)

/*
 * Ticks, from when CODE_MEMORY_LARGE bytes are full to their being made a large page (some third of
 * a second), and to the next one then: it takes a vcpu some 5 ms where the host has to find fresh
 * memory, more than what most of a boot's code can bring.
 */
#define LARGE_AFTER (1ull << 30)
#define LARGE_AGAIN (1ull << 28)
#define PAGE_SIZE   4096u

/* Ticks, at the least, from one time that callee_numbers are taken back to the next. */
#define CALLEES_AGAIN (1ull << 33)

#define MISSES_FOR_LOOKUP                                                                          \
	32u		    /* so many accesses without use of windows, and the page does without */
#define WRITES_FOR_DATA 32u /* so many stores to a page with code, and it is taken for data */

/* Sizes of the tables, by the code bytes that go with one element at the least. */
#define BYTES_A_BLOCK 256u
#define BYTES_A_NOTE  16u
#define BYTES_AN_INSN 512u

/* Creation */

static uint32_t emit_trampolines(uint8_t *write)
{
	static const void *const thunks[TRAMPOLINE_COUNT] = {
		[TRAMPOLINE_RECENT_READ] = thunk_recent_read,
		[TRAMPOLINE_RECENT_WRITE] = thunk_recent_write,
		[TRAMPOLINE_WINDOW] = thunk_window,
		[TRAMPOLINE_FIXED] = thunk_fixed,
		[TRAMPOLINE_READ] = thunk_read,
		[TRAMPOLINE_WRITE] = thunk_write,
		[TRAMPOLINE_CALL] = thunk_call,
		[TRAMPOLINE_END] = thunk_end,
		[TRAMPOLINE_INTERPRET] = thunk_interpret,
		[TRAMPOLINE_GOTO] = thunk_goto,
		[TRAMPOLINE_LINK] = thunk_link,
		[TRAMPOLINE_LINK_FLAGS] = thunk_link_flags,
		[TRAMPOLINE_STALE] = thunk_stale,
		[TRAMPOLINE_STALE_FLAGS] = thunk_stale_flags,
		[TRAMPOLINE_JUMP] = thunk_jump,
		[TRAMPOLINE_RETURN] = thunk_return,
		[TRAMPOLINE_SITE] = thunk_site,
		[TRAMPOLINE_CALLEE] = thunk_callee,
	};

	for (unsigned i = 0; i < TRAMPOLINE_COUNT; i++) {
		struct emit emit = {write + i * TRAMPOLINE_BYTES};

		emit_u16(&emit, 0x25ff); /* jmp [rip + 0] */
		emit_u32(&emit, 0);
		emit_u64(&emit, (uint64_t)(uintptr_t)thunks[i]);
	}
	return TRAMPOLINES_END;
}

static void free_tables(struct machine_code *code)
{
	struct {
		void *table;
		size_t size;
	} tables[] = {
		{code->blocks, code->block_max * sizeof(*code->blocks)},
		{code->notes, code->note_max * sizeof(*code->notes)},
		{code->insns, code->insn_max * sizeof(*code->insns)},
		{code->wanders, WANDERERS * sizeof(*code->wanders)},
		{code->call_sites, CALL_SITES * sizeof(*code->call_sites)},
		{(void *)code->hash, code_hash_size(code->memory.size) * sizeof(*code->hash)},
		{(void *)code->page_flags, code->page_count},
		{code->page_writes, code->page_count},
		{code->page_blocks, code->page_count * sizeof(*code->page_blocks)},
		{(void *)code->page_windows, code->page_count * sizeof(*code->page_windows)},
		{(void *)code->page_misses, code->page_count},
		{code->translation, sizeof(*code->translation)},
	};

	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i].table)
			host_pages_free(tables[i].table, tables[i].size);
}

static bool make_tables(struct machine_code *code)
{
	code->block_max = (uint32_t)(code->memory.size / BYTES_A_BLOCK);
	code->note_max = (uint32_t)(code->memory.size / BYTES_A_NOTE);
	code->insn_max = (uint32_t)(code->memory.size / BYTES_AN_INSN);
	code->hash_size = code_hash_size(code->code_limit);
	code->page_count = code->vm->memory.size / PAGE_SIZE;
	code->blocks = host_pages(code->block_max * sizeof(*code->blocks));
	code->notes = host_pages(code->note_max * sizeof(*code->notes));
	code->insns = host_pages(code->insn_max * sizeof(*code->insns));
	code->wanders = host_pages(WANDERERS * sizeof(*code->wanders));
	code->call_sites = host_pages(CALL_SITES * sizeof(*code->call_sites));
	code->hash = host_pages(code_hash_size(code->memory.size) * sizeof(*code->hash));
	code->page_flags = host_pages(code->page_count);
	code->page_writes = host_pages(code->page_count);
	code->page_blocks = host_pages(code->page_count * sizeof(*code->page_blocks));
	code->page_windows = host_pages(code->page_count * sizeof(*code->page_windows));
	code->page_misses = host_pages(code->page_count);
	code->translation = host_pages(sizeof(*code->translation));
	return code->blocks && code->notes && code->insns && code->wanders && code->call_sites &&
	       code->hash && code->page_flags && code->page_writes && code->page_blocks &&
	       code->page_windows && code->page_misses && code->translation;
}

int code_create(struct vm *vm, uint64_t size, struct machine_code **result)
{
	struct machine_code *code = host_pages(sizeof(*code));
	int error;

	if (!code)
		return -ENOMEM;
	code->vm = vm;
	code->bmi2 = probe_bmi2();
	host_random(&code->hash_key, sizeof(code->hash_key));
	error = code_memory_create(&code->memory, size ? size : DEFAULT_BYTES);
	code->code_limit = size ? (uint32_t)size : FIRST_BYTES;
	if (!error && !make_tables(code))
		error = -ENOMEM;
	if (!error)
		error = fault_area_add(code->memory.run, code->memory.size, code);
	if (error) {
		code_destroy(code);
		return error;
	}
	code->code_used = emit_trampolines(code->memory.write);
	*result = code;
	return 0;
}

void code_destroy(struct machine_code *code)
{
	if (!code)
		return;
	fault_area_remove(code->memory.run);
	dirty_log_destroy(code);
	free_tables(code);
	code_memory_destroy(&code->memory);
	host_pages_free(code, sizeof(*code));
}

void code_attach(struct machine_code *code, struct cpu *cpu)
{
	CHECK(cpu->vcpu->id < VM_VCPUS_MAX);
	code->cpus[cpu->vcpu->id] = cpu;
	cpu->code = code;
	cpu->self = cpu;
}

/* Looking up */

/* What follows a block's code belongs to it. */
struct block *code_find_host(struct machine_code *code, uint64_t host)
{
	uint64_t offset = host - (uint64_t)(uintptr_t)code->memory.run;
	uint32_t low = 0, high = __atomic_load_n(&code->block_count, __ATOMIC_ACQUIRE);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (offset < block_begin(&code->blocks[middle]))
			high = middle;
		else
			low = middle + 1;
	}
	return low && offset < code->memory.size ? &code->blocks[low - 1] : NULL;
}

/* Adding */

bool code_has_room(const struct machine_code *code)
{
	return code->code_limit - code->code_used >= CODE_BLOCK_BYTES &&
	       code->block_count + 1 < code->block_max &&
	       code->block_count < CODE_HASH_BLOCKS(code->hash_size) && !code->hash_crowded &&
	       code->note_max - code->note_count > NOTE_WORDS_MAX(CODE_BLOCK_INSNS) + 1 &&
	       code->insn_max - code->insn_count > CODE_BLOCK_INSNS;
}

static uint64_t page_number(const struct machine_code *code, uint64_t physical)
{
	uint64_t offset = memory_offset(&code->vm->memory, physical & ~4095ull);

	return offset == UINT64_MAX ? UINT64_MAX : offset / PAGE_SIZE;
}

/* Under lock, when a block has been added. */
static void note_full(struct machine_code *code, uint32_t before)
{
	uint32_t end = code->code_large + CODE_MEMORY_LARGE;

	if (before < end && code->code_used >= end)
		code->large_due = __builtin_ia32_rdtsc() + LARGE_AFTER;
}

void code_settle(struct machine_code *code)
{
	uint64_t now = __builtin_ia32_rdtsc();
	uint32_t offset;
	bool due;

	if (!code->large_due || now < code->large_due)
		return;
	code_lock(&code->lock);
	offset = code->code_large;
	due = code->large_due && now >= code->large_due;
	if (due) {
		code->code_large += CODE_MEMORY_LARGE;
		code->large_due = code->code_used >= code->code_large + CODE_MEMORY_LARGE
					  ? now + LARGE_AGAIN
					  : 0;
	}
	code_unlock(&code->lock);
	if (due)
		code_memory_collapse(&code->memory, offset);
}

static void page_add(struct machine_code *code, struct block *block)
{
	uint64_t page = page_number(code, block_page(block));

	CHECK(page < code->page_count);
	block->page_next = code->page_blocks[page];
	code->page_blocks[page] = (uint32_t)(block - code->blocks) + 1;
	code->page_writes[page] = 0;
}

void code_publish(struct machine_code *code, struct block *block, uint32_t code_end)
{
	uint32_t number = (uint32_t)(block - code->blocks) + 1, before = code->code_used;

	CHECK(number == code->block_count + 1 + block_has_second(block));
	CHECK(!block_has_second(block) || block[-1].code == block->code);
	code->code_used = (code_end + CODE_ALIGNMENT - 1) & ~(CODE_ALIGNMENT - 1);
	note_full(code, before);
	code->count_insns += block->count;
	page_add(code, block);
	if (block_has_second(block))
		page_add(code, block - 1);
	code->count_inlined += block->inlines;
	__atomic_store_n(&code->block_count, number, __ATOMIC_RELEASE);
	code_hash_add(code, block);
}

/* Dropping. Lock held. */

/* Whoever goes round in it has to look up from it. */
static void kick_all(struct machine_code *code)
{
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		if (code->cpus[i])
			atomic_store(&code->cpus[i]->kick, 1);
}

/* One that has a second is dropped by way of either page, and stays in the other one's list. */
static void drop(struct machine_code *code, struct block *block)
{
	uint8_t *write = code->memory.write;

	block = block_whole(block);
	if (block->dropped)
		return;
	block->dropped = 1;
	atomic_fetch_add(&code->drops, 1);
	code_hash_remove(code, block);
	emit_patch(write + block->code, 0xe8, write + TRAMPOLINE_STALE * TRAMPOLINE_BYTES);
	if (block->reg_entry)
		emit_patch(write + block->code + block->reg_entry, 0xe8,
			   write + TRAMPOLINE_STALE_FLAGS * TRAMPOLINE_BYTES);
	if (block->loops)
		kick_all(code);
	code->count_dropped++;
}

/* Which blocks of a page are to be dropped. */
struct choice {
	unsigned low, high;
	const struct block *block;
};
typedef bool chooses(const struct block *block, const struct choice *choice);

static void drop_chosen(struct machine_code *code, uint64_t page, chooses *is_chosen,
			const struct choice *choice)
{
	uint32_t *link = &code->page_blocks[page];

	while (*link) {
		struct block *block = &code->blocks[*link - 1];

		if (is_chosen(block, choice)) {
			*link = block->page_next;
			drop(code, block);
		} else {
			link = &block->page_next;
		}
	}
}

static bool depends_on(const struct block *block, const struct choice *choice)
{
	return (choice->low < block->end && choice->high > block->start) ||
	       (choice->low < block->scan_high && choice->high > block->scan_low);
}

/* Drops the page's blocks that depend on bytes [low, high) of it. */
static void drop_range(struct machine_code *code, uint64_t page, unsigned low, unsigned high)
{
	struct choice choice = {.low = low, .high = high};

	if (++code->page_writes[page] >= WRITES_FOR_DATA)
		choice = (struct choice){.low = 0, .high = PAGE_SIZE};
	drop_chosen(code, page, depends_on, &choice);
	if (!code->page_blocks[page]) {
		code->page_writes[page] = 0;
		atomic_store_explicit(&code->page_misses[page], 0, memory_order_relaxed);
		atomic_fetch_and(&code->page_flags[page], (uint8_t)~CODE_PAGE_TRANSLATED);
	}
}

static bool has_windows(const struct block *block, const struct choice *choice)
{
	(void)choice;
	return block->mode & MODE_WINDOW;
}

static bool is_the_one(const struct block *block, const struct choice *choice)
{
	return block == choice->block;
}

static bool is_or_leads_to(const struct block *block, const struct choice *choice)
{
	const struct block *to = choice->block;

	return block == to || (!block->second && block->end == to->start &&
			       block->mode == to->mode && block->linear == to->linear);
}

void code_drop(struct machine_code *code, struct block *block)
{
	drop_chosen(code, page_number(code, block_page(block)), is_the_one,
		    &(struct choice){.block = block});
}

void code_drop_run(struct machine_code *code, struct block *block)
{
	drop_chosen(code, page_number(code, block_page(block)), is_or_leads_to,
		    &(struct choice){.block = block});
}

void code_window_missed(struct machine_code *code, uint64_t physical)
{
	uint64_t page = page_number(code, physical);
	unsigned misses;

	if (page >= code->page_count)
		return;
	misses = atomic_load_explicit(&code->page_misses[page], memory_order_relaxed);
	if (misses >= MISSES_FOR_LOOKUP)
		return;
	atomic_store_explicit(&code->page_misses[page], (uint8_t)(misses + 1),
			      memory_order_relaxed);
	if (misses + 1 < MISSES_FOR_LOOKUP)
		return;
	code_lock(&code->lock);
	drop_chosen(code, page, has_windows, NULL);
	code_unlock(&code->lock);
}

/* The place of an instruction's address among code->wanders, and what is there if it wanders. */
static uint32_t *wanderer(const struct machine_code *code, uint64_t physical, uint32_t *tag)
{
	uint64_t hash = physical * 0x9e3779b97f4a7c15u;

	*tag = (uint32_t)hash | 1;
	return &code->wanders[hash >> 32 & (WANDERERS - 1)];
}

bool code_wanders(const struct machine_code *code, uint64_t physical)
{
	uint32_t tag;

	return *wanderer(code, physical, &tag) == tag;
}

void code_window_wanders(struct machine_code *code, struct block *block, unsigned offset)
{
	uint32_t tag, *place = wanderer(code, block_page(block) + offset, &tag);

	code_lock(&code->lock);
	*place = tag;
	code->count_wanderers++;
	code_drop(code, block);
	code_unlock(&code->lock);
}

bool code_uses_windows(const struct machine_code *code, uint64_t physical)
{
	uint64_t page = page_number(code, physical);

	return page < code->page_count &&
	       atomic_load_explicit(&code->page_misses[page], memory_order_relaxed) <
		       MISSES_FOR_LOOKUP;
}

void code_written_by_device(struct machine_code *code, uint64_t physical, uint64_t length)
{
	/* The store before the look at the flag. */
	atomic_thread_fence(memory_order_seq_cst);
	while (length) {
		uint64_t page = page_number(code, physical);
		unsigned offset = physical & 4095;
		uint64_t part = PAGE_SIZE - offset;

		if (part > length)
			part = length;
		if (page < code->page_count &&
		    (atomic_load(&code->page_flags[page]) & CODE_PAGE_TRANSLATED)) {
			code_lock(&code->lock);
			drop_range(code, page, offset, offset + (unsigned)part);
			code_unlock(&code->lock);
		}
		physical += part;
		length -= part;
	}
}

void code_written(struct cpu *cpu, uint64_t physical, unsigned size)
{
	cpu->count_invalidations++;
	dirty_log_note(cpu, physical);
	code_written_by_device(cpu->code, physical, size);
}

/* Of callees and fixed windows; no block has any. */
static void take_numbers_back(struct machine_code *code)
{
	code->callee_count = 0;
	fixed_window_take_back(code);
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++) {
		if (!code->cpus[i])
			continue;
		jump_cache_flush_callees(code->cpus[i]);
		fixed_window_empty(code->cpus[i]);
	}
}

bool code_is_out_of_callees(const struct machine_code *code)
{
	return (code->callee_count == CALLEES || code->fixed.count == FIXED_WINDOWS) &&
	       __builtin_ia32_rdtsc() - code->callees_emptied > CALLEES_AGAIN;
}

void code_empty_callees(struct machine_code *code)
{
	code_lock(&code->lock);
	for (uint32_t i = 0; i < code->block_count; i++)
		if (code->blocks[i].inlines)
			drop(code, &code->blocks[i]);
	code->callees_emptied = __builtin_ia32_rdtsc();
	take_numbers_back(code);
	code_unlock(&code->lock);
}

static void grow(struct machine_code *code)
{
	code_hash_clear(code);
	code->code_limit *= 2;
	if (code->code_limit > code->memory.size)
		code->code_limit = (uint32_t)code->memory.size;
	code->hash_size = code_hash_size(code->code_limit);
	for (uint32_t i = 0; i < code->block_count; i++)
		if (!code->blocks[i].dropped)
			code_hash_add(code, &code->blocks[i]);
}

static void empty(struct machine_code *code)
{
	if (code->code_used > code->code_peak)
		code->code_peak = code->code_used;
	for (uint32_t i = 0; i < code->block_count; i++) {
		struct block *block = &code->blocks[i];
		uint64_t page = page_number(code, block_page(block));

		code->page_blocks[page] = 0;
		atomic_fetch_and(&code->page_flags[page], (uint8_t)~CODE_PAGE_TRANSLATED);
	}
	code_hash_clear(code);
	code->block_count = code->note_count = code->insn_count = 0;
	take_numbers_back(code);
	code->code_used = TRAMPOLINES_END;
	atomic_fetch_add(&code->generation, 1);
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		if (code->cpus[i])
			jump_cache_flush(code->cpus[i]);
}

void code_make_room(struct machine_code *code)
{
	uint64_t now = __builtin_ia32_rdtsc();

	code_lock(&code->lock);
	if (code->count_flushes && now - code->filled < FAST_REFILL &&
	    code->code_limit < code->memory.size && !code->hash_crowded) {
		grow(code);
	} else {
		empty(code);
		code->count_flushes++;
	}
	code->filled = now;
	code_unlock(&code->lock);
}

/* Elements of a table from used on. */
#define CLEAR(table, used, count)                                                                  \
	code_memory_clear((void *)((table) + (used)), ((count) - (used)) * sizeof(*(table)))

void code_trim(struct machine_code *code, bool all)
{
	code_lock(&code->lock);
	if (all) {
		empty(code);
		/* No more than zeroes, or of no more worth. */
		CLEAR(code->page_blocks, 0u, code->page_count);
		CLEAR(code->page_writes, 0u, code->page_count);
		CLEAR(code->wanders, 0u, WANDERERS);
		CLEAR(code->call_sites, 0u, CALL_SITES);
	}
	CLEAR(code->blocks, code->block_count, code->block_max);
	CLEAR(code->notes, code->note_count, code->note_max);
	CLEAR(code->insns, code->insn_count, code->insn_max);
	code_memory_trim(&code->memory, (code->code_used + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
	code->code_peak = code->code_used;
	code->code_large = code->code_used & ~(uint32_t)(CODE_MEMORY_LARGE - 1);
	code->large_due = 0;
	atomic_fetch_add(&code->trims, 1);
	code_unlock(&code->lock);
}

/* Pages */

static bool others_have_tag(const struct cpu *cpu, uint64_t physical)
{
	const struct machine_code *code = cpu->code;

	for (unsigned i = 0; i < code->vm->vcpu_count; i++)
		if (code->cpus[i] && code->cpus[i] != cpu && mmu_may_store(code->cpus[i], physical))
			return true;
	return false;
}

/* Under the lock no flag CODE_PAGE_TRANSLATED goes away. False if there are tags to be taken. */
static bool flag_page(struct cpu *cpu, uint64_t page, uint64_t physical)
{
	_Atomic uint8_t *flags = &cpu->code->page_flags[page];

	if (!(atomic_fetch_or(flags, CODE_PAGE_TRANSLATED) & CODE_PAGE_WRITABLE))
		return true;
	mmu_protect_physical(cpu, physical);
	if (others_have_tag(cpu, physical) || atomic_load(&cpu->code->page_windows[page]))
		return false;
	atomic_fetch_and(flags, (uint8_t)~CODE_PAGE_WRITABLE);
	return true;
}

/* In an exclusive section. */
static void take_write_tags(struct cpu *cpu, uint64_t page, uint64_t physical)
{
	struct machine_code *code = cpu->code;

	code_lock(&code->lock);
	atomic_fetch_or(&code->page_flags[page], CODE_PAGE_TRANSLATED);
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		if (code->cpus[i])
			mmu_protect_physical(code->cpus[i], physical);
	atomic_fetch_and(&code->page_flags[page], (uint8_t)~CODE_PAGE_WRITABLE);
	code_unlock(&code->lock);
}

bool code_page_prepare(struct cpu *cpu, uint64_t physical)
{
	struct machine_code *code = cpu->code;
	uint64_t page = page_number(code, physical);
	bool done;

	if (page >= code->page_count)
		return false;
	if (atomic_load(&code->page_flags[page]) == CODE_PAGE_TRANSLATED)
		return true;
	code_lock(&code->lock);
	done = flag_page(cpu, page, physical);
	code_unlock(&code->lock);
	if (done)
		return true;
	if (cpu->exclusive) {
		take_write_tags(cpu, page, physical);
		return true;
	}
	exclusive_begin(cpu);
	take_write_tags(cpu, page, physical);
	exclusive_end(cpu);
	return true;
}

bool code_page_prepared(const struct cpu *cpu, uint64_t physical)
{
	uint64_t page = page_number(cpu->code, physical);

	return page < cpu->code->page_count &&
	       atomic_load(&cpu->code->page_flags[page]) == CODE_PAGE_TRANSLATED;
}

/* A page with code is not noted: then code_on_page says no even if the code is gone by the time it
 * looks. */
void code_note_writable(struct cpu *cpu, uint64_t physical)
{
	uint64_t page = page_number(cpu->code, physical);

	if (page < cpu->code->page_count && !atomic_load(&cpu->code->page_flags[page]))
		atomic_fetch_or(&cpu->code->page_flags[page], CODE_PAGE_WRITABLE);
}

bool code_on_page(struct cpu *cpu, uint64_t physical)
{
	uint64_t page = page_number(cpu->code, physical);

	if (cpu->vm->vcpu_count > 1)
		atomic_thread_fence(memory_order_seq_cst);
	return page < cpu->code->page_count &&
	       atomic_load(&cpu->code->page_flags[page]) != CODE_PAGE_WRITABLE;
}
