/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processor time and memory are the kernel's figures of a machine's process; what its disks and
 * network did the machine says itself, for the kernel can't tell a guest's reads from ours, nor
 * the network of one process from another's.
 */
#include "manage/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "manage/live.h"
#include "manage/verbs.h"
#include "manage/width.h"

#define REASON	      (STORE_PATH + 512)
#define MACHINES_SEEN 256
#define PATIENCE      500 /* milliseconds, for a machine that is busy */
#define NAME_LEAST    8

/* What the machine says of itself, since it began. */
enum count { COUNT_READ, COUNT_WRITTEN, COUNT_OPERATIONS, COUNT_IN, COUNT_OUT, COUNTS };

static const char *const count_names[COUNTS] = {
	[COUNT_READ] = "disk-read-per-second",
	[COUNT_WRITTEN] = "disk-written-per-second",
	[COUNT_OPERATIONS] = "disk-operations-per-second",
	[COUNT_IN] = "network-in-per-second",
	[COUNT_OUT] = "network-out-per-second",
};

struct usage {
	char name[MACHINE_NAME_MAX];
	pid_t pid;
	uint64_t when;
	uint64_t ticks;	   /* of processor time */
	uint64_t resident; /* bytes */
	uint64_t counts[COUNTS];
	bool counted; /* it has answered */
	unsigned threads;
	enum machine_state state;
};

struct sample {
	unsigned count;
	struct usage list[MACHINES_SEEN];
};

/* Looking */

static bool read_process(struct usage *usage)
{
	unsigned long user = 0, system = 0, resident = 0, threads = 0;
	char path[64], text[4096];
	const char *rest;
	size_t length;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)usage->pid);
	in = fopen(path, "re");
	if (!in)
		return false;
	length = fread(text, 1, sizeof(text) - 1, in);
	text[length] = '\0';
	fclose(in);
	/* Fields 14, 15, 20 and 24 of proc(5), of which the third comes behind the name. */
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %lu %*d "
		   "%*u %*u %lu",
		   &user, &system, &threads, &resident) != 4)
		return false;
	usage->ticks = user + system;
	usage->threads = (unsigned)threads;
	usage->resident = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

static void read_counts(struct usage *usage, const struct state *state)
{
	json_t *live = live_status(state, PATIENCE);
	const json_t *disks = json_object_get(live, "disks"), *disk;
	const json_t *network = json_object_get(live, "network");
	uint64_t *counts = usage->counts;
	size_t i;

	usage->counted = json_is_array(disks);
	json_array_foreach(disks, i, disk)
	{
		const json_t *said = json_object_get(disk, "counts");

		counts[COUNT_READ] += live_number(said, "read-bytes");
		counts[COUNT_WRITTEN] += live_number(said, "written-bytes");
		counts[COUNT_OPERATIONS] +=
			live_number(said, "reads") + live_number(said, "writes") +
			live_number(said, "flushes") + live_number(said, "discards");
	}
	counts[COUNT_IN] = live_number(network, "received");
	counts[COUNT_OUT] = live_number(network, "sent");
	json_decref(live);
}

static int take_sample(const struct store *store, struct sample *sample)
{
	char **names, reason[REASON];
	unsigned count;
	int error = store_machine_names(store, &names, &count);

	if (error)
		return error;
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
		if (state.state == MACHINE_RUNNING || state.state == MACHINE_PAUSED) {
			read_counts(usage, &state);
			usage->when = host_now();
			if (read_process(usage))
				sample->count++;
		}
		store_close(&machine);
	}
	store_names_free(names, count);
	return 0;
}

/* Between two looks */

struct rates {
	double percent; /* of one processor */
	double counts[COUNTS];
	bool counted;
};

/* In a second. A count that has become less began anew: the machine has been reset. */
static double rate(const struct usage *old, const struct usage *new, uint64_t before,
		   uint64_t after)
{
	return (double)(after < before ? after : after - before) * 1e9 /
	       (double)(new->when - old->when);
}

static void find_rates(const struct sample *before, const struct usage *new, struct rates *rates)
{
	const struct usage *old = NULL;

	memset(rates, 0, sizeof(*rates));
	for (unsigned i = 0; i < before->count; i++)
		if (before->list[i].pid == new->pid)
			old = &before->list[i];
	if (!old)
		return; /* it has come between the two */
	rates->percent =
		rate(old, new, old->ticks, new->ticks) * 100 / (double)sysconf(_SC_CLK_TCK);
	rates->counted = old->counted && new->counted;
	for (unsigned i = 0; rates->counted && i < COUNTS; i++)
		rates->counts[i] = rate(old, new, old->counts[i], new->counts[i]);
}

/* As a table */

enum { COLUMN_STATE, COLUMN_CPU, COLUMN_MEMORY, COLUMN_COUNTS, COLUMNS = COLUMN_COUNTS + COUNTS };

static const struct {
	const char *heading;
	int width; /* negative: from the left */
} columns[COLUMNS] = {
	[COLUMN_STATE] = {"STATE", -7},
	[COLUMN_CPU] = {"CPU%", 6},
	[COLUMN_MEMORY] = {"MEMORY", 6},
	[COLUMN_COUNTS + COUNT_READ] = {"READ/s", 6},
	[COLUMN_COUNTS + COUNT_WRITTEN] = {"WRITE/s", 7},
	[COLUMN_COUNTS + COUNT_OPERATIONS] = {"OPS/s", 6},
	[COLUMN_COUNTS + COUNT_IN] = {"NET-IN", 6},
	[COLUMN_COUNTS + COUNT_OUT] = {"NET-OUT", 7},
};

struct table {
	int name;	/* how wide names are */
	unsigned shown; /* columns behind */
};

/* For so many columns of the terminal. */
static struct table fit_table(unsigned width)
{
	struct table table = {.shown = COLUMNS};
	unsigned used = 1; /* the last one stays free: some terminals wrap there */

	for (unsigned i = 0; i < COLUMNS; i++) {
		used += 1 + (unsigned)abs(columns[i].width);
		if (used + NAME_LEAST > width) {
			used -= 1 + (unsigned)abs(columns[i].width);
			table.shown = i;
			break;
		}
	}
	table.name = MACHINE_NAME_MAX - 1;
	if (width < used + MACHINE_NAME_MAX - 1)
		table.name = width > used + NAME_LEAST ? (int)(width - used) : NAME_LEAST;
	return table;
}

/* At most five characters up to 9999T. */
static void write_size(char text[16], double value)
{
	static const char units[] = " KMGT";
	unsigned unit = 0;

	while (value >= 1000 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	snprintf(text, 16, "%.*f%.*s", unit && value < 99.95 ? 1 : 0, value, unit ? 1 : 0,
		 units + unit);
}

static void put_row(const struct table *table, const struct usage *usage, const struct rates *rates)
{
	bool cut = strlen(usage->name) > (size_t)table->name;
	char cells[COLUMNS][16];

	snprintf(cells[COLUMN_STATE], 16, "%.15s", state_name(usage->state));
	snprintf(cells[COLUMN_CPU], 16, "%.1f", rates->percent);
	write_size(cells[COLUMN_MEMORY], (double)usage->resident);
	for (unsigned i = 0; i < COUNTS; i++) {
		char *cell = cells[COLUMN_COUNTS + i];

		if (!rates->counted)
			snprintf(cell, 16, "-");
		else if (i == COUNT_OPERATIONS)
			snprintf(cell, 16, "%.0f", rates->counts[i]);
		else
			write_size(cell, rates->counts[i]);
	}
	printf("%-*.*s%s", table->name - cut, table->name - cut, usage->name, cut ? "+" : "");
	for (unsigned i = 0; i < table->shown; i++)
		printf(" %*s", columns[i].width, cells[i]);
	putchar('\n');
}

static void put_table(const struct sample *old, const struct sample *new, bool clear)
{
	const struct table table = fit_table(width_of_output());
	struct rates rates;

	printf("%s%-*s", clear ? "\033[H\033[J" : "", table.name, "NAME");
	for (unsigned i = 0; i < table.shown; i++)
		printf(" %*s", columns[i].width, columns[i].heading);
	putchar('\n');
	for (unsigned i = 0; i < new->count; i++) {
		find_rates(old, &new->list[i], &rates);
		put_row(&table, &new->list[i], &rates);
	}
}

/* As JSON */

static void put_json(const struct sample *old, const struct sample *new)
{
	struct json out = {0};
	struct rates rates;

	json_begin(&out, NULL, '[');
	for (unsigned i = 0; i < new->count; i++) {
		const struct usage *usage = &new->list[i];

		find_rates(old, usage, &rates);
		json_begin(&out, NULL, '{');
		json_text(&out, "name", usage->name);
		json_text(&out, "state", state_name(usage->state));
		json_number(&out, "pid", (uint64_t)usage->pid);
		json_number(&out, "cpu-thousandths", (uint64_t)(rates.percent * 10));
		json_number(&out, "resident", usage->resident);
		for (unsigned k = 0; k < COUNTS; k++)
			if (rates.counted)
				json_number(&out, count_names[k], (uint64_t)rates.counts[k]);
			else
				json_text(&out, count_names[k], NULL);
		json_number(&out, "threads", usage->threads);
		json_end(&out, '}');
	}
	json_end(&out, ']');
}

int top(struct verb_call *call)
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
		if (take_sample(&store, &samples[at]))
			continue;
		if (as_json)
			put_json(&samples[!at], &samples[at]);
		else
			put_table(&samples[!at], &samples[at], on_terminal);
		fflush(stdout);
	}
	return LODGE_OK;
}
