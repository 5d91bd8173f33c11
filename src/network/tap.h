/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card of this host whose other end is a descriptor: a tap (Linux,
 * Documentation/networking/tuntap.rst), usually on a bridge.
 *
 * To make one takes CAP_NET_ADMIN. One that is there and belongs to this user (ip tuntap add dev
 * tap0 mode tap user NAME) can be opened without, and needs no more if it is on its bridge and up.
 */
#ifndef NETWORK_TAP_H
#define NETWORK_TAP_H

#include <stddef.h>
#include <stdint.h>

#define TAP_NAME 16 /* bytes of an interface's name, with its end */

struct tap_config {
	const char *name;   /* "": any that is free */
	const char *bridge; /* "": none */
};

/*
 * Opens it, puts it on the bridge and up. A descriptor on which each read and write is a frame
 * behind a struct virtio_net_hdr_v1, and its name in name (TAP_NAME bytes); or a negative errno,
 * with one line in reason of which step failed and what to do.
 */
int tap_open(const struct tap_config *config, char *name, char *reason, size_t size);

/* The name of the tap that is open there as tap_open opens it. 0, or -EINVAL: it is none. */
int tap_name(int file, char *name);

/* Its MTU. */
unsigned tap_mtu(const char *name);

/* Whether the guest takes segments larger than the MTU, and checksums that are still open. */
int tap_offload(int file, int takes_joined);

/* The ioctl that tap_offload makes once a machine runs, for a sandbox; ended by 0. */
extern const uint32_t tap_ioctls[];

#endif
