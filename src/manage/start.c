/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command forks; its child becomes the machine's process: a session of its own, nothing open
 * that isn't its own, at home in /. The locks are those of the descriptor that both have, so there
 * is no moment in which nobody holds them. Until the machine is ready the child still has the
 * command's standard error, where it says itself what is wrong; a pipe brings the command its exit
 * status.
 */
#include "manage/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosts/linux/linux.h"
#include "hosts/linux/namespaces.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/kept.h"
#include "manage/layers.h"
#include "manage/managed.h"
#include "manage/net_process.h"
#include "manage/run.h"
#include "manage/safe_file.h"
#include "manage/verb_machine.h"

/* All that is opened before the process is made. */
struct start {
	struct managed managed;
	struct options options;
	bool saved;	/* and with its memory */
	int old_memory; /* the file `memory` that there was before, whether it counts or not; -1 */
	char conf[STORE_PATH], memory[STORE_PATH], control[STORE_PATH + 16];
};

static int complain_about(const struct store_machine *machine, const char *what, int error)
{
	return complain_with(LODGE_HOST_LACKS, "%s: %s: %s", machine->name, what, strerror(-error));
}

/* An empty lodge.log, which becomes the process's standard error and output. */
static int open_log(struct start *start)
{
	char path[STORE_PATH];

	store_path(start->managed.machine, "lodge.log", path);
	start->managed.log =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return start->managed.log < 0 ? complain_about(start->managed.machine, path, -errno)
				      : LODGE_OK;
}

/* Another store's machine of the same name has the same runtime folder. */
static int take_runtime(struct start *start)
{
	struct store_machine *machine = start->managed.machine;
	struct store_machine runtime = {.lock = -1};
	char reason[STORE_PATH + 256];
	int error = store_runtime_make(start->managed.store, machine->name, runtime.folder, reason,
				       sizeof(reason));
	char path[STORE_PATH];

	if (error)
		return complain_with(LODGE_HOST_LACKS, "%s: %s", machine->name, reason);
	store_path(&runtime, "lock", path);
	runtime.lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (runtime.lock < 0)
		return complain_about(machine, path, -errno);
	error = store_lock_only(&runtime, STORE_RUN);
	if (error) {
		close(runtime.lock);
		return complain_with(
			LODGE_BAD_STATE,
			"%s: a machine of this name runs from another data folder: set "
			"XDG_RUNTIME_DIR to another folder too, or stop that one",
			machine->name);
	}
	start->managed.runtime_lock = runtime.lock;
	snprintf(start->control, sizeof(start->control), "%s/control", runtime.folder);
	if (strlen(start->control) < sizeof(start->managed.state.control))
		memcpy(start->managed.state.control, start->control, strlen(start->control) + 1);
	return LODGE_OK;
}

/* A machine that is saved goes on from its memory. */
static void take_memory(struct start *start, bool fresh)
{
	if (fresh || !start->saved)
		return;
	kept_path(start->managed.machine, start->memory);
	start->options.restore = start->memory;
}

/* Once we have the lock, "running" in the record would be said of this start. Without the lock this
 * reads as a crash, too. */
static int forget_crash(struct start *start, struct state *state)
{
	if (state->state != MACHINE_CRASHED)
		return 0;
	state->state = MACHINE_STARTING;
	state->pid = 0;
	state->control[0] = '\0';
	return state_write(start->managed.state_file, state);
}

/* Before we look as if we ran. */
static int open_record(struct start *start)
{
	struct state state;

	start->managed.state_file = state_open(start->managed.machine);
	if (start->managed.state_file < 0)
		return start->managed.state_file;
	state_read(start->managed.machine, &state);
	return forget_crash(start, &state);
}

static int prepare(struct start *start, const struct options *extra, bool fresh)
{
	struct store_machine *machine = start->managed.machine;
	int error = open_record(start), status;
	struct state state;

	if (error)
		return complain_about(machine, "state", error);
	error = store_lock(start->managed.store, machine, STORE_RUN, 0);
	if (error == -EBUSY)
		return complain_with(LODGE_BAD_STATE, "%s is running already", machine->name);
	if (error)
		return complain_about(machine, "its lock", error);
	/* Only now it can't end any more, as one that is being saved. Our own lock doesn't count.
	 */
	state_read(machine, &state);
	start->saved = state.state == MACHINE_SAVED;
	start->old_memory = kept_open(machine);
	/* What commands that were killed have left. */
	safe_folder_sweep(machine->folder, "machine.conf");
	kept_sweep(machine);
	if (!start->saved)
		layers_tidy(start->managed.store, machine);
	if (extra)
		start->options = *extra;
	else
		options_init(&start->options);
	take_memory(start, fresh);
	store_path(machine, "machine.conf", start->conf);
	start->options.machine = start->conf;
	start->options.name = machine->name;
	start->options.managed = &start->managed;
	start->options.control = start->control;
	status = open_log(start);
	return status ? status : take_runtime(start);
}

/* Only standard files, and what `start` needs: what the shell had open is not for us to keep. */
static void keep_descriptors(struct start *start)
{
	int kept[] = {start->managed.machine->lock, start->managed.state_file, start->managed.log,
		      start->managed.ready, start->managed.runtime_lock};
	int last = 2;

	/* In their order, so that each range between two of them is closed once. */
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		int next = -1;

		for (size_t j = 0; j < sizeof(kept) / sizeof(kept[0]); j++)
			if (kept[j] > last && (next < 0 || kept[j] < next))
				next = kept[j];
		if (next < 0)
			break;
		if (next > last + 1)
			close_range((unsigned)last + 1, (unsigned)next - 1, 0);
		last = next;
	}
	close_range((unsigned)last + 1, ~0u, 0);
}

static _Noreturn void process(struct start *start)
{
	int null = open("/dev/null", O_RDONLY);
	int status;
	char said;

	linux_init();
	dup2(null, STDIN_FILENO);
	dup2(start->managed.log, STDOUT_FILENO);
	keep_descriptors(start);
	if (chdir("/"))
		complain("can't go to /: %s", strerror(errno));
	status = run(&start->options);
	if (start->managed.ready >= 0) {
		said = (char)status;
		(void)!write(start->managed.ready, &said, 1);
	}
	_exit(status);
}

/* The child's child, whose parent is gone: nobody's session, nobody's child but init's. */
static int detach(struct start *start, int read_end)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (child) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			continue;
		return 0;
	}
	close(read_end);
	setsid();
	child = namespaces_fork();
	if (child < 0) {
		complain("can't make a process: %s", strerror(errno));
		_exit(LODGE_HOST_LACKS);
	}
	if (child)
		_exit(0);
	process(start);
}

/* Until it is ready, or has said why not. */
static int await(const struct store_machine *machine, int read_end)
{
	char status;
	ssize_t got;

	do
		got = read(read_end, &status, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		return (unsigned char)status;
	return complain_with(
		LODGE_INTERNAL,
		"%s: its process ended before it was ready: see lodge logs --process %s",
		machine->name, machine->name);
}

static void clean_up(struct start *start)
{
	if (start->managed.state_file >= 0)
		close(start->managed.state_file);
	if (start->managed.log >= 0)
		close(start->managed.log);
	if (start->managed.runtime_lock >= 0)
		close(start->managed.runtime_lock);
	if (start->old_memory >= 0)
		close(start->old_memory);
	free(start);
}

/* The descriptor that the process has too keeps its lock alive: from here on we have one of our
 * own. */
static int settle(struct store_machine *machine, int status)
{
	char path[STORE_PATH];

	if (status) {
		store_unlock(machine, STORE_RUN);
		return status;
	}
	close(machine->lock);
	store_path(machine, "lock", path);
	machine->lock = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return LODGE_OK;
}

static struct start *start_new(const struct store *store, struct store_machine *machine)
{
	struct start *start = calloc(1, sizeof(*start));

	if (start)
		start->old_memory = -1;
	if (start)
		start->managed = (struct managed){.store = store,
						  .machine = machine,
						  .state_file = -1,
						  .log = -1,
						  .ready = -1,
						  .runtime_lock = -1};
	return start;
}

/*
 * Its process has the old memory open, and has let go of the locks: by now another command may have
 * saved the machine again. Room is all that is lost if it stays.
 */
static void remove_memory(const struct store *store, struct store_machine *machine, int old_memory)
{
	int error;

	if (old_memory < 0 || store_lock(store, machine, STORE_CHANGE, CHANGE_PATIENCE))
		return;
	error = kept_remove_old(machine, old_memory);
	store_unlock(machine, STORE_CHANGE);
	if (error)
		complain("%s: its old memory can't be removed: %s", machine->name,
			 strerror(-error));
}

/* A switch is of no machine's. When it can't be had, the machine says why. */
static int keep_switch(const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	char name[MACHINE_NET_MAX], reason[STORE_PATH + 512];
	int kept = -1;

	if (config && !store_config(machine, config, reason, sizeof(reason))) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(config->net, ","), config->net);
		if (name[0])
			kept = net_keep_switch(name);
	}
	free(config);
	return kept;
}

int machine_start(const struct store *store, struct store_machine *machine,
		  const struct options *extra, bool fresh)
{
	struct start *start = start_new(store, machine);
	int ends[2], status, error, kept;

	if (!start)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = prepare(start, extra, fresh);
	if (!status && pipe2(ends, O_CLOEXEC))
		status = complain_about(machine, "a pipe", -errno);
	if (status) {
		clean_up(start);
		return status;
	}
	start->managed.ready = ends[1];
	kept = keep_switch(machine);
	error = detach(start, ends[0]);
	close(ends[1]);
	status = error ? complain_about(machine, "can't make a process", error)
		       : await(machine, ends[0]);
	close(ends[0]);
	if (kept >= 0)
		close(kept);
	status = settle(machine, status);
	if (!status)
		remove_memory(store, machine, start->old_memory);
	clean_up(start);
	return status;
}

int machine_start_here(const struct store *store, struct store_machine *machine,
		       const struct options *extra, bool fresh)
{
	struct start *start = start_new(store, machine);
	int status;

	if (!start)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = prepare(start, extra, fresh);
	if (!status) {
		/* A service manager takes what is said, so the log is its, too. */
		close(start->managed.log);
		start->managed.log = dup(STDERR_FILENO);
		linux_init();
		start->managed.ready = open("/dev/null", O_WRONLY | O_CLOEXEC);
		status = run(&start->options);
	}
	clean_up(start);
	return status;
}
