/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's commands about forwarded ports. */
#ifndef MANAGE_CONTROL_PORTS_H
#define MANAGE_CONTROL_PORTS_H

#include "manage/control.h"

/* All of them, as [{"port": "127.0.0.1:8080:80", ...}]. */
json_t *control_ports_list(const struct run *run);

void control_port_list(struct run *run, struct control_call *call);
void control_port_add(struct run *run, struct control_call *call);
void control_port_remove(struct run *run, struct control_call *call);

/* Fails what is under way: the machine has stopped. Vm's lock held. */
void control_ports_abandon(struct run *run);

#endif
