/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent's connections: agent_protocol.h says how they go. It listens on a vsock port and takes
 * calls of the host alone: programs in the guest could otherwise become root by it.
 */
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BACKLOG 64

void agent_put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t agent_get32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint16_t agent_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static int write_all(int file, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size) {
		ssize_t done = write(file, at, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		size -= (size_t)done;
	}
	return 0;
}

static int read_all(int file, void *data, size_t size)
{
	uint8_t *at = data;

	while (size) {
		ssize_t done = read(file, at, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -ENOTCONN;
		at += done;
		size -= (size_t)done;
	}
	return 0;
}

int agent_send(int connection, enum agent_frame type, const void *bytes, uint32_t length)
{
	uint8_t header[AGENT_FRAME_HEADER] = {(uint8_t)type};
	int error;

	agent_put32(header + 1, length);
	error = write_all(connection, header, sizeof(header));
	return error || !length ? error : write_all(connection, bytes, length);
}

int agent_receive(int connection, uint8_t *type, uint8_t **data, uint32_t *length)
{
	uint8_t header[AGENT_FRAME_HEADER];
	int error = read_all(connection, header, sizeof(header));

	if (error)
		return error;
	*type = header[0];
	*length = agent_get32(header + 1);
	if (*length > AGENT_FRAME_MAX)
		return -EPROTO;
	*data = malloc(*length + 1);
	if (!*data)
		return -ENOMEM;
	(*data)[*length] = '\0';
	error = read_all(connection, *data, *length);
	if (error)
		free(*data);
	return error;
}

void agent_fail(int connection, const char *format, ...)
{
	char text[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length >= (int)sizeof(text))
		length = sizeof(text) - 1;
	agent_send(connection, AGENT_FAILED, text, (uint32_t)length);
}

/* What the guest is */

static void put_os(FILE *out)
{
	char line[256];
	FILE *release = fopen("/etc/os-release", "re");

	while (release && fgets(line, sizeof(line), release)) {
		char *value = line + strlen("PRETTY_NAME=");

		if (strncmp(line, "PRETTY_NAME=", strlen("PRETTY_NAME=")) != 0)
			continue;
		value += *value == '"';
		value[strcspn(value, "\"\n")] = '\0';
		fprintf(out, "system=%s\n", value);
	}
	if (release)
		fclose(release);
}

static void put_addresses(FILE *out)
{
	struct ifaddrs *all, *one;

	if (getifaddrs(&all))
		return;
	for (one = all; one; one = one->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address;

		if (!one->ifa_addr || (one->ifa_flags & IFF_LOOPBACK))
			continue;
		if (one->ifa_addr->sa_family == AF_INET)
			address = &((struct sockaddr_in *)(void *)one->ifa_addr)->sin_addr;
		else if (one->ifa_addr->sa_family == AF_INET6)
			address = &((struct sockaddr_in6 *)(void *)one->ifa_addr)->sin6_addr;
		else
			continue;
		if (inet_ntop(one->ifa_addr->sa_family, address, text, sizeof(text)))
			fprintf(out, "address=%s %s\n", one->ifa_name, text);
	}
	freeifaddrs(all);
}

static void info_send(int connection)
{
	struct utsname name;
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (!out) {
		agent_fail(connection, "no memory");
		return;
	}
	if (uname(&name) == 0)
		fprintf(out, "hostname=%s\nkernel=%s\n", name.nodename, name.release);
	put_os(out);
	put_addresses(out);
	if (fclose(out) == 0 && length <= AGENT_FRAME_MAX)
		agent_send(connection, AGENT_TEXT, text, (uint32_t)length);
	else
		agent_fail(connection, "no memory");
	free(text);
}

/* systemd takes these signals as its own targets (systemd(1), "Signals"); to any other init, and to
 * a guest without one, the usual programs are known. */
static void shut_down(int connection, const uint8_t *request, uint32_t length)
{
	bool reboot_asked;

	if (length != 4 || agent_get32(request) > AGENT_REBOOT) {
		agent_fail(connection, "a shutdown of a kind that I don't know");
		return;
	}
	reboot_asked = agent_get32(request) == AGENT_REBOOT;
	if (access("/run/systemd/system", F_OK) == 0) {
		if (kill(1, SIGRTMIN + (reboot_asked ? 5 : 4))) {
			agent_fail(connection, "systemd can't be told: %s", strerror(errno));
			return;
		}
	} else {
		const char *program = reboot_asked ? "reboot" : "poweroff";
		pid_t child = fork();

		if (child == 0) {
			execlp(program, program, (char *)NULL);
			_exit(127);
		}
		if (child < 0) {
			agent_fail(connection, "%s: %s", program, strerror(errno));
			return;
		}
	}
	agent_send(connection, AGENT_STATUS, (uint8_t[4]){0}, 4);
}

static void serve(int connection)
{
	uint8_t version[4], type, *data;
	uint32_t length;

	agent_put32(version, AGENT_VERSION);
	if (agent_send(connection, AGENT_HELLO, version, sizeof(version)) ||
	    agent_receive(connection, &type, &data, &length))
		return;
	if (type == AGENT_EXEC)
		session_run(connection, data, length);
	else if (type == AGENT_INFO)
		info_send(connection);
	else if (type == AGENT_SHUTDOWN)
		shut_down(connection, data, length);
	else
		agent_fail(connection, "a request of type %u, which I don't know", type);
	free(data);
	shutdown(connection, SHUT_WR);
	/* So that nothing sent is lost: the host closes when it has it all. */
	while (read(connection, version, sizeof(version)) > 0)
		continue;
}

static int listen_at(void)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK, .svm_port = AGENT_PORT, .svm_cid = VMADDR_CID_ANY};
	int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0)
		return -errno;
	if (bind(listener, (struct sockaddr *)(void *)&address, sizeof(address)) ||
	    listen(listener, BACKLOG)) {
		int error = -errno;

		close(listener);
		return error;
	}
	return listener;
}

int agent_main(void)
{
	int listener;

	signal(SIGPIPE, SIG_IGN);
	/* Before anybody can call: who comes in finds it done. */
	seed_apply();
	signal(SIGCHLD, SIG_IGN); /* nobody waits for a connection's process */
	listener = listen_at();
	if (listener < 0) {
		fprintf(stderr, "lodge-agent: can't listen: %s\n", strerror(-listener));
		return 1;
	}
	if (fork() == 0) {
		root_grow();
		_exit(0);
	}
	for (;;) {
		struct sockaddr_vm peer = {0};
		socklen_t size = sizeof(peer);
		int connection =
			accept4(listener, (struct sockaddr *)(void *)&peer, &size, SOCK_CLOEXEC);

		if (connection < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			usleep(100000);
		if (connection < 0)
			continue;
		if (peer.svm_cid == VMADDR_CID_HOST && fork() == 0) {
			close(listener);
			signal(SIGCHLD, SIG_DFL);
			serve(connection);
			_exit(0);
		}
		close(connection);
	}
}
