/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a tiny guest stands on. A test tests/guests/NAME.c includes this and defines test_main();
 * lib/start.S brings the first processor into long mode with the low 4 GiB mapped one to one (or,
 * for NAME_32.c, leaves it in protected mode without paging), sets an IDT, and calls it. A file
 * NAME.S defines test_main too, or, with its own multiboot header in section .multiboot and entry
 * `start`, everything (then it needs nothing from here).
 *
 * Lines like these in the source tell tests/run-guests what else Lodge is to be given:
 *	lodge: --cpus 2 --memory 128M
 *
 * The test ends by returning from test_main, by guest_skip, or by an exception that nobody expects.
 * The verdict leaves through the exit port 0xf4 (0 passed, 1 failed, 2 skipped), and text through
 * the debug console 0xe9, or COM1 where there is none.
 */
#ifndef TESTS_GUESTS_GUEST_H
#define TESTS_GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXIT_PORT  0xf4
#define DEBUG_PORT 0xe9
#define COM1	   0x3f8

/* The test itself, in each test's file. */
void test_main(void);

/* The multiboot information block (Multiboot 0.6.96, 3.3), as start found it. */
extern const uint32_t *multiboot_info;
/* The command line that --append gave, as the loader passes it. */
const char *guest_command_line(void);

void print(const char *text);
void print_hex(uint64_t value);
/* Like printf, with %s %c %d %u %x %p and the l and ll of them. */
void print_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the machine: passed, unless an EXPECT has failed. */
__attribute__((noreturn)) void guest_end(void);
__attribute__((noreturn)) void guest_skip(const char *reason);

/* Notes a failure, prints where it is, and goes on. */
#define EXPECT(cond)	expect_true((cond) ? 1 : 0, __FILE__, __LINE__, #cond)
#define EXPECT_EQ(a, b) expect_equal((uint64_t)(a), (uint64_t)(b), __FILE__, __LINE__, #a, #b)
int expect_true(int held, const char *file, int line, const char *text);
int expect_equal(uint64_t a, uint64_t b, const char *file, int line, const char *a_text,
		 const char *b_text);
/* Whether the check that failed last was told: of those in one place the first twenty are. */
bool expect_told(void);

/* What an exception or interrupt leaves. A handler may change it, ip above all. */
#ifdef __x86_64__
struct trap {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t di, si, bp, bx, dx, cx, ax;
	uint64_t vector, error;
	uint64_t ip, cs, flags, sp, ss;
};
#else
struct trap {
	uint32_t di, si, bp, unused, bx, dx, cx, ax;
	uint32_t vector, error;
	uint32_t ip, cs, flags;
};
#endif

/* For lib/system.c: where a trap's registers go (NULL: nowhere) and what is then jumped to. */
extern struct trap *volatile *trap_state;
extern void (*trap_state_leave)(void);

/* From now on `handle` is called for the vector (0..255), with interrupts off; NULL: fail again. */
void trap_set(unsigned int vector, void (*handle)(struct trap *trap));

/*
 * Runs `instruction` (a string of assembly) and yields the vector of the exception that it raised,
 * or -1. trap_error and trap_ip say more. It may use the input operands that follow, in bx, cx, si
 * and di, and change ax and dx.
 */
#define TRAP_OF(instruction, ...)                                                                  \
	({                                                                                         \
		trap_expect();                                                                     \
		asm volatile("movl $1f, trap_resume\n\t" instruction "\n1:" ::__VA_ARGS__          \
			     : "ax", "dx", "memory", "cc");                                        \
		trap_result();                                                                     \
	})
extern volatile uint32_t trap_resume;
extern volatile uint64_t trap_error, trap_ip;
void trap_expect(void);
int trap_result(void);

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	asm volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t msr_read(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

struct cpuid {
	uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "0"(leaf), "2"(subleaf));
	return r;
}

static inline uint64_t tsc_read(void)
{
	uint32_t low, high;

	asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

#endif
