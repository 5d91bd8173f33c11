/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers that neither entering a guest nor leaving it switches: x87, MMX, SSE, AVX with XCR0,
 * and dr0 to dr3. The kernel and processes don't use them, so they stay in the processor while the
 * vcpu's thread does, in whatever it does, and go to memory when that leaves it. CR0.TS keeps
 * processes from looking at them.
 *
 * All components are saved and loaded, whatever the guest's XCR0 says: one that is disabled keeps
 * its values (SDM 1, 13.3).
 */
#include "kernel/cpu.h"
#include "kernel/register.h"
#include "kernel/vcpu.h"
#include "lib/bytes.h"

/* The area (SDM 1, 13.4). */
#define MXCSR_OFFSET	  24
#define MXCSR_MASK_OFFSET 28
#define HEADER_SIZE	  64
#define MXCSR_MASK_OLD	  0xffbfu

static uint32_t mxcsr_mask;

static void fpu_on(void)
{
	__asm__ volatile("clts");
}

static uint64_t xcr0_read(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

void vcpu_fpu_processor_init(void)
{
	static _Alignas(64) uint8_t area[512];

	if (mxcsr_mask)
		return;
	fpu_on();
	__asm__ volatile("fxsave64 %0" : "=m"(area));
	cpu_fpu_off();
	mxcsr_mask = bytes_load32(area + MXCSR_MASK_OFFSET);
	if (!mxcsr_mask)
		mxcsr_mask = MXCSR_MASK_OLD;
}

void vcpu_fpu_sanitize(struct metal_state *state, uint64_t xcr0)
{
	uint8_t *area = state->xsave;
	uint64_t components = bytes_load64(area + XSAVE_HEADER) & xcr0;

	bytes_store32(area + MXCSR_OFFSET, bytes_load32(area + MXCSR_OFFSET) & mxcsr_mask);
	bytes_fill(area + XSAVE_HEADER, 0, HEADER_SIZE);
	bytes_store64(area + XSAVE_HEADER, components);
}

void vcpu_fpu_load(struct vcpu *vcpu)
{
	static const int32_t none = 0;
	struct cpu *cpu = cpu_this();
	struct metal_state *state = &vcpu->state;

	if (cpu->fpu_owner == vcpu)
		return;
	if (cpu->fpu_owner)
		vcpu_leave_processor(cpu->fpu_owner);
	fpu_on();
	/* Where the last x87 instruction was is loaded only if its exception is pending, on many of
	 * AMD's processors (APM2 11.4.4; CVE-2006-1056): another guest's must not stay. */
	__asm__ volatile("fnclex; emms; fildl %0" : : "m"(none));
	if (cpu_features.xsave) {
		uint64_t all = cpu_features.xcr0;

		xcr0_write(all);
		__asm__ volatile("xrstor64 %0"
				 :
				 : "m"(state->xsave), "a"((uint32_t)all),
				   "d"((uint32_t)(all >> 32)));
		xcr0_write(state->xcr0);
	} else {
		__asm__ volatile("fxrstor64 %0" : : "m"(state->xsave));
	}
	cpu_fpu_off();
	cpu->fpu_owner = vcpu;
	vcpu->live = cpu;
}

/*
 * A guest's xsetbv ends in an exit, but QEMU's TCG does not know that intercept: what it has let
 * the guest write is taken over here, as far as it is allowed.
 */
void vcpu_xcr0_refresh(struct vcpu *vcpu)
{
	uint64_t now;

	if (!cpu_features.xsave || cpu_this()->fpu_owner != vcpu)
		return;
	now = (xcr0_read() & vcpu->xcr0_allowed) | 1;
	if (now == vcpu->state.xcr0)
		return;
	vcpu->state.xcr0 = now;
	cpuid_table_update(&vcpu->cpuid, vcpu->state.cr4, now);
}

void vcpu_fpu_save(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_this();
	struct metal_state *state = &vcpu->state;

	if (cpu->fpu_owner != vcpu)
		return;
	vcpu_xcr0_refresh(vcpu);
	fpu_on();
	if (cpu_features.xsave) {
		uint64_t all = cpu_features.xcr0;

		xcr0_write(all);
		__asm__ volatile("xsave64 %0"
				 : "+m"(state->xsave)
				 : "a"((uint32_t)all), "d"((uint32_t)(all >> 32)));
	} else {
		__asm__ volatile("fxsave64 %0" : "=m"(state->xsave));
		bytes_store64(state->xsave + XSAVE_HEADER, cpu_features.xcr0);
	}
	cpu_fpu_off();
	cpu->fpu_owner = NULL;
}

#define DR_LOAD(number) __asm__ volatile("movq %0, %%dr" #number : : "r"(dr[number]))
#define DR_SAVE(number) __asm__ volatile("movq %%dr" #number ", %0" : "=r"(dr[number]))

void vcpu_debug_load(struct vcpu *vcpu)
{
	const uint64_t *dr = vcpu->state.dr;

	if (vcpu->debug_live)
		return;
	DR_LOAD(0);
	DR_LOAD(1);
	DR_LOAD(2);
	DR_LOAD(3);
	vcpu->debug_live = true;
}

void vcpu_debug_save(struct vcpu *vcpu)
{
	uint64_t *dr = vcpu->state.dr;

	if (!vcpu->debug_live)
		return;
	DR_SAVE(0);
	DR_SAVE(1);
	DR_SAVE(2);
	DR_SAVE(3);
	vcpu->debug_live = false;
}
