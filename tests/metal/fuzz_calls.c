/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile machine's process: takes the place of the machine program. What it does is in its
 * `append` (calls_shared.h). do=calls makes random system calls from several threads, with
 * arguments that are nonsense, nearly right and right, and pages that other threads unmap
 * meanwhile; it ends with code 0 if all answers were possible ones. The rest are single attacks,
 * each of which has to end this process and nothing else; who gets past one ends with code 99.
 *
 * The seed is logged: the same one makes the same calls (but threads meet differently).
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hosts/metal/channel.h"
#include "kernel/abi.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "tests/metal/calls_shared.h"
#include "x86/apic.h"

#define SURVIVED    99
#define WRONG	    98 /* an answer that cannot be */
#define LEFT_DIRTY  97 /* memory that was not zero */
#define THREADS	    6
#define STACK_SIZE  0x10000
#define REGIONS	    16
#define GUEST_SIZE  0x400000u
#define GUEST_LOOP  0x1000
#define GUEST_EXITS 0x1100
#define PAGE	    4096u
#define LARGE	    0x200000u
#define KERNEL_TEXT 0xffffffff80001000u
#define DIRECT	    0xffff800000000000u
#define HOLE	    0x0000800000000000u /* the first address that is not canonical */

extern const uint8_t etext[]; /* the linker's */

int main(void);
_Noreturn void metal_exit(int code);
_Noreturn void check_failed(const char *file, int line, const char *condition);
void thread_entry(uint64_t number);

struct random {
	uint64_t state;
};

static uint8_t stacks[THREADS][STACK_SIZE] __attribute__((aligned(16)));
static uint8_t scratch[THREADS + 1][0x3000] __attribute__((aligned(4096)));
static _Atomic uint64_t region[REGIONS], region_size[REGIONS];
static _Atomic uint64_t vcpu_page[4];
static _Atomic uint64_t calls_done, calls_wanted;
static uint64_t seed;
static struct metal_start begun; /* as it was: random calls write there too */

/* The call, and whether all registers but rax, rcx and r11 are as before. */
static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = a ^ 0x1234;
	uint64_t rdi = a, rsi = b, rdx = c;
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8),
			   "+r"(r9)
			 : "0"(number)
			 : "rcx", "r11", "memory");
	if (rdi != a || rsi != b || rdx != c || r10 != d || r8 != e || r9 != (a ^ 0x1234))
		metal_exit(WRONG);
	return result;
}

#define CALL(...) CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, unused...)                                                    \
	call(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))

_Noreturn void metal_exit(int code)
{
	for (;;)
		__asm__ volatile("syscall"
				 :
				 : "a"((uint64_t)METAL_EXIT), "D"((uint64_t)code)
				 : "rcx", "r11", "memory");
}

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
	metal_exit(WRONG);
}

static void say(const char *text)
{
	CALL(METAL_LOG, text, string_length(text));
}

static uint64_t next(struct random *random)
{
	uint64_t x = random->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t below(struct random *random, uint64_t limit)
{
	return next(random) % limit;
}

/*
 * Random calls
 */

static uint64_t pointer(struct random *random, unsigned self)
{
	static const uint64_t odd[] = {
		0,
		1,
		PAGE - 1,
		METAL_START_ADDRESS,
		HOLE - 1,
		HOLE,
		HOLE - 8,
		METAL_USER_END - 1,
		METAL_USER_END - 4,
		METAL_USER_END,
		UINT64_MAX,
		UINT64_MAX - 7,
		DIRECT,
		KERNEL_TEXT,
		0xffffc00000000000,
		METAL_PROGRAM_MIN,
		METAL_MAP_MIN,
		METAL_MAP_MAX,
		METAL_MAP_MAX - 8,
		METAL_GUEST_ADDRESS + GUEST_SIZE,
	};
	uint64_t start;

	switch (below(random, 10)) {
	case 0:
		return odd[below(random, sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return next(random);
	case 2:
		return METAL_GUEST_ADDRESS + below(random, GUEST_SIZE + PAGE);
	case 3:
		return METAL_CHANNEL_ADDRESS + 0x8000 + below(random, METAL_CHANNEL_SIZE);
	case 4:
		start = vcpu_page[below(random, 4)];
		return start + below(random, PAGE + 64);
	case 5:
	case 6:
		start = below(random, REGIONS);
		/* Often across the end of a page, or of it all. */
		return region[start] + below(random, region_size[start] + 1) - below(random, 64);
	case 7:
		/* Constants and text: behind is what this program needs itself. */
		return METAL_PROGRAM_MIN + below(random, (uint64_t)etext - METAL_PROGRAM_MIN);
	default:
		return (uint64_t)scratch[self] + below(random, sizeof(scratch[0]));
	}
}

static uint64_t number(struct random *random)
{
	switch (below(random, 9)) {
	case 0:
		return next(random);
	case 1:
		return (uint64_t)1 << below(random, 64);
	case 2:
		return ((uint64_t)1 << below(random, 64)) - 1;
	case 3:
		return below(random, 16) * LARGE;
	case 4:
		return below(random, 16) * PAGE;
	case 5:
		return below(random, 3000);
	case 6:
		return 0 - below(random, 5000);
	default:
		return below(random, 5);
	}
}

static uint64_t any(struct random *random, unsigned self)
{
	return below(random, 2) ? pointer(random, self) : number(random);
}

/* Structures that are nearly right, in memory of this thread. */
static uint64_t structure(struct random *random, unsigned self, uint64_t kind)
{
	uint8_t *at = scratch[self];

	for (unsigned i = 0; i < below(random, 64); i++)
		at[below(random, sizeof(scratch[0]))] = (uint8_t)next(random);
	if (kind == METAL_VCPU_CREATE) {
		struct metal_vcpu_config *config = (void *)at;

		config->xcr0 = below(random, 2) ? 7 : number(random);
		config->cr4 = next(random);
		config->physical_bits = (uint32_t)(below(random, 2) ? 40 : number(random));
		config->cpuid_count = (uint32_t)below(random, METAL_CPUID_MAX + 3);
	} else if (kind == METAL_SWITCH_SEND) {
		struct metal_slice *slice = (void *)at;
		const struct channel *channel = (void *)METAL_CHANNEL_ADDRESS;
		uint8_t *frame = at + 0x1000;

		bytes_fill(frame, 0xff, 6);
		if (below(random, 2))
			bytes_copy(frame + 6, channel->mac, 6);
		slice[0] = (struct metal_slice){(uint64_t)frame, 14 + below(random, 1600)};
		slice[1] = (struct metal_slice){any(random, self), number(random)};
	}
	return (uint64_t)at;
}

/* What a thread has mapped, others unmap. */
static void map(struct random *random)
{
	unsigned place = (unsigned)below(random, REGIONS);
	uint64_t size = below(random, 3) ? (1 + below(random, 64)) * PAGE : number(random);
	uint64_t old = atomic_exchange(&region[place], 0);
	int64_t result;

	if (old) {
		result = CALL(METAL_UNMAP, old, region_size[place]);
		/* Another thread may have been faster. */
		if (result != 0 && result != -EINVAL)
			metal_exit(WRONG);
	}
	result = CALL(METAL_MAP, size);
	if (result < 0)
		return;
	if (result % PAGE || (uint64_t)result < METAL_MAP_MIN || (uint64_t)result >= METAL_MAP_MAX)
		metal_exit(WRONG);
	region_size[place] = size;
	region[place] = (uint64_t)result;
}

/* Guest registers that are nearly right, for vcpus of ours; the kernel has to make sense of them.
 */
static void shake_vcpu(struct random *random)
{
	uint64_t at = vcpu_page[below(random, 4)];
	struct metal_vcpu *vcpu = (void *)at;

	if (!at)
		return;
	switch (below(random, 4)) {
	case 0:
		for (unsigned i = 0; i < 20; i++)
			((uint8_t *)at)[below(random, sizeof(*vcpu))] = (uint8_t)next(random);
		break;
	case 1:
		vcpu->state.rip = below(random, 0x10000);
		vcpu->state.cr0 = 0x10 | (next(random) & 0x80000001);
		vcpu->state.efer = next(random) & 0xd01;
		vcpu->state.cr4 = next(random) & 0x6f8;
		break;
	default:
		bytes_fill(&vcpu->state, 0, sizeof(vcpu->state));
		vcpu->state.rip = below(random, 16) ? GUEST_EXITS : GUEST_LOOP;
		vcpu->state.rflags = 2;
		vcpu->state.cr0 = 0x10;
		for (unsigned i = 0; i < 6; i++)
			vcpu->state.segment[i] = (struct metal_segment){
				.attributes = i == 1 ? 0x9b : 0x93, .limit = 0xffff};
	}
	vcpu->runnable = (uint32_t)below(random, 4);
	vcpu->load = (uint32_t)below(random, 8);
}

static bool possible(uint64_t which, int64_t result)
{
	if (which >= METAL_CALLS)
		return result == -ENOSYS;
	if (which >= METAL_PROCESS_CREATE)
		return result == -EPERM;
	/* An errno, or something that is not one. */
	return result >= 0 || result > -200;
}

/* One call, of thread `self`; thread 0 makes none that might not come back. */
static void one(struct random *random, unsigned self)
{
	uint64_t which = below(random, METAL_CALLS + 2), a[5];
	int64_t result;

	for (unsigned i = 0; i < 5; i++)
		a[i] = any(random, self);
	switch (which) {
	case METAL_EXIT:
	case METAL_THREAD_EXIT:
		return;
	case METAL_THREAD_CREATE:
		/* Those that would run come from main: here, what has to be refused. */
		a[0] |= below(random, 2) ? HOLE : METAL_USER_END;
		break;
	case METAL_WAIT:
		a[2] = below(random, 16) ? clock_by(&begun) - below(random, 1000)
					 : clock_by(&begun) + below(random, 100000);
		break;
	case METAL_MAP:
	case METAL_UNMAP:
		if (below(random, 4)) {
			map(random);
			return;
		}
		break;
	case METAL_MODULE:
	case METAL_VCPU_KICK:
	case METAL_VCPU_STATE:
		a[0] = below(random, 6);
		break;
	case METAL_VCPU_CREATE:
		a[0] = below(random, 6);
		a[1] = structure(random, self, which);
		break;
	case METAL_VCPU_RUN:
		if (!self)
			return;
		shake_vcpu(random);
		a[0] = below(random, 4);
		break;
	case METAL_GUEST_MAP:
		if (below(random, 2))
			for (unsigned i = 0; i < 3; i++)
				a[i] = below(random, 4) * LARGE;
		break;
	case METAL_APIC_MESSAGE:
		a[0] = 0xfee00000 | below(random, 0x100000);
		break;
	case METAL_SWITCH_SEND:
		if (below(random, 2)) {
			a[0] = structure(random, self, which);
			a[1] = below(random, 4);
		}
		break;
	case METAL_CALLS:
	case METAL_CALLS + 1:
		which = METAL_CALLS + number(random);
		if (which < METAL_CALLS)
			return;
		break;
	}
	result = call(which, a[0], a[1], a[2], a[3], a[4]);
	if (!possible(which, result))
		metal_exit(WRONG);
	if (which == METAL_VCPU_CREATE && result > 0)
		vcpu_page[a[0] % 4] = (uint64_t)result;
	calls_done++;
}

void thread_entry(uint64_t self)
{
	struct random random = {seed + self};

	while (calls_done < calls_wanted)
		one(&random, (unsigned)self);
	CALL(METAL_THREAD_EXIT);
}

static void check_zero(const uint8_t *at, uint64_t size)
{
	for (uint64_t i = 0; i < size; i += 8)
		if (*(const uint64_t *)(at + i))
			metal_exit(LEFT_DIRTY);
}

/* What this process gets is zeroed; it leaves a pattern for whoever is next. */
static void check_memory(void)
{
	uint8_t *guest = (uint8_t *)CALL(METAL_GUEST_MEMORY, GUEST_SIZE);
	uint8_t *own = (uint8_t *)CALL(METAL_MAP, 64 * PAGE);

	if (guest != (uint8_t *)METAL_GUEST_ADDRESS || (int64_t)own < 0)
		metal_exit(WRONG);
	check_zero(own, 64 * PAGE);
	check_zero(guest, GUEST_SIZE);
	bytes_fill(own, 0xa5, 64 * PAGE);
	bytes_fill(guest, 0x5a, GUEST_SIZE);
	/* The guest's code: an endless loop; one that writes to a port; and what else is there. */
	bytes_copy(guest + GUEST_LOOP, (const uint8_t[]){0xeb, 0xfe}, 2);
	bytes_copy(guest + GUEST_EXITS, (const uint8_t[]){0xe6, 0x80, 0xeb, 0xfc}, 4);
	if (CALL(METAL_UNMAP, own, 64 * PAGE) != 0)
		metal_exit(WRONG);
}

static _Noreturn void random_calls(const char *append)
{
	struct random random;
	uint64_t threads = option_number(append, "threads=", 3);
	char text[128];

	bytes_copy(&seed, begun.seed, sizeof(seed));
	/* As it can be written down. */
	seed = option_number(append, "seed=", seed >> 20);
	calls_wanted = option_number(append, "count=", 100000);
	format(text, sizeof(text), "do=calls seed=%llu count=%llu threads=%llu",
	       (unsigned long long)seed, (unsigned long long)calls_wanted,
	       (unsigned long long)threads);
	say(text);
	check_memory();
	CALL(METAL_GUEST_MAP, 0, GUEST_SIZE, 0);
	for (uint64_t i = 1; i <= threads && i < THREADS; i++)
		if (CALL(METAL_THREAD_CREATE, thread_entry, stacks[i] + STACK_SIZE - 8, i) < 0)
			metal_exit(WRONG);
	random.state = seed;
	while (calls_done < calls_wanted) {
		one(&random, 0);
		for (unsigned i = 0; i < 4; i++)
			if (!below(&random, 16))
				CALL(METAL_VCPU_KICK, i);
	}
	metal_exit(0);
}

/*
 * Single attacks
 */

static void read_kernel(void)
{
	(void)*(volatile uint64_t *)KERNEL_TEXT;
}

static void read_direct(void)
{
	(void)*(volatile uint64_t *)(DIRECT + 0x100000);
}

static void write_kernel(void)
{
	*(volatile uint64_t *)(DIRECT + 0x100000) = 0;
}

static void read_hole(void)
{
	(void)*(volatile uint64_t *)HOLE;
}

static void read_null(void)
{
	uint64_t address = 8;

	__asm__("" : "+r"(address));
	(void)*(volatile uint64_t *)address;
}

static void jump_to(uint64_t address)
{
	__asm__ volatile("jmp *%0" : : "r"(address));
}

static void jump_kernel(void)
{
	jump_to(KERNEL_TEXT);
}

static void jump_hole(void)
{
	jump_to(HOLE);
}

static void jump_data(void)
{
	scratch[0][0] = 0xc3;
	jump_to((uint64_t)scratch[0]);
}

static void jump_map(void)
{
	uint8_t *at = (uint8_t *)CALL(METAL_MAP, PAGE);

	at[0] = 0xc3;
	jump_to((uint64_t)at);
}

static void jump_stack(void)
{
	uint8_t code[16] = {0xc3};

	jump_to((uint64_t)code);
}

static void jump_guest(void)
{
	uint8_t *at = (uint8_t *)CALL(METAL_GUEST_MEMORY, GUEST_SIZE);

	at[0] = 0xc3;
	jump_to((uint64_t)at);
}

static void write_text(void)
{
	*(volatile uint8_t *)(uintptr_t)main = 0xc3;
}

static void write_text_by_call(void)
{
	/* The kernel must not do it for us either. */
	if (CALL(METAL_WAIT, (uintptr_t)main & ~UINT64_C(3), 0, 0) != -EFAULT ||
	    CALL(METAL_MODULE, 0, (uintptr_t)main & ~UINT64_C(7)) == 0 ||
	    CALL(METAL_WAKE, (uintptr_t)main & ~UINT64_C(3), 1) != -EFAULT)
		metal_exit(SURVIVED);
	write_text();
}

static void thread_in_kernel(void)
{
	static const uint64_t entries[] = {HOLE,	   KERNEL_TEXT, UINT64_MAX,
					   METAL_USER_END, DIRECT,	HOLE - 1};

	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (CALL(METAL_THREAD_CREATE, entries[i], stacks[1] + STACK_SIZE, 0) != -EINVAL)
			metal_exit(SURVIVED);
	/* A stack may be anywhere: whoever uses it sees. */
	CALL(METAL_THREAD_CREATE, thread_entry, HOLE, 0);
	for (;;)
		CALL(METAL_WAIT, &scratch[0], 0, UINT64_MAX);
}

static void stack_in_hole(void)
{
	/* The call returns to us: its stack is not touched. Then we touch it. */
	__asm__ volatile("movq %0, %%rsp\n\t"
			 "movl %1, %%eax\n\t"
			 "xorl %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "pushq %%rax"
			 :
			 : "r"(HOLE + 64), "i"(METAL_MAP)
			 : "rax", "rcx", "rdi", "r11", "memory");
}

static void stack_in_kernel(void)
{
	__asm__ volatile("movq %0, %%rsp\n\t"
			 "movl %1, %%eax\n\t"
			 "xorl %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "pushq %%rax"
			 :
			 : "r"(DIRECT + 0x200000), "i"(METAL_MAP)
			 : "rax", "rcx", "rdi", "r11", "memory");
}

/* All flags that a program can set, then a call: the kernel has them as it wants; then TF traps us.
 */
static void flags_and_call(void)
{
	__asm__ volatile("pushq %0\n\t"
			 "popfq\n\t"
			 "movl %1, %%eax\n\t"
			 "xorl %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "nop"
			 :
			 : "i"(0x244dd5), "i"(METAL_MAP)
			 : "rax", "rcx", "rdi", "r11", "memory", "cc");
}

static void use_memory(void)
{
	volatile uint8_t *at = (volatile uint8_t *)CALL(METAL_MAP, (uint64_t)1 << 43);

	for (;; at += PAGE)
		*at = 1;
}

static void use_tables(void)
{
	volatile uint8_t *at = (volatile uint8_t *)CALL(METAL_MAP, (uint64_t)1 << 43);

	/* Each page needs two tables of its own. */
	for (;; at += (uint64_t)1 << 30)
		*at = 1;
}

#define ATTACK(name, ...)                                                                          \
	static void name(void)                                                                     \
	{                                                                                          \
		__asm__ volatile(__VA_ARGS__);                                                     \
	}

ATTACK(use_halt, "hlt")
ATTACK(use_cli, "cli")
ATTACK(use_sti, "sti")
ATTACK(use_cr0, "movq %%cr0, %%rax" ::: "rax")
ATTACK(use_cr3, "movq %%rax, %%cr3" ::: "rax")
ATTACK(use_cr8, "movq %%cr8, %%rax" ::: "rax")
ATTACK(use_dr7, "movq %%rax, %%dr7" ::: "rax")
ATTACK(use_dr0, "movq %%dr0, %%rax" ::: "rax")
ATTACK(use_clts, "clts")
ATTACK(use_rdmsr, "rdmsr" : : "c"(0xc0000080) : "rax", "rdx")
ATTACK(use_wrmsr, "wrmsr" : : "c"(0xc0000082), "a"(0), "d"(0))
ATTACK(use_in, "inb $0x71, %%al" ::: "rax")
ATTACK(use_out, "outb %%al, $0xf4" : : "a"(0))
ATTACK(use_out16, "outw %%ax, %%dx" : : "a"(0x2000), "d"(0x604))
ATTACK(use_lgdt, "lgdt %0" : : "m"(scratch[0]))
ATTACK(use_lidt, "lidt %0" : : "m"(scratch[0]))
ATTACK(use_ltr, "ltr %%ax" : : "a"(0x28))
ATTACK(use_lldt, "lldt %%ax" : : "a"(0))
ATTACK(use_invlpg, "invlpg %0" : : "m"(scratch[0]))
ATTACK(use_invd, "invd")
ATTACK(use_wbinvd, "wbinvd")
ATTACK(use_swapgs, "swapgs")
ATTACK(use_sysret, "sysretq" : : "c"(KERNEL_TEXT))
ATTACK(use_iret, "pushq $0x10; pushq %%rax; pushq $2; pushq $8; pushq %0; iretq"
       :
       : "r"(KERNEL_TEXT))
ATTACK(use_far_jump, "pushq $8; pushq %0; lretq" : : "r"(KERNEL_TEXT))
ATTACK(use_int_timer, "int $0xe0")
ATTACK(use_int_kick, "int $0xe1")
ATTACK(use_int_80, "int $0x80")
ATTACK(use_int_page_fault, "int $14")
ATTACK(use_int_nmi, "int $2")
ATTACK(use_int3, "int3")
ATTACK(use_icebp, ".byte 0xf1")
ATTACK(use_divide, "xorl %%ecx, %%ecx; divl %%ecx" ::: "rax", "rcx", "rdx")
ATTACK(use_undefined, "ud2")
ATTACK(use_vmrun, "vmrun" : : "a"(0x1000))
ATTACK(use_vmload, "vmload" : : "a"(0x1000))
ATTACK(use_vmsave, "vmsave" : : "a"(0x1000))
ATTACK(use_stgi, "stgi")
ATTACK(use_clgi, "clgi")
ATTACK(use_vmmcall, "vmmcall")
ATTACK(use_invlpga, "invlpga" : : "a"(0), "c"(0))
ATTACK(use_xsetbv, "xsetbv" : : "a"(1), "c"(0), "d"(0))
ATTACK(use_x87, "fld1")
ATTACK(use_sse, "xorps %%xmm0, %%xmm0" :)
ATTACK(use_sse_read, "movups %%xmm0, %0" : "=m"(scratch[0]))
ATTACK(use_fxsave, "fxsave %0" : "=m"(scratch[0]))
ATTACK(use_xsave, "xsave %0" : "=m"(scratch[0]) : "a"(7), "d"(0))
ATTACK(use_emms, "emms")
ATTACK(use_load_ss, "movl %%eax, %%ss" : : "a"(0x10))
ATTACK(use_load_ds, "movl %%eax, %%ds" : : "a"(0x28))
ATTACK(use_wrgsbase, "wrgsbase %0" : : "r"(DIRECT))
ATTACK(use_rdpmc, "rdpmc" : : "c"(0) : "rax", "rdx")
ATTACK(use_sgdt, "sgdt %0" : "=m"(scratch[0]))
ATTACK(use_alignment, "pushfq; orl $0x40000, (%%rsp); popfq; movl %0, %%eax"
       :
       : "m"(scratch[0][1])
       : "rax", "cc")

static void spin(void)
{
	for (;;)
		__asm__ volatile("pause");
}

static void spin_in_two(void)
{
	CALL(METAL_THREAD_CREATE, spin, stacks[1] + STACK_SIZE - 8, 0);
	spin();
}

static void sleep(void)
{
	for (;;)
		CALL(METAL_WAIT, &((struct metal_start *)METAL_START_ADDRESS)->process,
		     ((struct metal_start *)METAL_START_ADDRESS)->process, UINT64_MAX);
}

/* Vcpu 0, in real mode at rip, to be loaded. */
static struct metal_vcpu *make_vcpu(uint64_t rip)
{
	struct metal_vcpu_config *config = (void *)scratch[0];
	struct metal_vcpu *vcpu;

	check_memory();
	CALL(METAL_GUEST_MAP, 0, GUEST_SIZE, 0);
	config->xcr0 = 1;
	config->physical_bits = 40;
	vcpu = (void *)CALL(METAL_VCPU_CREATE, 0, config);
	if ((int64_t)vcpu < 0)
		metal_exit(WRONG);
	bytes_fill(&vcpu->state, 0, sizeof(vcpu->state));
	vcpu->state.rip = rip;
	vcpu->state.rflags = 2;
	vcpu->state.cr0 = 0x10;
	vcpu->state.xcr0 = 1;
	for (unsigned i = 0; i < 6; i++)
		vcpu->state.segment[i] =
			(struct metal_segment){.attributes = i == 1 ? 0x9b : 0x93, .limit = 0xffff};
	vcpu->runnable = 1;
	vcpu->load = METAL_LOAD_STATE;
	return vcpu;
}

/* A guest that never leaves its loop; the process is to be killed. */
static void run_guest(void)
{
	struct metal_vcpu *vcpu = make_vcpu(GUEST_LOOP);

	for (;;)
		if (CALL(METAL_VCPU_RUN, 0) < 0 || vcpu->exit.kind != METAL_EXIT_KICKED)
			metal_exit(WRONG);
}

/*
 * Local APICs whose timers began at any time, for guests whose clock has any time: the kernel sets
 * its own timers by them, and has to come to an end of that.
 */
static void exit_after_wild_timers(void)
{
	static const uint64_t times[] = {0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
	const unsigned count = sizeof(times) / sizeof(times[0]);
	struct metal_vcpu *vcpu = make_vcpu(GUEST_EXITS);

	for (unsigned i = 0; i < 3 * 2 * count * count; i++) {
		struct apic apic = {
			.base = APIC_ADDRESS | APIC_BASE_ENABLE,
			.svr = 0x1ff,
			.lvt = {[LVT_TIMER] = 0x40 | i % 3 << 17},
			.initial_count = i / 3 % 2 ? 1 : UINT32_MAX,
			.timer_running = true,
			.timer_start = times[i / 6 % count] - clock_by(&begun),
			.timer_deadline = times[i / 6 % count],
		};
		uint64_t until = clock_by(&begun) + 300000;

		vcpu->time_offset = times[i / 6 / count] - clock_by(&begun);
		vcpu->state.tsc_offset = vcpu->time_offset;
		bytes_copy(vcpu->apic, &apic, sizeof(apic));
		vcpu->load |= METAL_LOAD_APIC | METAL_LOAD_TIME;
		do {
			if (CALL(METAL_VCPU_RUN, 0) < 0)
				metal_exit(WRONG);
		} while (clock_by(&begun) < until);
	}
	metal_exit(0);
}

static void exit_by_last_thread(void)
{
	CALL(METAL_THREAD_EXIT);
}

static void exit_with_seven(void)
{
	CALL(METAL_THREAD_CREATE, spin, stacks[1] + STACK_SIZE - 8, 0);
	CALL(METAL_THREAD_CREATE, sleep, stacks[2] + STACK_SIZE - 8, 0);
	metal_exit(7);
}

#define NAMED(name)                                                                                \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct {
	const char *name;
	void (*function)(void);
} attacks[] = {
	NAMED(read_kernel),
	NAMED(read_direct),
	NAMED(write_kernel),
	NAMED(read_hole),
	NAMED(read_null),
	NAMED(jump_kernel),
	NAMED(jump_hole),
	NAMED(jump_data),
	NAMED(jump_map),
	NAMED(jump_stack),
	NAMED(jump_guest),
	NAMED(write_text),
	NAMED(write_text_by_call),
	NAMED(thread_in_kernel),
	NAMED(stack_in_hole),
	NAMED(stack_in_kernel),
	NAMED(flags_and_call),
	NAMED(use_memory),
	NAMED(use_tables),
	NAMED(use_halt),
	NAMED(use_cli),
	NAMED(use_sti),
	NAMED(use_cr0),
	NAMED(use_cr3),
	NAMED(use_cr8),
	NAMED(use_dr7),
	NAMED(use_dr0),
	NAMED(use_clts),
	NAMED(use_rdmsr),
	NAMED(use_wrmsr),
	NAMED(use_in),
	NAMED(use_out),
	NAMED(use_out16),
	NAMED(use_lgdt),
	NAMED(use_lidt),
	NAMED(use_ltr),
	NAMED(use_lldt),
	NAMED(use_invlpg),
	NAMED(use_invd),
	NAMED(use_wbinvd),
	NAMED(use_swapgs),
	NAMED(use_sysret),
	NAMED(use_iret),
	NAMED(use_far_jump),
	NAMED(use_int_timer),
	NAMED(use_int_kick),
	NAMED(use_int_80),
	NAMED(use_int_page_fault),
	NAMED(use_int_nmi),
	NAMED(use_int3),
	NAMED(use_icebp),
	NAMED(use_divide),
	NAMED(use_undefined),
	NAMED(use_vmrun),
	NAMED(use_vmload),
	NAMED(use_vmsave),
	NAMED(use_stgi),
	NAMED(use_clgi),
	NAMED(use_vmmcall),
	NAMED(use_invlpga),
	NAMED(use_xsetbv),
	NAMED(use_x87),
	NAMED(use_sse),
	NAMED(use_sse_read),
	NAMED(use_fxsave),
	NAMED(use_xsave),
	NAMED(use_emms),
	NAMED(use_load_ss),
	NAMED(use_load_ds),
	NAMED(use_wrgsbase),
	NAMED(use_rdpmc),
	NAMED(use_sgdt),
	NAMED(use_alignment),
	NAMED(spin),
	NAMED(spin_in_two),
	NAMED(sleep),
	NAMED(run_guest),
	NAMED(exit_after_wild_timers),
	NAMED(exit_by_last_thread),
	NAMED(exit_with_seven),
};

int main(void)
{
	const struct channel *channel = (const struct channel *)METAL_CHANNEL_ADDRESS;
	const char *append = channel->config.append;

	bytes_copy(&begun, (const void *)METAL_START_ADDRESS, sizeof(begun));
	for (unsigned i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (option_is(append, attacks[i].name)) {
			attacks[i].function();
			return SURVIVED;
		}
	random_calls(append);
}
