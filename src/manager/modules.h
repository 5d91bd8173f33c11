/* SPDX-License-Identifier: BSD-2-Clause */
/* The boot modules: their names, and the text of the one that describes the machines. */
#ifndef MANAGER_MODULES_H
#define MANAGER_MODULES_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/abi.h"

#define MODULES_NAME_MAX 64
#define MODULES_MACHINES "machines" /* the name of the machine file's module */

struct modules {
	unsigned count;
	char names[METAL_MODULES_MAX][MODULES_NAME_MAX];
	uint64_t sizes[METAL_MODULES_MAX];
	const char *machines; /* text of the machine file; NULL: there is none */
	size_t machines_size;
};

void modules_read(struct modules *modules);

/* Its index, -1 if there is none. */
int modules_find(const struct modules *modules, const char *name);

/* The name that is spelt like this one, or NULL. */
const char *modules_nearest(const struct modules *modules, const char *name);

#endif
