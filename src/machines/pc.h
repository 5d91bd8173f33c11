/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one machine there is: a PC without firmware. Where everything is, is in pc.c.
 */
#ifndef MACHINES_PC_H
#define MACHINES_PC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/plug.h"
#include "core/vm.h"
#include "machines/boot.h"

#define PC_DISKS_MAX   16
#define PC_SHARES_MAX  8
#define PC_HOLE_BASE   UINT64_C(0xc0000000) /* RAM below it, the rest from 4 GiB on */
#define PC_MEMORY_MIN  (UINT64_C(4) << 20)
#define PC_MEMORY_MAX  (UINT64_C(512) << 30)
#define PC_MEMORY_UNIT (UINT64_C(2) << 20)

struct pc;
struct virtio_balloon;

/* What is plugged in. Plugs stay their owners', who close them after pc_destroy. */
struct pc_config {
	struct disk *disks[PC_DISKS_MAX];
	unsigned disk_count;
	struct share *shares[PC_SHARES_MAX];
	unsigned share_count;
	bool balloon;		 /* the host takes memory back */
	struct netport *netport; /* NULL: no network card */
	struct console *serial;	 /* COM1; NULL: its output vanishes */
	struct console *command; /* the named virtio port; NULL: none */
	const char *command_name;
	struct caller *caller; /* calls sockets of the guest; filled in; NULL: no virtio sockets */
	bool test_devices;
	struct console *debug; /* port 0xe9, with test_devices; may be NULL */
};

/*
 * Builds the machine around a vm that vm_create has made with PC_HOLE_BASE, before it has ever run.
 * 0, or a negative errno; either way the vm is destroyed first (vm_destroy), and then the machine,
 * if there is one.
 */
int pc_create(struct pc **pc, struct vm *vm, const struct pc_config *config);
void pc_destroy(struct pc *pc);

/*
 * Power-on or reset, and what firmware would do: devices and vcpus as they are then, BARs assigned,
 * ACPI tables and the kernel in memory, the first vcpu at its entry. boot: kernel, modules and
 * command line; map and rsdp are filled in here. No vcpu runs, vm's lock not held. result->error is
 * returned.
 */
int pc_boot(struct pc *pc, const struct boot_config *boot, struct boot_result *result);

/* The memory balloon, with the vm's lock; NULL: there is none. */
struct virtio_balloon *pc_balloon(struct pc *pc);

/* The network card, or NULL. */
struct virtio_net *pc_net(struct pc *pc);

/* The buttons of the case. Vm's lock held. */
void pc_power_button(struct pc *pc);
void pc_sleep_button(struct pc *pc);

#endif
