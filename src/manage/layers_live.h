/* SPDX-License-Identifier: BSD-2-Clause */
/* machine.conf and the layers that the process of a running machine writes to. */
#ifndef MANAGE_LAYERS_LIVE_H
#define MANAGE_LAYERS_LIVE_H

#include "manage/layers.h"
#include "manage/verb.h"

/*
 * Has machine.conf name what the process writes to: a command that was killed may have left empty
 * overlays there (layers_agree). Waits for what such a one has begun. A machine whose disks aren't
 * all layers of its own is left alone. STORE_CHANGE is held. An exit status, after a complaint.
 */
int layers_live_settle(const struct verb_call *call, const struct store_machine *machine);

#endif
