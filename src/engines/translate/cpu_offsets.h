/* SPDX-License-Identifier: BSD-2-Clause */
/* Where enter.S finds members of struct cpu; translate.c asserts that they are right. */
#ifndef TRANSLATE_CPU_OFFSETS_H
#define TRANSLATE_CPU_OFFSETS_H

#define CPU_GPR	       0
#define CPU_RIP	       136
#define CPU_FLAGS      152
#define CPU_SELF       176
#define CPU_HOST_STACK 352

#endif
