/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files that a guest boots from. They are opened once, before the sandbox, and read at each
 * (re)start of the machine, so that they hold no memory in between, and a file that changes under
 * us is only another file.
 */
#ifndef MANAGE_IMAGES_H
#define MANAGE_IMAGES_H

#include <stddef.h>

#include "machines/boot.h"

struct images_file {
	int fd;
	char *name; /* as boot_file's */
};

struct images {
	struct images_file kernel;
	struct images_file modules[BOOT_MODULES_MAX];
	unsigned module_count;
};

/*
 * Opens them. initrd: NULL, a file, or for multiboot "FILE[ ARGUMENTS][,FILE...]"; a file whose
 * whole name has commas or blanks is taken as one. 0, or a negative errno with one line in reason.
 */
int images_open(struct images *images, const char *kernel, const char *initrd, char *reason,
		size_t size);
void images_close(struct images *images);

/* Reads them all into memory for config. 0, or a negative errno with one line in reason.
 * images_forget afterwards in any case. */
int images_read(const struct images *images, struct boot_config *config, char *reason, size_t size);
void images_forget(struct boot_config *config);

#endif
