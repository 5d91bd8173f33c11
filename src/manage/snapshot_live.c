/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order in which it is made keeps the machine whole whoever is killed, and when:
 *
 *	1. empty overlays on the layers that its process writes to
 *	2. machine.conf names them: the disks are still what they were
 *	3. the process saves memory and goes on in the overlays, while it stands for a moment
 *	4. the memory's file gets its name
 *	5. the snapshot is written: only now there is one
 *
 * What is restored is an empty overlay again, as old as the layer that it stands on: so the check
 *of a saved machine's disks, which goes by their time, holds for it.
 */
#include "manage/snapshot_live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/kept.h"
#include "manage/safe_file.h"
#include "manage/saved_file.h"
#include "manage/target.h"
#include "manage/verb_machine.h"

#define REASON	    (STORE_PATH + 512)
#define FILES_MAX   8 /* that go along with a request */
#define NANOSECONDS UINT64_C(1000000000)

/* Making one */

struct making {
	const struct store_machine *machine;
	const struct machine_config *config;
	const struct layers *layers;
	char files[MACHINE_DISKS_MAX][LAYER_NAME]; /* the overlays */
	struct target memory;
	int descriptors[FILES_MAX];
	unsigned count;
	json_t *overlays, *result;
};

static int cant(const struct verb_call *call, const char *what, int error)
{
	return complain_with(LODGE_HOST_LACKS, "%s: %s: %s", call->verb->name, what,
			     strerror(-error));
}

/* The overlays, as the request has them. */
static int open_overlays(const struct verb_call *call, struct making *making)
{
	char path[STORE_PATH];

	making->overlays = json_array();
	for (unsigned i = 0; i < making->layers->count; i++) {
		int fd;

		store_path(making->machine, making->files[i], path);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return cant(call, path, -errno);
		making->descriptors[making->count++] = fd;
		if (json_array_append_new(making->overlays,
					  json_pack("{s:i, s:s}", "disk",
						    (int)making->layers->disks[i].disk, "path",
						    path)))
			return cant(call, path, -EILSEQ);
	}
	return LODGE_OK;
}

/* *taken: the process may be writing to the overlays. */
static int ask(const struct verb_call *call, struct making *making, bool memory, bool *taken)
{
	const struct control_exchange exchange = {
		.command = "save",
		.arguments =
			json_pack("{s:b, s:O}", "memory", memory, "overlays", making->overlays),
		.files = making->descriptors,
		.file_count = making->count,
		.timeout = -1,
	};
	struct control_client *client;
	char code[64] = "", reason[REASON];
	int status = verb_connect(making->machine, &client), error;

	*taken = false;
	if (status)
		return status;
	error = control_ask(client, &exchange, &making->result, code, sizeof(code), reason,
			    sizeof(reason));
	control_disconnect(client);
	*taken = error && error != -EREMOTEIO;
	if (!error)
		return LODGE_OK;
	return complain_with(
		LODGE_HOST_LACKS, "%s: %s: %s%s", call->verb->name, making->machine->name, reason,
		memory && !strcmp(code, "bad-state") ? " (its disks alone can be kept: --disk-only)"
						     : "");
}

static int exchange(const struct verb_call *call, struct making *making, bool memory)
{
	char reason[REASON];
	bool taken = false;
	int status = open_overlays(call, making);

	if (!status)
		status = ask(call, making, memory, &taken);
	if (status && !taken &&
	    layers_shrink(making->machine, making->config, making->layers, making->files, reason,
			  sizeof(reason)))
		complain("%s: %s", call->verb->name, reason);
	return status;
}

static int keep(const struct verb_call *call, struct making *making,
		const struct snapshot_entry *entry)
{
	int error = entry->memory ? target_finish(&making->memory) : 0;

	if (!error)
		error = snapshot_write(making->machine, entry);
	return error ? cant(call, entry->name, error) : LODGE_OK;
}

static int make(const struct verb_call *call, struct making *making,
		const struct snapshot_entry *entry)
{
	char reason[REASON];
	int status;

	if (making->layers->count + 1 > FILES_MAX)
		return complain_with(LODGE_BAD_STATE,
				     "%s: %s has more than %u disks of its own: stop it first",
				     call->verb->name, making->machine->name, FILES_MAX - 1);
	for (unsigned i = 0; i < making->layers->count; i++)
		memcpy(making->files[i], making->layers->disks[i].file, LAYER_NAME);
	if (layers_grow(making->machine, making->config, making->layers, making->files, true,
			reason, sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "%s: %s", call->verb->name, reason);
	status = exchange(call, making, entry->memory);
	if (!status)
		status = keep(call, making, entry);
	if (!status && entry->memory)
		printf("%s: %.1f MiB of memory; the machine stood for %.0f ms\n", entry->name,
		       json_number_value(json_object_get(making->result, "memory")) / (1 << 20),
		       json_number_value(json_object_get(making->result, "milliseconds")));
	return status;
}

int snapshot_live_make(const struct verb_call *call, const struct store_machine *machine,
		       const struct machine_config *config, const struct layers *layers,
		       struct snapshot_entry *entry)
{
	struct making making = {.machine = machine, .config = config, .layers = layers};
	char path[STORE_PATH];
	int error = snapshots_folder(machine), status = LODGE_OK;

	snapshot_memory_path(machine, entry->name, path);
	making.memory.fd = making.memory.folder_fd = -1;
	if (!error && entry->memory) {
		error = target_open(&making.memory, path);
		making.descriptors[making.count++] = making.memory.fd;
	}
	if (error)
		status = cant(call, path, error);
	if (!status)
		status = make(call, &making, entry);
	for (unsigned i = entry->memory ? 1 : 0; i < making.count; i++)
		close(making.descriptors[i]);
	target_close(&making.memory);
	json_decref(making.overlays);
	json_decref(making.result);
	return status;
}

/* Back to one */

static uint64_t modified(const char *path)
{
	struct stat status;

	if (stat(path, &status))
		return 0;
	return (uint64_t)status.st_mtim.tv_sec * NANOSECONDS + (uint64_t)status.st_mtim.tv_nsec;
}

/* Whether its layers are still what its memory knows. */
static int check_layers(const struct verb_call *call, const struct store_machine *machine,
			const struct layers *layers, const struct snapshot_entry *entry,
			const struct saved_config *saved)
{
	char path[STORE_PATH];

	for (unsigned i = 0; i < layers->count; i++) {
		unsigned disk = layers->disks[i].disk;

		store_path(machine, entry->disks[i], path);
		if (disk >= saved->disk_count || modified(path) != saved->disks[disk].modified)
			return complain_with(LODGE_BAD_STATE,
					     "%s: %s: %s is not what the memory knows (written to "
					     "since, or copied): --disk-only goes back without it",
					     call->verb->name, entry->name, path);
	}
	return LODGE_OK;
}

static int make_as_old(const struct store_machine *machine, const struct layers *layers,
		       char (*files)[LAYER_NAME], const struct saved_config *saved)
{
	char path[STORE_PATH];

	for (unsigned i = 0; i < layers->count; i++) {
		uint64_t time = saved->disks[layers->disks[i].disk].modified;
		const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
						  {.tv_sec = (time_t)(time / NANOSECONDS),
						   .tv_nsec = (long)(time % NANOSECONDS)}};

		store_path(machine, files[i], path);
		if (utimensat(AT_FDCWD, path, times, 0))
			return -errno;
	}
	return 0;
}

/* The memory first, which counts for nothing yet; the disks; and then that it is saved. */
static int go_back(const struct verb_call *call, const struct store_machine *machine,
		   const struct machine_config *config, const struct layers *layers,
		   const struct snapshot_entry *entry, const char *memory,
		   const struct saved_config *saved)
{
	char files[MACHINE_DISKS_MAX][LAYER_NAME], reason[REASON];
	int error = kept_take(machine, memory);

	if (error)
		return cant(call, memory, error);
	memcpy(files, entry->disks, sizeof(files));
	if (layers_grow(machine, config, layers, files, false, reason, sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "%s: %s", call->verb->name, reason);
	error = make_as_old(machine, layers, files, saved);
	if (!error)
		error = kept_begin(machine);
	return error ? cant(call, entry->name, error) : LODGE_OK;
}

int snapshot_live_restore(const struct verb_call *call, const struct store_machine *machine,
			  const struct machine_config *config, const struct layers *layers,
			  const struct snapshot_entry *entry)
{
	struct saved_config *saved = malloc(sizeof(*saved));
	char path[STORE_PATH], reason[REASON + SAVED_REASON];
	struct saved_file file = {.fd = -1};
	int status = LODGE_OK;

	snapshot_memory_path(machine, entry->name, path);
	if (!saved)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	if (saved_file_open(&file, path, saved, reason, sizeof(reason)))
		status = complain_with(LODGE_BAD_INPUT, "%s: %s: --disk-only goes back without it",
				       call->verb->name, reason);
	if (!status)
		status = check_layers(call, machine, layers, entry, saved);
	if (!status)
		status = go_back(call, machine, config, layers, entry, path, saved);
	saved_file_close(&file);
	free(saved);
	return status;
}
