/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is mapped is in one list, so that flushes find it; an index for each window leads from a
 * page to its place in the list. code->page_windows counts, for each guest-physical page, where it
 * is mapped writable: that is how a vcpu that is about to translate from a page learns of it
 * (code_cache.c).
 *
 * What a window's work costs (a fault and a mapping are some 8 us together) is paid from a credit
 * that grows with the time that user code of the address space is found running, a sixteenth of it.
 * Without credit its windows are closed for a while, for twice as long each time.
 */
#include "engines/translate/window.h"

#include "core/host.h"
#include "core/vm.h"
#include "engines/translate/code_cache.h"
#include "engines/translate/mmu.h"
#include "engines/translate/timing.h"
#include "engines/translate/window_memory.h"
#include "lib/check.h"
#include "x86/paging.h"
#include "x86/registers.h"

#define PAGE_SIZE 4096u
#define PAGE_MASK 4095ull

#define WINDOWS	     16u
#define SPACES	     8u
#define PAGES_MAX    8192u /* of all vcpus: two mappings each, and a process may have 65,530 */
#define GROUP	     16u   /* pages that are looked at together */
#define WINDOW_PAGES (1u << (WINDOW_BITS - 12))

/* In samples, which come at a guest's timer ticks: hundreds a second. */
#define WARM	       4u
#define PAGES_A_SAMPLE 6u /* of code, that make it later */
#define SUSPENDED_MIN  32u
#define SUSPENDED_MAX  4096u

/* In ticks of the host's TSC, some three in a nanosecond. */
#define CREDIT_FIRST   15000000
#define CREDIT_AGAIN   3000000
#define CREDIT_MAX     60000000
#define CREDIT_SHARE   16	 /* of the time between two samples */
#define SAMPLE_MAX     30000000u /* that counts as running */
#define PRICE_OF_FAULT 12000	 /* of the signal alone */

struct address_space {
	uint64_t cr3;
	uint64_t used; /* windows->clock when it was last current; 0: free */
	bool warm;
	uint32_t samples; /* until it was */
	uint32_t code; /* pages, at the most, that its instructions came from between two flushes */
	uint32_t suspended; /* so many samples to go */
	uint32_t penalty;   /* what suspended will be next */
	int64_t credit;
};

struct window {
	uint64_t tag;	/* first linear address */
	uint8_t *host;	/* NULL: not reserved yet */
	uint64_t used;	/* windows->clock; 0: free */
	uint32_t count; /* pages that are mapped; those that are parts of large ones */
	uint32_t large;
	uint8_t space, view;
};

/* linear: the page; low bits as follows. physical: the page; bit 0: writable. */
struct page {
	uint64_t linear, physical;
};
#define WINDOW_NUMBER 15u     /* of the window that it is in */
#define IN_LARGE      0x10ull /* part of a large page */
#define WRITABLE      1ull

struct windows {
	uint8_t forced; /* views */
	bool broken;
	bool no_stack; /* rsp was in no window: without them until the next sample */
	uint64_t slots_used[VIEW_COUNT * WINDOW_SLOTS / 64];
	unsigned current; /* space, or SPACES: none */
	uint64_t clock;
	uint64_t sampled; /* the host's TSC at the last sample */
	struct address_space space[SPACES];
	struct window window[WINDOWS];
	unsigned page_count;
	unsigned hand; /* in page: who goes next when there is no room */
	struct page page[PAGES_MAX];
	uint16_t index[WINDOWS][WINDOW_PAGES]; /* place in page + 1 */
};

/* Creation */

bool window_create(struct cpu *cpu)
{
	cpu->windows = host_pages(sizeof(*cpu->windows));
	if (!cpu->windows)
		return false;
	cpu->windows->current = SPACES;
	cpu->windows->broken = cpu->vm->memory.handle < 0;
	for (unsigned i = 0; i < VIEW_COUNT * WINDOW_SLOTS / 64; i++)
		cpu->windows->slots_used[i] = UINT64_MAX;
	for (unsigned i = 0; i < FIXED_WINDOWS / 64; i++)
		cpu->fixed_used[i] = UINT64_MAX;
	window_flush(cpu);
	window_switch(cpu);
	return true;
}

void window_destroy(struct cpu *cpu)
{
	for (unsigned i = 0; i < WINDOWS; i++)
		if (cpu->windows->window[i].host)
			window_memory_release(cpu->windows->window[i].host - WINDOW_GUARD,
					      WINDOW_BYTES + 2 * WINDOW_GUARD);
	host_pages_free(cpu->windows, sizeof(*cpu->windows));
}

void window_force(struct cpu *cpu, unsigned views)
{
	cpu->windows->forced = (uint8_t)views;
	window_switch(cpu);
}

/* Slots */

static const struct window_place empty_place = {WINDOW_EMPTY_DELTA, WINDOW_EMPTY_NUMBER,
						-WINDOW_EMPTY_NUMBER};

/* Of the stack: rsp is in no window. */
#define NO_STACK (1ull << 63)

void window_empty_slot(struct window_slot *slot)
{
	*slot = (struct window_slot){{empty_place, empty_place}, 0};
}

static void empty_slots(struct cpu *cpu)
{
	uint64_t *used = cpu->windows->slots_used;

	for (unsigned word = 0; word < VIEW_COUNT * WINDOW_SLOTS / 64; word++) {
		for (uint64_t bits = used[word]; bits; bits &= bits - 1) {
			window_empty_slot(
				&cpu->window_slot[0][word * 64 + (unsigned)__builtin_ctzll(bits)]);
		}
		used[word] = 0;
	}
	fixed_window_empty(cpu);
	cpu->stack_minus_tag = NO_STACK;
	cpu->stack_delta = empty_place.delta;
}

/* Pages */

static _Atomic uint16_t *writers(const struct cpu *cpu, uint64_t physical)
{
	return &cpu->code->page_windows[memory_offset(&cpu->vm->memory, physical & ~PAGE_MASK) /
					PAGE_SIZE];
}

static unsigned window_number(const struct page *page)
{
	return page->linear & WINDOW_NUMBER;
}

static uint16_t *index_of(struct windows *windows, unsigned window, uint64_t linear)
{
	return &windows->index[window][linear >> 12 & (WINDOW_PAGES - 1)];
}

static uint8_t *host_of(const struct windows *windows, const struct page *page)
{
	const struct window *window = &windows->window[window_number(page)];

	return window->host + ((page->linear & ~PAGE_MASK) - window->tag);
}

/* Forgets the page; its mapping is gone, or about to go. */
static void forget(struct cpu *cpu, unsigned number)
{
	struct windows *windows = cpu->windows;
	struct page *page = &windows->page[number], *last = &windows->page[--windows->page_count];

	if (page->physical & WRITABLE)
		atomic_fetch_sub(writers(cpu, page->physical), 1);
	windows->window[window_number(page)].count--;
	if (page->linear & IN_LARGE)
		windows->window[window_number(page)].large--;
	*index_of(windows, window_number(page), page->linear) = 0;
	if (page != last) {
		*page = *last;
		*index_of(windows, window_number(page), page->linear) = (uint16_t)(number + 1);
	}
}

/* Nothing is as it should be: no windows any more. */
static void give_up(struct cpu *cpu)
{
	cpu->windows->broken = true;
	window_flush(cpu);
	window_switch(cpu);
}

/* Empties the windows of a mask. */
static void empty(struct cpu *cpu, unsigned mask)
{
	struct windows *windows = cpu->windows;
	unsigned doing = timing_switch(cpu, TIMING_WINDOW);
	bool any = false;

	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *window = &windows->window[i];
		uint64_t begin = __builtin_ia32_rdtsc();

		if (!(mask >> i & 1) || !window->count)
			continue;
		any = true;
		CHECK(window_memory_unmap(window->host, WINDOW_BYTES));
		windows->space[window->space].credit -= (int64_t)(__builtin_ia32_rdtsc() - begin);
	}
	for (unsigned i = windows->page_count; any && i-- > 0;)
		if (mask >> window_number(&windows->page[i]) & 1)
			forget(cpu, i);
	timing_switch(cpu, doing);
}

/* The host may refuse it, for it takes one more mapping; emptying the whole window takes none. */
static void unmap(struct cpu *cpu, unsigned number)
{
	const struct page *page = &cpu->windows->page[number];

	if (window_memory_unmap(host_of(cpu->windows, page), PAGE_SIZE))
		forget(cpu, number);
	else
		empty(cpu, 1u << window_number(page));
}

/* Windows */

static unsigned windows_of_space(const struct windows *windows, unsigned space)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < WINDOWS; i++)
		if (windows->window[i].used && windows->window[i].space == space)
			mask |= 1u << i;
	return mask;
}

static void close_windows(struct cpu *cpu, unsigned mask)
{
	empty(cpu, mask);
	for (unsigned i = 0; i < WINDOWS; i++)
		if (mask >> i & 1)
			cpu->windows->window[i].used = 0;
	empty_slots(cpu);
	cpu->windows_closed = true;
}

static struct window *find_window(struct windows *windows, unsigned view, uint64_t tag)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *window = &windows->window[i];

		if (window->used && window->tag == tag && window->view == view &&
		    window->space == windows->current)
			return window;
	}
	return NULL;
}

static struct window *open_window(struct cpu *cpu, uint64_t tag)
{
	struct windows *windows = cpu->windows;
	struct window *oldest = windows->window;

	for (unsigned i = 1; i < WINDOWS && oldest->used; i++)
		if (windows->window[i].used < oldest->used)
			oldest = &windows->window[i];
	if (oldest->used)
		close_windows(cpu, 1u << (oldest - windows->window));
	if (!oldest->host) {
		uint8_t *at = window_memory_reserve(WINDOW_BYTES + 2 * WINDOW_GUARD);

		if (!at)
			return NULL;
		oldest->host = at + WINDOW_GUARD;
	}
	oldest->tag = tag;
	oldest->view = cpu->view;
	oldest->space = (uint8_t)windows->current;
	return oldest;
}

static bool is_on(const struct cpu *cpu)
{
	return cpu->windows_on >> cpu->view & 1;
}

/* The window that linear is in, in the current view, or NULL. */
static struct window *window_for(struct cpu *cpu, uint64_t linear)
{
	struct windows *windows = cpu->windows;
	uint64_t tag = linear & ~(WINDOW_BYTES - 1);
	struct window *window;

	if (!is_on(cpu) || !paging_canonical(linear))
		return NULL;
	window = find_window(windows, cpu->view, tag);
	if (!window)
		window = open_window(cpu, tag);
	if (window)
		window->used = ++windows->clock;
	return window;
}

static uint32_t number_of(const struct window *window)
{
	return (uint32_t)(window->tag >> WINDOW_BITS);
}

static uint64_t delta_of(const struct window *window)
{
	return (uint64_t)(uintptr_t)window->host - window->tag;
}

bool window_fill_slot(struct cpu *cpu, struct window_slot *slot, uint64_t linear)
{
	const struct window *window = window_for(cpu, linear);
	unsigned index = (unsigned)(slot - cpu->window_slot[0]);
	uint32_t number;

	if (!window)
		return false;
	number = number_of(window);
	cpu->windows->slots_used[index / 64] |= 1ull << index % 64;
	if (slot->place[1].number != empty_place.number)
		slot->misses++;
	slot->place[1] = slot->place[0];
	slot->place[0] = (struct window_place){delta_of(window), number, -number};
	return true;
}

bool window_delta(const struct cpu *cpu, uint64_t linear, uint64_t *delta)
{
	const struct window *window =
		find_window(cpu->windows, cpu->view, linear & ~(WINDOW_BYTES - 1));

	if (window)
		*delta = delta_of(window);
	return window;
}

bool window_fill_fixed(struct cpu *cpu, unsigned number, uint64_t linear)
{
	const struct window *window = window_for(cpu, linear);

	if (!window || delta_of(window) != cpu->code->fixed.at[number].delta)
		return false;
	cpu->fixed_number[number] = number_of(window);
	cpu->fixed_used[number / 64] |= 1ull << number % 64;
	return true;
}

/* Address spaces */

static struct address_space *current_space(struct windows *windows)
{
	return windows->current < SPACES ? &windows->space[windows->current] : NULL;
}

static struct address_space *add_space(struct cpu *cpu)
{
	struct windows *windows = cpu->windows;
	struct address_space *oldest = windows->space;

	for (unsigned i = 1; i < SPACES && oldest->used; i++)
		if (windows->space[i].used < oldest->used)
			oldest = &windows->space[i];
	windows->current = (unsigned)(oldest - windows->space);
	if (oldest->used)
		close_windows(cpu, windows_of_space(windows, windows->current));
	*oldest = (struct address_space){.cr3 = cpu->cr3,
					 .used = ++windows->clock,
					 .credit = CREDIT_FIRST,
					 .penalty = SUSPENDED_MIN};
	return oldest;
}

static uint8_t views_on(const struct cpu *cpu, const struct address_space *space)
{
	if (cpu->windows->broken || cpu->windows->no_stack || cpu->paging.mode != PAGING_LONG)
		return 0;
	if (cpu->windows->forced)
		return cpu->windows->forced;
	return space && space->warm && !space->suspended ? 1u << VIEW_USER : 0;
}

static void update(struct cpu *cpu)
{
	uint8_t on = views_on(cpu, current_space(cpu->windows));

	if (on == cpu->windows_on)
		return;
	cpu->windows_on = on;
	cpu_mode_changed(cpu);
}

void window_switch(struct cpu *cpu)
{
	struct windows *windows = cpu->windows;

	empty_slots(cpu);
	windows->current = SPACES;
	windows->no_stack = false;
	for (unsigned i = 0; i < SPACES; i++)
		if (windows->space[i].used && windows->space[i].cr3 == cpu->cr3)
			windows->current = i;
	if (windows->current < SPACES)
		windows->space[windows->current].used = ++windows->clock;
	else if (windows->forced)
		add_space(cpu);
	update(cpu);
}

/*
 * What has run long enough is expected to run as long again. That pays for translating it anew if a
 * page of its code, for which some 60 us go, has brought a sixth of a sample.
 */
static void warm(const struct cpu *cpu, struct address_space *space)
{
	if (cpu->fetched_count[0] > space->code)
		space->code = cpu->fetched_count[0];
	space->warm = ++space->samples >= WARM + space->code / PAGES_A_SAMPLE;
}

void window_sample(struct cpu *cpu)
{
	struct windows *windows = cpu->windows;
	struct address_space *space = current_space(windows);
	uint64_t now = __builtin_ia32_rdtsc(), passed = now - windows->sampled;

	windows->sampled = now;
	windows->no_stack = false;
	if (cpu->view != VIEW_USER || cpu_code_size(cpu) != CODE_64 || windows->broken)
		return;
	if (!space)
		space = add_space(cpu);
	if (!space->warm)
		warm(cpu, space);
	if (space->suspended)
		space->suspended--;
	else if (space->credit < CREDIT_MAX)
		space->credit +=
			(int64_t)(passed < SAMPLE_MAX ? passed : SAMPLE_MAX) / CREDIT_SHARE;
	update(cpu);
}

bool window_stack(struct cpu *cpu)
{
	const struct window *window = window_for(cpu, cpu->gpr[RSP]);

	if (!window) {
		cpu->windows->no_stack = true;
		update(cpu);
		return false;
	}
	cpu->stack_minus_tag = -window->tag;
	cpu->stack_delta = delta_of(window);
	cpu->stack_view = cpu->view;
	return true;
}

/* The current address space has paid for something; false: with its last credit. */
static bool pay(struct cpu *cpu, int64_t price)
{
	struct windows *windows = cpu->windows;
	struct address_space *space = current_space(windows);

	space->credit -= price;
	if (space->credit > 0 || windows->forced)
		return true;
	space->credit = CREDIT_AGAIN;
	space->suspended = space->penalty;
	if (space->penalty < SUSPENDED_MAX)
		space->penalty *= 2;
	close_windows(cpu, windows_of_space(windows, windows->current));
	update(cpu);
	return false;
}

/* Faults */

bool window_owns(const struct cpu *cpu, uint64_t host)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		const struct window *window = &cpu->windows->window[i];

		if (window->host && host - (uint64_t)(uintptr_t)window->host + WINDOW_GUARD <
					    WINDOW_BYTES + 2 * WINDOW_GUARD)
			return true;
	}
	return false;
}

uint64_t window_first(const struct cpu *cpu)
{
	for (unsigned i = 0; i < WINDOWS; i++)
		if (cpu->windows->window[i].host)
			return (uint64_t)(uintptr_t)cpu->windows->window[i].host;
	return 0;
}

static struct window *window_at(struct windows *windows, uint64_t host)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *window = &windows->window[i];

		if (window->used && host - (uint64_t)(uintptr_t)window->host < WINDOW_BYTES)
			return window;
	}
	return NULL;
}

/* From now on others see that it is writable here; false if there is code on it. */
static bool note_writable(struct cpu *cpu, uint64_t physical)
{
	atomic_fetch_add(writers(cpu, physical), 1);
	if (!code_on_page(cpu, physical))
		return true;
	atomic_fetch_sub(writers(cpu, physical), 1);
	return false;
}

/* Puts linear's page into the list, if the TLB has it; false if not, or if it is there already. */
static bool add_page(struct cpu *cpu, unsigned window, uint64_t linear)
{
	struct windows *windows = cpu->windows;
	unsigned view = windows->window[window].view, index = linear >> 12 & (TLB_SIZE - 1);
	const struct tlb_entry *entry = &cpu->tlb[view][index];
	uint64_t physical = entry->physical & ~PAGE_MASK;
	bool large = cpu->tlb_large[view][index / 64] >> index % 64 & 1;

	/* A global page would outlive its address space. */
	if (entry->read != linear || (entry->physical & 1) || *index_of(windows, window, linear))
		return false;
	if (entry->write == linear && note_writable(cpu, physical))
		physical |= WRITABLE;
	windows->page[windows->page_count++] =
		(struct page){linear | window | (large ? IN_LARGE : 0), physical};
	*index_of(windows, window, linear) = (uint16_t)windows->page_count;
	windows->window[window].count++;
	windows->window[window].large += large;
	return true;
}

/* Maps page[first..page_count), which ascend, in as few calls as there are runs. */
static bool map_pages(struct cpu *cpu, unsigned first)
{
	const struct windows *windows = cpu->windows;
	const struct memory *memory = &cpu->vm->memory;

	while (first < windows->page_count) {
		const struct page *page = &windows->page[first];
		unsigned count = 1;

		while (first + count < windows->page_count &&
		       page[count].linear == page->linear + count * PAGE_SIZE &&
		       page[count].physical == page->physical + count * PAGE_SIZE)
			count++;
		if (!window_memory_map(host_of(windows, page), count * PAGE_SIZE, memory->handle,
				       memory_offset(memory, page->physical & ~PAGE_MASK),
				       page->physical & WRITABLE))
			return false;
		first += count;
	}
	return true;
}

/*
 * Makes room for a group's pages. The hand goes round, so that an instruction whose two pages are
 * wanted at once is not kept from one by the other for ever.
 */
static void make_room(struct cpu *cpu)
{
	struct windows *windows = cpu->windows;

	while (windows->page_count + GROUP > PAGES_MAX / cpu->vm->vcpu_count)
		unmap(cpu, windows->hand++ % windows->page_count);
}

static bool map_group(struct cpu *cpu, unsigned window, uint64_t linear)
{
	struct windows *windows = cpu->windows;
	uint64_t begin = __builtin_ia32_rdtsc();
	uint64_t group = linear & ~(uint64_t)(GROUP * PAGE_SIZE - 1);
	unsigned first;

	make_room(cpu);
	first = windows->page_count;
	for (unsigned i = 0; i < GROUP; i++)
		add_page(cpu, window, group + i * PAGE_SIZE);
	if (!map_pages(cpu, first)) {
		give_up(cpu);
		return false;
	}
	current_space(windows)->credit -= (int64_t)(__builtin_ia32_rdtsc() - begin);
	return *index_of(windows, window, linear) != 0;
}

uint64_t window_linear(const struct cpu *cpu, uint64_t host)
{
	const struct window *window = window_at(cpu->windows, host);

	return window ? window->tag + (host - (uint64_t)(uintptr_t)window->host) : host;
}

static bool is_known(const struct cpu *cpu, uint64_t linear, bool write)
{
	const struct tlb_entry *entry = &cpu->tlb[cpu->view][linear >> 12 & (TLB_SIZE - 1)];

	return (write ? entry->write : entry->read) == (linear & ~PAGE_MASK);
}

bool window_fault(struct cpu *cpu, uint64_t host, bool write, bool known)
{
	struct windows *windows = cpu->windows;
	struct window *window = window_at(windows, host);
	uint64_t linear;
	uint32_t number;

	cpu->count_window_faults++;
	if (!window || !is_on(cpu) || window->space != windows->current ||
	    window->view != cpu->view)
		return false;
	linear = window->tag + (host - (uint64_t)(uintptr_t)window->host);
	/* The end of the access may be where no address is: #GP, before any #PF. */
	if (!paging_canonical(linear + PAGE_SIZE))
		return false;
	if (!pay(cpu, PRICE_OF_FAULT))
		return false;
	if (known ? !is_known(cpu, linear, write)
		  : !mmu_host(cpu, linear, 1, write ? MMU_WRITE : MMU_READ))
		return false;
	linear &= ~PAGE_MASK;
	number = *index_of(windows, (unsigned)(window - windows->window), linear);
	if (number) {
		/* More rights than it has; or the host has no memory for it. */
		bool enough = !write || (windows->page[number - 1].physical & WRITABLE);

		unmap(cpu, number - 1);
		if (enough)
			return false;
	}
	if (!map_group(cpu, (unsigned)(window - windows->window), linear))
		return false;
	/* Another vcpu may have begun to translate the page meanwhile, and wait for this one. */
	number = *index_of(windows, (unsigned)(window - windows->window), linear);
	return !write || (windows->page[number - 1].physical & WRITABLE);
}

/* Flushes */

void window_flush(struct cpu *cpu)
{
	empty(cpu, (1u << WINDOWS) - 1);
}

void window_trim(struct cpu *cpu)
{
	struct windows *windows = cpu->windows;
	int64_t credit[SPACES];

	for (unsigned i = 0; i < SPACES; i++)
		credit[i] = windows->space[i].credit;
	window_flush(cpu);
	for (unsigned i = 0; i < SPACES; i++)
		windows->space[i].credit = credit[i];
	code_memory_clear(windows->page, sizeof(windows->page));
	code_memory_clear(windows->index, sizeof(windows->index));
}

static bool has_pcid(const struct address_space *space, unsigned pcid)
{
	return (space->cr3 & 0xfff) == pcid;
}

void window_flush_pcid(struct cpu *cpu, unsigned pcid)
{
	struct windows *windows = cpu->windows;

	if (!windows->page_count)
		return;
	for (unsigned i = 0; i < SPACES; i++)
		if (windows->space[i].used && has_pcid(&windows->space[i], pcid))
			empty(cpu, windows_of_space(windows, i));
}

/* Pieces of large pages in the same GiB, as in the TLB. */
static void flush_large(struct cpu *cpu, unsigned window, uint64_t linear)
{
	struct windows *windows = cpu->windows;

	for (unsigned i = windows->page_count; i-- > 0;) {
		const struct page *page = &windows->page[i];

		if (i < windows->page_count && window_number(page) == window &&
		    (page->linear & IN_LARGE) && (page->linear ^ linear) >> 30 == 0)
			unmap(cpu, i);
	}
}

void window_flush_page(struct cpu *cpu, unsigned pcid, uint64_t linear)
{
	struct windows *windows = cpu->windows;

	if (!windows->page_count)
		return;
	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *window = &windows->window[i];
		uint32_t number;

		if (!window->count || window->tag != (linear & ~(WINDOW_BYTES - 1)) ||
		    !has_pcid(&windows->space[window->space], pcid))
			continue;
		number = *index_of(windows, i, linear);
		if (number)
			unmap(cpu, number - 1);
		if (window->large)
			flush_large(cpu, i, linear);
	}
}

void window_protect(struct cpu *cpu, uint64_t physical)
{
	struct windows *windows = cpu->windows;
	_Atomic uint16_t *count = writers(cpu, physical);

	if (!atomic_load(count))
		return;
	physical = (physical & ~PAGE_MASK) | WRITABLE;
	for (unsigned i = windows->page_count; i-- > 0;) {
		struct page *page = &windows->page[i];

		if (i >= windows->page_count || page->physical != physical)
			continue;
		if (!window_memory_protect(host_of(windows, page), PAGE_SIZE, false)) {
			empty(cpu, 1u << window_number(page));
			continue;
		}
		page->physical &= ~WRITABLE;
		atomic_fetch_sub(count, 1);
	}
}
