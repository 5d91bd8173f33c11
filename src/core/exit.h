/* SPDX-License-Identifier: BSD-2-Clause */
/* Why a vcpu stopped, in words every engine shares. It travels down to the device and back. */
#ifndef CORE_EXIT_H
#define CORE_EXIT_H

#include <stdbool.h>
#include <stdint.h>

enum exit_kind {
	EXIT_PORT,   /* in or out of address (0..0xffff), size 1, 2, 4 */
	EXIT_MEMORY, /* read or write of guest-physical address that is not RAM, size 1, 2, 4, 8 */
	EXIT_MSR, /* rdmsr or wrmsr of an MSR that belongs to a device (address is its number), size
		     8 */
	EXIT_HALT,     /* hlt: rip is behind it */
	EXIT_KICKED,   /* vcpu->pending or a stop request wants a look; nothing happened */
	EXIT_SHUTDOWN, /* triple fault */
	EXIT_FAILED,   /* the engine can't go on; reason says why (our bug, or a host's failure) */
};

struct exit {
	enum exit_kind kind;
	bool write;
	uint8_t size; /* bytes */
	bool fault;   /* set by the device: the MSR does not exist or refuses the value: #GP(0) */
	uint64_t address;
	uint64_t value; /* written by the guest, or read from the device; bytes above size are 0 */
	const char *reason;
};

#endif
