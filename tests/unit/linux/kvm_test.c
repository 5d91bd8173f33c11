/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine kvm: its conversions. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "engines/kvm/internal.h"
#include "lib/bytes.h"
#include "x86/msr.h"

#define SECOND UINT64_C(1000000000)

static struct cpu_model model_of(const char *name)
{
	struct cpu_model model = *cpu_model_find(name);

	model.tsc_frequency = 2000000000;
	return model;
}

/* Registers */

static void fill(void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)bytes)[i] = (uint8_t)rand();
}

/* A state with nothing but chance in it, but for what has few values. */
static void chance_state(struct vcpu_state *state)
{
	struct segment *segments[] = {&state->segment[0], &state->segment[1], &state->segment[2],
				      &state->segment[3], &state->segment[4], &state->segment[5],
				      &state->ldtr,	  &state->tr};

	fill(state, sizeof(*state));
	for (unsigned i = 0; i < 8; i++)
		segments[i]->attributes &= 0xf0ff;
	state->dr[4] = state->dr[5] = 0;
	state->activity %= 3;
	state->interrupt_shadow &= 1;
	state->nmi_blocked &= 1;
	state->exception_pending = 1;
	state->exception_vector &= 31;
	state->exception_has_error = 1;
	if (state->exception_vector == 2)
		state->exception_vector = 3;
	/* FPU and SSE, or none, and AVX; nothing behind them. */
	memset(state->xsave + 512, 0, 8);
	state->xsave[512] = (uint8_t)rand() & 7;
	memset(state->xsave + 832, 0, sizeof(state->xsave) - 832);
}

#define SAME(name) EXPECT_MEM(&back.name, &state.name, sizeof(state.name))

TEST(a_state_survives_the_kernel_s_form)
{
	struct cpu_model model = model_of("max");
	static struct registers registers;
	static struct vcpu_state state, back;

	srand(1);
	for (unsigned round = 0; round < 200; round++) {
		chance_state(&state);
		memset(&back, 0, sizeof(back));
		registers_from_state(&registers, &state, &model);
		EXPECT(registers.msrs.head.count < REGISTERS_MSRS);
		registers_to_state(&back, &registers, &model);
		SAME(gpr), SAME(rip), SAME(rflags);
		for (unsigned i = 0; i < 6; i++) {
			EXPECT_EQ(back.segment[i].selector, state.segment[i].selector);
			EXPECT_EQ(back.segment[i].attributes, state.segment[i].attributes);
			EXPECT_EQ(back.segment[i].limit, state.segment[i].limit);
			EXPECT_EQ(back.segment[i].base, state.segment[i].base);
		}
		EXPECT_EQ(back.ldtr.attributes, state.ldtr.attributes);
		EXPECT_EQ(back.tr.base, state.tr.base);
		EXPECT_EQ(back.gdtr.base, state.gdtr.base);
		EXPECT_EQ(back.gdtr.limit, state.gdtr.limit);
		EXPECT_EQ(back.idtr.limit, state.idtr.limit);
		SAME(cr0), SAME(cr2), SAME(cr3), SAME(cr4), SAME(xcr0), SAME(dr);
		SAME(efer), SAME(star), SAME(lstar), SAME(cstar), SAME(sfmask);
		SAME(kernel_gs_base), SAME(sysenter_cs), SAME(sysenter_esp), SAME(sysenter_eip);
		SAME(pat), SAME(tsc_aux), SAME(tsc_adjust);
		SAME(mtrr_def_type), SAME(mtrr_fixed), SAME(mtrr_variable);
		SAME(activity), SAME(interrupt_shadow), SAME(nmi_blocked);
		SAME(exception_pending), SAME(exception_vector), SAME(exception_has_error);
		SAME(exception_error), SAME(xsave);
	}
}

TEST(what_the_processor_has_not_is_not_restored)
{
	struct cpu_model model = model_of("x86-64-v2"); /* no AVX */
	static struct registers registers;
	static struct vcpu_state state;

	state.xsave[512] = 7;
	registers_from_state(&registers, &state, &model);
	EXPECT_EQ(registers.xsave[128], 3);
	model.feature[FEATURE_RDTSCP] = false;
	for (unsigned i = 0; i < registers.msrs.head.count; i++)
		EXPECT(registers.msrs.entry[i].index != MSR_TSC_AUX ||
		       cpu_model_has(cpu_model_find("x86-64-v2"), FEATURE_RDTSCP));
	registers_from_state(&registers, &state, &model);
	for (unsigned i = 0; i < registers.msrs.head.count; i++)
		EXPECT(registers.msrs.entry[i].index != MSR_TSC_AUX);
}

TEST(events_are_told_apart_by_their_vectors)
{
	struct cpu_model model = model_of("max");
	static struct registers registers;
	static struct vcpu_state state, back;

	state.exception_pending = 1;
	state.exception_vector = 0x31;
	registers_from_state(&registers, &state, &model);
	EXPECT(registers.events.interrupt.injected && !registers.events.exception.injected);
	EXPECT_EQ(registers.events.interrupt.nr, 0x31);
	registers_to_state(&back, &registers, &model);
	EXPECT_EQ(back.exception_vector, 0x31);
	state.exception_vector = 2;
	registers_from_state(&registers, &state, &model);
	EXPECT(registers.events.nmi.injected && !registers.events.exception.injected);
	registers_to_state(&back, &registers, &model);
	EXPECT_EQ(back.exception_vector, 2);
	state.exception_vector = 13;
	state.exception_has_error = 1;
	state.exception_error = 0x18;
	registers_from_state(&registers, &state, &model);
	EXPECT(registers.events.exception.injected && !registers.events.interrupt.injected);
	EXPECT_EQ(registers.events.exception.error_code, 0x18);
}

TEST(the_shadow_is_sti_s_only_with_interrupts_on)
{
	struct cpu_model model = model_of("max");
	static struct registers registers;
	static struct vcpu_state state = {.interrupt_shadow = 1, .rflags = 0x202};

	registers_from_state(&registers, &state, &model);
	EXPECT_EQ(registers.events.interrupt.shadow, KVM_X86_SHADOW_INT_STI);
	state.rflags = 2;
	registers_from_state(&registers, &state, &model);
	EXPECT_EQ(registers.events.interrupt.shadow, KVM_X86_SHADOW_INT_MOV_SS);
}

/* The APIC */

static void compare_apics(const struct apic *a, const struct apic *b)
{
	EXPECT_EQ(a->base, b->base);
	EXPECT_EQ(a->tpr, b->tpr);
	EXPECT_EQ(a->ldr, b->ldr);
	EXPECT_EQ(a->dfr, b->dfr);
	EXPECT_EQ(a->svr, b->svr);
	EXPECT_EQ(a->esr, b->esr);
	EXPECT_EQ(a->icr, b->icr);
	EXPECT_EQ(a->divide, b->divide);
	EXPECT_MEM(a->lvt, b->lvt, sizeof(a->lvt));
	EXPECT_MEM(a->isr, b->isr, sizeof(a->isr));
	EXPECT_MEM(a->irr, b->irr, sizeof(a->irr));
	EXPECT_MEM(a->tmr, b->tmr, sizeof(a->tmr));
	EXPECT_EQ(a->initial_count, b->initial_count);
	EXPECT_EQ(a->timer_running, b->timer_running);
	EXPECT_EQ(a->timer_deadline, b->timer_deadline);
}

static struct apic some_apic(void)
{
	return (struct apic){
		.id = 3,
		.base = 0xfee00800,
		.tpr = 0x25,
		.ldr = 0x04000000,
		.dfr = 0x0fffffff,
		.svr = 0x11ff,
		.esr = 0x40,
		.icr = UINT64_C(0x0500000000004123),
		.lvt = {0x20031, 0x10000, 0x400, 0x700, 0x400, 0x1fe},
		.irr = {UINT64_C(1) << 63, 0, 5, UINT64_C(1) << 33},
		.isr = {0, UINT64_C(0x8000000000000001), 0, 0},
		.tmr = {0, 1, 4, 0},
		.divide = 0x3, /* 16 */
	};
}

TEST(an_apic_survives_the_kernel_s_form)
{
	struct apic apic = some_apic(), back = {.id = 3};
	struct kvm_lapic_state lapic;

	apic.initial_count = 1000;
	apic.timer_running = true;
	apic.timer_start = 5 * SECOND;
	apic_to_kvm(&lapic, &apic, 5 * SECOND + 16 * 300);
	EXPECT_EQ(apic_kvm_register(&lapic, LAPIC_ID), 3 << 24);
	EXPECT_EQ(apic_kvm_register(&lapic, LAPIC_CURRENT_COUNT), 700);
	apic_from_kvm(&back, &lapic, apic.base, 0, 9 * SECOND);
	compare_apics(&back, &apic);
	EXPECT_EQ(back.id, 3);
	/* Time has passed in between; the count has not. */
	EXPECT_EQ(back.timer_start, 9 * SECOND - 16 * 300);
}

TEST(timers_that_ran_out)
{
	struct apic apic = some_apic(), back = {.id = 3};
	struct kvm_lapic_state lapic;

	apic.initial_count = 1000;
	apic.timer_running = true;
	/* Periodic: somewhere in its period. */
	apic_to_kvm(&lapic, &apic, 16 * 5400);
	EXPECT_EQ(apic_kvm_register(&lapic, LAPIC_CURRENT_COUNT), 600);
	/* One-shot: its interrupt is still to come. */
	apic.lvt[LVT_TIMER] = 0x31;
	apic_to_kvm(&lapic, &apic, 16 * 5400);
	EXPECT_EQ(apic_kvm_register(&lapic, LAPIC_CURRENT_COUNT), 1);
	/* It came: the kernel must not begin again. */
	apic.timer_running = false;
	apic_to_kvm(&lapic, &apic, 16 * 5400);
	EXPECT_EQ(apic_kvm_register(&lapic, LAPIC_CURRENT_COUNT), 0);
	EXPECT_EQ(apic_kvm_register(&lapic, LAPIC_INITIAL_COUNT), 0);
	/* TSC deadline. */
	apic.lvt[LVT_TIMER] = 0x40031;
	apic.initial_count = 0;
	apic.timer_deadline = 12345;
	apic_to_kvm(&lapic, &apic, 1);
	apic_from_kvm(&back, &lapic, apic.base, 12345, 1);
	compare_apics(&back, &apic);
}

TEST(a_short_period_that_the_kernel_has_made_longer_begins_anew)
{
	struct apic apic = some_apic(), back = {.id = 3};
	struct kvm_lapic_state lapic;

	apic.initial_count = 1000;
	apic.timer_running = true;
	apic_to_kvm(&lapic, &apic, 0);
	bytes_store32((uint8_t *)lapic.regs + LAPIC_CURRENT_COUNT * 16, 1700);
	apic_from_kvm(&back, &lapic, apic.base, 0, 9 * SECOND);
	compare_apics(&back, &apic);
	EXPECT_EQ(back.timer_start, 9 * SECOND);
}

/* Routes */

#define FIXED_LEVEL 0xc000u

TEST(a_route_is_made_once_for_a_message)
{
	static struct routes routes;

	EXPECT(routes_sent(&routes, 0xfee00000, FIXED_LEVEL | 0x31));
	EXPECT(!routes_sent(&routes, 0xfee00000, FIXED_LEVEL | 0x31));
	EXPECT(routes_sent(&routes, 0xfee01000, FIXED_LEVEL | 0x31));
	EXPECT(routes_sent(&routes, 0xfee01000, FIXED_LEVEL | 0x32));
	EXPECT_EQ(routes.count, 3);
}

TEST(a_full_table_gives_up_what_has_ended)
{
	static struct routes routes;

	for (unsigned i = 0; i < ROUTES_MAX; i++)
		EXPECT(routes_sent(&routes, 0xfee00000, FIXED_LEVEL | (0x40 + i)));
	routes_ended(&routes, 0x45);
	routes_ended(&routes, 0x44);
	/* The older of the two, then the other, then the oldest of all. */
	for (unsigned i = 0; i < 3; i++)
		EXPECT(routes_sent(&routes, 0xfee00000, FIXED_LEVEL | (0x80 + i)));
	EXPECT_EQ(routes.count, ROUTES_MAX);
	EXPECT_EQ((uint8_t)routes.route[4].data, 0x80);
	EXPECT_EQ((uint8_t)routes.route[5].data, 0x81);
	EXPECT_EQ((uint8_t)routes.route[0].data, 0x82);
	EXPECT(routes.route[1].waits);
}

/* MSRs */

static struct kvm_machine machine;
static struct vm vm;
static struct vcpu vcpu = {.vm = &vm};
static struct cpu_model vm_model;

static void msrs_setup(void)
{
	vm_model = model_of("x86-64-v2");
	vm.cpu_model = &vm_model;
	vm.engine_private = &machine;
}

TEST(every_msr_of_the_table_has_one_who_answers)
{
	msrs_setup();
	for (uint32_t number = 0; number < 0xc0000200; number++) {
		const struct msr *msr = msr_find(number);
		uint64_t value;

		if (number == 0x2000)
			number = 0xc0000000;
		if (msr->kind == MSR_STATE && !msr_in_kernel(number))
			EXPECT(msr_read(&vcpu, number, &value));
		if (msr->kind == MSR_DEVICE)
			EXPECT(msr_in_kernel(number));
		if (msr->kind == MSR_UNKNOWN || msr->kind == MSR_COMMAND ||
		    msr->kind == MSR_IGNORED)
			EXPECT(!msr_in_kernel(number));
		if (msr->kind == MSR_FIXED)
			EXPECT_EQ(msr_in_kernel(number), number == MSR_MTRR_CAP);
	}
}

TEST(msrs_that_are_ours_behave_as_the_table_says)
{
	uint64_t value;

	msrs_setup();
	EXPECT(msr_read(&vcpu, MSR_UCODE_REVISION, &value));
	EXPECT_EQ(value, msr_find(MSR_UCODE_REVISION)->value);
	EXPECT(msr_write(&vcpu, MSR_UCODE_REVISION, 5)); /* ignored */
	EXPECT(msr_read(&vcpu, MSR_UCODE_REVISION, &value) && value != 5);
	EXPECT(!msr_write(&vcpu, 0x17, 1)); /* fixed */
	EXPECT(!msr_read(&vcpu, 0x12345, &value));
	EXPECT(!msr_write(&vcpu, 0x12345, 0));
	EXPECT(!msr_read(&vcpu, MSR_PRED_CMD, &value));
	EXPECT(msr_write(&vcpu, MSR_PRED_CMD, 1));
	EXPECT(!msr_write(&vcpu, MSR_PRED_CMD, 2));
	EXPECT(msr_write(&vcpu, MSR_MISC_ENABLE, 0x1234));
	EXPECT_EQ(vcpu.state.misc_enable, 0x1234);
	EXPECT(msr_read(&vcpu, MSR_MISC_ENABLE, &value) && value == 0x1234);
	EXPECT(!msr_write(&vcpu, MSR_DEBUGCTL, 0x100));
	EXPECT(msr_read(&vcpu, MSR_ARCH_CAPABILITIES, &value));
	EXPECT_EQ(value, cpu_model_arch_capabilities(&vm_model));
	EXPECT(!msr_write(&vcpu, MSR_ARCH_CAPABILITIES, value));
	/* KVM's own for Linux, which no model offers. */
	EXPECT(!msr_in_kernel(0x11) && !msr_in_kernel(0x4b564d00));
	EXPECT(!msr_read(&vcpu, 0x4b564d00, &value));
}
