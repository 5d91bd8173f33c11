/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest.h"

#include <stdarg.h>

#define VECTORS 256

enum verdict { PASSED = 0, FAILED = 1, SKIPPED = 2 };

const uint32_t *multiboot_info;
volatile uint32_t trap_resume;
volatile uint64_t trap_error, trap_ip;

uint32_t idt_table[VECTORS][sizeof(void *) / 2] __attribute__((aligned(16)));
struct trap *volatile *trap_state;
void (*trap_state_leave)(void);

static bool failed, told;
static unsigned int checks, failures;
static bool trap_expected;
static volatile int trap_vector;
static void (*trap_handlers[VECTORS])(struct trap *trap);

void guest_start(const uint32_t *info);
void trap_enter(struct trap *trap);
extern uint32_t idt_table[VECTORS][sizeof(void *) / 2]; /* system.h declares it too */
extern const char trap_stubs[];				/* of start.S, 16 bytes each */

static void put(char c)
{
	if (in8(DEBUG_PORT) == DEBUG_PORT) {
		out8(DEBUG_PORT, (uint8_t)c);
		return;
	}
	while (!(in8(COM1 + 5) & 0x20))
		;
	out8(COM1, (uint8_t)c);
}

void print(const char *text)
{
	for (; *text; text++)
		put(*text);
}

static void print_number(uint64_t value, uint32_t base)
{
	char text[24], *at = text + sizeof(text);

	*--at = '\0';
	do {
		/* Two steps, so that a 32-bit guest needs no library to divide 64 bits. */
		uint32_t digit = 0;

		if (base == 16) {
			digit = value & 15;
			value >>= 4;
		} else {
			uint32_t high = (uint32_t)(value >> 32), low, rest = high % 10;

			asm("divl %4"
			    : "=a"(low), "=d"(digit)
			    : "0"((uint32_t)value), "1"(rest), "r"(10));
			value = (uint64_t)(high / 10) << 32 | low;
		}
		*--at = "0123456789abcdef"[digit];
	} while (value);
	print(at);
}

void print_hex(uint64_t value)
{
	print("0x");
	print_number(value, 16);
}

void print_format(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		int longs = 0;
		uint64_t value;

		if (*format != '%') {
			put(*format);
			continue;
		}
		while (*++format == 'l')
			longs++;
		if (*format == 's') {
			print(va_arg(args, const char *));
			continue;
		}
		if (*format == 'c' || *format == '%') {
			put(*format == '%' ? '%' : (char)va_arg(args, int));
			continue;
		}
		if (*format == 'p' || longs == 1)
			value = va_arg(args, unsigned long);
		else if (longs)
			value = va_arg(args, unsigned long long);
		else
			value = *format == 'd' ? (uint64_t)(int64_t)va_arg(args, int)
					       : va_arg(args, unsigned int);
		if (*format == 'd' && longs == 1)
			value = (uint64_t)(int64_t)(long)value;
		if (*format == 'd' && (int64_t)value < 0) {
			put('-');
			value = -value;
		}
		print_number(value, *format == 'x' || *format == 'p' ? 16 : 10);
	}
	va_end(args);
}

__attribute__((noreturn)) static void end(enum verdict verdict)
{
	out8(EXIT_PORT, verdict);
	/* Without the exit port the run ends by its time limit, as failed. */
	for (;;)
		asm volatile("cli; hlt");
}

void guest_end(void)
{
	print_format("%u checks, %u failed\n", checks, failures);
	end(failed ? FAILED : PASSED);
}

void guest_skip(const char *reason)
{
	print_format("skipped: %s\n", reason);
	end(failed ? FAILED : SKIPPED);
}

/* Each place is told so often; the sum has them all. A serial line takes its time. */
static bool note_failure(const char *file, int line)
{
	enum { PLACES = 64, TOLD = 20 };
	static struct {
		const char *file;
		int line;
		unsigned int failures;
	} places[PLACES];
	unsigned int i = 0;

	failed = true;
	failures++;
	while (i < PLACES && places[i].file && (places[i].file != file || places[i].line != line))
		i++;
	told = i == PLACES || places[i].failures < TOLD;
	if (i < PLACES) {
		places[i].file = file;
		places[i].line = line;
		places[i].failures++;
	}
	return told;
}

bool expect_told(void)
{
	return told;
}

int expect_true(int held, const char *file, int line, const char *text)
{
	checks++;
	if (!held && note_failure(file, line))
		print_format("%s:%d: expected %s\n", file, line, text);
	return held;
}

int expect_equal(uint64_t a, uint64_t b, const char *file, int line, const char *a_text,
		 const char *b_text)
{
	checks++;
	if (a == b)
		return 1;
	if (!note_failure(file, line))
		return 0;
	print_format("%s:%d: expected %s == %s, but 0x%llx != 0x%llx\n", file, line, a_text, b_text,
		     (unsigned long long)a, (unsigned long long)b);
	return 0;
}

const char *guest_command_line(void)
{
	return multiboot_info[0] & 4 ? (const char *)(uintptr_t)multiboot_info[4] : "";
}

void trap_set(unsigned int vector, void (*handle)(struct trap *trap))
{
	trap_handlers[vector] = handle;
}

void trap_expect(void)
{
	trap_expected = true;
	trap_vector = -1;
}

int trap_result(void)
{
	trap_expected = false;
	return trap_vector;
}

void trap_enter(struct trap *trap)
{
	if (trap_handlers[trap->vector]) {
		trap_handlers[trap->vector](trap);
		return;
	}
	if (trap_state && *trap_state) {
		**trap_state = *trap;
		*trap_state = NULL;
		trap_state_leave();
	}
	if (trap_expected && trap->vector < 32) {
		trap_vector = (int)trap->vector;
		trap_error = trap->error;
		trap_ip = trap->ip;
		trap->ip = trap_resume;
		return;
	}
	print_format("unexpected exception %u, error 0x%x, at %p\n", (unsigned int)trap->vector,
		     (unsigned int)trap->error, (void *)(uintptr_t)trap->ip);
	end(FAILED);
}

static void idt_load(void)
{
	/* Volume 3, 6.14.1 (16 bytes) and 6.11 (8 bytes): interrupt gates, present, ring 0. */
	struct {
		uint16_t limit;
		uintptr_t base;
	} __attribute__((packed)) pointer = {sizeof(idt_table) - 1, (uintptr_t)idt_table};
	uint16_t cs;

	asm("mov %%cs, %0" : "=r"(cs));
	for (unsigned int i = 0; i < VECTORS; i++) {
		uint32_t address = (uint32_t)(uintptr_t)trap_stubs + 16 * i;

		idt_table[i][0] = (uint32_t)cs << 16 | (address & 0xffff);
		idt_table[i][1] = (address & 0xffff0000) | 0x8e00;
	}
	asm volatile("lidt %0" ::"m"(pointer));
}

void guest_start(const uint32_t *info)
{
	multiboot_info = info;
	idt_load();
	test_main();
	guest_end();
}
