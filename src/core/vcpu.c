/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How nothing is lost between a vcpu's thread and those that want something of it: whoever wants
 * sets a bit of `pending` and then looks at `place`; the vcpu sets `place` and then looks at
 * `pending` (the engine does that look when it is entered). Both are sequentially consistent, so at
 * least one of the two sees the other. host_vcpu_wake leaves a token, and the engine's kick is
 * remembered by the engine, so it does not matter that either comes before the sleep or the run
 * that it is to end.
 */
#include "core/vcpu.h"

#include "core/engine.h"
#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/check.h"

#define RFLAGS_FIXED 0x2u
#define RFLAGS_IF    0x200u
#define CR0_ET	     UINT64_C(0x10)
#define CR0_NW	     UINT64_C(0x20000000)
#define CR0_CD	     UINT64_C(0x40000000)

enum { RDX = 2 };
enum { ES, CS, SS, DS, FS, GS };

/* Attributes: present, accessed and, in this order: code, data, LDT, busy TSS. */
#define ATTRIBUTES_CODE 0x009b
#define ATTRIBUTES_DATA 0x0093
#define ATTRIBUTES_LDT	0x0082
#define ATTRIBUTES_TSS	0x008b

static struct segment real_segment(uint16_t selector, uint64_t base, uint16_t attributes)
{
	return (struct segment){
		.selector = selector, .attributes = attributes, .limit = 0xffff, .base = base};
}

void vcpu_init(struct vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;

	bytes_fill(state->gpr, 0, sizeof(state->gpr));
	state->gpr[RDX] = vcpu->signature;
	state->rip = 0xfff0;
	state->rflags = RFLAGS_FIXED;
	for (unsigned i = ES; i <= GS; i++)
		state->segment[i] = real_segment(0, 0, ATTRIBUTES_DATA);
	state->segment[CS] = real_segment(0xf000, 0xffff0000, ATTRIBUTES_CODE);
	state->ldtr = real_segment(0, 0, ATTRIBUTES_LDT);
	state->tr = real_segment(0, 0, ATTRIBUTES_TSS);
	state->gdtr = state->idtr = (struct table_register){.base = 0, .limit = 0xffff};
	state->cr0 = (state->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	state->cr2 = state->cr3 = state->cr4 = 0;
	bytes_fill(state->dr, 0, sizeof(state->dr));
	state->dr[6] = 0xffff0ff0;
	state->dr[7] = 0x400;
	state->efer = 0;
	state->activity = vcpu->id == 0 ? VCPU_RUNNING : VCPU_WAIT_FOR_SIPI;
	state->interrupt_shadow = state->nmi_blocked = 0;
	state->exception_pending = state->exception_vector = state->exception_has_error = 0;
	state->exception_error = 0;
}

/* Legacy area: FCW at 0, abridged FTW at 4 (all registers hold 0.0), MXCSR at 24, its mask at 28;
 * XSTATE_BV at 512: x87 and SSE. */
static void reset_xsave(uint8_t *xsave)
{
	bytes_fill(xsave, 0, VCPU_XSAVE_SIZE);
	bytes_store16(xsave, 0x0040);
	xsave[4] = 0xff;
	bytes_store32(xsave + 24, 0x1f80);
	bytes_store32(xsave + 28, 0xffff);
	bytes_store64(xsave + 512, 3);
}

void vcpu_reset(struct vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;

	bytes_fill(state, 0, sizeof(*state));
	state->cr0 = CR0_CD | CR0_NW;
	vcpu_init(vcpu);
	state->xcr0 = 1;
	state->pat = UINT64_C(0x0007040600070406);
	state->misc_enable = 1; /* fast strings */
	state->tsc_offset = -vm_tsc(vcpu->vm);
	reset_xsave(state->xsave);
	vcpu->sipi_vector = 0;
	vcpu->parked = false;
	atomic_store(&vcpu->pending, 0);
}

void vcpu_start(struct vcpu *vcpu, uint8_t vector)
{
	vcpu->state.segment[CS] =
		real_segment((uint16_t)(vector << 8), (uint64_t)vector << 12, ATTRIBUTES_CODE);
	vcpu->state.rip = 0;
	vcpu->state.activity = VCPU_RUNNING;
}

void vcpu_post(struct vcpu *vcpu, uint32_t bits)
{
	/* An INIT makes an earlier start-up message moot: it was for the processor as it is no
	 * more. */
	if ((bits & PENDING_INIT) && !(bits & PENDING_SIPI))
		vcpu_withdraw(vcpu, PENDING_SIPI);
	atomic_fetch_or(&vcpu->pending, bits);
	switch (atomic_load(&vcpu->place)) {
	case VCPU_IN_ENGINE:
		vcpu->vm->engine->kick(vcpu);
		break;
	case VCPU_WAITING:
		/* Who waits looks at that when it would go on. */
		if (bits != PENDING_HOLD)
			host_vcpu_wake(vcpu);
		break;
	}
}

void vcpu_withdraw(struct vcpu *vcpu, uint32_t bits)
{
	atomic_fetch_and(&vcpu->pending, ~bits);
}

int vcpu_take_interrupt(struct vcpu *vcpu)
{
	int vector = -1;

	vm_lock(vcpu->vm);
	if (vcpu->interrupts)
		vector = vcpu->interrupts->acknowledge(vcpu);
	/* Controllers post under the lock, so this can't undo what is newer. Left set, it would end
	 * each hlt at once. */
	if (vector < 0)
		vcpu_withdraw(vcpu, PENDING_INTERRUPT);
	vm_unlock(vcpu->vm);
	return vector;
}

void vcpu_end_of_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	vm_lock(vcpu->vm);
	if (vcpu->interrupts && vcpu->interrupts->eoi)
		vcpu->interrupts->eoi(vcpu, vector);
	vm_unlock(vcpu->vm);
}

void vcpu_sync(struct vcpu *vcpu)
{
	if (vcpu->vm->engine->sync)
		vcpu->vm->engine->sync(vcpu);
}

uint64_t vcpu_tsc(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	return (vm->paused ? vm->paused_tsc : vm_tsc(vm)) + vcpu->state.tsc_offset;
}

static void access_locked(struct vcpu *vcpu, struct exit *exit)
{
	struct space *space = exit->kind == EXIT_PORT ? &vcpu->vm->ports : &vcpu->vm->mmio;

	if (exit->kind == EXIT_MSR && exit->write)
		space_write_register(&vcpu->msrs, exit->address, exit->value, &exit->fault);
	else if (exit->kind == EXIT_MSR)
		exit->value = space_read_register(&vcpu->msrs, exit->address, &exit->fault);
	else if (exit->write)
		space_write(space, exit->address, exit->size, exit->value, NULL);
	else
		exit->value = space_read(space, exit->address, exit->size, NULL);
}

void vcpu_access(struct vcpu *vcpu, struct exit *exit)
{
	struct vm *vm = vcpu->vm;

	CHECK(exit->kind == EXIT_PORT || exit->kind == EXIT_MEMORY || exit->kind == EXIT_MSR);
	vcpu->exits[exit->kind]++;
	exit->fault = false;
	vm_lock(vm);
	vm->current = vcpu;
	access_locked(vcpu, exit);
	vm->current = NULL;
	vm_unlock(vm);
}

/* What ends a sleep in the vcpu's present activity. */
static uint32_t waking_bits(struct vcpu *vcpu)
{
	const struct vcpu_state *state = &vcpu->state;
	uint32_t bits = PENDING_STOP | PENDING_PAUSE | PENDING_INIT;

	vcpu_sync(vcpu);
	if (state->activity == VCPU_WAIT_FOR_SIPI)
		bits |= PENDING_SIPI;
	if (state->activity == VCPU_HALTED && (state->rflags & RFLAGS_IF))
		bits |= PENDING_INTERRUPT;
	if (state->activity == VCPU_HALTED && !state->nmi_blocked)
		bits |= PENDING_NMI;
	return bits;
}

/* Whether what the vcpu waits for came while its thread looked out for it. */
static bool vcpu_poll(struct vcpu *vcpu, uint32_t waking, uint64_t begin)
{
	uint64_t window = halt_window(&vcpu->halt);
	bool crowded = false, came;

	if (!window)
		return false;
	came = host_vcpu_poll(vcpu, waking, window, &crowded);
	vcpu->polled += host_now() - begin;
	halt_looked(&vcpu->halt, came, crowded);
	return came;
}

static void vcpu_wait(struct vcpu *vcpu, uint32_t waking)
{
	atomic_store(&vcpu->place, VCPU_WAITING);
	while (!(atomic_load(&vcpu->pending) & waking))
		host_vcpu_wait(vcpu, UINT64_MAX);
	atomic_store(&vcpu->place, VCPU_OUTSIDE);
}

static void vcpu_sleep(struct vcpu *vcpu, uint32_t waking)
{
	bool halted = vcpu->state.activity == VCPU_HALTED;
	uint64_t begin = host_now(), slept;

	if (!halted || !vcpu_poll(vcpu, waking, begin))
		vcpu_wait(vcpu, waking);
	slept = host_now() - begin;
	if (halted)
		halt_ended(&vcpu->halt, slept);
	vcpu->slept += slept;
}

static void vcpu_park(struct vcpu *vcpu)
{
	vm_lock(vcpu->vm);
	/* The bit is set and cleared under the lock: here it says whether the pause is still on. */
	if (atomic_load(&vcpu->pending) & PENDING_PAUSE) {
		vcpu->parked = true;
		vm_vcpu_parked(vcpu->vm);
	}
	vm_unlock(vcpu->vm);
	atomic_store(&vcpu->place, VCPU_WAITING);
	/* Once: what is still on then may be the next pause, which is to hear of this vcpu, too. */
	if ((atomic_load(&vcpu->pending) & (PENDING_PAUSE | PENDING_STOP)) == PENDING_PAUSE)
		host_vcpu_wait(vcpu, UINT64_MAX);
	atomic_store(&vcpu->place, VCPU_OUTSIDE);
}

static bool is_held(const struct vcpu *vcpu)
{
	uint64_t until = atomic_load_explicit(&vcpu->vm->held_until, memory_order_relaxed);

	return until && host_now() < until;
}

/* Until vm_hold lets it go on, or it is to leave or to park. */
static void vcpu_stand(struct vcpu *vcpu)
{
	uint64_t begin = host_now();

	atomic_store(&vcpu->place, VCPU_WAITING);
	while (is_held(vcpu) && !(atomic_load(&vcpu->pending) & (PENDING_PAUSE | PENDING_STOP)))
		host_vcpu_wait(vcpu, atomic_load(&vcpu->vm->held_until));
	atomic_store(&vcpu->place, VCPU_OUTSIDE);
	vcpu->held += host_now() - begin;
}

static void take_init(struct vcpu *vcpu)
{
	vcpu_sync(vcpu);
	vm_lock(vcpu->vm);
	vcpu_withdraw(vcpu, PENDING_INIT | PENDING_NMI);
	vcpu_init(vcpu);
	if (vcpu->interrupts && vcpu->interrupts->init)
		vcpu->interrupts->init(vcpu);
	vm_unlock(vcpu->vm);
	if (vcpu->vm->engine->reset)
		vcpu->vm->engine->reset(vcpu);
}

/* Only a processor that waits for a start-up message notices it. */
static void take_sipi(struct vcpu *vcpu)
{
	vcpu_sync(vcpu);
	vm_lock(vcpu->vm);
	vcpu_withdraw(vcpu, PENDING_SIPI);
	if (vcpu->state.activity == VCPU_WAIT_FOR_SIPI)
		vcpu_start(vcpu, vcpu->sipi_vector);
	vm_unlock(vcpu->vm);
}

/* An event ends its hlt; the engine delivers it. */
static void wait_for_event(struct vcpu *vcpu, uint32_t pending)
{
	uint32_t waking = waking_bits(vcpu);

	if (pending & waking)
		vcpu->state.activity = VCPU_RUNNING;
	else
		vcpu_sleep(vcpu, waking);
}

/* Sees to what keeps the vcpu from running. False if it is to leave. */
static bool make_runnable(struct vcpu *vcpu)
{
	for (;;) {
		uint32_t pending = atomic_load(&vcpu->pending);

		if (pending & PENDING_STOP)
			return false;
		else if (pending & PENDING_PAUSE)
			vcpu_park(vcpu);
		else if (pending & PENDING_HOLD)
			vcpu_withdraw(vcpu, PENDING_HOLD); /* is_held tells */
		else if (pending & PENDING_INIT)
			take_init(vcpu);
		else if (pending & PENDING_SIPI)
			take_sipi(vcpu);
		else if (vcpu->state.activity != VCPU_RUNNING && !vcpu->vm->engine->apics)
			wait_for_event(vcpu, pending);
		else if (!is_held(vcpu))
			return true;
		else
			vcpu_stand(vcpu);
	}
}

static void engine_failed(struct vcpu *vcpu, const struct exit *exit)
{
	struct vm *vm = vcpu->vm;

	vm_lock(vm);
	if (!vm->stop_reason)
		vm->stop_reason = exit->reason;
	vm_unlock(vm);
	host_log(LOG_ERROR, "engine %s: %s", vm->engine->name,
		 exit->reason ? exit->reason : "failed");
	vm_stop(vm, VM_FAILED, 0);
}

static void act(struct vcpu *vcpu, struct exit *exit)
{
	switch (exit->kind) {
	case EXIT_PORT:
	case EXIT_MEMORY:
	case EXIT_MSR:
		vcpu_access(vcpu, exit); /* counts it */
		return;
	case EXIT_HALT:
		vcpu_sync(vcpu);
		vcpu->state.activity = VCPU_HALTED;
		vcpu->state.interrupt_shadow = 0;
		break;
	case EXIT_KICKED:
		break;
	case EXIT_SHUTDOWN:
		vcpu->state.activity = VCPU_SHUTDOWN;
		vm_stop(vcpu->vm, VM_SHUTDOWN, 0);
		break;
	case EXIT_FAILED:
		engine_failed(vcpu, exit);
		break;
	}
	vcpu->exits[exit->kind]++;
}

void vcpu_run(struct vcpu *vcpu)
{
	const struct engine *engine = vcpu->vm->engine;
	struct exit exit = {.kind = EXIT_KICKED};

	while (make_runnable(vcpu)) {
		atomic_store(&vcpu->place, VCPU_IN_ENGINE);
		engine->run(vcpu, &exit);
		atomic_store(&vcpu->place, VCPU_OUTSIDE);
		act(vcpu, &exit);
	}
}
