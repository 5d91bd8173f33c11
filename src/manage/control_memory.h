/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's command about the guest's memory. */
#ifndef MANAGE_CONTROL_MEMORY_H
#define MANAGE_CONTROL_MEMORY_H

#include "manage/control.h"

void control_memory(struct run *run, struct control_call *call);

#endif
