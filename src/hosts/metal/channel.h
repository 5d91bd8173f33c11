/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that the manager shares with each machine's process: its configuration, its console
 * both ways, its log, requests and answers. Each side takes what the other wrote as hostile:
 * indices are reduced to the ring's size when used, texts are limited.
 *
 * Whoever has changed something calls METAL_NOTIFY; the other side looks at everything then.
 */
#ifndef HOSTS_METAL_CHANNEL_H
#define HOSTS_METAL_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/abi.h"
#include "machines/machine_file.h"

/* One direction. read and write count bytes and wrap; size is a power of two. */
struct channel_ring {
	_Atomic uint32_t read, write;
	uint32_t size;
	uint32_t offset; /* of its bytes, from the channel's start */
};

enum channel_request {
	CHANNEL_POWER_BUTTON = 1,
	CHANNEL_PAUSE = 2,
	CHANNEL_RESUME = 4,
	CHANNEL_STOP = 8, /* end now */
	CHANNEL_RESET = 16,
};

enum channel_state {
	CHANNEL_STARTING,
	CHANNEL_BOOTED, /* the guest's first instruction is next */
	CHANNEL_PAUSED,
	CHANNEL_ENDED, /* `why` and `code` say how */
};

struct channel {
	/* Written by the manager before the process starts. */
	struct machine_config config;
	/* Where its files are: indices of boot modules, -1: none. */
	int32_t kernel, initrd, disk[MACHINE_DISKS_MAX];
	uint8_t mac[6];

	_Atomic uint32_t
		requests; /* enum channel_request, set by the manager, cleared by the machine */
	_Atomic uint32_t state; /* enum channel_state, the machine's */
	uint32_t why;		/* enum vm_stop, with CHANNEL_ENDED */
	int32_t code;
	char reason[256]; /* for a person, with CHANNEL_ENDED or a failed start; "" for none */
	uint64_t resets;  /* how often the guest has started again */
	struct channel_ring output, input, log;
};

/* What the changes of a machine's disks may take where its description says nothing: bytes. */
#define CHANNEL_DISK_MEMORY UINT64_C(0x10000000)

#define CHANNEL_OUTPUT_SIZE 0x8000
#define CHANNEL_INPUT_SIZE  0x1000
#define CHANNEL_LOG_SIZE    0x4000

_Static_assert(sizeof(struct channel) + CHANNEL_OUTPUT_SIZE + CHANNEL_INPUT_SIZE +
			       CHANNEL_LOG_SIZE <=
		       METAL_CHANNEL_SIZE,
	       "the channel is too small");

/* Lays the rings out. The manager, before the process starts. */
void channel_init(struct channel *channel);

/* How many bytes were put or taken; never more than fit. `ring` is one of the channel's, whose
 * offset and size are not believed: `which` (0 output, 1 input, 2 log) says what they must be. */
enum { CHANNEL_OUTPUT, CHANNEL_INPUT, CHANNEL_LOG };
size_t channel_put(struct channel *channel, unsigned which, const char *bytes, size_t length);
size_t channel_take(struct channel *channel, unsigned which, char *bytes, size_t length);
size_t channel_room(const struct channel *channel, unsigned which);

/* As channel_put. *notify: the reader had taken everything before, and may be asleep. Whoever
 * notifies for that only needs a reader that takes until nothing is left before it sleeps. */
size_t channel_send(struct channel *channel, unsigned which, const char *bytes, size_t length,
		    bool *notify);

#endif
