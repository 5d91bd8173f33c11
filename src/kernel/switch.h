/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual switches between machines: each is a learning switch of Ethernet frames. A machine
 * has at most one port, on one switch; a port's queue is bounded, and what does not fit is lost.
 */
#ifndef KERNEL_SWITCH_H
#define KERNEL_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

struct metal_process_info;
struct process;
struct switch_port;

/* number: 1..255. NULL: no memory. */
struct switch_port *switch_port_create(struct process *process, unsigned number);
void switch_port_destroy(struct switch_port *port);

/* frame: in kernel memory, 14..METAL_FRAME_MAX bytes; its source address must be the machine's own.
 * 0 or a negative errno. */
int switch_send(struct switch_port *port, const uint8_t *frame, uint64_t length);
/* The next frame into kernel memory of METAL_FRAME_MAX bytes: its length, or -EAGAIN. */
int64_t switch_receive(struct switch_port *port, uint8_t *frame);

/* For METAL_PROCESS_INFO: frames sent, received and lost. */
void switch_count(const struct switch_port *port, struct metal_process_info *info);

#endif
