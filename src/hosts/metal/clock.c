/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks: the TSC, as the kernel measured it. Deadlines of system calls are of host_now()'s clock.
 */
#include "core/host.h"
#include "engines/metal/call.h"
#include "lib/checked.h"

#define NANOSECONDS UINT64_C(1000000000)

uint64_t host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

uint64_t host_tsc_frequency(void)
{
	return metal_start()->tsc_frequency;
}

uint64_t host_now(void)
{
	const struct metal_start *start = metal_start();

	return multiply_divide(host_tsc() - start->tsc_zero, NANOSECONDS, start->tsc_frequency);
}

uint64_t host_wall_clock(void)
{
	return metal_start()->wall_zero + host_now();
}
