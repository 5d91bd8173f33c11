/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the init that Lodge's initrd starts. A small static program of its own world: it
 * runs inside the guest, on libc, and shares only protocol.h with the rest of Lodge.
 */
#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include <stdbool.h>
#include <stddef.h>

/* One line to the console, headed by the program's name. */
void init_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes file systems back, makes them read-only, and turns the machine off. */
__attribute__((noreturn)) void init_power_off(void);

/* Brings up the loopback, and the first other interface (dhcp: with an address). Says on the
 * console if it can't.
 */
void network_up(bool dhcp);

/*
 * In the guest's root: makes /etc/resolv.conf say what DHCP told, unless it leads there already, by
 * a bind mount; the image stays as it is.
 */
void network_resolve(void);

/*
 * Asks for an address on the interface; on success sets it, the default route, and writes the name
 * servers into /run/lodge-resolv.conf. Takes at most about three seconds for each of its two
 * questions. 0, or a negative errno.
 */
int dhcp_configure(const char *interface);

/*
 * Opens the port of protocol.h, waiting up to some seconds for it to appear. Returns the file, or a
 * negative errno.
 */
int runner_open(void);

/* Tells the host that the command can't run: `text` on its standard error, and status 125. */
void runner_refuse(int port, const char *text);

/* Reads the request, runs the command until it ends, and passes its input, output and status. */
void runner_run(int port);

#endif
