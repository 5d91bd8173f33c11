/* SPDX-License-Identifier: BSD-2-Clause */
/* top, events: what machines do, as they do it. (top.c has what top does.) */
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
#include "manage/top.h"
#include "manage/verbs.h"

#define REASON	      (STORE_PATH + 512)
#define MACHINES_SEEN 256

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

/* An event, or its end, after which its state says more. */
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

/* Something has come from a machine: several events at once, it may be. */
static void take_events(struct events *events, struct seen *seen)
{
	do
		take_event(events, seen);
	while (seen->client && control_client_has_line(seen->client));
}

/* It may come yet; but a name may be wrong. */
static void tell_missing(const struct verb_call *call, const struct store *store)
{
	for (unsigned i = 0; i < call->word_count; i++) {
		struct store_machine machine;
		char reason[STORE_PATH + 512];
		int error = store_find(store, call->words[i], &machine, reason, sizeof(reason));

		store_close(&machine);
		if (error)
			complain("events: %s%s", reason, error == -ENOENT ? " (waits for it)" : "");
	}
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
	tell_missing(call, &events->store);
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
					take_events(events, &events->list[i]);
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
	 "CPU% is of one processor; MEMORY what the process holds; READ/s, WRITE/s and OPS/s (with "
	 "flushes and discards) what the guest's disks did; NET-IN and NET-OUT the bytes a second "
	 "that its network card received and sent. K, M and G are powers of 1024; - is what a "
	 "machine doesn't say. In a narrow terminal names are cut (+), then columns left out from "
	 "the right."},
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
