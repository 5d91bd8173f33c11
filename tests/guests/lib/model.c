/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#define RESERVED (1ull << 51)
#define ADDRESS	 0x0007fffffffff000ull
#define CR0_WP	 0x10000ull
#define CR4_PGE	 (1ull << 7)
#define CR4_PCID (1ull << 17)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)

uint8_t zoo[ZOO_PAGES][4096] __attribute__((aligned(4096)));
uint8_t zoo_wanted[ZOO_PAGES][4096] __attribute__((aligned(4096)));

static uint64_t random_state = 0x9e3779b97f4a7c15;

uint64_t model_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return (random_state ^= random_state << 17) * 0x2545f4914f6cdd1d;
}

static uint64_t take_number(const char **text)
{
	uint64_t value = 0;

	while (**text == ' ')
		++*text;
	for (; **text >= '0' && **text <= '9'; ++*text)
		value = value * 10 + (uint64_t)(**text - '0');
	return value;
}

uint64_t model_options(uint64_t rounds)
{
	const char *text = guest_command_line();
	uint64_t seed, given;

	/* The first word may be the kernel's name. */
	while (*text && (*text < '0' || *text > '9'))
		while (*text && *text++ != ' ')
			;
	seed = take_number(&text);
	given = take_number(&text);
	if (seed)
		random_state ^= seed * 0xd1342543de82ef95;
	return given ? given : rounds;
}

uint64_t *trap_register(struct trap *state, unsigned int number)
{
	uint64_t *const registers[] = {&state->ax,  &state->cx,	 &state->dx,  &state->bx,
				       &state->sp,  &state->bp,	 &state->si,  &state->di,
				       &state->r8,  &state->r9,	 &state->r10, &state->r11,
				       &state->r12, &state->r13, &state->r14, &state->r15};

	return registers[number];
}

/* The zoo */

void zoo_fill(void)
{
	static const uint8_t start[8] = {0x0f, 0x0b, 0x11, 0x22, 0x33, 0x44, 0x0f, 0x0b};
	static const uint8_t last[4] = {0x48, 0xb8, 0x55, 0x66};

	for (unsigned int page = 0; page < ZOO_PAGES; page++) {
		uint64_t *words = (uint64_t *)zoo_wanted[page];

		for (unsigned int i = 0; i < 512; i++)
			words[i] = (page * 512 + i + 1) * 0x9e3779b97f4a7c15 ^ 0x5ec2e75ec2e7;
		for (unsigned int i = 0; i < 8; i++)
			zoo_wanted[page][i] = start[i];
		zoo_wanted[page][2] = (uint8_t)page;
		for (unsigned int i = 0; i < 4; i++)
			zoo_wanted[page][ZOO_CROSSING + i] = last[i];
		zoo_wanted[page][ZOO_CROSSING + 3] = (uint8_t)page;
	}
	asm volatile("rep movsb" ::"D"(zoo), "S"(zoo_wanted), "c"(sizeof(zoo)) : "memory");
}

bool zoo_check(const char *what)
{
	const void *at = zoo, *wanted = zoo_wanted;
	uint64_t left = sizeof(zoo) / 8;
	bool same;

	asm volatile("repe cmpsq" : "+S"(at), "+D"(wanted), "+c"(left), "=@ccz"(same)::"memory");
	if (same)
		return true;
	print_format("%s: offset 0x%lx of the zoo has changed\n", what,
		     (uint64_t)((const uint8_t *)at - 8 - zoo[0]));
	EXPECT(same);
	zoo_fill();
	return false;
}

/* Walks */

/* The entry that maps linear, and what all entries on the way allow together; NULL: not present. */
static const uint64_t *leaf_of(uint64_t linear, uint64_t *rights, uint64_t *size)
{
	const uint64_t *table = (const uint64_t *)(cr3_read() & ADDRESS);

	*rights = P_WRITE | P_USER;
	for (unsigned int level = 3;; level--) {
		const uint64_t *entry = &table[linear >> (12 + 9 * level) & 511];

		if (!(*entry & P_PRESENT))
			return NULL;
		*rights = (*rights & (*entry | P_NX)) | (*entry & P_NX);
		*size = 1ull << (12 + 9 * level);
		if (!level || (*entry & P_LARGE && level < 3))
			return entry;
		table = (const uint64_t *)(*entry & ADDRESS);
	}
}

static bool allows(uint64_t rights, struct viewer viewer, unsigned int access)
{
	bool write = access & WRITE, fetch = access & FETCH;

	if (fetch && (rights & P_NX))
		return false;
	if (viewer.user)
		return (rights & P_USER) && (!write || (rights & P_WRITE));
	if (write && !(rights & P_WRITE) && (cr0_read() & CR0_WP))
		return false;
	if (!(rights & P_USER))
		return true;
	if (fetch)
		return !(cr4_read() & CR4_SMEP);
	return viewer.ac || !(cr4_read() & CR4_SMAP);
}

int64_t model_walk(uint64_t linear, struct viewer viewer, unsigned int access, uint32_t *error)
{
	uint64_t rights, size = 0;
	const uint64_t *leaf = leaf_of(linear, &rights, &size);

	*error = access | (viewer.user ? 4 : 0);
	if (!leaf)
		return -1;
	*error |= 1;
	if (*leaf & RESERVED) {
		*error |= 8;
		return -1;
	}
	if (!allows(rights, viewer, access))
		return -1;
	return (int64_t)((*leaf & ADDRESS & ~(size - 1)) | (linear & (size - 1)));
}

static struct outcome page_fault(uint64_t linear, uint32_t error)
{
	return (struct outcome){14, error, linear};
}

struct outcomes model_access(uint64_t linear, unsigned int size, struct viewer viewer,
			     unsigned int access, bool stack)
{
	uint64_t last = linear + size - 1, second = last & ~0xfffull;
	struct outcomes outcomes = {0};
	uint32_t error;

	if (!model_canonical(linear) || !model_canonical(last)) {
		outcomes.one[outcomes.count++] = (struct outcome){stack ? 12 : 13, 0, 0};
		if (model_canonical(linear) && model_walk(linear, viewer, access, &error) < 0)
			outcomes.one[outcomes.count++] = page_fault(linear, error);
		return outcomes;
	}
	if (model_walk(linear, viewer, access, &error) < 0)
		outcomes.one[outcomes.count++] = page_fault(linear, error);
	if (second != (linear & ~0xfffull) && model_walk(second, viewer, access, &error) < 0)
		outcomes.one[outcomes.count++] = page_fault(second, error);
	if (!outcomes.count)
		outcomes.count = 1;
	return outcomes;
}

static bool is_like(const struct trap *state, const struct outcome *wanted)
{
	if (!wanted->vector)
		return state->vector == 6;
	return state->vector == wanted->vector && state->error == wanted->error &&
	       (wanted->vector != 14 || cr2_read() == wanted->cr2);
}

bool outcome_check(const struct trap *state, const struct outcomes *wanted, const char *what)
{
	for (unsigned int i = 0; i < wanted->count; i++)
		if (is_like(state, &wanted->one[i]))
			return true;
	EXPECT(!"another outcome than the page tables say");
	if (expect_told())
		print_format(
			"  %s: vector %lu error 0x%lx cr2 0x%lx ip 0x%lx, wanted %u 0x%x 0x%lx\n",
			what, state->vector, state->error, cr2_read(), state->ip,
			wanted->one[0].vector, wanted->one[0].error, wanted->one[0].cr2);
	return false;
}

uint8_t *zoo_at(uint64_t linear)
{
	uint64_t rights, size = 0, physical;
	const uint64_t *leaf;

	if (!model_canonical(linear))
		return NULL;
	leaf = leaf_of(linear, &rights, &size);
	if (!leaf)
		return NULL;
	physical = (*leaf & ADDRESS & ~(size - 1)) | (linear & (size - 1));
	physical -= (uintptr_t)zoo;
	return physical < sizeof(zoo) ? &zoo_wanted[0][physical] : NULL;
}

bool zoo_has(uint64_t linear, unsigned int size)
{
	return zoo_at(linear) && zoo_at(linear + size - 1);
}

uint64_t zoo_load(uint64_t linear, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = size; i-- > 0;)
		value = value << 8 | *zoo_at(linear + i);
	return value;
}

/* Address spaces */

#define PLACES (sizeof(places) / sizeof(places[0]))
#define SPACES 10
#define SHARED 6 /* the last ones: below 4 GiB, where all spaces have the same tables */
#define ROW    0x7f0080000000ull

static const uint64_t places[] = {
	/* around multiples of 2 GiB */
	ROW - 0x2000, ROW - 0x1000, ROW, ROW + 0x1000, ROW + 0x2000, ROW + 0x3000, ROW + 0x7ffff000,
	ROW + 0x80000000, 0x8000000000, 0x8080000000, 0x8100000000, 0x8180000000, 0x8200000000,
	0x8280000000,
	/* the ends of both halves */
	0x7fffffffe000, 0x7ffffffff000, 0xffff800000000000, 0xffff800000001000, 0xffffffff80000000,
	0xffffffffffffe000, 0xfffffffffffff000,
	/* where instructions reach by what is in them */
	0x60000000, 0x60001000, 0x60002000, 0x601ff000, 0x60200000, 0x7ffff000};

static struct space {
	uint64_t root, pcid;
	bool stale; /* the TLB may know what isn't any more */
} spaces[SPACES];
static unsigned int current;
static uint64_t plain_cr0, plain_cr4;
static bool has_pcid;

static bool is_shared(unsigned int place)
{
	return place >= PLACES - SHARED;
}

static void load(unsigned int space)
{
	bool keep = has_pcid && !spaces[space].stale && (model_random() & 1);

	current = space;
	for (unsigned int i = 0; i < SPACES; i++)
		if (spaces[i].pcid == spaces[space].pcid)
			spaces[i].stale = i != space;
	cr3_write(spaces[space].root | spaces[space].pcid | (keep ? 1ull << 63 : 0));
}

/* Global only where all spaces have the same. */
static uint64_t random_entry(bool shared)
{
	uint64_t entry = (uintptr_t)zoo[random_below(ZOO_PAGES)] | P_PRESENT;

	entry |= shared && random_below(2) ? P_GLOBAL : 0;

	entry |= random_below(4) ? P_USER : 0;
	entry |= random_below(4) ? P_WRITE : 0;
	entry |= random_below(3) ? 0 : P_NX;
	entry |= random_below(16) ? 0 : RESERVED;
	entry |= model_random() & (P_ACCESSED | P_DIRTY);
	entry &= random_below(8) ? ~0ull : ~P_PRESENT;
	return entry;
}

/* 4.10.4.1. Global ones go by invlpg, in all spaces, and by invpcid's type 2. */
static void invalidate(uint64_t linear, bool global)
{
	struct {
		uint64_t pcid, address;
	} descriptor = {spaces[current].pcid, linear};

	if (global && (!has_pcid || random_below(2))) {
		page_invalidate(linear);
		return;
	}
	if (global) {
		asm volatile("invpcid %0, %1" ::"m"(descriptor), "r"(2ull) : "memory");
		return;
	}
	switch (has_pcid ? random_below(5) : random_below(2)) {
	case 0:
		cr3_write(spaces[current].root | spaces[current].pcid);
		break;
	case 2:
	case 3:
		asm volatile("invpcid %0, %1" ::"m"(descriptor), "r"(random_below(4)) : "memory");
		break;
	default:
		page_invalidate(linear);
	}
}

static void change_entry(unsigned int space, unsigned int place)
{
	volatile uint64_t *entry = page_entry(spaces[space].root, places[place], 0);
	bool global = (*entry & P_GLOBAL) && (cr4_read() & CR4_PGE);

	*entry = random_entry(is_shared(place));
	if (space == current || is_shared(place))
		invalidate(places[place], global);
	for (unsigned int i = 0; i < SPACES && !global; i++)
		if (i != current && (i == space || is_shared(place)))
			spaces[i].stale = true;
}

static void change_bits(void)
{
	uint64_t cr4 = cr4_read();

	cr0_write(cr0_read() ^ CR0_WP);
	cr4 ^= model_random() & CR4_PGE; /* drops all */
	if (cpuid(7, 0).b & 1 << 7)
		cr4 ^= model_random() & CR4_SMEP;
	if (cpuid(7, 0).b & 1 << 20)
		cr4 ^= model_random() & CR4_SMAP;
	cr4_write(cr4);
}

/* Mostly where the last attacks went, for that is what is remembered somewhere. */
static unsigned int recent_place[4];

static unsigned int pick_place(void)
{
	if (random_below(8))
		return recent_place[random_below(4)];
	return (unsigned int)random_below(PLACES);
}

void spaces_change(void)
{
	switch (random_below(8)) {
	case 0:
	case 1:
		load((unsigned int)random_below(SPACES));
		break;
	case 2:
		change_entry((unsigned int)random_below(SPACES), pick_place());
		break;
	case 3:
		if (!random_below(8))
			change_bits();
		break;
	default:
		change_entry(current, pick_place());
	}
}

void spaces_make(void)
{
	plain_cr0 = cr0_read(), plain_cr4 = cr4_read();
	zoo_fill();
	for (uint64_t at = 0x60000000; at < 0x60400000; at += 0x200000)
		*page_entry(0, at, 1) = 0;
	*page_entry(0, 0x7fe00000, 1) = 0;
	spaces[0].root = cr3_read();
	has_pcid = (cpuid(1, 0).c & 1 << 17) && (cpuid(7, 0).b & 1 << 10);
	if (has_pcid)
		cr4_write(cr4_read() | CR4_PCID);
	for (unsigned int i = 0; i < SPACES; i++) {
		if (i)
			spaces[i].root = root_new();
		spaces[i].pcid = has_pcid ? i % 6 : 0; /* some share one */
		for (unsigned int place = 0; place < PLACES - (i ? SHARED : 0); place++)
			*page_entry(spaces[i].root, places[place], 0) =
				random_entry(is_shared(place));
		spaces[i].stale = true;
	}
	load(0);
}

void spaces_leave(void)
{
	spaces[0].stale = true;
	load(0);
	cr0_write(plain_cr0);
	cr4_write(plain_cr4);
}

/* Nothing of the guest's: the ends of what is canonical, and where a host's programs have things.
 */
static uint64_t wild(void)
{
	static const uint64_t points[] = {
		0x800000000000,	    0xffff7ffffffff000, 0x8000000000000000, 0x7fffffffffffffff,
		0x555555554000,	    0x7ffff7dd0000,	0x7fffffffe000,	    0x7ffff7ffe000,
		0xffffffffff600000, 0x4000000000,	0x100000000,	    0xfff0000000000000};

	switch (random_below(6)) {
	case 0: /* any */
		return model_random();
	case 1: /* where empty slots of ours lead */
		return 0x8000000000000000;
	case 2: /* a host's user space */
		return 0x550000000000 + random_below(0x2b0000000000);
	default:
		return points[random_below(sizeof(points) / sizeof(points[0]))];
	}
}

uint64_t spaces_target(unsigned int size)
{
	uint64_t at;

	if (!random_below(8))
		recent_place[random_below(4)] = (unsigned int)random_below(PLACES);
	if (!random_below(8))
		at = wild();
	else
		at = places[recent_place[0] = pick_place()];

	switch (random_below(4)) {
	case 0: /* across the page's end */
		return at + 4096 - random_below(size + 1);
	case 1: /* across its beginning */
		return at - random_below(size + 1);
	case 2:
		return at + (random_below(4096) & ~63ull);
	default:
		return at + random_below(4096);
	}
}
