/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/managed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "hosts/linux/namespaces.h"
#include "hosts/linux/terminal.h"

int managed_console_open(struct managed *managed, struct console **console, struct vm *vm)
{
	char path[STORE_PATH], old_path[STORE_PATH];

	store_path(managed->machine, "console.log", path);
	store_path(managed->machine, "console.log.old", old_path);
	return console_log_open(console, vm, path, old_path, MANAGED_LOG_MAX);
}

static void note(struct managed *managed)
{
	int error = state_write(managed->state_file, &managed->state);

	if (error)
		host_log(LOG_WARNING, "can't note that the machine is %s: %s",
			 state_name(managed->state.state), strerror(-error));
}

void managed_ready(struct managed *managed)
{
	char done = 0;

	managed->state.state = MACHINE_RUNNING;
	managed->state.pid = namespaces_pid();
	managed->state.started = (uint64_t)time(NULL);
	note(managed);
	/* From here on the memory that it was kept with doesn't count, whatever fails. */
	if (fdatasync(managed->state_file))
		host_log(LOG_WARNING, "can't write out that the machine runs: %s", strerror(errno));
	store_unlock(managed->machine, STORE_CHANGE);
	dup3(managed->log, STDERR_FILENO, 0);
	close(managed->log);
	(void)!write(managed->ready, &done, 1);
	close(managed->ready);
	managed->ready = -1;
}

void managed_paused(struct managed *managed, bool paused)
{
	managed->state.state = paused ? MACHINE_PAUSED : MACHINE_RUNNING;
	note(managed);
}

void managed_waits(struct managed *managed, bool waits)
{
	snprintf(managed->state.reason, sizeof(managed->state.reason), "%s",
		 waits ? STATE_DISK_FULL : "");
	note(managed);
}

void managed_ended(struct managed *managed, const char *reason, int status)
{
	managed->state.state = managed->saved ? MACHINE_SAVED : MACHINE_STOPPED;
	managed->state.ended = (uint64_t)time(NULL);
	managed->state.status = status;
	snprintf(managed->state.reason, sizeof(managed->state.reason), "%s", reason);
	note(managed);
}
