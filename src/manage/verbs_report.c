/* SPDX-License-Identifier: BSD-2-Clause */
/* ls, info: what there is and how it does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manage/agent_client.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "manage/kept.h"
#include "manage/live.h"
#include "manage/safe_file.h"
#include "manage/verbs.h"
#include "manage/width.h"

#define LS_REST		32 /* columns of ls behind the name */
#define LS_NAME_LEAST	8
#define REASON		(STORE_PATH + 512)
#define CRASH_LINES	10
#define STATUS_PATIENCE 10000 /* milliseconds */
#define PROCESSORS_TEXT 256

/* One machine as ls shows it. */
#define AGENT_PATIENCE                                                                             \
	500 /* milliseconds: a guest that has no agent, or is busy, is shown without */

struct row {
	struct store_machine machine;
	struct state state;
	struct machine_config config;
	bool broken;
	char why[REASON];
};

static const char *shown_state(const struct row *row)
{
	return row->broken && row->state.state == MACHINE_STOPPED ? "broken"
								  : state_shown(&row->state);
}

/* Colours only for people, and for those who want them (no-color.org). */
static const char *colour(const struct row *row)
{
	const char *no = getenv("NO_COLOR");

	if ((no && *no) || !isatty(STDOUT_FILENO))
		return "";
	if (row->state.state == MACHINE_RUNNING)
		return "\033[32m";
	if (row->state.state == MACHINE_CRASHED || row->broken)
		return "\033[31m";
	return row->state.state == MACHINE_PAUSED ? "\033[33m" : "";
}

static void read_row(struct row *row)
{
	state_read(&row->machine, &row->state);
	row->broken = store_config(&row->machine, &row->config, row->why, sizeof(row->why));
}

static const char *since(const struct row *row, char text[32])
{
	const uint64_t now = (uint64_t)time(NULL), started = row->state.started;
	uint64_t seconds = now > started ? now - started : 0; /* clocks are set */

	if (row->state.state != MACHINE_RUNNING && row->state.state != MACHINE_PAUSED)
		return "-";
	if (seconds < 120)
		snprintf(text, 32, "%us", (unsigned)seconds);
	else if (seconds < 7200)
		snprintf(text, 32, "%um", (unsigned)(seconds / 60));
	else if (seconds < 172800)
		snprintf(text, 32, "%uh", (unsigned)(seconds / 3600));
	else
		snprintf(text, 32, "%ud", (unsigned)(seconds / 86400));
	return text;
}

/* Of a terminal that is narrow, what the other columns leave; the last one stays free. */
static int name_width(void)
{
	const unsigned width = width_of_output();

	if (width >= LS_REST + MACHINE_NAME_MAX - 1)
		return MACHINE_NAME_MAX - 1;
	return width > LS_REST + LS_NAME_LEAST ? (int)(width - LS_REST) : LS_NAME_LEAST;
}

static void put_row(const struct row *row)
{
	const char *begin = colour(row), *end = *begin ? "\033[0m" : "";
	char text[32];

	printf("%-*s %s%-8s%s ", name_width(), row->machine.name, begin, shown_state(row), end);
	if (row->broken)
		printf("%4s %8s", "-", "-");
	else
		printf("%4u %7lluM", row->config.cpus,
		       (unsigned long long)row->config.memory >> 20);
	printf(" %7s\n", since(row, text));
}

static void put_json(struct json *out, const struct row *row)
{
	json_begin(out, NULL, '{');
	json_text(out, "name", row->machine.name);
	json_text(out, "state", shown_state(row));
	json_text(out, "reason", row->state.reason[0] ? row->state.reason : NULL);
	if (row->state.state == MACHINE_RUNNING || row->state.state == MACHINE_PAUSED)
		json_number(out, "pid", (uint64_t)row->state.pid);
	json_number(out, "started", row->state.started);
	if (!row->broken) {
		json_number(out, "cpus", row->config.cpus);
		json_number(out, "memory", row->config.memory);
	} else {
		json_text(out, "error", row->why);
	}
	json_end(out, '}');
}

static int ls(struct verb_call *call)
{
	struct row *row = malloc(sizeof(*row));
	struct json out = {0};
	struct store store;
	char **names, reason[REASON];
	unsigned count;
	int status = row ? verb_store(call, &store) : complain_with(LODGE_HOST_LACKS, "no memory");
	bool as_json = verb_given(call, "--json");

	if (!status && store_machine_names(&store, &names, &count))
		status = complain_with(LODGE_HOST_LACKS, "ls: %s can't be read", store.machines);
	if (status) {
		free(row);
		return status;
	}
	if (as_json)
		json_begin(&out, NULL, '[');
	else
		printf("%-*s %-8s %4s %8s %7s\n", name_width(), "NAME", "STATE", "CPUS", "MEMORY",
		       "UP");
	for (unsigned i = 0; i < count; i++) {
		/* One that has just been removed is none. */
		if (store_find(&store, names[i], &row->machine, reason, sizeof(reason)))
			continue;
		read_row(row);
		if (as_json)
			put_json(&out, row);
		else
			put_row(row);
		store_close(&row->machine);
	}
	if (as_json)
		json_end(&out, ']');
	store_names_free(names, count);
	free(row);
	return LODGE_OK;
}

/* info */

static uint64_t used_bytes(const struct store_machine *machine, const char *file)
{
	char path[STORE_PATH], name[MACHINE_FILE_NAME_MAX + 1];
	struct stat status;

	/* Behind a comma are words about it; there may be others in the machine's folder. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(file, ","), file);
	if (name[0] == '/')
		snprintf(path, sizeof(path), "%s", name);
	else
		store_path(machine, name, path);
	return stat(path, &status) ? 0 : (uint64_t)status.st_blocks * 512;
}

static void put_time(const char *what, uint64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm parts;
	char text[64];

	if (seconds && localtime_r(&time, &parts) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts))
		printf("%-12s%s\n", what, text);
}

/* As they are written: all, or 0-3,5. */
static const char *processors_text(uint64_t processors, char text[PROCESSORS_TEXT])
{
	size_t length = 0;

	if (processors == UINT64_MAX)
		return "all";
	text[0] = '\0';
	for (unsigned first = 0; first < 64; first++) {
		unsigned last = first;

		if (!(processors >> first & 1))
			continue;
		while (last < 63 && processors >> (last + 1) & 1)
			last++;
		length += (size_t)snprintf(text + length, PROCESSORS_TEXT - length,
					   last > first ? "%s%u-%u" : "%s%u", length ? "," : "",
					   first, last);
		first = last;
	}
	return text;
}

static void put_config(const struct row *row)
{
	const struct machine_config *config = &row->config;
	char text[PROCESSORS_TEXT];

	printf("%-12s%u\n", "cpus", config->cpus);
	printf("%-12s%lluM\n", "memory", (unsigned long long)config->memory >> 20);
	printf("%-12s%s\n", "kernel", config->kernel);
	for (unsigned i = 0; i < config->disk_count; i++)
		printf("%-12s%s%s, %.1f MiB used\n", "disk", config->disks[i].file,
		       config->disks[i].read_only ? ",ro" : "",
		       (double)used_bytes(&row->machine, config->disks[i].file) / 1048576);
	printf("%-12s%s\n", "net", config->net[0] ? config->net : "none");
	if (config->lines[MACHINE_WEIGHT])
		printf("%-12s%u\n", "weight", config->weight);
	if (config->lines[MACHINE_CAP])
		printf("%-12s%u\n", "cap", config->cap);
	if (config->lines[MACHINE_PROCESSORS])
		printf("%-12s%s\n", "processors", processors_text(config->processors, text));
	for (unsigned i = 0; i < config->port_count; i++)
		printf("%-12s%s\n", "port", config->ports[i]);
}

/* What the guest's agent says, line by line: the next one's name and value; false at the end. */
static bool guest_line(char **text, const char **name, const char **value)
{
	char *line, *equals = NULL;

	while (!equals && (line = strsep(text, "\n")))
		equals = strchr(line, '=');
	if (!equals)
		return false;
	*equals = '\0';
	*name = line;
	*value = equals + 1;
	return true;
}

static char *guest_ask(const struct row *row)
{
	return row->state.state == MACHINE_RUNNING ? agent_info(row->state.control, AGENT_PATIENCE)
						   : NULL;
}

static void put_guest(const struct row *row)
{
	char *text = guest_ask(row), *rest = text;
	const char *name, *value;

	while (guest_line(&rest, &name, &value))
		printf("%-12s%.20s %s\n", "guest", name, value);
	free(text);
}

static void put_guest_json(struct json *out, const struct row *row)
{
	char *text = guest_ask(row), *rest = text;
	const char *name, *value;

	if (!text)
		return;
	json_begin(out, "guest", '[');
	while (guest_line(&rest, &name, &value)) {
		json_begin(out, NULL, '{');
		json_text(out, "name", name);
		json_text(out, "value", value);
		json_end(out, '}');
	}
	json_end(out, ']');
	free(text);
}

static void put_info(const struct row *row, const json_t *live)
{
	const char *begin = colour(row), *end = *begin ? "\033[0m" : "";
	bool runs = row->state.state == MACHINE_RUNNING || row->state.state == MACHINE_PAUSED;

	printf("%-12s%s\n%-12s%s%s%s", "name", row->machine.name, "state", begin, shown_state(row),
	       end);
	if (row->state.state == MACHINE_STOPPED && row->state.reason[0])
		printf(" (%s)", row->state.reason);
	putchar('\n');
	if (runs)
		printf("%-12s%d\n", "process", (int)row->state.pid);
	put_time("started", row->state.started);
	if (row->state.state == MACHINE_SAVED)
		printf("%-12s%.1f MiB kept\n", "memory",
		       (double)kept_size(&row->machine) / 1048576);
	if (row->state.state == MACHINE_STOPPED || row->state.state == MACHINE_SAVED)
		put_time("ended", row->state.ended);
	if (row->broken)
		printf("%-12s%s\n", "error", row->why);
	else
		put_config(row);
	if (live) {
		printf("%-12s%s\n", "engine", json_string_value(json_object_get(live, "engine")));
		printf("%-12s%s\n", "cpu model",
		       json_string_value(json_object_get(live, "cpu-model")));
		live_put(live);
		put_guest(row);
	}
	printf("%-12s%s\n", "folder", row->machine.folder);
	if (row->state.state == MACHINE_CRASHED) {
		printf("%-12sits process ended without a word; the end of its console:\n", "crash");
		verb_console_tail(&row->machine, CRASH_LINES, "    ", stdout);
	}
}

static void put_info_json(const struct row *row, const json_t *live)
{
	static const char *const texts[] = {"engine", "cpu-model"};
	char text[PROCESSORS_TEXT];
	struct json out = {0};

	json_begin(&out, NULL, '{');
	json_text(&out, "name", row->machine.name);
	json_text(&out, "state", shown_state(row));
	json_text(&out, "reason", row->state.reason[0] ? row->state.reason : NULL);
	json_text(&out, "folder", row->machine.folder);
	json_number(&out, "started", row->state.started);
	json_number(&out, "ended", row->state.ended);
	json_number(&out, "status", (uint64_t)row->state.status);
	if (row->state.state == MACHINE_SAVED)
		json_number(&out, "kept", kept_size(&row->machine));
	if (live)
		json_number(&out, "pid", (uint64_t)row->state.pid);
	for (size_t i = 0; live && i < sizeof(texts) / sizeof(texts[0]); i++)
		json_text(&out, texts[i], json_string_value(json_object_get(live, texts[i])));
	if (live)
		live_put_json(&out, live);
	if (live)
		json_text(&out, "control", row->state.control);
	if (live)
		put_guest_json(&out, row);
	if (row->broken) {
		json_text(&out, "error", row->why);
	} else {
		json_number(&out, "cpus", row->config.cpus);
		json_number(&out, "memory", row->config.memory);
		json_text(&out, "kernel", row->config.kernel);
		json_text(&out, "net", row->config.net[0] ? row->config.net : "none");
		json_number(&out, "weight", row->config.weight);
		json_number(&out, "cap", row->config.cap);
		json_text(&out, "processors", processors_text(row->config.processors, text));
		json_begin(&out, "disks", '[');
		for (unsigned i = 0; i < row->config.disk_count; i++) {
			json_begin(&out, NULL, '{');
			json_text(&out, "file", row->config.disks[i].file);
			json_bool(&out, "read-only", row->config.disks[i].read_only);
			json_number(&out, "used",
				    used_bytes(&row->machine, row->config.disks[i].file));
			json_end(&out, '}');
		}
		json_end(&out, ']');
		json_begin(&out, "ports", '[');
		for (unsigned i = 0; i < row->config.port_count; i++)
			json_text(&out, NULL, row->config.ports[i]);
		json_end(&out, ']');
	}
	json_end(&out, '}');
}

static int info_one(struct verb_call *call, struct store *store, const char *name)
{
	struct row *row = malloc(sizeof(*row));
	json_t *live;
	int status = row ? verb_machine(call, store, name, &row->machine)
			 : complain_with(LODGE_HOST_LACKS, "no memory");

	if (!status) {
		read_row(row);
		live = live_status(&row->state, STATUS_PATIENCE);
		if (verb_given(call, "--json"))
			put_info_json(row, live);
		else
			put_info(row, live);
		json_decref(live);
		store_close(&row->machine);
	}
	free(row);
	return status;
}

static int info(struct verb_call *call)
{
	return verb_for_each(call, info_one);
}

static const struct verb_option json_options[] = {VERB_JSON, VERB_END};

const struct verb verbs_report[] = {
	{"ls",
	 "[--json]",
	 "lists the machines",
	 0,
	 0,
	 {0, 0},
	 json_options,
	 false,
	 false,
	 ls,
	 "States are stopped, saved (lodge save: its memory is kept), starting, running, paused, "
	 "crashed (its process ended without saying "
	 "so: killed, or the computer failed) and broken (its machine.conf can't be read)."},
	{"info",
	 "[--json] NAME",
	 "says what a machine is and how it does",
	 1,
	 1,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 json_options,
	 false,
	 false,
	 info,
	 "Of one that runs also its engine, the limits of its processors, disks and network in "
	 "force (bytes and operations a second), what keeps a cap (a control group, or Lodge "
	 "itself, and then why), and what of the sandbox is in force, and why not the rest; of one "
	 "that crashed the end of its console."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
