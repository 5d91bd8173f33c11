/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With a split irqchip the kernel reports the end of an interrupt (KVM_EXIT_IOAPIC_EOI) for vectors
 * that a level-triggered entry of its routing table could have caused. Our I/O APIC sends messages,
 * so the table is made of those: an entry for each that has been sent. A change takes the kernel
 * milliseconds, and a guest that boots changes its I/O APIC's entries a hundred times; the messages
 * that it gets are two or three.
 *
 * When the table is full, an entry goes whose interrupt has ended; an I/O APIC has no more inputs
 * than there are entries.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "engines/kvm/internal.h"

static struct route *route_find(struct routes *routes, uint32_t address, uint32_t data)
{
	for (unsigned i = 0; i < routes->count; i++)
		if (routes->route[i].address == address && routes->route[i].data == data)
			return &routes->route[i];
	return NULL;
}

/* The one that is missed least: not waited for, and then the oldest. */
static struct route *route_replaceable(struct routes *routes)
{
	struct route *best = &routes->route[0];

	if (routes->count < ROUTES_MAX)
		return &routes->route[routes->count++];
	for (unsigned i = 1; i < ROUTES_MAX; i++) {
		struct route *route = &routes->route[i];

		if (route->waits == best->waits ? route->used < best->used : best->waits)
			best = route;
	}
	return best;
}

bool routes_sent(struct routes *routes, uint64_t address, uint32_t data)
{
	struct route *route = route_find(routes, (uint32_t)address, data);
	bool added = !route;

	if (added) {
		route = route_replaceable(routes);
		*route = (struct route){.address = (uint32_t)address, .data = data};
	}
	route->waits = true;
	route->used = ++routes->clock;
	return added;
}

void routes_ended(struct routes *routes, uint8_t vector)
{
	for (unsigned i = 0; i < routes->count; i++)
		if ((uint8_t)routes->route[i].data == vector)
			routes->route[i].waits = false;
}

int routes_set(struct kvm_machine *machine)
{
	struct {
		struct list_head head;
		struct kvm_irq_routing_entry entry[ROUTES_MAX];
	} table = {.head = {.count = machine->routes.count}};

	for (unsigned i = 0; i < machine->routes.count; i++) {
		table.entry[i].gsi = i;
		table.entry[i].type = KVM_IRQ_ROUTING_MSI;
		table.entry[i].u.msi.address_lo = machine->routes.route[i].address;
		table.entry[i].u.msi.data = machine->routes.route[i].data;
	}
	return ioctl(machine->fd, KVM_SET_GSI_ROUTING, &table) ? -errno : 0;
}
