/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions and interrupts. In a process, an exception is the process's affair (user_fault); in
 * the kernel, it is one that was foreseen (fix_ups) or the end. Interrupts are only taken where the
 * kernel lets them in (cpu_idle, cpu_take_interrupts), so they find no lock held.
 */
#include "kernel/trap.h"

#include "kernel/address.h"
#include "kernel/cpu.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/register.h"
#include "kernel/serial.h"
#include "kernel/smp.h"
#include "kernel/clock.h"
#include "lib/bits.h"

#define EXCEPTION_DEBUG 1
#define DR6_BREAKPOINTS UINT64_C(15)
#define RFLAGS_RF	UINT64_C(0x10000)

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

#define GATE_INTERRUPT 0x8e

static _Alignas(PAGE_SIZE) struct gate gates[256];

/* trap.S; 16 bytes each. */
extern const uint8_t trap_stubs[];

static const char *const names[] = {
	[0] = "divide error",
	[1] = "debug exception",
	[3] = "breakpoint",
	[6] = "invalid instruction",
	[7] = "vector registers used",
	[EXCEPTION_DOUBLE_FAULT] = "double fault",
	[10] = "invalid TSS",
	[11] = "segment not present",
	[12] = "stack fault",
	[EXCEPTION_GENERAL] = "general protection fault",
	[EXCEPTION_PAGE] = "page fault",
	[16] = "x87 exception",
	[17] = "misaligned access",
	[EXCEPTION_MACHINE_CHECK] = "machine check",
	[19] = "SSE exception",
};

void trap_init(void)
{
	for (unsigned vector = 0; vector < ARRAY_LENGTH(gates); vector++) {
		uint64_t stub = (uint64_t)trap_stubs + vector * 16;

		gates[vector] = (struct gate){
			.offset_low = (uint16_t)stub,
			.selector = SELECTOR_KERNEL_CODE,
			.type = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
	/* As cpu.c numbers the stacks. */
	gates[EXCEPTION_DOUBLE_FAULT].stack = 1;
	gates[EXCEPTION_NMI].stack = 2;
	gates[EXCEPTION_MACHINE_CHECK].stack = 3;
}

void trap_processor_init(void)
{
	const struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} pointer = {sizeof(gates) - 1, (uint64_t)gates};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static bool fix(struct trap_frame *frame)
{
	uint64_t count = ((uint64_t)fix_ups_end - (uint64_t)fix_ups) / sizeof(fix_ups[0]);

	if (frame->vector != EXCEPTION_PAGE && frame->vector != EXCEPTION_GENERAL)
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (fix_ups[i].at == frame->rip) {
			frame->rip = fix_ups[i].go_on;
			return true;
		}
	return false;
}

/*
 * Nobody has breakpoints here but guests, whose processors disable them at #VMEXIT (AMD APM 2,
 * section 15.6). QEMU's TCG does not: what one of theirs hits out here goes on.
 */
static bool stray_breakpoint(struct trap_frame *frame)
{
	uint64_t status;

	__asm__ volatile("movq %%dr6, %0" : "=r"(status));
	if (frame->vector != EXCEPTION_DEBUG || !(status & DR6_BREAKPOINTS))
		return false;
	__asm__ volatile("movq %0, %%dr6" : : "r"(status & ~DR6_BREAKPOINTS));
	frame->rflags |= RFLAGS_RF;
	return true;
}

static void exception(struct trap_frame *frame)
{
	uint64_t address = frame->vector == EXCEPTION_PAGE ? cr2_read() : 0;
	const char *name = frame->vector < ARRAY_LENGTH(names) ? names[frame->vector] : NULL;

	if (frame->vector == EXCEPTION_NMI) {
		smp_stop_if_asked();
		panic(frame, "non-maskable interrupt: the hardware reports a fault");
	}
	if (frame->vector == EXCEPTION_MACHINE_CHECK || frame->vector == EXCEPTION_DOUBLE_FAULT)
		panic(frame, "%s", name);
	if (stray_breakpoint(frame))
		return;
	if (trap_from_user(frame)) {
		user_fault(frame, address);
		return;
	}
	if (fix(frame))
		return;
	if (frame->vector == EXCEPTION_PAGE)
		panic(frame, "page fault: %s at %#llx",
		      frame->error & 16	 ? "execution"
		      : frame->error & 2 ? "write"
					 : "read",
		      (unsigned long long)address);
	panic(frame, "%s", name ? name : "exception");
}

static void interrupt(struct trap_frame *frame)
{
	/* Whatever it was: a message of a device that firmware has left running must not stay in
	 * service, and after a spurious one, of the local APIC or the 8259s, there is nothing that
	 * would end. */
	local_apic_eoi();
	if (frame->vector == VECTOR_SERIAL)
		serial_interrupt();
	else if (frame->vector == VECTOR_TIMER)
		timer_interrupt();
	else if (frame->vector == VECTOR_KICK)
		smp_interrupt();
	if (trap_from_user(frame))
		user_return();
}

void trap(struct trap_frame *frame)
{
	if (frame->vector < 32)
		exception(frame);
	else
		interrupt(frame);
}
