/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tables of the VEX maps share (see opcodes.h).
 */
#ifndef X86_OPCODES_VEX_H
#define X86_OPCODES_VEX_H

#include "x86/opcodes.h"

/* clang-format off */

#define VEX(f, text, attributes_, ...) \
	COPY(text, NEED(f), ATTR(OP_AVX | OP_MODE_DEPENDENT_REAL | (attributes_)), __VA_ARGS__)

/* On general registers: no vector state is needed. */
#define VEX_GPR(f, text, ...) \
	COPY(text, NEED(f), ATTR(OP_MODE_DEPENDENT_REAL | OP_VEX_L0), __VA_ARGS__)

/* Integer vectors: 128 bits came with AVX, 256 with AVX2. */
#define VEX_INT(text, ...) \
	BY_L(VEX(AVX, text, 0, ARGS(__VA_ARGS__)), VEX(AVX2, text, 0, ARGS(__VA_ARGS__)))

/* clang-format on */

#endif
