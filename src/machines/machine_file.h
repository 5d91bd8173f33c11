/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that describes machines: the same for `lodge run --machine` on Linux and for bare metal,
 * where it is a boot module. Plain text, a line for each thing:
 *
 *	# two guests
 *	[machine web]
 *	cpus = 2
 *	memory = 256M
 *	kernel = vmlinuz
 *	initrd = initrd
 *	append = console=ttyS0 quiet
 *	disk = root.img
 *	disk = data.img,ro
 *	net = lan
 *	weight = 200
 *
 * Keys are the long options of `lodge run`, without their dashes. What a name of a file means is the
 * host's business: a path on Linux (from the machine file's folder on), a boot module's name on metal.
 * docs/machine-file.5 is for people.
 *
 * Every byte is hostile. Pure: no state, no allocation.
 */
#ifndef MACHINES_MACHINE_FILE_H
#define MACHINES_MACHINE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_NAME_MAX     32 /* with the NUL; letters, digits, - and _ */
#define MACHINE_FILE_NAME_MAX 256
#define MACHINE_APPEND_MAX   2048
#define MACHINE_DISKS_MAX    16
#define MACHINES_MAX	     64
#define MACHINE_WEIGHT_USUAL 100

struct machine_disk {
	char file[MACHINE_FILE_NAME_MAX];
	bool read_only;
};

/* One machine as described; what was not said has its default. Only plain values: it may be copied
 * to another process. */
struct machine_config {
	char name[MACHINE_NAME_MAX];
	unsigned line; /* where it begins */
	unsigned cpus;
	uint64_t memory; /* bytes */
	char kernel[MACHINE_FILE_NAME_MAX], initrd[MACHINE_FILE_NAME_MAX]; /* "": none */
	char append[MACHINE_APPEND_MAX];
	unsigned disk_count;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	char net[MACHINE_NAME_MAX]; /* "": as the host does; "none"; "user" (Linux); else a switch */
	uint8_t mac[6];		    /* all 0: chosen from the name */
	char cpu_model[MACHINE_NAME_MAX];
	unsigned weight;	    /* 1..10000 */
	unsigned cap;		    /* percent of one processor, 0: none */
	uint64_t processors;	    /* where it may run, a bit each; ~0: anywhere */
	uint64_t disk_memory;	    /* metal: bytes that changes of its disks may take */
	bool start;		    /* metal: when the computer starts (yes unless said) */
	bool test_devices;
};

/* What is wrong: "line N: KEY = VALUE: why, and what would be right". */
struct machine_file_error {
	unsigned line;
	char text[256];
};

/*
 * Reads the file into machines[0..*count), in its order. 0; -EINVAL with the first error and nothing to
 * be relied on; -ENOSPC (also with a text): more than max.
 */
int machine_file_parse(const char *text, size_t size, struct machine_config *machines, unsigned max,
		       unsigned *count, struct machine_file_error *error);

#endif
