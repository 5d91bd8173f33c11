/* SPDX-License-Identifier: BSD-2-Clause */
#include "system.h"

#define POOL_PAGES 512

uint64_t gdt_table[GDT_COUNT] __attribute__((aligned(16)));
struct tss tss __attribute__((aligned(128)));
uint8_t state_stack[16384] __attribute__((aligned(4096)));
static uint8_t trap_stack[2][16384], ring_stack[16384];
static uint8_t pool[POOL_PAGES][4096] __attribute__((aligned(4096)));
static unsigned int pool_used;
static struct trap *volatile state_running;
static struct tss processor_tss[PROCESSORS_MAX];
static uint8_t processor_ring_stacks[PROCESSORS_MAX + 1][4096] __attribute__((aligned(16)));
static void (*processor_work)(unsigned int index);

void state_enter(struct trap *state);
__attribute__((noreturn)) void state_leave(void);
__attribute__((noreturn)) void processor_main(unsigned int index);
extern const uint8_t processor_trampoline[], processor_trampoline_end[];
extern const uint32_t processor_root[];
extern volatile uint32_t processor_next;

static void *copy(void *to, const void *from, size_t size)
{
	void *start = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
	return start;
}

/* Compilers emit calls to these two. */
void *memcpy(void *to, const void *from, size_t size)
{
	return copy(to, from, size);
}

void *memset(void *to, int value, size_t size)
{
	void *start = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
	return start;
}

static void gdt_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(gdt_table) - 1, (uintptr_t)gdt_table};

	asm volatile("lgdt %0" ::"m"(pointer));
}

/* Volume 3, 7.2.3. */
static void tss_descriptor(unsigned int selector, const struct tss *of)
{
	uint64_t base = (uintptr_t)of, limit = sizeof(*of) - 1;

	gdt_table[selector / 8] =
		limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	gdt_table[selector / 8 + 1] = base >> 32;
}

static void user_map(void)
{
	uint64_t address = USER_BASE;

	*page_entry(0, USER_BASE, 3) |= P_USER;
	*page_entry(0, USER_BASE, 2) |= P_USER;
	for (; address < USER_BASE + (64 << 20); address += 2 << 20)
		*page_entry(0, address, 1) =
			(address - USER_BASE) | P_PRESENT | P_WRITE | P_USER | P_LARGE;
	cr3_write(cr3_read());
}

void system_init(void)
{
	static const uint64_t first[] = {
		0,
		0x00cf9b000000ffff,
		0x00cf93000000ffff,
		0x00af9b000000ffff,
		0x008f9b000000ffff,
		0x00cffb000000ffff,
		0x00cff3000000ffff,
		0x00affb000000ffff,
	};

	copy(gdt_table, first, sizeof(first));
	tss.rsp[0] = (uintptr_t)(ring_stack + sizeof(ring_stack));
	tss.ist[1] = (uintptr_t)trap_stack[1];
	tss.ist[2] = (uintptr_t)(trap_stack[1] + sizeof(trap_stack[1]));
	tss.io_map = offsetof(struct tss, ports);
	memset(tss.ports, 0xff, sizeof(tss.ports) + 1);
	tss_descriptor(TSS_0, &tss);
	gdt_load();
	asm volatile("ltr %w0" ::"r"(TSS_0));
	msr_write(0xc0000080, msr_read(0xc0000080) | 0x801); /* NXE, SCE */
	user_map();
	trap_state = &state_running;
	trap_state_leave = state_leave;
}

void gate_set(unsigned int vector, unsigned int dpl, unsigned int ist, bool present)
{
	idt_table[vector][1] &= 0xffff0f00;
	idt_table[vector][1] &= ~7u;
	idt_table[vector][1] |= (present ? 0x8000 : 0) | dpl << 13 | ist;
}

/* Of all vectors that a state may end by. */
static void ist_set(uint32_t ist)
{
	for (unsigned int i = 0; i < 256; i = i == 31 ? 0x80 : i == 0x8f ? 256 : i + 1)
		idt_table[i][1] = (idt_table[i][1] & ~7u) | ist;
}

unsigned int state_run(struct trap *state)
{
	static struct trap entered; /* where the stack is while it is popped */

	ist_set(1);
	entered = *state;
	state_running = state;
	state_enter(&entered);
	ist_set(0);
	return (unsigned int)state->vector;
}

void state_init(struct trap *state, const void *ip, bool user)
{
	*state = (struct trap){
		.ip = (uintptr_t)ip + (user ? USER_BASE : 0),
		.cs = user ? USER_64 : CODE_64,
		.flags = 2,
		.sp = (uintptr_t)(state_stack + sizeof(state_stack)) + (user ? USER_BASE : 0),
		.ss = user ? USER_DATA : DATA_0,
	};
}

void *page_new(void)
{
	if (pool_used == POOL_PAGES) {
		print("no more pages\n");
		EXPECT(false);
		guest_end();
	}
	return pool[pool_used++];
}

uint64_t *page_entry(uint64_t root, uint64_t linear, unsigned int level)
{
	uint64_t *table = (uint64_t *)((root ? root : cr3_read()) & ~0xfffull);

	for (unsigned int at = 3;; at--) {
		uint64_t *entry = &table[linear >> (12 + 9 * at) & 511];

		if (at == level)
			return entry;
		if (!(*entry & P_PRESENT))
			*entry = (uintptr_t)page_new() | P_PRESENT | P_WRITE | P_USER;
		table = (uint64_t *)(*entry & 0x000ffffffffff000);
	}
}

void page_map(uint64_t linear, uint64_t physical, uint64_t bits)
{
	*(volatile uint64_t *)page_entry(0, linear, 0) = physical | bits;
	page_invalidate(linear);
}

uint64_t root_new(void)
{
	uint64_t *table = page_new();

	table[0] = ((uint64_t *)(cr3_read() & ~0xfffull))[0];
	return (uintptr_t)table;
}

void lapic_enable(void)
{
	lapic_write(0x80, 0);
	lapic_write(0xf0, 0x1ff);
}

void lapic_eoi(void)
{
	lapic_write(0xb0, 0);
}

void lapic_command(uint32_t apic_id, uint32_t low)
{
	lapic_write(0x310, apic_id << 24);
	lapic_write(0x300, low);
	while (lapic_read(0x300) & 0x1000)
		pause();
}

unsigned int processor_index(void)
{
	return lapic_read(0x20) >> 24;
}

void processor_main(unsigned int index)
{
	unsigned int selector = GDT_FREE + 0x80 + 16 * index;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idt = {sizeof(idt_table) - 1, (uintptr_t)idt_table};

	/* Two eight-byte entries for each: 32 do not fit, so only few processors get a TSS. */
	if (selector / 8 + 1 < GDT_COUNT) {
		processor_tss[index].rsp[0] = (uintptr_t)processor_ring_stacks[index + 1];
		tss_descriptor(selector, &processor_tss[index]);
		asm volatile("ltr %w0" ::"r"(selector));
	}
	asm volatile("lidt %0" ::"m"(idt));
	lapic_enable();
	processor_work(index);
	for (;;)
		asm volatile("cli; hlt");
}

unsigned int processors_start(void (*main)(unsigned int index))
{
	uint8_t *low = (uint8_t *)0x8000;
	volatile uint32_t *root =
		(uint32_t *)(low + ((const uint8_t *)processor_root - processor_trampoline));
	uint64_t end;

	processor_work = main;
	copy(low, processor_trampoline, (size_t)(processor_trampoline_end - processor_trampoline));
	*root = (uint32_t)cr3_read();
	lapic_enable();
	/* Volume 3, 8.4.4.1: INIT, then SIPI, to all but self. */
	lapic_command(0, 0xc4500);
	for (end = tsc_read() + 20000000; tsc_read() < end;)
		pause();
	lapic_command(0, 0xc4608);
	/* Until none has come for a while. */
	for (uint32_t seen = 0; seen != processor_next;) {
		seen = processor_next;
		for (end = tsc_read() + 600000000; tsc_read() < end;)
			pause();
	}
	return processor_next;
}

bool wait_for(volatile uint32_t *value, uint32_t wanted)
{
	uint64_t end = tsc_read() + 60000000000;

	while (*value < wanted) {
		if (tsc_read() > end)
			return false;
		pause();
	}
	return true;
}
