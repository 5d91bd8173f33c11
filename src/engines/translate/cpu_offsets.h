/* SPDX-License-Identifier: BSD-2-Clause */
/* Where enter.S finds members of struct cpu; translate.c asserts that they are right. */
#ifndef TRANSLATE_CPU_OFFSETS_H
#define TRANSLATE_CPU_OFFSETS_H

#define CPU_GPR	       0
#define CPU_RIP	       136
#define CPU_CODE_PAGE  144
#define CPU_FLAGS      152
#define CPU_VIEW       155
#define CPU_KICK       160
#define CPU_SELF       176
#define CPU_SCRATCH    288
#define CPU_HOST_STACK 352
#define CPU_RETURNS    384

#define CPU_RETURNS_TOP (CPU_RETURNS + 8)

/* struct tlb_entry and how linear addresses find theirs. */
#define TLB_READ	 0
#define TLB_WRITE	 8
#define TLB_HOST	 16
#define TLB_INDEX_SHIFT	 7
#define TLB_INDEX_MASK	 (4095 << 5)
#define RECENT_EMPTY_TAG 0x8000000000000000

/* The user's jump cache, those of the other views behind it, and which entry an address has: (a <<
 * 4 ^ a) & mask, and that ^ JUMP_OTHER. */
#define CPU_JUMP	393664
#define JUMP_INDEX_MASK (32767 << 4)
#define JUMP_OTHER	(1 << 4)
#define JUMP_VIEW_SHIFT 19

/* Bytes of the jump that some call-outs have behind the call, before their words. */
#define JUMP_BEHIND 5

/* Where a return point has the address that it stands for. */
#define RETURN_POINT_CONSTANT 2

#endif
