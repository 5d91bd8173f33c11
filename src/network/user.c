/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who calls libslirp: a vcpu's thread in send(), and the thread here that waits for sockets, both
 * with the vm's lock held. What slirp wants to hear of changes with each frame it is given. So
 * after each frame the vcpu's thread asks it again, and wakes the other one only if that waits for
 * the wrong things, or for too long.
 *
 * Frames for which the guest has no room wait in a queue here, and so do those above the limit.
 * While it is rather full, the sockets are not looked at, so that the world's senders slow down
 * instead of frames being dropped.
 */
#include "network/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <libslirp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/device.h"
#include "core/host.h"
#include "core/vm.h"
#include "lib/bucket.h"
#include "network/frame_queue.h"
#include "network/merge.h"
#include "network/slirp.h"

enum {
	FRAME_MAX = 65535 + 14,
	WAITS_MAX = 1024,
	TIMERS = 4,
	MTU_DEFAULT = 1500,
	MTU_MAX = 65521,
	MTU_MIN = 1280
};
enum { ENOUGH_MIN = 128 << 10, OUTGOING_MIN = 256 << 10 };
#define JOIN_RATE (UINT64_C(4) << 20) /* below it a joined frame would take its time */
#define FOREVER	  UINT32_MAX

struct user_timer {
	bool used;
	SlirpTimerCb call;
	void *opaque;
	uint64_t deadline; /* host_now() time; UINT64_MAX: not armed */
};

/* Everything is protected by the vm's lock but what says otherwise. */
struct user {
	struct netport port;
	struct vm *vm;
	Slirp *slirp;
	pthread_t thread;
	bool threaded, complained;
	bool ipv6; /* the guest is told of a network of that kind, too */
	int wake;  /* an eventfd; any thread */
	bool ending;
	struct user_timer timer[TIMERS];
	/* What the thread waits for now: entry 0 is the eventfd. */
	struct pollfd waits[WAITS_MAX + 1];
	unsigned wait_count;
	uint32_t wait_timeout; /* milliseconds, FOREVER */
	bool woken;	       /* has been told to look again */
	/* What it should wait for; a place to build that. */
	struct pollfd wants[WAITS_MAX + 1];
	unsigned want_count;
	/* Either of both: what slirp is told of. */
	const struct pollfd *found;
	unsigned found_count;
	/* Frames for the guest that it has no room for, or that are above the limit; frames from it
	 * that are above it. */
	struct frame_queue incoming, outgoing;
	bool no_room; /* until receive_ready */
	uint64_t rate;
	struct bucket limit_in, limit_out;
	uint64_t dropped;
	uint8_t frame[FRAME_MAX]; /* a frame in one piece */
	struct merge merge;	  /* empty but while slirp works */
};

static void wake(struct user *user)
{
	uint64_t one = 1;

	if (user->woken)
		return;
	user->woken = true;
	if (write(user->wake, &one, sizeof(one)) < 0)
		host_log(LOG_WARNING, "network: can't wake its thread: %s", strerror(errno));
}

/* Frames for the guest. */

/* How many bytes of them wait before the sockets are left alone: what a limit lets through in a
 * moment, for a queue that is long in time would only make everything late. */
static size_t incoming_enough(const struct user *user)
{
	const size_t most = FRAME_QUEUE_BYTES / 2;
	uint64_t moment = user->rate / 10;

	if (!user->rate || moment > most)
		return most;
	return moment > ENOUGH_MIN ? (size_t)moment : ENOUGH_MIN;
}

static bool incoming_full(const struct user *user)
{
	return user->incoming.used > incoming_enough(user);
}

static bool receive(struct user *user, const void *frame, size_t length)
{
	if (!user->port.receive(user->port.device, frame, length)) {
		user->no_room = true;
		return false;
	}
	bucket_take(&user->limit_in, length, host_now());
	return true;
}

static void incoming_flush(struct user *user)
{
	size_t length;

	while (!user->no_room && !bucket_wait(&user->limit_in, host_now()) &&
	       (length = frame_queue_first(&user->incoming, user->frame)) > 0 &&
	       receive(user, user->frame, length))
		frame_queue_drop(&user->incoming, length);
}

/* What libslirp calls. */

static ssize_t give(struct user *user, const void *bytes, size_t length)
{
	if (!user->incoming.used && !bucket_wait(&user->limit_in, host_now()) &&
	    receive(user, bytes, length))
		return (ssize_t)length;
	if (frame_queue_add(&user->incoming, bytes, length, FRAME_QUEUE_BYTES))
		return (ssize_t)length;
	user->dropped++;
	return -1;
}

/* After each time that slirp has worked: it won't go on with the segment before. */
static void give_joined(struct user *user)
{
	size_t length;
	const void *bytes = merge_take(&user->merge, &length);

	if (bytes)
		give(user, bytes, length);
}

static ssize_t slirp_send_packet(const void *bytes, size_t length, void *opaque)
{
	struct user *user = opaque;

	if (length > FRAME_MAX || !user->port.receive)
		return -1;
	if (user->port.takes_joined && !(user->rate && user->rate < JOIN_RATE)) {
		if (merge_add(&user->merge, user->port.mtu, bytes, length))
			return (ssize_t)length;
		give_joined(user);
		if (merge_add(&user->merge, user->port.mtu, bytes, length))
			return (ssize_t)length;
	}
	return give(user, bytes, length);
}

static void slirp_guest_error(const char *message, void *opaque)
{
	/* A guest could fill the log with these. */
}

static int64_t slirp_clock(void *opaque)
{
	return (int64_t)host_now();
}

static void *slirp_timer_new(SlirpTimerCb call, void *call_opaque, void *opaque)
{
	struct user *user = opaque;

	for (unsigned i = 0; i < TIMERS; i++) {
		struct user_timer *timer = &user->timer[i];

		if (timer->used)
			continue;
		*timer = (struct user_timer){true, call, call_opaque, UINT64_MAX};
		return timer;
	}
	return NULL;
}

static void slirp_timer_free(void *timer, void *opaque)
{
	if (timer)
		((struct user_timer *)timer)->used = false;
}

static void slirp_timer_mod(void *timer, int64_t milliseconds, void *opaque)
{
	if (timer)
		((struct user_timer *)timer)->deadline = (uint64_t)milliseconds * 1000000;
}

/* What is waited for is found out anew before each wait. */
static void slirp_register_fd(int fd, void *opaque)
{
}

/* Nor is it asked to wake anybody: whoever makes it work asks it afterwards what it wants. */
static void slirp_notify(void *opaque)
{
}

static const SlirpCb slirp_callbacks = {
	.send_packet = slirp_send_packet,
	.guest_error = slirp_guest_error,
	.clock_get_ns = slirp_clock,
	.timer_new = slirp_timer_new,
	.timer_free = slirp_timer_free,
	.timer_mod = slirp_timer_mod,
	.register_poll_fd = slirp_register_fd,
	.unregister_poll_fd = slirp_register_fd,
	.notify = slirp_notify,
};

/* Waiting for sockets. */

static const struct {
	int slirp;
	short poll;
} events[] = {
	{SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
	{SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};
enum { EVENTS = sizeof(events) / sizeof(events[0]) };

static int add_wait(int fd, int wanted, void *opaque)
{
	struct user *user = opaque;
	short mask = 0;

	if (user->want_count > WAITS_MAX)
		return -1;
	for (unsigned i = 0; i < EVENTS; i++)
		mask |= wanted & events[i].slirp ? events[i].poll : 0;
	user->wants[user->want_count] = (struct pollfd){.fd = fd, .events = mask};
	return (int)user->want_count++;
}

static int get_events(int index, void *opaque)
{
	const struct user *user = opaque;
	int result = 0;

	if (index < 1 || (unsigned)index >= user->found_count)
		return 0;
	for (unsigned i = 0; i < EVENTS; i++)
		result |= user->found[index].revents & events[i].poll ? events[i].slirp : 0;
	return result;
}

static uint32_t timer_timeout(const struct user *user, uint32_t timeout)
{
	uint64_t now = host_now();

	for (unsigned i = 0; i < TIMERS; i++) {
		uint64_t deadline = user->timer[i].deadline, left;

		if (!user->timer[i].used || deadline == UINT64_MAX)
			continue;
		left = deadline > now ? (deadline - now) / 1000000 + 1 : 0;
		if (left < timeout)
			timeout = (uint32_t)left;
	}
	return timeout;
}

/* Frames above a limit go when it allows them. */
static uint32_t limit_timeout(const struct user *user, uint32_t timeout)
{
	uint64_t now = host_now(), wait = UINT64_MAX, left;

	if (user->incoming.used && !user->no_room)
		wait = bucket_wait(&user->limit_in, now);
	if (user->outgoing.used) {
		left = bucket_wait(&user->limit_out, now);
		wait = left < wait ? left : wait;
	}
	if (wait == UINT64_MAX)
		return timeout;
	left = wait / 1000000 + 1;
	return left < timeout ? (uint32_t)left : timeout;
}

/* Finds out what slirp wants to hear of; returns for how long at most. */
static uint32_t collect(struct user *user)
{
	uint32_t timeout = FOREVER;

	user->wants[0] = (struct pollfd){.fd = user->wake, .events = POLLIN};
	user->want_count = 1;
	slirp_pollfds_fill(user->slirp, &timeout, add_wait, user);
	return limit_timeout(user, timer_timeout(user, timeout));
}

static bool waits_are_right(const struct user *user)
{
	if (user->wait_count != user->want_count)
		return false;
	for (unsigned i = 0; i < user->want_count; i++)
		if (user->waits[i].fd != user->wants[i].fd ||
		    user->waits[i].events != user->wants[i].events)
			return false;
	return true;
}

static void run_timers(struct user *user)
{
	uint64_t now = host_now();

	for (unsigned i = 0; i < TIMERS; i++) {
		struct user_timer *timer = &user->timer[i];

		if (!timer->used || timer->deadline > now)
			continue;
		timer->deadline = UINT64_MAX;
		timer->call(timer->opaque);
	}
}

/* Frames from the guest. */

static void outgoing_flush(struct user *user)
{
	size_t length;

	while (!bucket_wait(&user->limit_out, host_now()) &&
	       (length = frame_queue_first(&user->outgoing, user->frame)) > 0) {
		frame_queue_drop(&user->outgoing, length);
		bucket_take(&user->limit_out, length, host_now());
		slirp_input(user->slirp, user->frame, (int)length);
		give_joined(user);
	}
}

/* A frame above the limit waits, but no longer than a moment: then it is dropped, which is how a
 * sender hears that it is too fast. True: it does. */
static bool outgoing_waits(struct user *user, const uint8_t *frame, size_t length)
{
	uint64_t moment = user->rate / 5, most = FRAME_QUEUE_BYTES;

	if (!user->outgoing.used && !bucket_wait(&user->limit_out, host_now())) {
		bucket_take(&user->limit_out, length, host_now());
		return false;
	}
	if (user->rate && moment < most)
		most = moment > OUTGOING_MIN ? moment : OUTGOING_MIN;
	user->dropped += !frame_queue_add(&user->outgoing, frame, length, (size_t)most);
	return true;
}

/* One wait. Vm's lock held; not during the wait itself. */
static void wait_once(struct user *user)
{
	uint64_t count;
	int ready;

	user->wait_timeout = collect(user);
	user->wait_count = user->want_count;
	memcpy(user->waits, user->wants, user->want_count * sizeof(user->waits[0]));
	/* Slirp has numbered its sockets by this list; with the guest slow, only its timers go on.
	 */
	ready = incoming_full(user) ? 1 : (int)user->wait_count;
	user->woken = false;
	vm_unlock(user->vm);
	ready = poll(user->waits, (nfds_t)ready,
		     user->wait_timeout == FOREVER ? -1 : (int)user->wait_timeout);
	vm_lock(user->vm);
	if (ready > 0 && (user->waits[0].revents & POLLIN) &&
	    read(user->wake, &count, sizeof(count)) < 0)
		ready = -1;
	run_timers(user);
	/* Somebody asked slirp again meanwhile, and it numbered its sockets differently: only what
	 * has to do with time, then. */
	if (ready >= 0 && !waits_are_right(user))
		ready = -1;
	user->found = user->waits;
	user->found_count = user->wait_count;
	slirp_pollfds_poll(user->slirp, ready < 0, get_events, user);
	give_joined(user);
	incoming_flush(user);
	outgoing_flush(user);
}

static void *work(void *argument)
{
	struct user *user = argument;

	pthread_setname_np(pthread_self(), "network");
	vm_lock(user->vm);
	while (!user->ending)
		wait_once(user);
	vm_unlock(user->vm);
	return NULL;
}

/* The plug. */

/*
 * Made when the guest first uses the network, not before: then the process has given up the rights
 * that it doesn't need to run a machine, and a thread has those of its maker.
 */
static void start_thread(struct user *user)
{
	sigset_t all, old;
	int error;

	if (user->threaded)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&user->thread, NULL, work, user);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	user->threaded = !error;
	if (error && !user->complained)
		host_log(LOG_ERROR, "network: no thread for it: %s", strerror(error));
	user->complained = error;
}

/*
 * The guest's frame has made slirp want something else, often more of a stream that the guest just
 * acknowledged. If that is there already, to take it takes less time than to wake the thread for
 * it, with which we'd then struggle for the lock. True: it was, and slirp is to be asked again.
 */
static bool serve_at_once(struct user *user)
{
	if (incoming_full(user) || user->want_count < 2 ||
	    poll(user->wants + 1, user->want_count - 1, 0) <= 0)
		return false;
	user->found = user->wants;
	user->found_count = user->want_count;
	slirp_pollfds_poll(user->slirp, 0, get_events, user);
	give_joined(user);
	return true;
}

static void user_send(struct netport *port, const struct slice *slices, unsigned count)
{
	struct user *user = container_of(port, struct user, port);
	const uint8_t *frame = slices[0].base;
	size_t length = slices[0].length;
	uint32_t timeout;

	start_thread(user);
	if (count > 1) {
		length = 0;
		for (unsigned i = 0; i < count; i++) {
			if (slices[i].length > FRAME_MAX - length)
				return;
			memcpy(user->frame + length, slices[i].base, slices[i].length);
			length += slices[i].length;
		}
		frame = user->frame;
	}
	if (!outgoing_waits(user, frame, length)) {
		slirp_input(user->slirp, frame, (int)length);
		give_joined(user);
	}
	timeout = collect(user);
	if (!user->woken && !waits_are_right(user) && serve_at_once(user))
		timeout = collect(user);
	if (timeout < user->wait_timeout || !waits_are_right(user))
		wake(user);
}

static void user_receive_ready(struct netport *port)
{
	struct user *user = container_of(port, struct user, port);
	bool blocked = incoming_full(user);

	start_thread(user);
	user->no_room = false;
	incoming_flush(user);
	if ((blocked && !incoming_full(user)) || (user->rate && user->incoming.used))
		wake(user);
}

void user_limit(struct netport *port, uint64_t rate)
{
	struct user *user = container_of(port, struct user, port);

	user->rate = rate;
	bucket_limit(&user->limit_in, rate, 0);
	bucket_limit(&user->limit_out, rate, 0);
	if (user->threaded)
		wake(user);
}

uint64_t user_rate(const struct netport *port)
{
	return container_of(port, struct user, port)->rate;
}

static void user_free(struct user *user)
{
	if (user->slirp)
		slirp_cleanup(user->slirp);
	if (user->wake >= 0)
		close(user->wake);
	free(user);
}

static void user_close(struct netport *port)
{
	struct user *user = container_of(port, struct user, port);

	vm_lock(user->vm);
	user->ending = true;
	wake(user);
	vm_unlock(user->vm);
	if (user->threaded)
		pthread_join(user->thread, NULL);
	user_free(user);
}

static const struct netport_ops user_ops = {
	.send = user_send,
	.receive_ready = user_receive_ready,
	.close = user_close,
};

/* Opening. */

/* Whether this host has an IPv6 address that the world can answer to. */
static bool host_has_ipv6(void)
{
	struct ifaddrs *list, *one;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (one = list; one && !found; one = one->ifa_next) {
		const struct sockaddr_in6 *address =
			(const struct sockaddr_in6 *)(void *)one->ifa_addr;

		found = address && address->sin6_family == AF_INET6 &&
			!IN6_IS_ADDR_LOOPBACK(&address->sin6_addr) &&
			!IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr);
	}
	freeifaddrs(list);
	return found;
}

static bool want_ipv6(const struct user_config *config)
{
	for (unsigned i = 0; i < config->forward_count; i++)
		if (config->forwards[i].ipv6)
			return true;
	return host_has_ipv6();
}

static Slirp *start_slirp(struct user *user)
{
	SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vnameserver.s_addr = htonl(0x0a000203),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vprefix_len = 64,
		.if_mtu = user->port.mtu,
		.if_mru = user->port.mtu,
	};

	config.in6_enabled = user->ipv6;
	inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &config.vhost6);
	inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
	return slirp_new(&config, &slirp_callbacks, user);
}

/* Where it is at this host, and where it leads, as libslirp wants it. Without an address of the
 * guest's it is the one that DHCP gives it, or that it is seen to have by neighbour discovery. */
struct ends {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} host, guest;
	socklen_t length;
	int flags;
};

static struct ends find_ends(const struct user_forward *forward)
{
	struct ends ends = {.flags = forward->udp ? SLIRP_HOSTFWD_UDP : 0};

	if (forward->ipv6) {
		ends.length = sizeof(ends.host.ipv6);
		ends.flags |= SLIRP_HOSTFWD_V6ONLY;
		ends.host.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
						       .sin6_port = htons(forward->host_port),
						       .sin6_addr = forward->host_ipv6};
		ends.guest.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
							.sin6_port = htons(forward->guest_port)};
		return ends;
	}
	ends.length = sizeof(ends.host.ipv4);
	ends.host.ipv4 = (struct sockaddr_in){.sin_family = AF_INET,
					      .sin_port = htons(forward->host_port),
					      .sin_addr = forward->host_address};
	ends.guest.ipv4 = (struct sockaddr_in){.sin_family = AF_INET,
					       .sin_port = htons(forward->guest_port),
					       .sin_addr = forward->guest_address};
	return ends;
}

/* Slirp lets its UDP sockets share a port. So see first whether it is free. */
static int udp_port_free(const struct ends *ends)
{
	int file = socket(ends->host.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;
	const int only = 1;

	if (file < 0)
		return -errno;
	if (ends->host.any.sa_family == AF_INET6)
		setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (bind(file, &ends->host.any, ends->length) < 0)
		error = -errno;
	close(file);
	return error;
}

static int complain_about(const struct user_forward *forward, int error, char *reason, size_t size)
{
	const char *what = strerror(-error), *hint = "";
	char host[USER_FORWARD_TEXT];

	if (error == -EADDRINUSE) {
		what = "is in use already";
		hint = "; choose another, or stop what uses it";
	} else if (error == -EACCES) {
		what = "may be used by root only";
		hint = "; choose one above 1023";
	} else if (error == -EADDRNOTAVAIL) {
		what = "can't be had: that address is not this host's";
	}
	user_forward_host_text(forward, host);
	snprintf(reason, size, "network: %s port %s %s%s", forward->udp ? "UDP" : "TCP", host, what,
		 hint);
	return error;
}

static int add_forward(struct user *user, const struct user_forward *forward, char *reason,
		       size_t size)
{
	struct ends ends = find_ends(forward);
	int error = forward->udp ? udp_port_free(&ends) : 0;

	if (forward->ipv6 && !user->ipv6) {
		snprintf(reason, size,
			 "network: the guest has no IPv6, for neither has this host, and no port "
			 "asked for it when the machine started: add it while it doesn't run");
		return -ENETUNREACH;
	}
	errno = 0;
	if (!error && slirp_add_hostxfwd(user->slirp, &ends.host.any, ends.length, &ends.guest.any,
					 ends.length, ends.flags) < 0)
		error = errno ? -errno : -EINVAL;
	return error ? complain_about(forward, error, reason, size) : 0;
}

int user_forward_add(struct netport *port, const struct user_forward *forward, char *reason,
		     size_t size)
{
	struct user *user = container_of(port, struct user, port);
	int error = add_forward(user, forward, reason, size);

	if (!error && user->threaded)
		wake(user);
	return error;
}

int user_forward_remove(struct netport *port, const struct user_forward *forward)
{
	struct user *user = container_of(port, struct user, port);
	const struct ends ends = find_ends(forward);

	if (slirp_remove_hostxfwd(user->slirp, &ends.host.any, ends.length, ends.flags) < 0)
		return -ENOENT;
	if (user->threaded)
		wake(user);
	return 0;
}

/* A connection that the world closes is no reason to end the program. */
static void ignore_broken_pipes(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
		return;
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static int start(struct user *user, const struct user_config *config, char *reason, size_t size)
{
	int error = 0;

	user->ipv6 = want_ipv6(config);
	user->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (user->wake < 0)
		error = -errno;
	else if (!(user->slirp = start_slirp(user)))
		error = -EINVAL;
	if (error) {
		snprintf(reason, size, "network: can't be started: %s", strerror(-error));
		return error;
	}
	/* Until now its clock stands at 0, and what it is given would soon look too old. */
	slirp_pollfds_poll(user->slirp, 1, get_events, user);
	for (unsigned i = 0; i < config->forward_count && !error; i++)
		error = add_forward(user, &config->forwards[i], reason, size);
	return error;
}

int user_open(struct vm *vm, const struct user_config *config, struct netport **port, char *reason,
	      size_t size)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x4c, 0x44, 0x47}, none[6];
	struct user *user;
	int error;

	if (config->mtu && (config->mtu < MTU_MIN || config->mtu > MTU_MAX)) {
		snprintf(reason, size,
			 "network: an MTU of %u is not possible; choose one from %d to %d",
			 config->mtu, MTU_MIN, MTU_MAX);
		return -EINVAL;
	}
	error = slirp_load(reason, size);
	if (error)
		return error;
	user = calloc(1, sizeof(*user));
	if (!user) {
		snprintf(reason, size, "network: no memory for it");
		return -ENOMEM;
	}
	user->vm = vm;
	user->wake = -1;
	user->port = (struct netport){.ops = &user_ops,
				      .mtu = config->mtu ? config->mtu : MTU_DEFAULT,
				      .send_max = FRAME_MAX,
				      .receive_checked = true,
				      .can_join = true};
	memcpy(user->port.mac, memcmp(config->mac, none, sizeof(none)) ? config->mac : mac,
	       sizeof(mac));
	user_limit(&user->port, config->rate);
	ignore_broken_pipes();
	error = start(user, config, reason, size);
	if (error) {
		user_free(user);
		return error;
	}
	*port = &user->port;
	return 0;
}
