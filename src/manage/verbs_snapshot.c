/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot create, ls, tree, restore, rm. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "manage/layers_live.h"
#include "manage/plain.h"
#include "manage/snapshot_live.h"
#include "manage/start.h"
#include "manage/verbs.h"

#define REASON (STORE_PATH + 512)

/* A machine that is looked at or changed, with all that snapshots need of it. */
struct subject {
	struct store store;
	struct store_machine machine;
	struct machine_config config;
	struct layers layers;
	struct snapshots snapshots;
	struct needs *needs; /* before anything changes */
};

static void subject_close(struct subject *subject)
{
	layers_needs_free(subject->needs);
	snapshots_free(&subject->snapshots);
	store_close(&subject->machine);
	free(subject);
}

/* Nobody else may touch it; and if it runs, machine.conf names what it writes to; or it must not
 * run.
 */
enum opened { LOOKED_AT, CHANGED, AGREED, STOPPED };

static int find_machine(const struct verb_call *call, enum opened how, struct subject *subject)
{
	const char *name = call->words[0];

	switch (how) {
	case CHANGED:
	case AGREED:
		return verb_machine_changed(call, &subject->store, name, &subject->machine);
	case STOPPED:
		return verb_machine_stopped(call, &subject->store, name, &subject->machine);
	default:
		return verb_machine(call, &subject->store, name, &subject->machine);
	}
}

static int subject_open(struct verb_call *call, enum opened how, struct subject **result)
{
	struct subject *subject = calloc(1, sizeof(*subject));
	char reason[REASON];
	int status, error;

	if (!subject)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	subject->machine.lock = -1;
	status = verb_store(call, &subject->store);
	if (!status)
		status = find_machine(call, how, subject);
	if (!status && how == AGREED && store_is_locked(&subject->machine, STORE_RUN))
		status = layers_live_settle(call, &subject->machine);
	if (!status && store_config(&subject->machine, &subject->config, reason, sizeof(reason)))
		status = complain_with(LODGE_BAD_INPUT, "%s", reason);
	error = status ? 0
		       : layers_find(&subject->machine, &subject->config, &subject->layers, reason,
				     sizeof(reason));
	if (error && how != LOOKED_AT)
		status = complain_with(LODGE_BAD_STATE, "%s: %s", call->verb->name, reason);
	error = status ? 0 : snapshots_read(&subject->machine, &subject->snapshots);
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "%s: its snapshots: %s", call->words[0],
				       strerror(-error));
	if (!status && how != LOOKED_AT)
		subject->needs = layers_needs(&subject->machine);
	if (status)
		subject_close(subject);
	else
		*result = subject;
	return status;
}

/* The snapshot that the second word names. */
static int find(const struct verb_call *call, const struct subject *subject,
		const struct snapshot_entry **entry)
{
	*entry = snapshots_find(&subject->snapshots, call->words[1]);
	if (*entry)
		return LODGE_OK;
	return complain_with(LODGE_NOT_FOUND,
			     "%s: %s has no snapshot %s: lodge snapshot ls %s lists them",
			     call->verb->name, call->words[0], call->words[1], call->words[0]);
}

/* The layers become the snapshot's; machine.conf names others. */
static int make_stopped(const struct verb_call *call, struct subject *subject,
			const struct snapshot_entry *entry)
{
	char files[MACHINE_DISKS_MAX][LAYER_NAME], reason[REASON];
	/* It counts once machine.conf names other layers. */
	int error = snapshot_write(&subject->machine, entry);

	if (error)
		return complain_with(LODGE_HOST_LACKS, "snapshot create: %s: %s", entry->name,
				     strerror(-error));
	memcpy(files, entry->disks, sizeof(files));
	if (layers_grow(&subject->machine, &subject->config, &subject->layers, files, false, reason,
			sizeof(reason))) {
		snapshot_remove(&subject->machine, entry->name);
		return complain_with(LODGE_HOST_LACKS, "snapshot create: %s", reason);
	}
	return LODGE_OK;
}

static int make_snapshot(const struct verb_call *call, struct subject *subject, bool runs)
{
	struct snapshot_entry entry = {.time = (uint64_t)time(NULL),
				       .disk_count = subject->layers.count,
				       .memory = runs && !verb_given(call, "--disk-only")};

	snprintf(entry.name, sizeof(entry.name), "%s", call->words[1]);
	snprintf(entry.words, sizeof(entry.words), "%s", verb_value(call, "--description", ""));
	for (unsigned i = 0; i < entry.disk_count; i++)
		memcpy(entry.disks[i], subject->layers.disks[i].file, LAYER_NAME);
	return runs ? snapshot_live_make(call, &subject->machine, &subject->config,
					 &subject->layers, &entry)
		    : make_stopped(call, subject, &entry);
}

/* For what changes its disks, which its memory knows. */
static int subject_open_unsaved(struct verb_call *call, enum opened how, struct subject **subject)
{
	int status = subject_open(call, how, subject), error;

	if (status)
		return status;
	status = verb_not_saved(call, &(*subject)->machine);
	/* What was never finished must not count once machine.conf names other layers. */
	error = status ? 0 : snapshots_sweep(&(*subject)->machine);
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "%s: %s: its snapshots: %s",
				       call->verb->name, call->words[0], strerror(-error));
	if (status)
		subject_close(*subject);
	return status;
}

/* Removes what nothing needs, and closes. */
static void subject_end(struct subject *subject)
{
	layers_sweep(&subject->store, &subject->machine, subject->needs);
	snapshots_sweep(&subject->machine);
	subject_close(subject);
}

static int create(struct verb_call *call)
{
	struct subject *subject;
	char reason[REASON];
	bool runs;
	int status;

	if (!store_name_check(call->words[1], reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION,
				     "snapshot create: %.80s: is no name for a snapshot: letters, "
				     "digits, - and _, at most 31 of them",
				     call->words[1]);
	status = subject_open_unsaved(call, AGREED, &subject);
	if (status)
		return status;
	runs = store_is_locked(&subject->machine, STORE_RUN);
	if (!runs) {
		/* It stays so only with its other lock. */
		subject_close(subject);
		status = subject_open_unsaved(call, STOPPED, &subject);
		if (status)
			return status;
	}
	if (snapshots_find(&subject->snapshots, call->words[1]))
		status =
			complain_with(LODGE_EXISTS,
				      "snapshot create: %s has a snapshot %s already: take another "
				      "name",
				      call->words[0], call->words[1]);
	else if (!subject->layers.count)
		status =
			complain_with(LODGE_BAD_STATE, "snapshot create: %s has no disk of its own",
				      call->words[0]);
	else
		status = make_snapshot(call, subject, runs);
	subject_end(subject);
	return status;
}

static int restore_disks(struct subject *subject, const struct snapshot_entry *entry)
{
	char files[MACHINE_DISKS_MAX][LAYER_NAME], reason[REASON];

	memcpy(files, entry->disks, sizeof(files));
	if (!layers_grow(&subject->machine, &subject->config, &subject->layers, files, false,
			 reason, sizeof(reason)))
		return LODGE_OK;
	return complain_with(LODGE_HOST_LACKS, "snapshot restore: %s", reason);
}

static int restore(struct verb_call *call)
{
	const struct snapshot_entry *entry;
	struct subject *subject;
	bool memory = false;
	int status = subject_open_unsaved(call, STOPPED, &subject);

	if (status)
		return status;
	status = find(call, subject, &entry);
	if (!status && entry->damaged)
		status = complain_with(LODGE_BAD_INPUT,
				       "snapshot restore: %s: its file in %s/snapshots can't be "
				       "read, or is damaged",
				       entry->name, subject->machine.folder);
	if (!status && entry->disk_count != subject->layers.count)
		status = complain_with(LODGE_BAD_STATE,
				       "snapshot restore: %s has another number of disks now",
				       call->words[0]);
	if (!status) {
		memory = entry->memory && !verb_given(call, "--disk-only");
		status = memory ? snapshot_live_restore(call, &subject->machine, &subject->config,
							&subject->layers, entry)
				: restore_disks(subject, entry);
	}
	layers_sweep(&subject->store, &subject->machine, subject->needs);
	/* It ran; so it does again. */
	if (!status && memory && !verb_given(call, "--no-start"))
		status = machine_start(&subject->store, &subject->machine, NULL, false);
	subject_close(subject);
	return status;
}

static int rm(struct verb_call *call)
{
	const struct snapshot_entry *entry;
	struct subject *subject;
	int status = subject_open(call, CHANGED, &subject), error;

	if (status)
		return status;
	status = find(call, subject, &entry);
	error = status ? 0 : snapshot_remove(&subject->machine, entry->name);
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "snapshot rm: %s: %s", call->words[1],
				       strerror(-error));
	subject_end(subject);
	return status;
}

static void put_json(const struct subject *subject)
{
	const struct snapshots *snapshots = &subject->snapshots;
	struct json out = {0};

	json_begin(&out, NULL, '{');
	json_text(&out, "current", snapshots->current[0] ? snapshots->current : NULL);
	json_begin(&out, "snapshots", '[');
	for (unsigned i = 0; i < snapshots->count; i++) {
		const struct snapshot_entry *entry = &snapshots->list[i];

		json_begin(&out, NULL, '{');
		json_text(&out, "name", entry->name);
		json_text(&out, "parent", entry->parent[0] ? entry->parent : NULL);
		json_number(&out, "time", entry->time);
		json_bool(&out, "memory", entry->memory);
		json_bool(&out, "damaged", entry->damaged);
		json_number(&out, "size", snapshot_size(&subject->machine, entry));
		json_text(&out, "description", entry->words);
		json_end(&out, '}');
	}
	json_end(&out, ']');
	json_end(&out, '}');
}

static const char *when(const struct snapshot_entry *entry, char text[64])
{
	time_t time = (time_t)entry->time;
	struct tm parts;

	if (!localtime_r(&time, &parts) || !strftime(text, 64, "%Y-%m-%d %H:%M:%S", &parts))
		text[0] = '\0';
	return text;
}

static int ls(struct verb_call *call)
{
	struct subject *subject;
	int status = subject_open(call, LOOKED_AT, &subject);
	char text[64];

	if (status)
		return status;
	if (verb_given(call, "--json")) {
		put_json(subject);
	} else {
		printf("%-31s %-19s %-6s %8s  %s\n", "NAME", "TIME", "MEMORY", "SIZE",
		       "DESCRIPTION");
		for (unsigned i = 0; i < subject->snapshots.count; i++) {
			const struct snapshot_entry *entry = &subject->snapshots.list[i];
			uint64_t size = snapshot_size(&subject->machine, entry);
			char words[SNAPSHOT_WORDS];

			if (entry->damaged) {
				printf("%-31s damaged\n", entry->name);
				continue;
			}
			snprintf(words, sizeof(words), "%s", entry->words);
			plain_line(words);
			printf("%-31s %-19s %-6s %7.1fM  %s\n", entry->name, when(entry, text),
			       entry->memory ? "yes" : "no", (double)size / (1 << 20), words);
		}
	}
	subject_close(subject);
	return LODGE_OK;
}

/* What stands on this one, one step further in; the machine itself too. */
static void put_tree(const struct snapshots *snapshots, const char *parent, unsigned depth)
{
	/* A parent is older than its child, but clocks are set: no chain is longer than the list.
	 */
	if (depth > snapshots->count)
		return;
	for (unsigned i = 0; i < snapshots->count; i++) {
		if (strcmp(snapshots->list[i].parent, parent) != 0)
			continue;
		printf("%*s%s\n", (int)depth * 2, "", snapshots->list[i].name);
		put_tree(snapshots, snapshots->list[i].name, depth + 1);
	}
	if (!strcmp(snapshots->current, parent))
		printf("%*s(now)\n", (int)depth * 2, "");
}

static int tree(struct verb_call *call)
{
	struct subject *subject;
	int status = subject_open(call, LOOKED_AT, &subject);

	if (status)
		return status;
	if (verb_given(call, "--json"))
		put_json(subject);
	else
		put_tree(&subject->snapshots, "", 0);
	subject_close(subject);
	return LODGE_OK;
}

static const struct verb_option create_options[] = {
	{"--description", "TEXT", false, "what it is for"},
	{"--disk-only", NULL, false, "without the memory of a machine that runs"},
	VERB_END};
static const struct verb_option restore_options[] = {
	{"--disk-only", NULL, false, "without memory: as after a power failure then"},
	{"--no-start", NULL, false, "leaves it saved: lodge start lets it go on"},
	VERB_END};
static const struct verb_option json_options[] = {VERB_JSON, VERB_END};

#define MACHINE                                                                                    \
	{                                                                                          \
		COMPLETE_MACHINE, COMPLETE_NOTHING                                                 \
	}

#define MACHINE_SNAPSHOT                                                                           \
	{                                                                                          \
		COMPLETE_MACHINE, COMPLETE_SNAPSHOT                                                \
	}

const struct verb verbs_snapshot[] = {
	{"snapshot create", "[--description TEXT] [--disk-only] NAME SNAPSHOT",
	 "keeps a machine as it is", 2, 2, MACHINE, create_options, false, false, create,
	 "Of a machine that runs memory and devices are kept too, and it runs on: it stands for a "
	 "moment only. What is written afterwards goes to new files."},
	{"snapshot ls", "[--json] NAME", "lists the snapshots of a machine", 1, 1, MACHINE,
	 json_options, false, false, ls, NULL},
	{"snapshot tree", "[--json] NAME", "shows which snapshot stands on which", 1, 1, MACHINE,
	 json_options, false, false, tree, "(now) is the machine as it is."},
	{"snapshot restore", "[--disk-only] [--no-start] NAME SNAPSHOT",
	 "makes a machine what it was", 2, 2, MACHINE_SNAPSHOT, restore_options, false, false,
	 restore,
	 "The machine must not run. What has been written since its last snapshot is lost; "
	 "snapshots stay. If it ran at the snapshot, it goes on from there."},
	{"snapshot rm", "NAME SNAPSHOT", "removes a snapshot", 2, 2, MACHINE_SNAPSHOT, NULL, false,
	 false, rm,
	 "Its space is given back once no other snapshot, clone or machine stands on it."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
