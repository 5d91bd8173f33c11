/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How lodge and the agent in the guest talk: docs/agent-protocol.md. Both ends include this file
 * and nothing else of each other; it needs <stdint.h> only.
 *
 * A connection is a stream to the guest's vsock port AGENT_PORT; it serves one request. Both sides
 * send frames: a header of AGENT_FRAME_HEADER bytes (u8 type, u32 length) and then `length` bytes.
 * All numbers are little-endian. A side that gets what it doesn't expect closes the connection.
 */
#ifndef GUEST_AGENT_PROTOCOL_H
#define GUEST_AGENT_PROTOCOL_H

#include <stdint.h>

#define AGENT_VERSION	   1u
#define AGENT_PORT	   512u /* below 1024: in the guest only root can listen there */
#define AGENT_FRAME_HEADER 5
#define AGENT_FRAME_MAX	   (256u << 10) /* the longest frame's contents */
#define AGENT_PIECE	   32768u	/* of a stream, as both ends of ours cut it */

enum agent_frame {
	/* guest to host, first of all: u32 version */
	AGENT_HELLO = 1,
	/* host to guest, one of them: */
	AGENT_EXEC =
		2,	    /* struct of AGENT_EXEC_HEADER bytes, then strings, each ended by a NUL:
			       arguments, environment (NAME=value), user ("": root), folder ("": home) */
	AGENT_INFO = 3,	    /* empty */
	AGENT_SHUTDOWN = 4, /* u32: enum agent_shutdown */
	/* host to guest, while a command runs: */
	AGENT_INPUT = 16,     /* bytes */
	AGENT_INPUT_END = 17, /* empty */
	AGENT_SIGNAL = 18,    /* u32 number, of Linux on x86-64 */
	AGENT_RESIZE = 19,    /* u16 columns, u16 rows */
	/* guest to host: */
	AGENT_OUTPUT = 32, /* bytes */
	AGENT_ERRORS = 33, /* bytes of standard error */
	AGENT_STATUS = 34, /* u32, the last frame: 0..255, 128 + n for signal n, 126, 127 as shells
			      have them */
	AGENT_TEXT = 35,   /* the answer to AGENT_INFO: lines NAME=value */
	AGENT_FAILED = 36, /* text: why the request can't be carried out; the last frame */
};

/* AGENT_EXEC begins with u32 flags, u16 columns, u16 rows, u32 argument count, u32 environment
 * count. No argument at all: the user's login shell. */
#define AGENT_EXEC_HEADER   16
#define AGENT_EXEC_TERMINAL 1u /* a terminal for standard input and both outputs */

enum agent_shutdown { AGENT_POWER_OFF = 0, AGENT_REBOOT = 1 };

#endif
