/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What two Lodges say to each other while a machine moves: messages on a stream (docs/migration.md
 * has the protocol). Everything that comes in is hostile, and everything has a time limit.
 */
#ifndef MANAGE_MIGRATE_WIRE_H
#define MANAGE_MIGRATE_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "machines/saved.h"
#include "machines/saved_state.h"

#define MIGRATE_VERSION 1
/* Milliseconds: until a message begins; and, with one for each WIRE_SLOWEST bytes, until it has
 * come or gone. Who is slower has stalled. */
#define WIRE_PATIENCE	10000
#define WIRE_SLOWEST	64
#define WIRE_GREETING	3000 /* milliseconds for HELLO, so that the next peer gets its turn */
#define WIRE_LAST_WORD	1000 /* milliseconds for CANCEL */
#define WIRE_ROUNDS_MAX 201  /* in which memory is sent, the one with the state among them */

/* From the machine's old process (>) or its new one (<). */
enum wire_type {
	WIRE_HELLO = 1,	  /* > argument: MIGRATE_VERSION; payload: the description */
	WIRE_READY = 2,	  /* < memory may come */
	WIRE_REFUSE = 3,  /* < payload: why, a line; the connection ends */
	WIRE_MEMORY = 4,  /* > argument: offset of a chunk; payload: see wire_send_chunk */
	WIRE_STATE = 5,	  /* > payload: clock, vcpus, devices, or a part of that; argument: the
			   * bytes of it that follow in further ones; the machine stands */
	WIRE_LOADED = 6,  /* < the new process has all it needs */
	WIRE_GO = 7,	  /* > the machine is the new process's */
	WIRE_RUNNING = 8, /* < it has it */
	WIRE_CANCEL = 9,  /* > the machine stays; the connection ends */
	/* > over a Unix socket, before the state: with it come the descriptors of the machine's end
	 * of a network of machines, or of a tap (SCM_RIGHTS) */
	WIRE_NETWORK = 10,
};

#define WIRE_FILES_MAX 2

#define WIRE_PAYLOAD_MAX SAVED_STATE_USUAL

struct wire {
	int fd;			   /* not blocking */
	bool local;		   /* a Unix socket: its peer can't be out of reach */
	const atomic_bool *cancel; /* NULL: nobody can; looked at while waiting */
	uint64_t bytes;		   /* sent */
	uint64_t deadline;	   /* host_now() time when all of it is too late; 0: never */
	bool takes_files;	   /* else descriptors that come are never made */
	int files[WIRE_FILES_MAX]; /* that have come, to be taken from here */
	unsigned file_count;
};

struct wire_message {
	uint32_t type; /* enum wire_type */
	uint64_t argument;
	uint32_t length;
	uint8_t *payload; /* of the wire's owner, WIRE_PAYLOAD_MAX bytes */
};

/* Makes fd a wire. 0 or a negative errno. */
int wire_init(struct wire *wire, int fd, const atomic_bool *cancel);

/*
 * 0; -ETIMEDOUT: the peer has stalled, or the deadline is past; -ECANCELED; -ENODATA: the peer has
 * closed its end (its process has ended); -ECONNRESET; -EPROTO: what came is no message.
 */
int wire_send(struct wire *wire, enum wire_type type, uint64_t argument, const void *payload,
	      size_t length);
int wire_send_files(struct wire *wire, enum wire_type type, const int *files, unsigned count);
int wire_receive(struct wire *wire, struct wire_message *message, int timeout);

/*
 * Says CANCEL, within a second, whatever has ended the rest; fd is to be closed then. 0: the peer
 * hears of it, or of a connection that is reset, or has gone. -ETIMEDOUT: it will find the end of
 * the stream and no CANCEL, and take that for the end of this process.
 */
int wire_cancel(struct wire *wire);

/* In as many messages as it takes. */
int wire_send_state(struct wire *wire, const uint8_t *state, size_t length);

/* Appends a WIRE_STATE message's payload to *state, which it allocates anew. 0 with *length of what
 * has come; -EPROTO: there would be more than SAVED_STATE_MAX, or it is less than a message holds
 * and not the last; -ENOMEM. */
int wire_take_state(const struct wire_message *message, uint8_t **state, size_t *length);

/* Closes descriptors that have come and were not taken. */
void wire_close_files(struct wire *wire);

/* Sends the pages of a mask in a chunk of memory as they are now; zero ones cost nothing. */
int wire_send_chunk(struct wire *wire, uint64_t offset, const uint8_t *chunk, uint16_t pages);

/* Puts what a WIRE_MEMORY message says into memory of `size` bytes. 0 or -EPROTO. */
int wire_take_chunk(const struct wire_message *message, uint8_t *memory, uint64_t size);

/* A message's text as one line, in printable characters. */
void wire_text(const struct wire_message *message, char *text, size_t size);

/* Whether the process at the other end of a Unix socket is this user's, or root's. */
bool wire_peer_is_own(int fd);

/* One line for what went wrong. */
const char *wire_error(int error);

/*
 * "unix:PATH", a path with a slash, or HOST:PORT ("[::1]:4444" for IPv6). A connected or listening
 * socket, or a negative errno with a line in reason. What listens at a path is for its owner only,
 * and what another user's process listens at isn't connected to (-EPERM).
 */
int wire_connect(const char *address, char *reason, size_t size);
int wire_listen(const char *address, char *reason, size_t size);

/* Which file the Unix socket at that address is (st_ino 0: none); and removes it, if it still is
 * that one. */
void wire_socket_find(const char *address, struct stat *file);
void wire_socket_remove(const char *address, const struct stat *file);

#endif
