/* SPDX-License-Identifier: BSD-2-Clause */
/* Raw disk images and block devices behind the disk plug. */
#ifndef STORAGE_RAW_H
#define STORAGE_RAW_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plug.h"

/*
 * Opens the file or block device as a disk, for one writer or any number of readers: another
 * process (or another open in this one) that has it otherwise makes this -EBUSY. Its size must be a
 * multiple of 512 and not 0 (-EINVAL). 0, with *disk to be closed by its close(), and its serial
 * empty, to be set by the caller; or a negative errno with one line for the person in reason (of
 * size bytes).
 *
 * What the guest has flushed is on stable storage. Requests that the page cache can answer are done
 * within submit; the others on threads of the disk's own, which block all signals.
 */
int raw_open(const char *path, bool read_only, struct disk **disk, char *reason, size_t size);

#endif
