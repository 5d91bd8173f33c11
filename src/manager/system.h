/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel as the manager sees it: its system calls (kernel/abi.h) through one door, so that unit
 * tests can stand in its place. Results are the kernel's: 0 or more, or a negative errno.
 */
#ifndef MANAGER_SYSTEM_H
#define MANAGER_SYSTEM_H

#include <stdatomic.h>
#include <stdint.h>

#include "kernel/abi.h"

/* The door, and the page that the kernel and the manager share. */
int64_t system_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c);
struct metal_start *system_start(void);

static inline int64_t system_process_create(struct metal_process_config *config)
{
	return system_call(METAL_PROCESS_CREATE, (uintptr_t)config, 0, 0);
}

static inline int64_t system_process_set(uint32_t process, const struct metal_process_set *set)
{
	return system_call(METAL_PROCESS_SET, process, (uintptr_t)set, 0);
}

static inline int64_t system_process_kill(uint32_t process)
{
	return system_call(METAL_PROCESS_KILL, process, 0, 0);
}

static inline int64_t system_process_info(uint32_t process, struct metal_process_info *info)
{
	return system_call(METAL_PROCESS_INFO, process, (uintptr_t)info, 0);
}

/* Tells a machine that its channel has changed. */
static inline void system_notify(uint32_t process)
{
	system_call(METAL_NOTIFY, process, METAL_EVENT_NOTIFY, 0);
}

static inline int64_t system_module(uint32_t index, struct metal_module *module)
{
	return system_call(METAL_MODULE, index, (uintptr_t)module, 0);
}

/* How many bytes the serial line took, or gave. */
static inline int64_t system_console_write(const char *bytes, uint64_t length)
{
	return system_call(METAL_CONSOLE, (uintptr_t)bytes, length, 1);
}

static inline int64_t system_console_read(char *bytes, uint64_t length)
{
	return system_call(METAL_CONSOLE, (uintptr_t)bytes, length, 0);
}

/* The newest bytes of the kernel's log: how many. */
static inline int64_t system_log(char *bytes, uint64_t length)
{
	return system_call(METAL_SYSTEM, METAL_SYSTEM_LOG, (uintptr_t)bytes, length);
}

/* Returns only if it can't be done. */
static inline int64_t system_end(enum metal_system how, uint64_t code)
{
	return system_call(METAL_SYSTEM, how, code, 0);
}

/* Sleeps until an event is there, or host_now() is past the deadline (UINT64_MAX: none). */
static inline void system_wait(uint64_t deadline)
{
	system_call(METAL_WAIT, (uintptr_t)&system_start()->events, 0, deadline);
}

#endif
