/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How `lodge run ... -- COMMAND` and the init of Lodge's initrd talk: over a virtio-console port
 * that is named LODGE_PORT_NAME, in frames. Both ends include this file and nothing else of each
 * other; it needs <stdint.h> only.
 *
 * A frame is a header of LODGE_FRAME_HEADER bytes (u8 type, u32 length in little endian) and then
 * `length` bytes. One talk goes:
 *
 *	guest -> host	LODGE_READY	empty; the guest has opened the port. (Linux drops what
 *					arrives before, so the host waits for this.)
 *	host -> guest	LODGE_REQUEST	u32 argument count, u32 environment count (little endian),
 *					then the arguments, the environment ("NAME=value") and the
 *					working directory ("" for /root), each ended by a NUL
 *	host -> guest	LODGE_STDIN ... LODGE_STDIN_END		any time after the request
 *	guest -> host	LODGE_STDOUT, LODGE_STDERR ...
 *	guest -> host	LODGE_STATUS	u32 exit status as a shell has it: 0..255, 128+n for signal
 *					n, 127 when there is no such command, 126 when it can't run
 *
 *	host -> guest	LODGE_STATUS_TAKEN	empty; all of this has been taken and written out
 *
 * After LODGE_STATUS_TAKEN the guest syncs its file systems and powers off. (Linux has up to a
 * queue of writes under way, which a power-off would lose.)
 *
 * The kernel's command line holds LODGE_COMMAND_OPTION when init is to wait for the port, and
 * otherwise init starts what `init=` says (/sbin/init) in the root file system.
 */
#ifndef GUEST_PROTOCOL_H
#define GUEST_PROTOCOL_H

#include <stdint.h>

#define LODGE_PORT_NAME	     "lodge.command"
#define LODGE_COMMAND_OPTION "lodge.command=1"

#define LODGE_FRAME_HEADER 5
/* Longest frame that either side may send; a longer one ends the talk. */
#define LODGE_FRAME_MAX (1u << 20)

enum lodge_frame {
	LODGE_REQUEST = 0,
	LODGE_STDOUT = 1,
	LODGE_STDERR = 2,
	LODGE_STATUS = 3,
	LODGE_STDIN = 4,
	LODGE_STDIN_END = 5,
	LODGE_READY = 6,
	LODGE_STATUS_TAKEN = 7,
};

#endif
