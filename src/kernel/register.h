/* SPDX-License-Identifier: BSD-2-Clause */
/* The processor's own registers, one instruction each: control registers, MSRs, XCR0, cpuid. */
#ifndef KERNEL_REGISTER_H
#define KERNEL_REGISTER_H

#include <stdint.h>

#define REGISTER_CONTROL(number)                                                                   \
	static inline uint64_t cr##number##_read(void)                                             \
	{                                                                                          \
		uint64_t value;                                                                    \
		__asm__ volatile("movq %%cr" #number ", %0" : "=r"(value));                        \
		return value;                                                                      \
	}                                                                                          \
	static inline void cr##number##_write(uint64_t value)                                      \
	{                                                                                          \
		__asm__ volatile("movq %0, %%cr" #number : : "r"(value) : "memory");               \
	}

REGISTER_CONTROL(0)
REGISTER_CONTROL(2)
REGISTER_CONTROL(3)
REGISTER_CONTROL(4)

static inline uint64_t msr_read(uint32_t number)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t number, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* Needs CR4.OSXSAVE. */
static inline void xcr0_write(uint64_t value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* In the order eax ebx ecx edx. */
static inline void cpuid_read(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(subleaf));
}

#endif
