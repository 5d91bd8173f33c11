/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of the kernel's worlds are different types, so that mixing them does not compile; and
 * where things are in its address space:
 *
 *	0x0000_0000_0000_0000	the process (kernel/abi.h)
 *	0xffff_8000_0000_0000	all physical memory, one to one; never executable; the kernel's text
 *and constants are not writable here either
 *	0xffff_c000_0000_0000	stacks, each behind a page that is not there; devices
 *	0xffff_ffff_8000_0000	the kernel's image: text, constants, data, in pages of their own
 */
#ifndef KERNEL_ADDRESS_H
#define KERNEL_ADDRESS_H

#include <stdint.h>

#define PAGE_SIZE  UINT64_C(0x1000)
#define LARGE_SIZE UINT64_C(0x200000)
#define HUGE_SIZE  UINT64_C(0x40000000)

#define DIRECT_BASE UINT64_C(0xffff800000000000)
#define MAPPED_BASE UINT64_C(0xffffc00000000000)
#define IMAGE_BASE  UINT64_C(0xffffffff80000000)

/* An address in the computer's memory. */
typedef struct pa {
	uint64_t value;
} pa_t;

/* A guest-physical address. */
typedef struct gpa {
	uint64_t value;
} gpa_t;

/* An address that a process named: hostile (user.h reaches it). */
typedef struct ua {
	uint64_t value;
} ua_t;

static inline pa_t pa(uint64_t value)
{
	return (pa_t){value};
}

static inline gpa_t gpa(uint64_t value)
{
	return (gpa_t){value};
}

static inline ua_t ua(uint64_t value)
{
	return (ua_t){value};
}

/* Physical memory as the kernel sees it. RAM only: devices are mapped by device_map (page.h). */
static inline void *direct(pa_t address)
{
	return (void *)(DIRECT_BASE + address.value);
}

/* The physical address of something in the direct map. */
static inline pa_t direct_pa(const void *pointer)
{
	return pa((uint64_t)pointer - DIRECT_BASE);
}

#endif
