/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs above the bare-metal kernel have in common, beside core/host.h's host_log,
 * host_lock, host_now, host_tsc, host_wall_clock, host_pages and host_random: start.S calls main
 * with a stack, and nothing is set up that would have to be.
 */
#ifndef HOSTS_METAL_COMMON_H
#define HOSTS_METAL_COMMON_H

#include <stdint.h>

struct channel;

int main(void);

/* The code with which a process ends whose CHECK failed. */
#define METAL_CODE_CHECK 134

/* Ends the process, with all threads. */
_Noreturn void metal_exit(int code);

/* A line of any length into the kernel's log, cut to what that takes. */
void metal_log(const char *line);

/* The process's own channel; NULL in the manager. */
struct channel *metal_channel(void);

/* How this machine has ended, for the manager to see: enum vm_stop, its code, and why for a person
 * ("" for nothing). */
void metal_tell_end(uint32_t why, int32_t code, const char *reason);

#endif
