/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other processors. Each is started by INIT and a start-up message whose page holds the
 * trampoline (boot/trampoline.S); Intel SDM 3, section 8.4.4. All get INIT first, so that the pause
 * which that needs is made once; then they start one after another, for they share the trampoline's
 * page.
 *
 * A call to another processor goes through the one slot in its struct cpu. Whoever waits for the
 * slot or for the call's end serves its own slot meanwhile, so two may call each other.
 */
#include "kernel/smp.h"

#include <stdatomic.h>
#include <stddef.h>

#include "kernel/acpi.h"
#include "kernel/address.h"
#include "kernel/boot.h"
#include "kernel/boot/boot_layout.h"
#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/register.h"
#include "kernel/schedule.h"
#include "kernel/trap.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "x86/apic.h"
#include "x86/msr.h"

#define INIT_PAUSE                                                                                 \
	100000 /* ns from INIT to the start-up message: none with SVM needs the 10 ms              \
		*/
#define START_PAUSE    1000000	 /* until the message is sent again */
#define START_LIMIT    500000000 /* until the processor is given up */
#define LOW_MEMORY_END 0xa0000

/* A call, in the caller's stack. */
struct call {
	void (*call)(void *context);
	void *context;
	_Atomic unsigned left; /* processors that have not finished it */
};

extern const uint8_t trampoline[], trampoline_end[];

static struct cpu *cpus[CPUS_MAX];
static _Atomic unsigned online_count;
static _Atomic bool stopping;

/* Comparing the clock of a processor that starts: who is to do what, and the number it is about. */
enum { CLOCK_REST, CLOCK_ASKED, CLOCK_READ, CLOCK_JUDGED };
#define CLOCK_ROUNDS 3
static _Atomic unsigned clock_step;
static uint64_t clock_number;

/* The processor that has just arrived from the trampoline. */
static struct cpu *_Atomic arrived;

unsigned cpu_count(void)
{
	return atomic_load_explicit(&online_count, memory_order_acquire);
}

struct cpu *cpu_at(unsigned id)
{
	CHECK(id < cpu_count());
	return cpus[id];
}

void cpu_kick(struct cpu *cpu)
{
	local_apic_send(cpu->apic_id, APIC_FIXED, VECTOR_KICK);
}

void smp_interrupt(void)
{
	struct cpu *cpu = cpu_this();
	struct call *call = atomic_load_explicit(&cpu->call, memory_order_acquire);

	if (!call)
		return;
	call->call(call->context);
	atomic_store_explicit(&cpu->call, NULL, memory_order_release);
	/* The last touch: then the caller's stack is its own again. */
	atomic_fetch_sub_explicit(&call->left, 1, memory_order_release);
}

static void post(struct cpu *cpu, struct call *call)
{
	struct call *empty = NULL;

	while (!atomic_compare_exchange_weak_explicit(&cpu->call, &empty, call,
						      memory_order_release, memory_order_relaxed)) {
		empty = NULL;
		smp_interrupt();
		__builtin_ia32_pause();
	}
	cpu_kick(cpu);
}

static void wait(struct call *call)
{
	while (atomic_load_explicit(&call->left, memory_order_acquire)) {
		smp_interrupt();
		__builtin_ia32_pause();
	}
}

/* On the processors from one to before another. */
static void call_range(unsigned first, unsigned end, void (*call)(void *context), void *context)
{
	unsigned own = cpu_this()->id;
	bool here = own >= first && own < end;
	struct call request = {.call = call, .context = context, .left = end - first - here};

	for (unsigned i = first; i < end; i++)
		if (i != own)
			post(cpus[i], &request);
	if (here)
		call(context);
	wait(&request);
}

void cpu_call(struct cpu *cpu, void (*call)(void *context), void *context)
{
	call_range(cpu->id, cpu->id + 1, call, context);
}

void cpu_call_all(void (*call)(void *context), void *context)
{
	call_range(0, cpu_count(), call, context);
}

void smp_stop_others(void)
{
	unsigned count = cpu_count();

	atomic_store(&stopping, true);
	for (unsigned i = 0; i < count; i++)
		if (cpus[i] != cpu_this())
			local_apic_send(cpus[i]->apic_id, APIC_NMI, 0);
}

void smp_stop_if_asked(void)
{
	if (atomic_load(&stopping))
		cpu_halt();
}

static void clock_wait(unsigned step)
{
	while (atomic_load_explicit(&clock_step, memory_order_acquire) != step)
		__builtin_ia32_pause();
}

static void clock_go_on(unsigned step)
{
	atomic_store_explicit(&clock_step, step, memory_order_release);
}

/*
 * The clock is the TSC, so it has to be the same everywhere; firmware sees to that nearly always.
 * The new processor's is read between two readings of the first's: if it lies outside, it is moved
 * into their middle, and looked at again. This is the first processor's half, and tells whether it
 * was right at once.
 */
static bool clock_compare(void)
{
	bool right = true;

	for (unsigned round = 0; round < CLOCK_ROUNDS; round++) {
		uint64_t before = clock_tsc(), after;

		clock_go_on(CLOCK_ASKED);
		clock_wait(CLOCK_READ);
		after = clock_tsc();
		if (clock_number >= before && clock_number <= after) {
			clock_number = 0;
			clock_go_on(CLOCK_JUDGED);
			clock_wait(CLOCK_REST);
			break;
		}
		clock_number = before + (after - before) / 2 - clock_number;
		right = false;
		clock_go_on(CLOCK_JUDGED);
		clock_wait(CLOCK_REST);
	}
	return right;
}

static void clock_be_compared(void)
{
	uint64_t wrong = 1;

	for (unsigned round = 0; round < CLOCK_ROUNDS && wrong; round++) {
		clock_wait(CLOCK_ASKED);
		clock_number = clock_tsc();
		clock_go_on(CLOCK_READ);
		clock_wait(CLOCK_JUDGED);
		wrong = clock_number;
		if (wrong)
			msr_write(MSR_TSC, clock_tsc() + wrong);
		clock_go_on(CLOCK_REST);
	}
}

/* From the trampoline, on a stack of its own. */
static _Noreturn void processor_entry(struct cpu *cpu)
{
	cr3_write(page_kernel_root.value);
	cpu_processor_init(cpu);
	local_apic_processor_init();
	/* One that was given up and comes late may have found what is another's. */
	if (local_apic_id() != cpu->apic_id)
		cpu_halt();
	smp_processor_init();
	atomic_store(&arrived, cpu);
	clock_be_compared();
	schedule_start();
}

static bool wait_for(struct cpu *cpu, uint64_t limit)
{
	uint64_t end = clock_now() + limit;

	while (atomic_load(&arrived) != cpu) {
		if (clock_now() >= end)
			return false;
		__builtin_ia32_pause();
	}
	return true;
}

/* Whether it runs. Its stack is a thread's: the one that idles there. */
static bool start_one(struct cpu *cpu, uint64_t page)
{
	uint8_t *there = direct(pa(page));
	_Atomic uint64_t *stack = (_Atomic uint64_t *)(there + TRAMPOLINE_STACK);
	uint64_t top = stack_create();

	if (!top)
		return false;
	bytes_store64(there + TRAMPOLINE_ENTRY, (uint64_t)processor_entry);
	bytes_store64(there + TRAMPOLINE_CPU, (uint64_t)cpu);
	atomic_store(stack, top);
	local_apic_send(cpu->apic_id, APIC_SIPI, (uint8_t)(page / PAGE_SIZE));
	if (!wait_for(cpu, START_PAUSE)) {
		local_apic_send(cpu->apic_id, APIC_SIPI, (uint8_t)(page / PAGE_SIZE));
		/* With the stack gone, it is on its way: there is no taking back. */
		if (!wait_for(cpu, START_LIMIT) && atomic_exchange(stack, 0)) {
			stack_destroy(top);
			return false;
		}
	}
	if (!wait_for(cpu, START_LIMIT))
		return false;
	if (!clock_compare())
		log_line("processor %u: its TSC differed and was set", cpu->id);
	return true;
}

static void start_all(uint64_t page)
{
	const struct acpi_information *acpi = &acpi_information;
	uint32_t self = local_apic_id();

	for (unsigned i = 0; i < acpi->cpu_count; i++)
		if (acpi->cpu[i] != self)
			local_apic_send(acpi->cpu[i], APIC_INIT, 0);
	clock_delay(INIT_PAUSE);
	for (unsigned i = 0; i < acpi->cpu_count; i++) {
		unsigned id = cpu_count();
		struct cpu *cpu;

		if (acpi->cpu[i] == self || id >= CPUS_MAX)
			continue;
		cpu = cpu_create(id, acpi->cpu[i]);
		if (cpu)
			timer_processor_create(cpu);
		if (!cpu || !start_one(cpu, page)) {
			log_line("processor with APIC id %u: does not start", acpi->cpu[i]);
			continue;
		}
		cpus[id] = cpu;
		atomic_store_explicit(&online_count, id + 1, memory_order_release);
	}
}

/* A page of conventional memory: the highest, which BIOSes use least. */
static uint64_t find_low_page(void)
{
	uint64_t page = 0;

	for (unsigned i = 0; i < boot_information.ram_count; i++) {
		const struct frame_range *ram = &boot_information.ram[i];
		uint64_t end = ram->base + ram->size;

		if (end > LOW_MEMORY_END)
			end = LOW_MEMORY_END;
		if (end >= ram->base + PAGE_SIZE && end > PAGE_SIZE)
			page = end - PAGE_SIZE;
	}
	return page;
}

void smp_init(void)
{
	cpus[0] = cpu_this();
	cpus[0]->apic_id = local_apic_id();
	atomic_store(&online_count, 1);
}

void smp_start(void)
{
	uint64_t page = find_low_page();
	pa_t root;

	if (acpi_information.cpu_count < 2)
		return;
	root = page ? page_trampoline_create(pa(page)) : pa(0);
	if (!root.value) {
		log_line("no memory below 1 MiB: only one processor is used");
		return;
	}
	bytes_copy(direct(pa(page)), trampoline, (uint64_t)trampoline_end - (uint64_t)trampoline);
	bytes_store32((uint8_t *)direct(pa(page)) + TRAMPOLINE_ROOT, (uint32_t)root.value);
	/* The page and the tables stay: one that was given up may still come. */
	start_all(page);
}
