/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine takes of processors, disks and network, and its limits: the commands cpu-limit,
 * disk-limit and net-limit, and what `status` says of all three. */
#ifndef MANAGE_CONTROL_LIMITS_H
#define MANAGE_CONTROL_LIMITS_H

#include "core/plug.h"
#include "manage/control.h"

void control_disk_limit(struct run *run, struct control_call *call);
void control_cpu_limit(struct run *run, struct control_call *call);
void control_net_limit(struct run *run, struct control_call *call);

/* For status. Vm's lock held. */
json_t *control_cpu(const struct run *run);
json_t *control_disks(const struct run *run);
json_t *control_network(const struct run *run);

/* Writes to a disk wait for room on this host, or go on (hold.h). owner: the struct run. */
void control_disk_waits(void *owner, struct disk *disk, bool waiting, int error);

#endif
