/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of a machine in a machine file, as a table. For machine_file.c. */
#ifndef MACHINES_MACHINE_KEYS_H
#define MACHINES_MACHINE_KEYS_H

#include <stdbool.h>

#include "machines/machine_file.h"

#define MACHINE_KEY_REASON 160 /* bytes of a reason */

struct machine_key_row {
	const char *name;
	bool repeats;
	/* Takes the value; false with a reason (what is wrong, what would be right). */
	bool (*set)(struct machine_config *machine, const char *value, char *reason);
};

extern const struct machine_key_row machine_keys[MACHINE_KEYS];

#endif
