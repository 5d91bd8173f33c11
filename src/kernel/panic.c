/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end. Trusts as little as it can: no locks, memory is read by an instruction that may fault,
 * and a second panic within the first says only why.
 */
#include <stdarg.h>
#include <stdatomic.h>

#include "kernel/boot.h"
#include "kernel/cpu.h"
#include "kernel/log.h"
#include "kernel/power.h"
#include "kernel/register.h"
#include "kernel/serial.h"
#include "kernel/smp.h"
#include "kernel/trap.h"
#include "lib/check.h"
#include "lib/format.h"

#define TRACE_DEPTH    24
#define PANIC_CODE     1 /* of QEMU's exit, with panic=exit */
#define ALREADY_NOBODY UINT32_MAX

static _Atomic uint32_t panicking = ALREADY_NOBODY;

__attribute__((format(printf, 1, 2))) static void print(const char *text, ...)
{
	char line[400];
	size_t length;
	va_list arguments;

	va_start(arguments, text);
	length = vformat(line, sizeof(line), text, arguments);
	va_end(arguments);
	serial_print(line, length < sizeof(line) ? length : sizeof(line) - 1);
}

/* A word of memory, if it is there. */
static bool peek(uint64_t address, uint64_t *value)
{
	bool there = false;

	__asm__ volatile("1:\tmovq (%2), %1\n\t"
			 "movb $1, %0\n"
			 "2:\n\t"
			 ".pushsection .fix_ups, \"a\"\n\t"
			 ".quad 1b, 2b\n\t"
			 ".popsection"
			 : "+q"(there), "=&r"(*value)
			 : "r"(address)
			 : "memory");
	return there;
}

/* back: the address is one to return to, behind a call, which may be the last thing in its
 * function. */
static void print_place(uint64_t address, unsigned back)
{
	uint64_t offset;
	const char *name = symbol_find(address - back, &offset);

	if (name)
		print("  %016llx %s+%#llx\n", (unsigned long long)address, name,
		      (unsigned long long)(offset + back));
	else
		print("  %016llx\n", (unsigned long long)address);
}

static void print_registers(const struct trap_frame *f)
{
	const struct {
		const char *name;
		uint64_t value;
	} registers[] = {
		{"rax", f->rax},     {"rbx", f->rbx},	    {"rcx", f->rcx},
		{"rdx", f->rdx},     {"rsi", f->rsi},	    {"rdi", f->rdi},
		{"rbp", f->rbp},     {"rsp", f->rsp},	    {"r8", f->r8},
		{"r9", f->r9},	     {"r10", f->r10},	    {"r11", f->r11},
		{"r12", f->r12},     {"r13", f->r13},	    {"r14", f->r14},
		{"r15", f->r15},     {"rip", f->rip},	    {"rflags", f->rflags},
		{"cs", f->cs},	     {"ss", f->ss},	    {"cr2", cr2_read()},
		{"cr3", cr3_read()}, {"vector", f->vector}, {"error", f->error},
	};

	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		print("%7s %016llx%s", registers[i].name, (unsigned long long)registers[i].value,
		      i % 4 == 3 ? "\n" : "");
}

/* Follows the frame pointers: each points to the caller's, with the return address above it. */
static void print_trace(uint64_t frame)
{
	for (unsigned i = 0; i < TRACE_DEPTH; i++) {
		uint64_t next, from;

		if (frame < DIRECT_BASE || !peek(frame, &next) || !peek(frame + 8, &from) || !from)
			return;
		print_place(from, 1);
		/* Stacks grow down: a caller's frame lies above. */
		if (next <= frame)
			return;
		frame = next;
	}
}

static void print_frame(const struct trap_frame *frame)
{
	uint64_t offset, from;

	print_registers(frame);
	print("at:\n");
	print_place(frame->rip, 0);
	if (trap_from_user(frame))
		return;
	/* A call to where no function is: its caller has left no frame yet. */
	if (!symbol_find(frame->rip, &offset) && peek(frame->rsp, &from))
		print_place(from, 1);
	print_trace(frame->rbp);
}

static _Noreturn void stop(void)
{
	if (boot_option("panic=exit"))
		power_test_exit(PANIC_CODE);
	cpu_halt();
}

void panic(const struct trap_frame *frame, const char *text, ...)
{
	const struct cpu *cpu = cpu_this();
	uint32_t nobody = ALREADY_NOBODY;
	char reason[256];
	va_list arguments;

	va_start(arguments, text);
	vformat(reason, sizeof(reason), text, arguments);
	va_end(arguments);
	if (!atomic_compare_exchange_strong(&panicking, &nobody, cpu->id)) {
		/* Another's comes first, and stops us; in our own there is no more to be done. */
		if (nobody == cpu->id) {
			print("panic in a panic: %s\n", reason);
			stop();
		}
		cpu_halt();
	}
	smp_stop_others();
	print("\npanic: %s (processor %u of %u)\n", reason, cpu->id, cpu_count());
	if (frame) {
		print_frame(frame);
	} else {
		print("called from:\n");
		print_trace((uint64_t)__builtin_frame_address(0));
	}
	stop();
}

void check_failed(const char *file, int line, const char *condition)
{
	panic(NULL, "%s:%d: not so: %s", file, line, condition);
}
