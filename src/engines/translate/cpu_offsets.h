/* SPDX-License-Identifier: BSD-2-Clause */
/* Where enter.S finds members of struct cpu; translate.c asserts that they are right. */
#ifndef TRANSLATE_CPU_OFFSETS_H
#define TRANSLATE_CPU_OFFSETS_H

#define CPU_GPR	       0
#define CPU_RIP	       136
#define CPU_FLAGS      152
#define CPU_SELF       176
#define CPU_HOST_STACK 352

/* struct tlb_entry and how linear addresses find theirs. */
#define TLB_READ	 0
#define TLB_WRITE	 8
#define TLB_HOST	 16
#define TLB_INDEX_SHIFT	 7
#define TLB_INDEX_MASK	 (1023 << 5)
#define RECENT_EMPTY_TAG 0x8000000000000000

#endif
