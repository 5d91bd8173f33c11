/* SPDX-License-Identifier: BSD-2-Clause */
/* What the assembly of boot/ shares with C. */
#ifndef KERNEL_BOOT_BOOT_LAYOUT_H
#define KERNEL_BOOT_BOOT_LAYOUT_H

#ifdef __ASSEMBLER__
#define IMAGE_BASE 0xffffffff80000000
#endif

/* Of the image, its zeroed data included: what the first page tables map. */
#define BOOT_IMAGE_MAX 0x2000000

/* Below this is what the first page tables map at DIRECT_BASE. */
#define BOOT_DIRECT_END 0x100000000

/* In the trampoline's page (trampoline.S): what smp.c fills in. */
#define TRAMPOLINE_ROOT	 0xfe0 /* u32: page tables */
#define TRAMPOLINE_STACK 0xfe8 /* u64: a stack for whoever takes it first */
#define TRAMPOLINE_ENTRY 0xff0 /* u64 */
#define TRAMPOLINE_CPU	 0xff8 /* u64: the entry's argument */

#endif
