/* SPDX-License-Identifier: BSD-2-Clause */
/* Alone in its file, so that a new commit compiles nothing else anew. */
#include "manager/version.h"

#ifndef LODGE_VERSION
#define LODGE_VERSION "unknown"
#endif

const char manager_version[] = LODGE_VERSION;
