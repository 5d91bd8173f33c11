/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's faults as signals. A fault in translated code or in a stub is turned into the guest's:
 * the handler puts the state right and returns to fault_resume instead of the faulting instruction.
 * Any other is ours, or the host's, and ends the program at once.
 */
#include "engines/translate/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "engines/translate/copy.h"
#include "engines/translate/enter.h"
#include "engines/translate/return_stack.h"

#define AREAS_MAX	64
#define TRAP_PAGE_FAULT 14u

static struct area {
	_Atomic uintptr_t start;
	_Atomic size_t size;
	struct machine_code *code;
} areas[AREAS_MAX];
static atomic_flag areas_lock = ATOMIC_FLAG_INIT;

/* The kernel's order of general registers, by the processor's encodings. */
static const uint8_t gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
				  REG_R12, REG_R13, REG_R14, REG_R15};

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

/* What the program did about them before, and does about those that are not the guest's. */
static struct sigaction before[sizeof(signals) / sizeof(signals[0])];

int fault_area_add(const void *start, size_t size, struct machine_code *code)
{
	int error = -ENOSPC;

	while (atomic_flag_test_and_set(&areas_lock))
		;
	for (unsigned i = 0; i < AREAS_MAX; i++) {
		if (areas[i].start)
			continue;
		areas[i].code = code;
		areas[i].size = size;
		areas[i].start = (uintptr_t)start;
		error = 0;
		break;
	}
	atomic_flag_clear(&areas_lock);
	return error;
}

void fault_area_remove(const void *start)
{
	for (unsigned i = 0; start && i < AREAS_MAX; i++)
		if (areas[i].start == (uintptr_t)start)
			areas[i].start = 0;
}

static struct machine_code *find_area(uint64_t rip)
{
	for (unsigned i = 0; i < AREAS_MAX; i++)
		if (areas[i].start && rip - areas[i].start < areas[i].size)
			return areas[i].code;
	return NULL;
}

/* The gs base of this thread: a vcpu's cpu, or 0. Reading it needs no system call where the engine
 * runs at all (probe). */
static struct cpu *current_cpu(void)
{
	struct cpu *cpu;

	__asm__ volatile("rdgsbase %0" : "=r"(cpu));
	return cpu;
}

/* Puts the context to where to go on. */
static bool take(ucontext_t *context)
{
	struct fault fault = {
		.rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP],
		.rflags = (uint64_t)context->uc_mcontext.gregs[REG_EFL],
		.vector = (unsigned)context->uc_mcontext.gregs[REG_TRAPNO],
		.address = (uint64_t)context->uc_mcontext.gregs[REG_CR2],
		.write = context->uc_mcontext.gregs[REG_ERR] & 2,
	};
	struct machine_code *code = find_area(fault.rip);
	struct cpu *cpu = current_cpu();
	greg_t *rsp = &context->uc_mcontext.gregs[REG_RSP];

	if (!cpu || (code ? cpu->code != code : !copy_owns(cpu, fault.rip)))
		return false;
	for (unsigned i = 0; i < 16; i++)
		fault.gpr[i] = (uint64_t)context->uc_mcontext.gregs[gregs[i]];
	if (code && fault.vector == TRAP_PAGE_FAULT && return_stack_overflows(cpu, fault.address)) {
		/* The call is done once more, from an empty return stack. */
		*rsp = (greg_t)(uintptr_t)cpu->returns_top;
		return true;
	}
	if (!fault_is_guest(cpu, &fault, code != NULL))
		return false;
	if (code)
		*rsp = (greg_t)(uintptr_t)cpu->host_stack;
	context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)fault_resume;
	return true;
}

/* The instruction faults again, and the program's own handler sees it. A signal that was sent, not
 * caused, is sent again. */
static void give_up(int number, const siginfo_t *info)
{
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i] == number)
			sigaction(number, &before[i], NULL);
	if (info->si_code <= 0)
		raise(number);
}

static void handle(int number, siginfo_t *info, void *pointer)
{
	ucontext_t *context = pointer;

	if (info->si_code <= 0 || !take(context))
		give_up(number, info);
}

int fault_handlers_install(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;

		if (sigaction(signals[i], &action, &old) < 0)
			return -errno;
		/* Another machine of this process may have been here. */
		if (old.sa_sigaction != handle)
			before[i] = old;
	}
	return 0;
}
