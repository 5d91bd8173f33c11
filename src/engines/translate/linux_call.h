/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls for who is called from translated code, while vector registers are the guest's:
 * libc may use them for anything.
 */
#ifndef TRANSLATE_LINUX_CALL_H
#define TRANSLATE_LINUX_CALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* Before each function that is so called in a file that is compiled for the host. */
#define QUIET __attribute__((target("general-regs-only")))

/* What the kernel returns: an error is its number, negative. */
QUIET static inline long quiet_call(long number, const void *at, size_t size, long a, long b,
				    long c, uint64_t d)
{
	register long r10 __asm__("r10") = b;
	register long r8 __asm__("r8") = c;
	register uint64_t r9 __asm__("r9") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(at), "S"(size), "d"(a), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#endif
