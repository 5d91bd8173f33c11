/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots with memory: of a machine that runs and goes on, and back to where it was. */
#ifndef MANAGE_SNAPSHOT_LIVE_H
#define MANAGE_SNAPSHOT_LIVE_H

#include "manage/snapshots.h"
#include "manage/verb.h"

/*
 * Has the process of a running machine save its memory, unless entry->memory is false, and go on in
 * overlays on the layers, which become the entry's disks. STORE_CHANGE is held. An exit status,
 * after a complaint: then there is no snapshot, and the machine runs on.
 */
int snapshot_live_make(const struct verb_call *call, const struct store_machine *machine,
		       const struct machine_config *config, const struct layers *layers,
		       struct snapshot_entry *entry);

/*
 * Makes the machine one that is saved, as it was at the snapshot, which has memory. STORE_CHANGE
 * and STORE_RUN are held. An exit status, after a complaint.
 */
int snapshot_live_restore(const struct verb_call *call, const struct store_machine *machine,
			  const struct machine_config *config, const struct layers *layers,
			  const struct snapshot_entry *entry);

#endif
