/* SPDX-License-Identifier: BSD-2-Clause */
/* Which format a disk's file has, and disks of every format. decisions/0015 has the reasons. */
#ifndef STORAGE_FORMAT_H
#define STORAGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plug.h"

/* vmdk: what convert can read, and nothing else. */
enum format { FORMAT_AUTO, FORMAT_RAW, FORMAT_QCOW2, FORMAT_VMDK };

#define FORMAT_NAMES "raw and qcow2"

/* "raw" or "qcow2". False: neither. */
bool format_parse(const char *name, enum format *format);
const char *format_name(enum format format);

/*
 * The format of a file of which nobody has said it: qcow2 if its name ends so (.qcow2), else raw. A
 * file whose contents contradict its name is -EINVAL: whoever wrote to a raw disk, a guest, could
 * have made it look like an image. 0, or a negative errno and a line in reason.
 */
int format_decide(const char *path, enum format *format, char *reason, size_t size);

/* Opens a file as a disk; see raw_open. FORMAT_AUTO: as format_decide says. */
int format_open(const char *path, enum format format, bool read_only, struct disk **disk,
		char *reason, size_t size);

#endif
