/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop of the vm's main thread: files that become ready, calls from other threads, the
 * vm's timers, and the signals that end it. All callbacks run on the main thread with the vm's lock
 * held. What is added belongs to its owner and must stay until it is removed.
 */
#ifndef HOSTS_LINUX_LOOP_H
#define HOSTS_LINUX_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct vm;

struct loop_watch {
	int fd;
	/* events: what epoll reported (EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR). May remove or change
	 * any watch. */
	void (*ready)(struct loop_watch *watch, uint32_t events);
	void *context; /* the owner's */

	uint32_t events; /* the loop's from here on: what is waited for */
	bool always;	 /* a file that epoll does not take (a regular one): always ready */
	struct loop_watch *next;
};

/*
 * Waits for events of watch->fd (EPOLLIN, EPOLLOUT; errors and hang-ups are reported with them; 0:
 * for nothing now, not even those), level-triggered. The file stays open until the watch is
 * removed, once. Only to add may fail: 0 or a negative errno. Vm's lock held, or nothing of the vm
 * runs yet.
 */
int loop_add(struct loop *loop, struct loop_watch *watch, uint32_t events);
void loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events);
void loop_remove(struct loop *loop, struct loop_watch *watch);

/* One call to be made on the main thread soon. */
struct loop_call {
	void (*call)(struct loop_call *call);
	void *context; /* the owner's */

	bool posted; /* the loop's from here on */
	struct loop_call *next;
};

/* Does nothing if it is posted already and has not begun. Any thread, any lock state. */
void loop_post(struct loop *loop, struct loop_call *call);

/* A post that has not begun is forgotten. On the main thread, or when it does not run. */
void loop_withdraw(struct loop *loop, struct loop_call *call);

/* The one called for SIGWINCH and SIGCONT; NULL for none. */
void loop_on_signal(struct loop *loop, void (*call)(void *context, int signal), void *context);

/* For hosts/linux itself. */
int loop_create(struct loop **loop, struct vm *vm);
void loop_destroy(struct loop *loop);
void loop_run(struct loop *loop);

#endif
