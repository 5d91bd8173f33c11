/* SPDX-License-Identifier: BSD-2-Clause */
/* Alone in its file, so that a new commit compiles nothing else anew. */
#include "manage/version.h"

#ifndef LODGE_VERSION
#define LODGE_VERSION "unknown"
#endif

const char lodge_version[] = LODGE_VERSION;
