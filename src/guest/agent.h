/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent: the part of the init program that stays in the guest and does what the host asks. */
#ifndef GUEST_AGENT_H
#define GUEST_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent_protocol.h"

#define AGENT_PATH "/run/lodge/agent"

/* Listens, and serves each connection in a process of its own. Returns the program's status. */
int agent_main(void);

/* Before the root is switched to `root`: lays the program into /run, and a unit that starts it if
 * the guest's init is systemd. False if the machine has no sockets. */
bool agent_install(const char *root, bool *systemd);

/* Makes the root file system, if it is ext4, xfs or btrfs, as large as what it is on. */
void root_grow(void);

/* Applies what a disk labelled cidata says of this machine, once for each machine. */
void seed_apply(void);

/* One connection's frames. */
int agent_send(int connection, enum agent_frame type, const void *bytes, uint32_t length);
/* *data is to be freed, and has a NUL behind its end. 0, or a negative errno; -ENOTCONN at the
 * end. */
int agent_receive(int connection, uint8_t *type, uint8_t **data, uint32_t *length);

void agent_put32(uint8_t *at, uint32_t value);
uint32_t agent_get32(const uint8_t *at);
uint16_t agent_get16(const uint8_t *at);

/* Says why a request can't be carried out. */
void agent_fail(int connection, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Carries out AGENT_EXEC, until the command or the connection has ended. */
void session_run(int connection, uint8_t *request, uint32_t length);

#endif
