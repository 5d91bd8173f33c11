/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verbs.h"

const struct verb *const verb_tables[] = {
	verbs_create,	verbs_life,   verbs_report, verbs_console, verbs_port,
	verbs_snapshot, verbs_change, verbs_image,  verbs_watch,   verbs_completion,
	verbs_net,	verbs_saved,  NULL,
};
