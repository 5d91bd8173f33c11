/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/modules.h"

#include "lib/bytes.h"
#include "lib/string.h"
#include "lib/word.h"
#include "manager/system.h"

void modules_read(struct modules *modules)
{
	bytes_fill(modules, 0, sizeof(*modules));
	for (unsigned i = 0; i < METAL_MODULES_MAX; i++) {
		struct metal_module module = {.size = 0};

		if (system_module(i, &module) < 0)
			break;
		module.name[sizeof(module.name) - 1] = '\0';
		string_copy(modules->names[i], MODULES_NAME_MAX, module.name);
		modules->sizes[i] = module.size;
		modules->count = i + 1;
		if (!modules->machines && string_equal(module.name, MODULES_MACHINES)) {
			modules->machines =
				module.size ? (const char *)(uintptr_t)module.address : "";
			modules->machines_size = module.size;
		}
	}
}

int modules_find(const struct modules *modules, const char *name)
{
	for (unsigned i = 0; i < modules->count; i++)
		if (string_equal(modules->names[i], name))
			return (int)i;
	return -1;
}

const char *modules_nearest(const struct modules *modules, const char *name)
{
	const char *names[METAL_MODULES_MAX + 1] = {NULL};

	for (unsigned i = 0; i < modules->count; i++)
		names[i] = modules->names[i];
	return word_nearest(name, names);
}
