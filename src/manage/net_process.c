/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread reads the machines' frames; another, libslirp's (network/user.c), brings those of the
 * world. Both have a lock, that of a vm which has nothing else: to libslirp's port the switch is
 * the machine.
 */
#include "manage/net_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/host.h"
#include "core/vm.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/sandbox.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/net_ports.h"
#include "manage/net_store.h"
#include "network/user.h"

enum {
	IDLE_MILLISECONDS = 5000, /* without machines */
	FULL_MILLISECONDS = 100,  /* until the next try for one more file */
	BATCH = 64,		  /* frames of a machine in one go */
	BUFFER = 1 << 20,
	JOIN_TRIES = 100,
	JOIN_WAIT_US = 50000,
	GREET_MILLISECONDS = 5000,
};

struct station {
	int socket; /* -1: nobody */
	int port;   /* of the switch; -1: has not said hello yet */
	struct net_ports ports;
};

struct net_process {
	struct lan lan;
	struct vm vm; /* its lock only */
	struct netport *world;
	int listener;
	struct station stations[LAN_PORTS_MAX];
	unsigned count;
};

static bool address_of(const char *name, struct sockaddr_un *address, char *reason, size_t size)
{
	char path[PATH_MAX];

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (net_runtime_path(name, "", path, reason, size))
		return false;
	if (strlen(path) < sizeof(address->sun_path)) {
		strcpy(address->sun_path, path);
		return true;
	}
	snprintf(reason, size, "network %s: the path %s is too long for a socket", name, path);
	return false;
}

/* The world's port */

static void to_world(void *owner, const void *frame, size_t length)
{
	struct net_process *process = owner;
	const struct slice slice = {(void *)(uintptr_t)frame, length};

	process->world->ops->send(process->world, &slice, 1);
}

/* On libslirp's thread, with the lock. Who is too slow loses a frame, and doesn't hold up others.
 */
static bool from_world(void *device, const void *frame, size_t length)
{
	struct net_process *process = device;
	int gateway = lan_gateway(&process->lan);

	if (gateway >= 0)
		lan_input(&process->lan, (unsigned)gateway, frame, length, host_now());
	return true;
}

static int open_world(struct net_process *process, char *reason, size_t size)
{
	const struct user_config config = {.mtu = 0};
	const struct lan_port port = {
		.send = to_world, .owner = process, .vlan = LAN_VLAN, .gateway = true};
	int error = user_open(&process->vm, &config, &process->world, reason, size);

	if (error)
		return error;
	process->world->device = process;
	process->world->receive = from_world;
	return lan_add(&process->lan, &port, host_now()) < 0 ? -ENOSPC : 0;
}

/* Machines */

static void to_machine(void *owner, const void *frame, size_t length)
{
	struct station *station = owner;

	(void)!send(station->socket, frame, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void leave(struct net_process *process, struct station *station)
{
	if (station->port >= 0)
		lan_remove(&process->lan, (unsigned)station->port);
	net_ports_close(&station->ports, process->world);
	close(station->socket);
	station->socket = station->port = -1;
	process->count--;
}

/* False: this process has as many files as it may have. */
static bool arrive(struct net_process *process)
{
	const int size = BUFFER;
	int socket = accept4(process->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (socket < 0)
		return errno != EMFILE && errno != ENFILE;
	setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++) {
		if (process->stations[i].socket >= 0)
			continue;
		process->stations[i].socket = socket;
		process->count++;
		return true;
	}
	close(socket);
	return true;
}

/* The one file that came along; any other number is none. -1: none. */
static int take_file(struct msghdr *message)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int files[2];
	size_t count;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return -1;
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(files, CMSG_DATA(header), count * sizeof(int));
	if (count == 1)
		return files[0];
	while (count)
		close(files[--count]);
	return -1;
}

/* A hello, and the socket that comes with it into station->ports. False: it was none. */
static bool take_hello(struct station *station, struct wire_hello *hello)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {hello, sizeof(*hello)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(station->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got >= 0)
		station->ports.socket = take_file(&message);
	return got == (ssize_t)sizeof(*hello) && !(message.msg_flags & MSG_TRUNC) &&
	       station->ports.socket >= 0;
}

/* The first message. False: the machine has to go. */
static bool greet(struct net_process *process, struct station *station)
{
	struct wire_answer answer = {.magic = WIRE_MAGIC, .version = WIRE_VERSION};
	struct wire_hello hello;
	struct lan_port port = {.send = to_machine, .owner = station};
	int error = -EPROTO;

	if (take_hello(station, &hello)) {
		hello.name[LAN_NAME_MAX] = '\0';
		if (!memcmp(hello.magic, WIRE_MAGIC, sizeof(hello.magic)) &&
		    hello.version == WIRE_VERSION) {
			memcpy(port.name, hello.name, sizeof(port.name));
			memcpy(port.mac, hello.mac, sizeof(port.mac));
			port.vlan = hello.vlan;
			port.trunk = hello.trunk != 0;
			port.rate = hello.rate;
			error = lan_add(&process->lan, &port, host_now());
		}
	}
	station->port = error >= 0 ? error : -1;
	answer.error = error < 0 ? (uint32_t)-error : 0;
	if (send(station->socket, &answer, sizeof(answer), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	return error >= 0;
}

static void read_station(struct net_process *process, struct station *station)
{
	uint8_t frame[LAN_FRAME_MAX];

	if (station->port < 0) {
		if (!greet(process, station))
			leave(process, station);
		return;
	}
	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t got = recv(station->socket, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			leave(process, station);
			return;
		}
		/* What was too long is no frame. */
		if ((size_t)got <= sizeof(frame))
			lan_input(&process->lan, (unsigned)station->port, frame, (size_t)got,
				  host_now());
	}
}

/* What a machine asks of ports. */
static void read_ports(struct net_process *process, struct station *station)
{
	const struct lan_port *port;
	struct net_ports_target target;

	if (station->port < 0)
		return;
	port = &process->lan.ports[station->port];
	target = (struct net_ports_target){process->lan.name, process->world, port->address,
					   port->mac};
	if (!net_ports_serve(&station->ports, &target))
		net_ports_close(&station->ports, process->world);
}

/* Until there has been no machine for a while. */
static void serve(struct net_process *process)
{
	bool full = false;

	for (;;) {
		struct pollfd waits[2 * LAN_PORTS_MAX + 1] = {
			{.fd = full ? -1 : process->listener, .events = POLLIN}};
		struct pollfd *frames = waits + 1, *ports = frames + LAN_PORTS_MAX;
		int ready;

		for (unsigned i = 0; i < LAN_PORTS_MAX; i++) {
			const struct station *station = &process->stations[i];

			frames[i] = (struct pollfd){.fd = station->socket, .events = POLLIN};
			ports[i] = (struct pollfd){.fd = station->ports.socket, .events = POLLIN};
		}
		ready = poll(waits, 2 * LAN_PORTS_MAX + 1,
			     full	      ? FULL_MILLISECONDS
			     : process->count ? -1
					      : IDLE_MILLISECONDS);
		if (ready == 0 && !process->count && !full)
			return;
		vm_lock(&process->vm);
		for (unsigned i = 0; i < LAN_PORTS_MAX; i++) {
			struct station *station = &process->stations[i];

			if (ports[i].revents && station->ports.socket >= 0)
				read_ports(process, station);
			if (frames[i].revents && station->socket >= 0)
				read_station(process, station);
		}
		full = (waits[0].revents & POLLIN) && !arrive(process);
		vm_unlock(&process->vm);
	}
}

/* The lock, which dies with the process; a socket that is left over from one that was killed makes
 * room. 0, -EBUSY: there is a switch; another negative errno. */
static int listen_as(struct net_process *process, const char *name, char *reason, size_t size)
{
	struct sockaddr_un address;
	char path[PATH_MAX];
	int lock, error = net_runtime_path(name, ".lock", path, reason, size);

	if (error || !address_of(name, &address, reason, size))
		return error ? error : -ENAMETOOLONG;
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return -errno;
	if (flock(lock, LOCK_EX | LOCK_NB))
		return -EBUSY;
	unlink(address.sun_path);
	process->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (process->listener < 0 ||
	    bind(process->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(process->listener, LAN_PORTS_MAX)) {
		snprintf(reason, size, "%s: %s", address.sun_path, strerror(errno));
		return -errno;
	}
	return 0;
}

int net_serve(const char *name)
{
	static const char *const readable[] = {"/etc/resolv.conf", NULL};
	static struct net_process process;
	const struct sandbox_options sandbox = {.readable = readable,
						.network = "ports of this host lead here"};
	struct sandbox_state state;
	char reason[PATH_MAX + 256] = "";
	struct net_info info;
	int error = net_find(name, &info, reason, sizeof(reason));

	/* The connections of all its machines to the world are this one process's. */
	linux_files_raise();
	host_lock_init(&process.vm.lock);
	lan_init(&process.lan, name);
	process.lan.trust_guests = !error && info.trust_guests;
	for (unsigned i = 0; i < LAN_PORTS_MAX; i++)
		process.stations[i] = (struct station){-1, -1, {.socket = -1}};
	if (!error)
		error = listen_as(&process, name, reason, sizeof(reason));
	if (error == -EBUSY)
		return LODGE_OK;
	if (!error && !info.isolated)
		error = open_world(&process, reason, sizeof(reason));
	if (!error)
		error = sandbox_enter(&sandbox, &state, reason, sizeof(reason));
	if (error)
		return complain_with(LODGE_HOST_LACKS, "%s", reason);
	serve(&process);
	if (process.world)
		process.world->ops->close(process.world);
	return LODGE_OK;
}

/* Starts the process, of nobody's: its parent is gone at once. It shares nothing with this one. */
static int start_process(const char *name)
{
	pid_t child = fork();

	if (child == 0) {
		char *arguments[] = {"lodge", NET_SERVE, (char *)(uintptr_t)name, NULL};
		int null = open("/dev/null", O_RDWR);

		setsid();
		if (fork() != 0)
			_exit(0);
		for (int i = 0; i < 3; i++)
			dup2(null, i);
		closefrom(3);
		if (chdir("/"))
			_exit(1);
		execv("/proc/self/exe", arguments);
		_exit(127);
	}
	if (child < 0)
		return -errno;
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static int join_once(const struct sockaddr_un *address, const struct wire_hello *hello,
		     struct wire_sockets *sockets)
{
	const int size = BUFFER;
	int error = 0;

	sockets->frames = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sockets->frames < 0)
		return -errno;
	setsockopt(sockets->frames, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(sockets->frames, (const struct sockaddr *)address, sizeof(*address)))
		error = -errno;
	if (!error)
		error = wire_greet(sockets, hello, GREET_MILLISECONDS);
	if (error)
		close(sockets->frames);
	return error;
}

int net_join(const char *name, const struct wire_hello *hello, struct wire_sockets *sockets,
	     char *reason, size_t size)
{
	struct sockaddr_un address;
	struct net_info info;
	int result = net_find(name, &info, reason, size);

	if (result)
		return result;
	if (!address_of(name, &address, reason, size))
		return -ENAMETOOLONG;
	for (unsigned i = 0; i < JOIN_TRIES; i++) {
		result = join_once(&address, hello, sockets);
		if (result != -ENOENT && result != -ECONNREFUSED && result != -ECONNRESET)
			break;
		/* Not there yet, not any more, or the remains of one. */
		if (i % 20 == 0 && start_process(name))
			break;
		usleep(JOIN_WAIT_US);
	}
	if (result == -EEXIST)
		snprintf(reason, size,
			 "network %s: another machine on it has this hardware address: choose "
			 "another mac",
			 name);
	else if (result < 0)
		snprintf(reason, size, "network %s: its switch can't be reached: %s", name,
			 strerror(-result));
	return result;
}

int net_keep_switch(const char *name)
{
	char reason[PATH_MAX + 256];
	struct sockaddr_un address;
	struct net_info info;
	int kept, error = net_find(name, &info, reason, sizeof(reason));

	if (error)
		return error;
	if (!address_of(name, &address, reason, sizeof(reason)))
		return -ENAMETOOLONG;
	for (unsigned i = 0; i < JOIN_TRIES; i++) {
		kept = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		if (kept < 0)
			return -errno;
		if (!connect(kept, (const struct sockaddr *)&address, sizeof(address)))
			return kept;
		error = -errno;
		close(kept);
		if (error != -ENOENT && error != -ECONNREFUSED)
			break;
		if (i % 20 == 0 && start_process(name))
			break;
		usleep(JOIN_WAIT_US);
	}
	return error;
}
