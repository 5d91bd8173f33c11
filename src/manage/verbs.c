/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verbs.h"

/* In the order of lodge help. */
const struct verb *const verb_tables[] = {
	verbs_create, verbs_life,     verbs_report,	verbs_console, verbs_agent, verbs_port,
	verbs_watch,  verbs_snapshot, verbs_change,	verbs_saved,   verbs_save,  verbs_migrate,
	verbs_image,  verbs_net,      verbs_completion, NULL,
};
