/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop of the software engine: takes events, chooses between translated code and the
 * interpreter, and is where every guest exception unwinds to.
 */
#include "engines/translate/engine.h"

#include <stdarg.h>

#include "core/engine.h"
#include "core/vm.h"
#include "engines/translate/code_cache.h"
#include "engines/translate/debug.h"
#include "engines/translate/dirty_log.h"
#include "engines/translate/exception.h"
#include "engines/translate/exclusive.h"
#include "engines/translate/fault.h"
#include "engines/translate/handlers.h"
#include "engines/translate/idle.h"
#include "engines/translate/interpret.h"
#include "engines/translate/mmu.h"
#include "engines/translate/probe.h"
#include "engines/translate/return_stack.h"
#include "engines/translate/statistics.h"
#include "engines/translate/timing.h"
#include "engines/translate/translate.h"
#include "engines/translate/translator.h"
#include "engines/translate/window.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"
#include "lib/format.h"

#define LOG_LINES_MAX 8

/* The engine's part of a vm. */
struct translate_vm {
	struct machine_code *code;
	_Atomic unsigned logged[ENGINE_LOG_COUNT];
	bool interpret_only; /* for tests: no translated code */
};

/* The engine's part of a vcpu. cpu comes first, so that one pointer is the other. */
struct translate_vcpu {
	struct cpu cpu;
	struct copy copy;
	_Atomic bool stale; /* vcpu->state has been replaced: load it */
};

static struct translate_vcpu *engine_vcpu(const struct cpu *cpu)
{
	return cpu->vcpu->engine_private;
}

struct copy *engine_copy(const struct cpu *cpu)
{
	return &engine_vcpu(cpu)->copy;
}

void engine_log_once(struct cpu *cpu, enum engine_log kind, const char *format, ...)
{
	struct translate_vm *vm = cpu->vm->engine_private;
	char line[256];
	unsigned count = atomic_fetch_add(&vm->logged[kind], 1);
	va_list arguments;
	bool live;

	if (count >= LOG_LINES_MAX)
		return;
	va_start(arguments, format);
	vformat(line, sizeof(line), format, arguments);
	va_end(arguments);
	live = cpu_outside_begin(cpu);
	host_log(kind == ENGINE_LOG_MSR ? LOG_INFO : LOG_WARNING, "vcpu %u: %s%s", cpu->vcpu->id,
		 line, count == LOG_LINES_MAX - 1 ? " (no more of these will be shown)" : "");
	cpu_outside_end(cpu, live);
}

void cpu_access(struct cpu *cpu, struct exit *exit)
{
	unsigned doing = timing_switch(cpu, TIMING_DEVICE);
	bool live = cpu_outside_begin(cpu);

	vcpu_access(cpu->vcpu, exit);
	cpu_outside_end(cpu, live);
	timing_switch(cpu, doing);
}

bool handler_exclusive_begin(struct cpu *cpu, uint64_t linear, unsigned size)
{
	mmu_probe(cpu, linear, size, MMU_WRITE);
	if (cpu->vm->vcpu_count == 1)
		return false;
	exclusive_begin(cpu);
	return true;
}

void handler_exclusive_end(struct cpu *cpu)
{
	exclusive_end(cpu);
}

static bool can_take_interrupt(const struct cpu *cpu)
{
	return (cpu->rflags & FLAG_IF) && !cpu->interrupt_shadow;
}

static int take_vector(struct cpu *cpu)
{
	bool live = cpu_outside_begin(cpu);
	int vector = vcpu_take_interrupt(cpu->vcpu);

	cpu_outside_end(cpu, live);
	return vector;
}

/* Looks at what is pending; delivers at most one event; ends the run for what is not the engine's.
 */
static void take_events(struct cpu *cpu)
{
	uint32_t pending;

	if (atomic_load_explicit(&cpu->kick, memory_order_relaxed)) {
		atomic_store(&cpu->kick, 0);
		exclusive_poll(cpu);
		window_sample(cpu);
		code_settle(cpu->code);
		cpu->count_kicks++;
	}
	pending = atomic_load(&cpu->vcpu->pending);
	if (pending & ~(uint32_t)(PENDING_INTERRUPT | PENDING_NMI)) {
		cpu->exit->kind = EXIT_KICKED;
		cpu->leave = true;
	} else if ((pending & PENDING_NMI) && !cpu->nmi_blocked && !cpu->interrupt_shadow) {
		vcpu_withdraw(cpu->vcpu, PENDING_NMI);
		cpu->nmi_blocked = 1;
		interrupt_deliver(cpu, EXCEPTION_NMI);
	} else if ((pending & PENDING_INTERRUPT) && can_take_interrupt(cpu)) {
		int vector = take_vector(cpu);

		if (vector >= 0)
			interrupt_deliver(cpu, (unsigned)vector);
	}
}

/* One instruction, with all that translated code does not do: interrupt shadows, single steps,
 * breakpoints. */
static void step(struct cpu *cpu)
{
	bool stepping = cpu->rflags & FLAG_TF;

	timing_switch(cpu, TIMING_INTERPRET);
	cpu->count_steps++;
	if (cpu->debug_active)
		debug_check_instruction(cpu);
	cpu->interrupt_shadow = 0;
	interpret(cpu);
	if (cpu->debug_active || stepping)
		debug_after_instruction(cpu, stepping);
	timing_switch(cpu, TIMING_DISPATCH);
}

static void run_one(struct cpu *cpu)
{
	const struct translate_vm *vm = cpu->vm->engine_private;

	take_events(cpu);
	if (cpu->leave)
		return;
	if (vm->interpret_only || !translate_possible(cpu) || !translate_run(cpu))
		step(cpu);
}

/* Everything that raises comes back here; registers that the compiler keeps are not to be trusted
 * after that, hence the volatile. */
static void run_loop(struct cpu *cpu_argument)
{
	struct cpu *volatile cpu = cpu_argument;

	if (__builtin_setjmp(cpu->unwind)) {
		timing_switch(cpu, TIMING_DISPATCH);
		exclusive_unwind(cpu);
		cpu->count_exceptions++;
		/* A trap behind hlt ends the halt. */
		if (cpu->leave && cpu->exit->kind == EXIT_HALT)
			cpu->leave = false;
		exception_deliver(cpu);
	} else if (cpu->event_pending) {
		cpu->event_pending = false;
		exception_deliver(cpu);
	}
	while (!cpu->leave)
		run_one(cpu);
}

/* Translated code and stubs reach the cpu through gs, which nobody else on this thread uses. */
static void set_gs_base(struct cpu *cpu)
{
	__asm__ volatile("wrgsbase %0" : : "r"(cpu));
}

static void engine_run(struct vcpu *vcpu, struct exit *exit)
{
	struct translate_vcpu *private = vcpu->engine_private;
	struct cpu *cpu = &private->cpu;

	set_gs_base(cpu);
	exclusive_enter(cpu); /* others look at what cpu_load empties */
	if (atomic_exchange(&private->stale, false))
		cpu_load(cpu, &vcpu->state);
	cpu->tsc_offset = vcpu->state.tsc_offset; /* a pause moves it */
	cpu->exit = exit;
	cpu->leave = false;
	timing_switch(cpu, TIMING_DISPATCH);
	idle_begin(cpu);
	run_loop(cpu);
	if (cpu->vector_live)
		cpu_vector_save(cpu);
	idle_end(cpu, exit->kind == EXIT_HALT);
	exclusive_leave(cpu);
	cpu_save(cpu, &vcpu->state);
	timing_switch(cpu, TIMING_OUTSIDE);
}

static void engine_kick(struct vcpu *vcpu)
{
	struct translate_vcpu *private = vcpu->engine_private;

	atomic_store(&private->cpu.kick, 1);
}

/* INIT leaves on the vcpu's thread, everything else when no vcpu runs. */
static void engine_reset(struct vcpu *vcpu)
{
	struct translate_vcpu *private = vcpu->engine_private;

	atomic_store(&private->stale, true);
}

static void engine_written(struct vm *vm, uint64_t address, uint64_t length)
{
	struct translate_vm *private = vm->engine_private;

	code_written_by_device(private->code, address, length);
}

static int engine_vm_create(struct vm *vm)
{
	struct translate_vm *private = host_pages(sizeof(*private));
	int error;

	if (!private)
		return -ENOMEM;
	error = fault_handlers_install();
	if (!error)
		error = code_create(vm, 0, &private->code);
	if (error) {
		host_pages_free(private, sizeof(*private));
		return error;
	}
	vm->engine_private = private;
	return 0;
}

static void engine_vm_destroy(struct vm *vm)
{
	struct translate_vm *private = vm->engine_private;

	code_destroy(private->code);
	host_pages_free(private, sizeof(*private));
	vm->engine_private = NULL;
}

static int engine_vcpu_create(struct vcpu *vcpu)
{
	struct translate_vm *vm = vcpu->vm->engine_private;
	struct translate_vcpu *private = host_pages(sizeof(*private));
	int error;

	if (!private)
		return -ENOMEM;
	error = copy_create(&private->copy);
	if (error) {
		host_pages_free(private, sizeof(*private));
		return error;
	}
	private->cpu.vcpu = vcpu;
	private->cpu.vm = vcpu->vm;
	code_attach(vm->code, &private->cpu);
	if (!return_stack_create(&private->cpu)) {
		copy_destroy(&private->copy);
		host_pages_free(private, sizeof(*private));
		return -ENOMEM;
	}
	if (!window_create(&private->cpu)) {
		return_stack_destroy(&private->cpu);
		copy_destroy(&private->copy);
		host_pages_free(private, sizeof(*private));
		return -ENOMEM;
	}
	mmu_init(&private->cpu);
	atomic_store(&private->stale, true);
	vcpu->engine_private = private;
	return 0;
}

static void engine_vcpu_destroy(struct vcpu *vcpu)
{
	struct translate_vcpu *private = vcpu->engine_private;

	window_destroy(&private->cpu);
	return_stack_destroy(&private->cpu);
	copy_destroy(&private->copy);
	host_pages_free(private, sizeof(*private));
	vcpu->engine_private = NULL;
}

struct machine_code *engine_code(struct vm *vm)
{
	return ((struct translate_vm *)vm->engine_private)->code;
}

static unsigned engine_counters(const struct vm *vm, const struct vcpu *vcpu,
				struct engine_counter *counters)
{
	const struct translate_vm *private = vm->engine_private;

	return vcpu ? statistics_vcpu(vcpu->engine_private, counters)
		    : statistics_vm(private->code, counters);
}

static void engine_measure(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		statistics_measure(vm->vcpus[i]->engine_private);
}

void engine_interpret_only(struct vm *vm, bool only)
{
	struct translate_vm *private = vm->engine_private;

	private->interpret_only = only;
}

void engine_windows(struct vm *vm, unsigned views)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		window_force(vm->vcpus[i]->engine_private, views);
}

const struct engine engine_translate = {
	.name = "translate",
	.probe = probe_host,
	.vm_create = engine_vm_create,
	.vm_destroy = engine_vm_destroy,
	.vcpu_create = engine_vcpu_create,
	.vcpu_destroy = engine_vcpu_destroy,
	.run = engine_run,
	.kick = engine_kick,
	.written = engine_written,
	.reset = engine_reset,
	.fetches = true,
	.dirty = &dirty_log,
	.counters = engine_counters,
	.measure = engine_measure,
};
