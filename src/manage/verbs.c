/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/verbs.h"

const struct verb *const verb_tables[] = {
	verbs_create, verbs_life, verbs_report, verbs_console, verbs_port, NULL,
};
