/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel's command line tells the init; init.c says what each word means. */
#ifndef GUEST_BOOT_OPTIONS_H
#define GUEST_BOOT_OPTIONS_H

#include <stdbool.h>

#define BOOT_MOUNTS_MAX 8

struct boot_options {
	char root[64];
	char type[16];
	char flags[256]; /* of the root's mount, for its file system; "": none */
	char init[128];
	bool read_only;
	bool command;
	bool stop;
	bool no_dhcp, guest_dhcp;
	char exec[128];
	struct {
		char tag[37];
		char path[1024];
		bool read_only;
	} mounts[BOOT_MOUNTS_MAX];
	unsigned mount_count;
};

/* Sets what isn't said to its default. The line is changed. What is too long is cut. */
void boot_options_read(struct boot_options *options, char *line);

#endif
