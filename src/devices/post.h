/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports 0x80..0x8f: the power-on self-test's code at 0x80, to which software also writes to pass
 * time, and a DMA controller's pages. */
#ifndef DEVICES_POST_H
#define DEVICES_POST_H

#include <stdint.h>

#include "core/device.h"
#include "core/space.h"

struct post {
	struct device device;
	struct region region;
	uint8_t bytes[16];
};

void post_init(struct post *post, struct vm *vm);

#endif
