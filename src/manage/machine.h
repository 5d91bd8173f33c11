/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge run --machine FILE[:NAME]`: a machine as a file describes it (machines/machine_file.h). */
#ifndef MANAGE_MACHINE_H
#define MANAGE_MACHINE_H

#include <stddef.h>

#include "machines/machine_file.h"
#include "manage/options.h"

/*
 * Fills in what the file says and the command line does not. Names of files begin at the machine
 * file's folder (which `path` names), unless they are absolute. 0; -EINVAL with one line in reason
 * if the file asks for what there is not on Linux; -ENOMEM likewise.
 */
int machine_merge(struct options *options, const struct machine_config *machine, const char *path,
		  char *reason, size_t size);

/* Reads options->machine, if it was given, and merges it. An exit status, after a complaint. */
int machine_apply(struct options *options);

#endif
