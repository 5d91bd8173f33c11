/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef STORAGE_QCOW2_SNAPSHOT_H
#define STORAGE_QCOW2_SNAPSHOT_H

#include "storage/qcow2.h"

/* As qcow2_snapshots; and how many bytes the table takes. -EINVAL: it can't be. */
int qcow2_snapshot_table(struct qcow2 *image, struct qcow2_snapshot **list, unsigned *count,
			 uint64_t *length);

#endif
