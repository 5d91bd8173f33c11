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
 *	[lodge]
 *	script = wait all
 *
 * Keys of a machine are the long options of `lodge run`, without their dashes, and some more. What
 *a name of a file means is the host's business: a path on Linux (from the machine file's folder
 *on), a boot module's name on metal. docs/machine-file.5 is for people.
 *
 * Every byte is hostile. Pure: no state, no allocation.
 */
#ifndef MACHINES_MACHINE_FILE_H
#define MACHINES_MACHINE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_NAME_MAX      32 /* with the NUL; letters, digits, - and _ */
#define MACHINE_FILE_NAME_MAX 256
#define MACHINE_APPEND_MAX    2048
#define MACHINE_LINE_MAX      (MACHINE_APPEND_MAX + 64) /* bytes of a line, at most */
#define MACHINE_DISKS_MAX     16
#define MACHINES_MAX	      64
#define MACHINE_WEIGHT_USUAL  100
#define MACHINE_WEIGHT_MAX    10000
#define MACHINE_CAP_MAX	      6400 /* percent of one processor */
#define MACHINE_MEMORY_MIN    (UINT64_C(4) << 20)
#define MACHINE_MEMORY_MAX    (UINT64_C(512) << 30)
#define MACHINE_PORTS_MAX     16
#define MACHINE_NET_MAX	      96
#define MACHINE_SHARES_MAX    8
#define MACHINE_SHARE_MAX     512 /* bytes of a shared folder's text, with the NUL */
#define MACHINE_PORT_MAX      64  /* bytes of a port's text, with the NUL */
#define MACHINE_SCRIPT_MAX    64
#define MACHINE_SCRIPT_LINE   256

/* The keys of a machine, for machine_config.lines. */
enum machine_key {
	MACHINE_CPUS,
	MACHINE_MEMORY,
	MACHINE_KERNEL,
	MACHINE_INITRD,
	MACHINE_APPEND,
	MACHINE_DISK,
	MACHINE_NET,
	MACHINE_MAC,
	MACHINE_CPU_MODEL,
	MACHINE_WEIGHT,
	MACHINE_CAP,
	MACHINE_PROCESSORS,
	MACHINE_DISK_MEMORY,
	MACHINE_START,
	MACHINE_TEST_DEVICES,
	MACHINE_PORT,
	MACHINE_SHARE,
	MACHINE_ENGINE,
	MACHINE_KEYS
};

struct machine_disk {
	char file[MACHINE_FILE_NAME_MAX];
	bool read_only;
};

/* One machine as described; what was not said has its default. Only plain values: it may be copied
 * to another process. */
struct machine_config {
	char name[MACHINE_NAME_MAX];
	unsigned line;		      /* where it begins */
	unsigned lines[MACHINE_KEYS]; /* where each key is (a disk: the first), 0: not said */
	unsigned cpus;
	uint64_t memory; /* bytes, a multiple of 2 MiB */
	char kernel[MACHINE_FILE_NAME_MAX], initrd[MACHINE_FILE_NAME_MAX]; /* "": none */
	char append[MACHINE_APPEND_MAX]; /* "" may have been said: see lines[MACHINE_APPEND] */
	unsigned disk_count;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	unsigned share_count;
	char shares[MACHINE_SHARES_MAX]
		   [MACHINE_SHARE_MAX];		  /* Linux: HOST:GUEST[:WORDS], not looked at */
	unsigned share_lines[MACHINE_SHARES_MAX]; /* where each of them is */
	char net[MACHINE_NET_MAX]; /* "": as the host does; "none"; "user" (Linux); else a switch
				    */
	uint8_t mac[6];		   /* all 0: chosen from the name */
	char cpu_model[MACHINE_NAME_MAX]; /* "": as the host does */
	unsigned weight;		  /* 1..MACHINE_WEIGHT_MAX */
	unsigned cap;			  /* percent of one processor, 0: none */
	uint64_t processors;		  /* where it may run, a bit each; ~0: anywhere */
	uint64_t disk_memory; /* metal: bytes that changes of its disks may take; 0: as the host
				 does */
	bool start;	      /* metal: when the computer starts (yes unless said) */
	bool test_devices;
	unsigned port_count; /* Linux: ports of this host that lead to the guest's */
	char ports[MACHINE_PORTS_MAX][MACHINE_PORT_MAX]; /* [IP:]HOST:GUEST[/udp], not looked at */
	char engine[MACHINE_NAME_MAX];			 /* Linux: "": as the host does */
};

/* What the section [lodge] says: settings of the bare-metal host itself. */
struct machine_settings {
	unsigned script_count; /* commands of the prompt, to be carried out at the start */
	char script[MACHINE_SCRIPT_MAX][MACHINE_SCRIPT_LINE];
};

/* What is wrong: "line N: KEY = VALUE: why, and what would be right". Without control characters.
 */
struct machine_file_error {
	unsigned line;
	char text[256];
};

/*
 * Reads the file into machines[0..*count), in its order (none is not an error), and settings. 0;
 * -EINVAL with the first error and nothing to be relied on; -ENOSPC (also with a text): more than
 * max.
 */
int machine_file_parse(const char *text, size_t size, struct machine_config *machines, unsigned max,
		       unsigned *count, struct machine_settings *settings,
		       struct machine_file_error *error);

/* A machine of which nothing was said. */
void machine_config_init(struct machine_config *machine);

/* A key's name. */
const char *machine_key_name(enum machine_key key);

/* Whether text can be a machine's (or a switch's) name. */
bool machine_name_valid(const char *text);

#endif
