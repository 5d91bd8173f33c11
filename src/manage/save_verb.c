/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/save_verb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/control_client.h"
#include "manage/exitcodes.h"
#include "manage/kept.h"
#include "manage/layers_live.h"
#include "manage/target.h"
#include "manage/verbs.h"

#define REASON 1024

#define END_PATIENCE 60000 /* milliseconds that its process may take */

int machine_socket(const char *name, char *path, size_t size, char *reason, size_t reason_size)
{
	char folder[STORE_PATH];
	int length, error = 0;

	if (strchr(name, '/')) {
		length = snprintf(path, size, "%s", name);
	} else {
		if (!store_name_check(name, reason, reason_size))
			return -EINVAL;
		error = store_runtime_folder(folder, reason, reason_size);
		if (error)
			return error;
		length = snprintf(path, size, "%s/%s/control", folder, name);
	}
	if ((size_t)length < size)
		return 0;
	snprintf(reason, reason_size, "%.80s: is too long a name", name);
	return -ENAMETOOLONG;
}

/* The exchange */

struct saving {
	const char *machine;
	struct control_client *client;
	struct target target;
	int lifeline[2]; /* a pipe: what is written there lets the machine end */
	bool stop;
	const struct store_machine *kept; /* NULL: not in the store */
	json_t *result;
};

static int cant_write(const struct saving *saving, int error)
{
	return complain_with(LODGE_HOST_LACKS, "save %s: %s", saving->target.path,
			     strerror(-error));
}

static int begin(struct saving *saving, const char *path)
{
	char socket[PATH_MAX], reason[REASON];
	int error;

	if (!saving->kept &&
	    machine_socket(saving->machine, socket, sizeof(socket), reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "save: %s", reason);
	error = target_open(&saving->target, path);
	if (error)
		return cant_write(saving, error);
	if (saving->stop && pipe2(saving->lifeline, O_CLOEXEC) < 0)
		return complain_with(LODGE_HOST_LACKS, "save: %s", strerror(errno));
	if (saving->kept)
		return verb_connect(saving->kept, &saving->client);
	error = control_connect(&saving->client, socket);
	if (error == -ENOENT || error == -ECONNREFUSED)
		return complain_with(LODGE_NOT_FOUND,
				     "save: no machine %s runs (no one listens at %s)",
				     saving->machine, socket);
	if (error)
		return complain_with(LODGE_BAD_INPUT, "save: machine %s: %s", saving->machine,
				     strerror(-error));
	return LODGE_OK;
}

static int ask(struct saving *saving)
{
	const int files[2] = {saving->target.fd, saving->lifeline[0]};
	const struct control_exchange exchange = {
		.command = "save",
		.arguments =
			json_pack("{s:b, s:b}", "stop", saving->stop, "keep", saving->kept != NULL),
		.files = files,
		.file_count = saving->stop ? 2 : 1,
		.timeout = -1,
	};
	char code[64], reason[REASON];

	if (control_ask(saving->client, &exchange, &saving->result, code, sizeof(code), reason,
			sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "save: machine %s: %s", saving->machine,
				     reason);
	return LODGE_OK;
}

static int finish(struct saving *saving)
{
	int error = target_finish(&saving->target);

	if (error)
		return cant_write(saving, error);
	if (saving->stop && write(saving->lifeline[1], "", 1) != 1)
		return complain_with(LODGE_HOST_LACKS,
				     "save: machine %s has ended before it was told to",
				     saving->machine);
	return LODGE_OK;
}

static int save(struct saving *saving, const char *path)
{
	int status = begin(saving, path);

	if (!status)
		status = ask(saving);
	if (!status)
		status = finish(saving);
	if (!status)
		printf("%s: %.1f MiB of memory; the machine stood for %.0f ms%s\n",
		       saving->kept ? saving->machine : path,
		       json_number_value(json_object_get(saving->result, "memory")) / (1 << 20),
		       json_number_value(json_object_get(saving->result, "milliseconds")),
		       saving->stop ? ", and has ended" : "");
	return status;
}

/* To be waited for, so that the next command finds it saved, and a power failure too. */
static int await_end(const struct store_machine *machine)
{
	struct state state;
	int error;

	if (!verb_wait_end(machine, END_PATIENCE))
		return complain_with(LODGE_TIMEOUT,
				     "save: %s is saved, but its process doesn't end: lodge kill "
				     "would lose its memory: try lodge info %s in a while",
				     machine->name, machine->name);
	error = kept_settle(machine);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "save: %s: its record: %s", machine->name,
				     strerror(-error));
	state_read(machine, &state);
	if (state.state == MACHINE_SAVED)
		return LODGE_OK;
	return complain_with(LODGE_BAD_STATE, "save: %s was ended by something else meanwhile",
			     machine->name);
}

/* Its memory stays in its folder. Until its record says "saved" the file doesn't count. */
static int keep(const struct verb_call *call, struct saving *saving)
{
	struct store_machine machine;
	char path[STORE_PATH];
	struct store store;
	struct state state;
	int status = verb_store(call, &store);

	if (!status)
		status = verb_machine_changed(call, &store, saving->machine, &machine);
	if (status)
		return status;
	saving->kept = &machine;
	saving->stop = true;
	kept_path(&machine, path);
	state_read(&machine, &state);
	if (state.state == MACHINE_SAVED)
		status = complain_with(LODGE_BAD_STATE, "save: %s is saved already", machine.name);
	else
		status = layers_live_settle(call, &machine);
	if (!status)
		status = save(saving, path);
	if (!status)
		status = await_end(&machine);
	saving->kept = NULL;
	store_close(&machine);
	return status;
}

static int save_verb(struct verb_call *call)
{
	struct saving saving = {.lifeline = {-1, -1},
				.machine = call->words[0],
				.stop = verb_given(call, "--stop")};
	int status;

	if (call->word_count == 1 && strchr(call->words[0], '/'))
		return complain_with(LODGE_BAD_OPTION,
				     "save: %s is no machine that is kept: say where to save it: "
				     "lodge save [--stop] MACHINE FILE",
				     call->words[0]);
	saving.target.fd = saving.target.folder_fd = -1;
	status = call->word_count == 2 ? save(&saving, call->words[1]) : keep(call, &saving);
	/* A pipe that is closed lets the machine go on. */
	for (unsigned i = 0; i < 2; i++)
		if (saving.lifeline[i] >= 0)
			close(saving.lifeline[i]);
	if (saving.client)
		control_disconnect(saving.client);
	json_decref(saving.result);
	target_close(&saving.target);
	return status;
}

static const struct verb_option save_options[] = {
	{"--stop", NULL, false, "ends the machine once FILE is whole and safe"}, VERB_END};

const struct verb verbs_save[] = {
	{"save",
	 "[--stop] MACHINE [FILE]",
	 "saves a machine that runs: its memory too",
	 1,
	 2,
	 {COMPLETE_MACHINE, COMPLETE_FILE},
	 save_options,
	 false,
	 TAKES_NONE,
	 save_verb,
	 "MACHINE is a machine's name, or the socket of lodge run --control SOCKET. With FILE it "
	 "goes "
	 "on, unless --stop is given; lodge run --restore FILE goes on with what was saved. "
	 "Without "
	 "FILE its memory is kept in its folder, and it ends: it is saved. lodge start goes on "
	 "with "
	 "it, lodge discard drops its memory."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, TAKES_NONE, NULL, NULL},
};
