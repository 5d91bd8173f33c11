/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a sequence on the host's processor: all registers are loaded, the code is jumped to, and it
 * jumps back behind its last instruction. */
#include "conformance.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define NO_EXCEPTION 0xff

/* At a fixed place, so that the code's last jump and the way back need no register. */
struct context {
	uint64_t host_rsp;
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t code;
	uint64_t exit;
	_Alignas(64) uint8_t xsave[4096];
};

static struct context context;
static volatile int caught;
static uint64_t caught_rip;

/* The engine's handlers, for its own faults. */
static struct sigaction before[NSIG];

void native_enter(struct context *context);
void native_leave(void);

/*
 * In rdi the context. Vector state first, then flags, then the general registers. The way back
 * (native_leave) comes with every register the guest's, so it saves through absolute addresses of
 * `context`.
 */
__asm__(".text\n"
	".globl native_enter\n"
	"native_enter:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	sub $8, %rsp\n"
	"	mov %rsp, context(%rip)\n"
	"	mov $7, %eax; xor %edx, %edx\n"
	"	xrstor64 context+192(%rip)\n"
	"	push context+136(%rip)\n"
	"	popfq\n"
	"	mov context+8(%rip), %rax\n"
	"	mov context+16(%rip), %rcx\n"
	"	mov context+24(%rip), %rdx\n"
	"	mov context+32(%rip), %rbx\n"
	"	mov context+40(%rip), %rsp\n"
	"	mov context+48(%rip), %rbp\n"
	"	mov context+56(%rip), %rsi\n"
	"	mov context+64(%rip), %rdi\n"
	"	mov context+72(%rip), %r8\n"
	"	mov context+80(%rip), %r9\n"
	"	mov context+88(%rip), %r10\n"
	"	mov context+96(%rip), %r11\n"
	"	mov context+104(%rip), %r12\n"
	"	mov context+112(%rip), %r13\n"
	"	mov context+120(%rip), %r14\n"
	"	mov context+128(%rip), %r15\n"
	"	jmp *context+144(%rip)\n"
	".globl native_leave\n"
	"native_leave:\n"
	"	mov %rax, context+8(%rip)\n"
	"	mov %rcx, context+16(%rip)\n"
	"	mov %rdx, context+24(%rip)\n"
	"	mov %rbx, context+32(%rip)\n"
	"	mov %rsp, context+40(%rip)\n"
	"	mov %rbp, context+48(%rip)\n"
	"	mov %rsi, context+56(%rip)\n"
	"	mov %rdi, context+64(%rip)\n"
	"	mov %r8, context+72(%rip)\n"
	"	mov %r9, context+80(%rip)\n"
	"	mov %r10, context+88(%rip)\n"
	"	mov %r11, context+96(%rip)\n"
	"	mov %r12, context+104(%rip)\n"
	"	mov %r13, context+112(%rip)\n"
	"	mov %r14, context+120(%rip)\n"
	"	mov %r15, context+128(%rip)\n"
	"	mov context(%rip), %rsp\n"
	"	pushfq\n"
	"	pop context+136(%rip)\n"
	"	cld\n"
	"	mov $7, %eax; xor %edx, %edx\n"
	"	xsave64 context+192(%rip)\n"
	"	fninit\n"
	"	movl $0x1f80, -4(%rsp); ldmxcsr -4(%rsp)\n"
	"	add $8, %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

_Static_assert(offsetof(struct context, gpr) == 8 && offsetof(struct context, rflags) == 136 &&
		       offsetof(struct context, code) == 144 &&
		       offsetof(struct context, xsave) == 192,
	       "native_enter knows these");

/* The state at a fault goes on as if the code had ended there. */
static void on_signal(int number, siginfo_t *info, void *argument)
{
	ucontext_t *uc = argument;
	uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];

	if (rip < CODE_ADDRESS || rip >= CODE_ADDRESS + CODE_SIZE) {
		before[number].sa_sigaction(number, info, argument);
		return;
	}
	caught_rip = rip;
	switch (number) {
	case SIGFPE:
		caught = info->si_code == FPE_INTDIV || info->si_code == FPE_INTOVF ? 0 : 19;
		break;
	case SIGILL:
		caught = 6;
		break;
	case SIGTRAP:
		caught = 3;
		break;
	default:
		caught = info->si_code == SI_KERNEL ? 13 : 14;
		break;
	}
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)native_leave;
}

int native_create(void)
{
	static uint8_t stack[65536];
	const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = on_signal,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	static const int signals[] = {SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGTRAP};

	if (mmap((void *)(uintptr_t)CODE_ADDRESS, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ||
	    mmap((void *)(uintptr_t)DATA_ADDRESS, DATA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		return -errno;
	sigaltstack(&alternate, NULL);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, &before[signals[i]]);
	return 0;
}

void native_run(const struct sequence *sequence, struct machine_state *end)
{
	uint8_t *code = (uint8_t *)(uintptr_t)CODE_ADDRESS + sequence->code_offset;
	uint64_t leave = (uint64_t)(uintptr_t)native_leave;

	memcpy(code, sequence->bytes, sequence->size);
	/* jmp [rip + 0]; the address */
	memcpy(code + sequence->size, "\xff\x25\0\0\0\0", 6);
	memcpy(code + sequence->size + 6, &leave, 8);
	memcpy((void *)(uintptr_t)DATA_ADDRESS, sequence->start.data, DATA_SIZE);
	memcpy(context.gpr, sequence->start.gpr, sizeof(context.gpr));
	memset(context.xsave, 0, sizeof(context.xsave));
	memcpy(context.xsave, sequence->start.xsave, sizeof(sequence->start.xsave));
	context.rflags = sequence->start.rflags;
	context.code = (uint64_t)(uintptr_t)code;
	caught = NO_EXCEPTION;
	native_enter(&context);
	memcpy(end->gpr, context.gpr, sizeof(end->gpr));
	end->rflags = context.rflags;
	end->exception = (uint32_t)caught;
	end->rip = caught == NO_EXCEPTION ? (uint64_t)(uintptr_t)code + sequence->size : caught_rip;
	memcpy(end->xsave, context.xsave, sizeof(end->xsave));
	memcpy(end->data, (void *)(uintptr_t)DATA_ADDRESS, DATA_SIZE);
}
