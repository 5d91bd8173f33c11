/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of it all: reset, power off, and QEMU's exit for tests. */
#ifndef KERNEL_POWER_H
#define KERNEL_POWER_H

#include <stdint.h>

_Noreturn void power_reboot(void);
/* Halts if the computer stays on. */
_Noreturn void power_off(void);
/* QEMU's isa-debug-exit at port 0xf4: its status is then code * 2 + 1. Halts where there is none.
 */
_Noreturn void power_test_exit(uint32_t code);

#endif
