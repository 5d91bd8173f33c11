/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/system.h"

#include "engines/metal/call.h"

int64_t system_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c)
{
	return metal_call(number, a, b, c, 0, 0);
}

struct metal_start *system_start(void)
{
	return metal_start();
}
