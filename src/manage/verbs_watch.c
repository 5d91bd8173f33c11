/* SPDX-License-Identifier: BSD-2-Clause */
/* top, events: what machines do, as they do it. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "manage/safe_file.h"
#include "manage/verbs.h"

#define REASON	      (STORE_PATH + 512)
#define MACHINES_SEEN 256

/* top */

/* What the kernel counts of one process. */
struct usage {
	char name[MACHINE_NAME_MAX];
	pid_t pid;
	uint64_t ticks;		      /* of processor time */
	uint64_t resident;	      /* bytes */
	uint64_t read_bytes, written; /* of disks */
	unsigned threads;
	enum machine_state state;
};

struct sample {
	uint64_t when;
	unsigned count;
	struct usage list[MACHINES_SEEN];
};

static bool read_proc(pid_t pid, const char *file, char text[4096])
{
	char path[64];
	size_t length;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	in = fopen(path, "re");
	if (!in)
		return false;
	length = fread(text, 1, 4095, in);
	text[length] = '\0';
	fclose(in);
	return length;
}

static bool read_usage(struct usage *usage)
{
	char text[4096];
	const char *rest;
	unsigned long user = 0, system = 0, resident = 0, threads = 0;

	if (!read_proc(usage->pid, "stat", text) || !(rest = strrchr(text, ')')))
		return false;
	/* Fields 14, 15, 20 and 24 of proc(5), of which the third comes behind the name. */
	if (sscanf(rest + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %lu %*d "
		   "%*u %*u %lu",
		   &user, &system, &threads, &resident) != 4)
		return false;
	usage->ticks = user + system;
	usage->threads = (unsigned)threads;
	usage->resident = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
	/* Of a process that has given its rights up, only root may read this. */
	if (read_proc(usage->pid, "io", text)) {
		if ((rest = strstr(text, "\nread_bytes: ")))
			usage->read_bytes = strtoull(rest + 13, NULL, 10);
		if ((rest = strstr(text, "\nwrite_bytes: ")))
			usage->written = strtoull(rest + 14, NULL, 10);
	}
	return true;
}

static int take_sample(const struct store *store, struct sample *sample)
{
	char **names, reason[REASON];
	unsigned count;
	int error = store_machine_names(store, &names, &count);

	if (error)
		return error;
	sample->when = host_now();
	sample->count = 0;
	for (unsigned i = 0; i < count && sample->count < MACHINES_SEEN; i++) {
		struct usage *usage = &sample->list[sample->count];
		struct store_machine machine;
		struct state state;

		if (store_find(store, names[i], &machine, reason, sizeof(reason)))
			continue;
		state_read(&machine, &state);
		memset(usage, 0, sizeof(*usage));
		snprintf(usage->name, sizeof(usage->name), "%.31s", names[i]);
		usage->pid = state.pid;
		usage->state = state.state;
		if ((state.state == MACHINE_RUNNING || state.state == MACHINE_PAUSED) &&
		    read_usage(usage))
			sample->count++;
		store_close(&machine);
	}
	store_names_free(names, count);
	return 0;
}

static const struct usage *find_usage(const struct sample *sample, pid_t pid)
{
	for (unsigned i = 0; i < sample->count; i++)
		if (sample->list[i].pid == pid)
			return &sample->list[i];
	return NULL;
}

/* Between two samples, in a second. */
static double rate(const struct sample *old, const struct sample *new, uint64_t before,
		   uint64_t after)
{
	return (double)(after - before) * 1e9 / (double)(new->when - old->when);
}

static void put_usage(const struct sample *old, const struct sample *new, const struct usage *usage,
		      struct json *out)
{
	const struct usage *before = find_usage(old, usage->pid);
	double percent, reads, writes;

	if (!before)
		before = usage; /* it has come between the two */
	percent = rate(old, new, before->ticks, usage->ticks) * 100 / (double)sysconf(_SC_CLK_TCK);
	reads = rate(old, new, before->read_bytes, usage->read_bytes);
	writes = rate(old, new, before->written, usage->written);
	if (!out) {
		printf("%-31s %-8s %6.1f %8.1fM %9.1fK %9.1fK\n", usage->name,
		       state_name(usage->state), percent, (double)usage->resident / 1048576,
		       reads / 1024, writes / 1024);
		return;
	}
	json_begin(out, NULL, '{');
	json_text(out, "name", usage->name);
	json_text(out, "state", state_name(usage->state));
	json_number(out, "pid", (uint64_t)usage->pid);
	json_number(out, "cpu-thousandths", (uint64_t)(percent * 10));
	json_number(out, "resident", usage->resident);
	json_number(out, "disk-read-per-second", (uint64_t)reads);
	json_number(out, "disk-written-per-second", (uint64_t)writes);
	json_number(out, "threads", usage->threads);
	json_end(out, '}');
}

static void put_sample(const struct sample *old, const struct sample *new, bool as_json, bool clear)
{
	struct json out = {0};

	if (as_json)
		json_begin(&out, NULL, '[');
	else
		printf("%s%-31s %-8s %6s %9s %10s %10s\n", clear ? "\033[H\033[J" : "", "NAME",
		       "STATE", "CPU%", "MEMORY", "READ/s", "WRITE/s");
	for (unsigned i = 0; i < new->count; i++)
		put_usage(old, new, &new->list[i], as_json ? &out : NULL);
	if (as_json)
		json_end(&out, ']');
	fflush(stdout);
}

static int top(struct verb_call *call)
{
	static struct sample samples[2];
	bool as_json = verb_given(call, "--json"), on_terminal = isatty(STDOUT_FILENO);
	unsigned interval, times, at = 0;
	struct store store;
	int status = verb_store(call, &store);

	if (status || !verb_number(call, "--interval", 1, 3600, 1, &interval) ||
	    !verb_number(call, "--times", 1, 1000000, on_terminal && !as_json ? 1000000 : 1,
			 &times))
		return status ? status : LODGE_BAD_OPTION;
	if (take_sample(&store, &samples[at]))
		return complain_with(LODGE_HOST_LACKS, "top: %s can't be read", store.machines);
	for (unsigned i = 0; i < times && !ferror(stdout); i++) {
		sleep(interval);
		at = !at;
		if (!take_sample(&store, &samples[at]))
			put_sample(&samples[!at], &samples[at], as_json, on_terminal && !as_json);
	}
	return LODGE_OK;
}

/* events */

/* One machine that is looked after. */
struct seen {
	char name[MACHINE_NAME_MAX];
	bool there; /* still in the store */
	enum machine_state state;
	pid_t pid;
	struct control_client *client; /* NULL: it doesn't run */
};

struct events {
	struct verb_call *call;
	struct store store;
	struct seen list[MACHINES_SEEN];
	unsigned count;
	int notify;
};

static bool is_wanted(const struct events *events, const char *name)
{
	for (unsigned i = 0; i < events->call->word_count; i++)
		if (!strcmp(events->call->words[i], name))
			return true;
	return !events->call->word_count;
}

static void put_event(const struct events *events, const char *name, const char *event,
		      const char *detail)
{
	struct timespec now;
	struct tm parts;
	char text[64] = "";

	clock_gettime(CLOCK_REALTIME, &now);
	if (verb_given(events->call, "--json")) {
		json_t *line = json_pack("{s:f, s:s, s:s, s:s?}", "time",
					 (double)now.tv_sec + (double)now.tv_nsec / 1e9, "machine",
					 name, "event", event, "detail", detail);
		char *dumped = line ? json_dumps(line, JSON_COMPACT) : NULL;

		if (dumped)
			puts(dumped);
		free(dumped);
		json_decref(line);
	} else {
		if (localtime_r(&now.tv_sec, &parts))
			strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
		printf("%s %s %s%s%s\n", text, name, event, detail ? " " : "",
		       detail ? detail : "");
	}
	fflush(stdout);
}

static struct seen *find_seen(struct events *events, const char *name)
{
	for (unsigned i = 0; i < events->count; i++)
		if (!strcmp(events->list[i].name, name))
			return &events->list[i];
	return NULL;
}

static void disconnect(struct seen *seen)
{
	if (seen->client)
		control_disconnect(seen->client);
	seen->client = NULL;
}

/* What has become of a machine since it was last looked at. quiet: it was there before us. */
static void look_at(struct events *events, const char *name, bool quiet)
{
	struct seen *seen = find_seen(events, name);
	struct store_machine machine;
	char reason[REASON];
	struct state state;
	bool is_new = !seen;

	if (store_find(&events->store, name, &machine, reason, sizeof(reason)))
		return;
	if (is_new) {
		if (events->count == MACHINES_SEEN) {
			store_close(&machine);
			return;
		}
		seen = &events->list[events->count++];
		memset(seen, 0, sizeof(*seen));
		snprintf(seen->name, sizeof(seen->name), "%.31s", name);
		/* Its state is a file that is written in place. */
		inotify_add_watch(events->notify, machine.folder, IN_MODIFY | IN_CREATE);
		if (!quiet)
			put_event(events, name, "created", NULL);
	}
	state_read(&machine, &state);
	seen->there = true;
	if (state.pid != seen->pid || state.state != seen->state) {
		bool runs = state.state == MACHINE_RUNNING || state.state == MACHINE_PAUSED;

		if (runs && !seen->client && !control_connect(&seen->client, state.control)) {
			if (!quiet)
				put_event(events, name, "started", NULL);
			if (control_request(seen->client, "subscribe", NULL, NULL, reason,
					    sizeof(reason)))
				disconnect(seen);
		} else if (!runs && !quiet && state.state != MACHINE_STARTING &&
			   (!is_new || state.state == MACHINE_CRASHED)) {
			put_event(events, name, state_name(state.state),
				  state.reason[0] ? state.reason : NULL);
		}
		seen->state = state.state;
		seen->pid = state.pid;
	}
	store_close(&machine);
}

static void look_at_all(struct events *events, bool quiet)
{
	char **names;
	unsigned count;

	if (store_machine_names(&events->store, &names, &count))
		return;
	for (unsigned i = 0; i < events->count; i++)
		events->list[i].there = false;
	for (unsigned i = 0; i < count; i++)
		if (is_wanted(events, names[i]))
			look_at(events, names[i], quiet);
	store_names_free(names, count);
	for (unsigned i = 0; i < events->count; i++) {
		struct seen *seen = &events->list[i];

		if (seen->there || seen->client)
			continue;
		put_event(events, seen->name, "removed", NULL);
		*seen = events->list[--events->count];
		i--;
	}
}

/* Something has come from a machine: an event, or its end, after which its state says more. */
static void take_event(struct events *events, struct seen *seen)
{
	json_t *line, *data;
	char reason[1200];
	const char *event, *detail;
	int error = control_wait_event(seen->client, 1000, &line, reason, sizeof(reason));

	if (error) {
		disconnect(seen);
		return;
	}
	event = json_string_value(json_object_get(line, "event"));
	data = json_object_get(line, "data");
	detail = json_string_value(json_object_get(data, "port"));
	if (!detail)
		detail = json_string_value(json_object_get(data, "disk"));
	/* Its end is told once its process has noted it. */
	if (strcmp(event, "stopped") != 0)
		put_event(events, seen->name, event, detail);
	json_decref(line);
}

static int events(struct verb_call *call)
{
	struct events *events = calloc(1, sizeof(*events));
	int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), status;
	unsigned seconds;
	uint64_t until;

	if (events)
		events->notify = notify;
	if (!events || notify < 0)
		return complain_with(LODGE_HOST_LACKS, "events: %s", strerror(errno));
	events->call = call;
	status = verb_store(call, &events->store);
	if (status || !verb_number(call, "--timeout", 1, 86400 * 365, 0, &seconds))
		return status ? status : LODGE_BAD_OPTION;
	until = seconds ? host_now() + seconds * UINT64_C(1000000000) : UINT64_MAX;
	inotify_add_watch(notify, events->store.machines,
			  IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE);
	look_at_all(events, true);
	while (host_now() < until && !ferror(stdout)) {
		struct pollfd files[MACHINES_SEEN + 1] = {{.fd = notify, .events = POLLIN}};
		unsigned count = events->count;
		char bytes[4096];

		for (unsigned i = 0; i < count; i++)
			files[i + 1] = (struct pollfd){
				.fd = events->list[i].client
					      ? control_client_file(events->list[i].client)
					      : -1,
				.events = POLLIN};
		/* Also without a word: a process that is killed says nothing. */
		if (poll(files, count + 1, 250) > 0) {
			(void)!read(notify, bytes, sizeof(bytes));
			for (unsigned i = 0; i < count; i++)
				if (files[i + 1].revents)
					take_event(events, &events->list[i]);
		}
		look_at_all(events, false);
	}
	close(notify);
	free(events);
	return LODGE_OK;
}

static const struct verb_option top_options[] = {
	{"--interval", "SECONDS", false, "between two looks (default 1)"},
	{"--times", "N", false, "how often (default: for ever on a terminal, else once)"},
	VERB_JSON,
	VERB_END,
};

static const struct verb_option events_options[] = {
	{"--timeout", "SECONDS", false, "ends after so long (default: never)"},
	{"--json", NULL, false, "each as a line of JSON"},
	VERB_END,
};

const struct verb verbs_watch[] = {
	{"top",
	 "[OPTION...]",
	 "shows what machines take of this host",
	 0,
	 0,
	 {0, 0},
	 top_options,
	 false,
	 false,
	 top,
	 "CPU% is of one processor; MEMORY what the process holds; the disks' figures are what the "
	 "kernel read and wrote for it (shown to root, and where the host allows it)."},
	{"events",
	 "[OPTION...] [NAME...]",
	 "tells what happens to machines, a line each",
	 0,
	 VERB_WORDS_MAX,
	 {COMPLETE_MACHINE, COMPLETE_MACHINE},
	 events_options,
	 false,
	 false,
	 events,
	 "created, started, paused, resumed, power-button, reset, port-added, port-removed, "
	 "disk-full (what the guest writes waits for room on this host), disk-goes-on, stopped, "
	 "crashed, removed."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
