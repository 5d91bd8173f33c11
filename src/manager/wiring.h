/* SPDX-License-Identifier: BSD-2-Clause */
/* What the names in a machine's description mean here: boot modules, switches, addresses. */
#ifndef MANAGER_WIRING_H
#define MANAGER_WIRING_H

struct machine;
struct machines;
struct modules;

/* Fills in the machine's modules, switch and address; machine->problem, if something is not there.
 * All machines are in the list; those before it have theirs already. */
void wiring_find(struct machines *machines, struct machine *machine, const struct modules *modules);

#endif
