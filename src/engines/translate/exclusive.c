/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/exclusive.h"

#include "engines/translate/code_cache.h"
#include "engines/translate/code_memory.h"
#include "engines/translate/timing.h"
#include "lib/check.h"

/* So many looks before the processor is left to others: another vcpu may have no core to go on
 * with. */
#define LOOKS 200u

static void wait_a_little(unsigned *looks)
{
	if (++*looks < LOOKS) {
		__builtin_ia32_pause();
		return;
	}
	code_memory_yield(*looks - LOOKS);
}

void code_lock(struct code_lock *lock)
{
	unsigned looks = 0;

	while (atomic_exchange_explicit(&lock->taken, 1, memory_order_acquire))
		while (atomic_load_explicit(&lock->taken, memory_order_relaxed))
			wait_a_little(&looks);
}

void code_unlock(struct code_lock *lock)
{
	atomic_store_explicit(&lock->taken, 0, memory_order_release);
}

static void set_inside(struct cpu *cpu, uint32_t inside)
{
	__atomic_store_n(&cpu->inside, inside, __ATOMIC_SEQ_CST);
}

/* Either the other vcpu sees that we are inside, or we see that it wants us outside. */
void exclusive_enter(struct cpu *cpu)
{
	struct exclusive *exclusive = &cpu->code->exclusive;
	unsigned looks = 0, doing = cpu->timing.doing;

	for (;;) {
		set_inside(cpu, 1);
		if (!atomic_load(&exclusive->wanted))
			break;
		timing_switch(cpu, TIMING_EXCLUSIVE);
		set_inside(cpu, 0);
		while (atomic_load_explicit(&exclusive->wanted, memory_order_relaxed))
			wait_a_little(&looks);
	}
	timing_switch(cpu, doing);
}

void exclusive_leave(struct cpu *cpu)
{
	set_inside(cpu, 0);
}

void exclusive_poll(struct cpu *cpu)
{
	if (!atomic_load_explicit(&cpu->code->exclusive.wanted, memory_order_relaxed))
		return;
	exclusive_leave(cpu);
	exclusive_enter(cpu);
}

/* All but `self`, which may be NULL. */
static void wait_for_others(struct machine_code *code, const struct cpu *self)
{
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++) {
		struct cpu *other = code->cpus[i];
		unsigned looks = 0;

		if (!other || other == self)
			continue;
		while (__atomic_load_n(&other->inside, __ATOMIC_SEQ_CST)) {
			atomic_store(&other->kick, 1);
			wait_a_little(&looks);
		}
	}
}

void exclusive_begin(struct cpu *cpu)
{
	struct exclusive *exclusive = &cpu->code->exclusive;
	unsigned doing;

	CHECK(!cpu->exclusive);
	doing = timing_switch(cpu, TIMING_EXCLUSIVE);
	atomic_fetch_add(&exclusive->wanted, 1);
	set_inside(cpu, 0);
	code_lock(&exclusive->lock);
	wait_for_others(cpu->code, cpu);
	set_inside(cpu, 1);
	cpu->exclusive = true;
	timing_switch(cpu, doing);
}

void exclusive_end(struct cpu *cpu)
{
	struct exclusive *exclusive = &cpu->code->exclusive;

	CHECK(cpu->exclusive);
	cpu->exclusive = false;
	code_unlock(&exclusive->lock);
	atomic_fetch_sub(&exclusive->wanted, 1);
}

void exclusive_begin_outside(struct machine_code *code)
{
	atomic_fetch_add(&code->exclusive.wanted, 1);
	code_lock(&code->exclusive.lock);
	wait_for_others(code, NULL);
}

void exclusive_end_outside(struct machine_code *code)
{
	code_unlock(&code->exclusive.lock);
	atomic_fetch_sub(&code->exclusive.wanted, 1);
}
