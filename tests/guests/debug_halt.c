/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A step over hlt: the trap behind it ends the halt. Beside debug.c, for QEMU's processor halts for
 * good there. Source: Intel SDM volume 2, HLT; volume 3, 17.3.1.4.
 *	lodge: --cpus 1
 */
#include "system.h"

#define TF 0x100u

CODE(hlt_next, "hlt; ud2");

void test_main(void)
{
	static struct trap s;

	system_init();
	state_init(&s, hlt_next, false);
	s.flags |= TF;
	EXPECT_EQ(state_run(&s), 1);
	EXPECT_EQ(s.ip, (uintptr_t)hlt_next + 1);
}
