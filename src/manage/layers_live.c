/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/layers_live.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/verb_machine.h"

#define REASON	 (STORE_PATH + 512)
#define PATIENCE 10000 /* milliseconds for what a killed command has begun */
#define STEP	 20
#define STEP_DURATION                                                                              \
	{                                                                                          \
		.tv_nsec = STEP * 1000000L                                                         \
	}

/* The status of a machine whose process saves nothing now. */
static int ask_status(const struct verb_call *call, const struct store_machine *machine,
		      json_t **result)
{
	const struct timespec step = STEP_DURATION;
	struct control_client *client;
	int status = verb_connect(machine, &client);

	if (status)
		return status;
	for (int waited = 0;; waited += STEP) {
		status = verb_ask(machine, client, "status", NULL, result);
		if (status || !json_is_true(json_object_get(*result, "saving")))
			break;
		json_decref(*result);
		if (waited >= PATIENCE) {
			status = complain_with(LODGE_BAD_STATE,
					       "%s: %s is being saved: try again in a while",
					       call->verb->name, machine->name);
			break;
		}
		nanosleep(&step, NULL);
	}
	control_disconnect(client);
	return status;
}

/* The name in the machine's folder of the file that its disk has. */
static bool take_file(const json_t *status, unsigned disk, char file[LAYER_NAME])
{
	const json_t *disks = json_object_get(status, "disks");
	const char *path = json_string_value(json_object_get(json_array_get(disks, disk), "file"));
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash || strlen(slash + 1) >= LAYER_NAME)
		return false;
	memcpy(file, slash + 1, strlen(slash + 1) + 1);
	return true;
}

static int agree(const struct verb_call *call, const struct store_machine *machine,
		 const struct machine_config *config, const struct layers *layers)
{
	char files[MACHINE_DISKS_MAX][LAYER_NAME], reason[REASON];
	json_t *result = NULL;
	int status = ask_status(call, machine, &result);

	if (status)
		return status;
	for (unsigned i = 0; i < layers->count && !status; i++)
		if (!take_file(result, layers->disks[i].disk, files[i]))
			status = complain_with(LODGE_BAD_STATE,
					       "%s: %s has not the disks of its machine.conf: stop "
					       "it first",
					       call->verb->name, machine->name);
	if (!status && layers_agree(machine, config, layers, files, reason, sizeof(reason)))
		status = complain_with(LODGE_BAD_STATE, "%s: %s", call->verb->name, reason);
	json_decref(result);
	return status;
}

int layers_live_settle(const struct verb_call *call, const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	struct layers layers;
	char reason[REASON];
	int status = LODGE_OK;

	if (!config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	if (!store_config(machine, config, reason, sizeof(reason)) &&
	    !layers_find(machine, config, &layers, reason, sizeof(reason)) && layers.count)
		status = agree(call, machine, config, &layers);
	free(config);
	return status;
}
