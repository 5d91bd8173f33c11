/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/wiring.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/machines.h"
#include "manager/modules.h"

static bool find_module(struct machine *machine, const struct modules *modules, const char *key,
			const char *name, int32_t *index)
{
	const char *nearest;

	*index = name[0] ? modules_find(modules, name) : -1;
	if (!name[0])
		return true;
	if (*index >= 0) {
		machine->modules |= BIT(*index);
		return true;
	}
	nearest = modules_nearest(modules, name);
	format(machine->problem, sizeof(machine->problem),
	       "%s = %.64s: there is no boot module of this name: %s%s%s", key, name,
	       nearest ? "did you mean " : "add it to the boot loader's menu",
	       nearest ? nearest : "", nearest ? "?" : "");
	return false;
}

static void find_modules(struct machine *machine, const struct modules *modules)
{
	const struct machine_config *config = machine->config;

	if (!find_module(machine, modules, "kernel", config->kernel, &machine->kernel) ||
	    !find_module(machine, modules, "initrd", config->initrd, &machine->initrd))
		return;
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		if (!find_module(machine, modules, "disk",
				 i < config->disk_count ? config->disks[i].file : "",
				 &machine->disk[i]))
			return;
}

/* Switches have names in the file and numbers in the kernel: equal names, equal numbers. */
static void find_switch(struct machines *machines, struct machine *machine)
{
	const char *net = machine->config->net;
	uint32_t highest = 0;

	if (!net[0] || string_equal(net, "none"))
		return;
	if (string_equal(net, "user") && !machine->problem[0]) {
		format(machine->problem, sizeof(machine->problem),
		       "net = user: bare metal has switches between machines only: give it any "
		       "other name, or none");
		return;
	}
	for (unsigned i = 0; i + 1 < machine->number; i++) {
		const struct machine *other = machines->machine[i];

		if (other->switch_number > highest)
			highest = other->switch_number;
		if (other->switch_number && string_equal(other->config->net, net))
			machine->switch_number = other->switch_number;
	}
	if (!machine->switch_number)
		machine->switch_number = highest + 1;
}

/* The address that the file says, or one that follows from the name and that no other has. */
static void find_mac(struct machines *machines, struct machine *machine)
{
	static const uint8_t none[6] = {0};
	uint32_t hash = 0x811c9dc5;

	bytes_copy(machine->mac, machine->config->mac, sizeof(machine->mac));
	if (!bytes_equal(machine->mac, none, sizeof(none)))
		return;
	for (const char *c = machine->config->name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x01000193;
again:
	bytes_copy(machine->mac, "\x52\x4c\x44", 3);
	machine->mac[3] = (uint8_t)(hash >> 16);
	machine->mac[4] = (uint8_t)(hash >> 8);
	machine->mac[5] = (uint8_t)hash;
	for (unsigned i = 0; i < machines->count; i++) {
		const struct machine *other = machines->machine[i];

		if (other == machine || !other)
			continue;
		if (bytes_equal(other->mac, machine->mac, sizeof(machine->mac)) ||
		    bytes_equal(other->config->mac, machine->mac, sizeof(machine->mac))) {
			hash++;
			goto again;
		}
	}
}

void wiring_find(struct machines *machines, struct machine *machine, const struct modules *modules)
{
	find_modules(machine, modules);
	find_switch(machines, machine);
	find_mac(machines, machine);
}
