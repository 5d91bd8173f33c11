/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/migrate_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/host.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/checksum.h"

#define MAGIC	     0x45474d4cu /* "LMGE" */
#define HEAD_BYTES   24
#define LOOK	     100 /* milliseconds between looks at `cancel` */
#define MILLISECOND  UINT64_C(1000000)
#define CHUNK_PREFIX 4 /* two masks */

int wire_init(struct wire *wire, int fd, const atomic_bool *cancel)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int one = 1, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	*wire = (struct wire){.fd = fd, .cancel = cancel, .local = address.ss_family == AF_UNIX};
	if (!wire->local)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

static bool is_cancelled(const struct wire *wire)
{
	return wire->cancel && atomic_load(wire->cancel);
}

static uint64_t in_milliseconds(uint64_t time)
{
	return host_now() + time * MILLISECOND;
}

/* When so many bytes have to be through. */
static uint64_t time_for(size_t length)
{
	return in_milliseconds(WIRE_PATIENCE + length / WIRE_SLOWEST);
}

/* Until a host_now() time, or the wire's deadline; also where bytes trickle in all the time. */
static int await(const struct wire *wire, short events, uint64_t until)
{
	if (wire->deadline && wire->deadline < until)
		until = wire->deadline;
	while (host_now() < until) {
		struct pollfd one = {.fd = wire->fd, .events = events};
		int ready = poll(&one, 1, LOOK);

		if (is_cancelled(wire))
			return -ECANCELED;
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
	return -ETIMEDOUT;
}

static int broken(void)
{
	return errno == EPIPE ? -ENODATA : errno == ECONNRESET ? -ECONNRESET : -errno;
}

/* Descriptors that go or come along with the first byte. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(WIRE_FILES_MAX * sizeof(int))];
};

static int send_all(struct wire *wire, struct iovec *pieces, unsigned count, size_t length,
		    union control *control)
{
	uint64_t until = time_for(length);

	while (count > 0) {
		struct msghdr message = {.msg_iov = pieces,
					 .msg_iovlen = count,
					 .msg_control = control,
					 .msg_controllen = control ? control->header.cmsg_len : 0};
		ssize_t sent = sendmsg(wire->fd, &message, MSG_NOSIGNAL);
		int error;

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			return broken();
		if (sent < 0) {
			error = await(wire, POLLOUT, until);
			if (error)
				return error;
			continue;
		}
		control = NULL;
		wire->bytes += (uint64_t)sent;
		for (; count > 0 && (size_t)sent >= pieces->iov_len; pieces++, count--)
			sent -= (ssize_t)pieces->iov_len;
		if (count > 0) {
			pieces->iov_base = (char *)pieces->iov_base + sent;
			pieces->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

static void make_head(uint8_t head[HEAD_BYTES], enum wire_type type, uint64_t argument,
		      const void *payload, size_t length)
{
	bytes_store32(head, MAGIC);
	bytes_store32(head + 4, type);
	bytes_store64(head + 8, argument);
	bytes_store32(head + 16, (uint32_t)length);
	bytes_store32(head + 20, checksum_crc32c(checksum_crc32c(0, head, 20), payload, length));
}

int wire_send(struct wire *wire, enum wire_type type, uint64_t argument, const void *payload,
	      size_t length)
{
	uint8_t head[HEAD_BYTES];
	struct iovec pieces[2] = {{head, HEAD_BYTES}, {(void *)(uintptr_t)payload, length}};

	make_head(head, type, argument, payload, length);
	return send_all(wire, pieces, length ? 2 : 1, HEAD_BYTES + length, NULL);
}

int wire_send_files(struct wire *wire, enum wire_type type, const int *files, unsigned count)
{
	uint8_t head[HEAD_BYTES];
	struct iovec piece = {head, HEAD_BYTES};
	union control control = {.header = {.cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS,
					    .cmsg_len = CMSG_LEN(count * sizeof(int))}};

	memcpy(CMSG_DATA(&control.header), files, count * sizeof(int));
	make_head(head, type, 0, NULL, 0);
	return send_all(wire, &piece, 1, HEAD_BYTES, &control);
}

int wire_cancel(struct wire *wire)
{
	const struct linger at_once = {.l_onoff = 1};
	int error;

	wire->cancel = NULL;
	wire->deadline = in_milliseconds(WIRE_LAST_WORD);
	error = wire_send(wire, WIRE_CANCEL, 0, NULL, 0);
	if (!error || error == -ENODATA || error == -ECONNRESET)
		return 0;
	/* A stream of TCP need not come to an end: a reset is none. */
	if (!wire->local && !setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)))
		return 0;
	return error;
}

int wire_send_state(struct wire *wire, const uint8_t *state, size_t length)
{
	int error = 0;

	do {
		size_t part = length < WIRE_PAYLOAD_MAX ? length : WIRE_PAYLOAD_MAX;

		length -= part;
		error = wire_send(wire, WIRE_STATE, length, state, part);
		state += part;
	} while (!error && length > 0);
	return error;
}

int wire_take_state(const struct wire_message *message, uint8_t **state, size_t *length)
{
	uint64_t room = SAVED_STATE_MAX - *length;
	uint8_t *larger;

	if (message->length > room || message->argument > room - message->length ||
	    (message->argument && message->length != WIRE_PAYLOAD_MAX))
		return -EPROTO;
	larger = realloc(*state, *length + message->length + 1);
	if (!larger)
		return -ENOMEM;
	memcpy(larger + *length, message->payload, message->length);
	*state = larger;
	*length += message->length;
	return 0;
}

void wire_close_files(struct wire *wire)
{
	while (wire->file_count > 0)
		close(wire->files[--wire->file_count]);
}

/* There are never more than fit: the kernel closes what doesn't. */
static void keep_files(struct wire *wire, struct msghdr *message)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		wire_close_files(wire);
		wire->file_count =
			(unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(wire->files[0]));
		memcpy(wire->files, CMSG_DATA(header), wire->file_count * sizeof(int));
	}
}

static ssize_t receive_some(struct wire *wire, uint8_t *bytes, size_t length)
{
	union control control;
	struct iovec piece = {bytes, length};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got;

	if (!wire->takes_files)
		return recv(wire->fd, bytes, length, 0);
	got = recvmsg(wire->fd, &message, MSG_CMSG_CLOEXEC);
	if (got > 0)
		keep_files(wire, &message);
	return got;
}

static int receive_all(struct wire *wire, uint8_t *bytes, size_t length, int timeout)
{
	uint64_t until = in_milliseconds((uint64_t)timeout);
	size_t all = length;

	while (length > 0) {
		ssize_t got = receive_some(wire, bytes, length);
		int error;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EAGAIN)
			return broken();
		if (got == 0)
			return -ENODATA;
		if (got < 0) {
			error = await(wire, POLLIN, until);
			if (error)
				return error;
			continue;
		}
		if (length == all)
			until = time_for(all);
		bytes += got;
		length -= (size_t)got;
	}
	return 0;
}

int wire_receive(struct wire *wire, struct wire_message *message, int timeout)
{
	uint8_t head[HEAD_BYTES];
	int error = receive_all(wire, head, HEAD_BYTES, timeout);

	if (error)
		return error;
	message->type = bytes_load32(head + 4);
	message->argument = bytes_load64(head + 8);
	message->length = bytes_load32(head + 16);
	if (bytes_load32(head) != MAGIC || message->length > WIRE_PAYLOAD_MAX)
		return -EPROTO;
	error = receive_all(wire, message->payload, message->length, WIRE_PATIENCE);
	if (error)
		return error;
	if (bytes_load32(head + 20) !=
	    checksum_crc32c(checksum_crc32c(0, head, 20), message->payload, message->length))
		return -EPROTO;
	return 0;
}

/* A copy, for the guest may write to the pages while they are looked at and sent. */
int wire_send_chunk(struct wire *wire, uint64_t offset, const uint8_t *chunk, uint16_t pages)
{
	uint8_t bytes[CHUNK_PREFIX + SAVED_CHUNK];
	size_t length = CHUNK_PREFIX;
	uint16_t used = 0;

	for (unsigned i = 0; i < SAVED_CHUNK_PAGES; i++) {
		const uint64_t *word = (const uint64_t *)(const void *)(bytes + length);
		uint64_t any = 0;

		if (!(pages >> i & 1))
			continue;
		memcpy(bytes + length, chunk + i * SAVED_PAGE, SAVED_PAGE);
		for (unsigned j = 0; j < SAVED_PAGE / 8; j++)
			any |= bytes_load64((const uint8_t *)(word + j));
		if (!any)
			continue;
		used |= (uint16_t)(1u << i);
		length += SAVED_PAGE;
	}
	bytes_store16(bytes, pages);
	bytes_store16(bytes + 2, used);
	return wire_send(wire, WIRE_MEMORY, offset, bytes, length);
}

int wire_take_chunk(const struct wire_message *message, uint8_t *memory, uint64_t size)
{
	const uint8_t *from = message->payload + CHUNK_PREFIX;
	uint16_t pages, used;

	if (message->length < CHUNK_PREFIX || message->argument % SAVED_CHUNK ||
	    !range_within(message->argument, SAVED_CHUNK, size))
		return -EPROTO;
	pages = bytes_load16(message->payload);
	used = bytes_load16(message->payload + 2);
	if ((used & ~pages) ||
	    message->length != CHUNK_PREFIX + (uint32_t)__builtin_popcount(used) * SAVED_PAGE)
		return -EPROTO;
	for (unsigned i = 0; i < SAVED_CHUNK_PAGES; i++) {
		uint8_t *to = memory + message->argument + i * SAVED_PAGE;

		if (used >> i & 1) {
			memcpy(to, from, SAVED_PAGE);
			from += SAVED_PAGE;
		} else if (pages >> i & 1) {
			memset(to, 0, SAVED_PAGE);
		}
	}
	return 0;
}

void wire_text(const struct wire_message *message, char *text, size_t size)
{
	size_t length = message->length < size ? message->length : size - 1;

	for (size_t i = 0; i < length; i++)
		text[i] = (char)(message->payload[i] < ' ' || message->payload[i] > '~'
					 ? '?'
					 : message->payload[i]);
	text[length] = '\0';
}

const char *wire_error(int error)
{
	switch (error) {
	case -ETIMEDOUT:
		return "the other side doesn't answer";
	case -ECANCELED:
		return "it was cancelled";
	case -ENODATA:
	case -ECONNRESET:
		return "the other side has gone";
	case -EFBIG:
		return "the other side sends memory without end";
	case -EPROTO:
		return "the other side doesn't speak this protocol";
	default:
		return strerror(-error);
	}
}

/* Addresses */

static int fail(int error, char *reason, size_t size, const char *address, const char *text)
{
	snprintf(reason, size, "%s: %s", address, text);
	return error;
}

/* The path of a Unix socket; NULL: it is another address. */
static const char *unix_path(const char *address)
{
	if (!strncmp(address, "unix:", 5))
		return address + 5;
	return strchr(address, '/') ? address : NULL;
}

bool wire_peer_is_own(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

static int unix_socket(const char *address, const char *path, bool listens, char *reason,
		       size_t size)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct stat status;
	int fd, error;

	if (strlen(path) >= sizeof(name.sun_path))
		return fail(-ENAMETOOLONG, reason, size, address, "is too long for a socket");
	memcpy(name.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(-errno, reason, size, address, strerror(errno));
	if (listens && lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);
	if (listens) {
		mode_t mask = umask(0177);

		error = bind(fd, (struct sockaddr *)&name, sizeof(name)) || listen(fd, 1) ? -errno
											  : 0;
		umask(mask);
	} else {
		error = connect(fd, (struct sockaddr *)&name, sizeof(name)) ? -errno : 0;
	}
	/* In a folder of everybody's it may be anybody's: all of a guest's memory goes there. */
	if (!error && !listens && !wire_peer_is_own(fd)) {
		close(fd);
		return fail(-EPERM, reason, size, address, "another user's process listens there");
	}
	if (!error)
		return fd;
	close(fd);
	return fail(error, reason, size, address, strerror(-error));
}

/* HOST:PORT in its parts. */
static bool split(const char *address, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t length = colon ? (size_t)(colon - address) : 0;

	if (!colon || !colon[1] || length >= size)
		return false;
	if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
		address++;
		length -= 2;
	}
	memcpy(host, address, length);
	host[length] = '\0';
	*port = colon + 1;
	return true;
}

static int try_address(const struct addrinfo *info, bool listens)
{
	int one = 1, error, fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (listens) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		error = bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, 1) ? -errno : 0;
	} else {
		error = connect(fd, info->ai_addr, info->ai_addrlen) ? -errno : 0;
	}
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int tcp_socket(const char *address, bool listens, char *reason, size_t size)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list;
	char host[256];
	const char *port;
	int result = -EADDRNOTAVAIL;

	if (!split(address, host, sizeof(host), &port) || !host[0])
		return fail(-EINVAL, reason, size, address,
			    "is no address: write HOST:PORT, or unix:PATH");
	result = getaddrinfo(host, port, &hints, &list);
	if (result)
		return fail(-EINVAL, reason, size, address, gai_strerror(result));
	result = -EADDRNOTAVAIL;
	for (const struct addrinfo *one = list; one && result < 0; one = one->ai_next)
		result = try_address(one, listens);
	freeaddrinfo(list);
	return result < 0 ? fail(result, reason, size, address, strerror(-result)) : result;
}

int wire_connect(const char *address, char *reason, size_t size)
{
	const char *path = unix_path(address);

	return path ? unix_socket(address, path, false, reason, size)
		    : tcp_socket(address, false, reason, size);
}

int wire_listen(const char *address, char *reason, size_t size)
{
	const char *path = unix_path(address);

	return path ? unix_socket(address, path, true, reason, size)
		    : tcp_socket(address, true, reason, size);
}

void wire_socket_find(const char *address, struct stat *file)
{
	const char *path = unix_path(address);

	if (!path || lstat(path, file) || !S_ISSOCK(file->st_mode))
		*file = (struct stat){0};
}

void wire_socket_remove(const char *address, const struct stat *file)
{
	struct stat now;

	wire_socket_find(address, &now);
	if (now.st_ino && now.st_ino == file->st_ino && now.st_dev == file->st_dev)
		unlink(unix_path(address));
}
