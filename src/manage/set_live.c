/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/set_live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/control_client.h"
#include "manage/exitcodes.h"
#include "manage/limits.h"
#include "manage/live.h"
#include "manage/state.h"
#include "manage/verbs.h"

#define REASON	 (STORE_PATH + 512)
#define PATIENCE 10000 /* milliseconds */

/* Puts what the words say into the disk. */
static int take_words(struct options_disk *disk, const char *words, const char *value)
{
	char text[256], reason[256];
	struct options_disk was = *disk;

	snprintf(text, sizeof(text), "disk%s", words);
	disk->path = text;
	if (strlen(words) + 8 > sizeof(text))
		return complain_with(LODGE_BAD_OPTION, "set: --disk %s: is too long", value);
	if (!options_disk_take(disk, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "set: --disk %s: %s", value, reason);
	if (strcmp(text, "disk") != 0 || disk->read_only != was.read_only ||
	    disk->format != was.format || !words[0])
		return complain_with(LODGE_BAD_OPTION,
				     "set: --disk %s: write rate=SIZE, burst=SIZE, ops=N, "
				     "ops-burst=N or on-full=wait|error behind the disk",
				     value);
	return LODGE_OK;
}

/* What stands in machine.conf for the disk. */
static int change_disk(struct conf_change *change, unsigned number, const char *path,
		       const struct options_disk *disk)
{
	char text[MACHINE_FILE_NAME_MAX + DISK_WORDS_MAX], words[DISK_WORDS_MAX];

	disk_words_text(disk, words);
	snprintf(text, sizeof(text), "%s%s", path, words);
	return conf_change_disk(change, number, text);
}

/* The request that gives the disk its limits. */
static json_t *limits_of(unsigned number, const struct options_disk *disk)
{
	char serial[24];

	snprintf(serial, sizeof(serial), "lodge%u", number);
	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "disk", serial, "rate",
			 (json_int_t)disk->limits.rate, "burst", (json_int_t)disk->limits.burst,
			 "operations", (json_int_t)disk->limits.operations, "operations-burst",
			 (json_int_t)disk->limits.operations_burst);
}

static int set_disk(struct conf_change *change, struct machine_config *config, const char *value,
		    bool *live)
{
	size_t length = strcspn(value, ",");
	unsigned number = length == 3 && !strncmp(value, "vd", 2) ? (unsigned)(value[2] - 'a')
								  : MACHINE_DISKS_MAX;
	struct options_disk disk = {.path = NULL}, was;
	char reason[256];
	int status;

	if (number >= config->disk_count)
		return complain_with(LODGE_BAD_OPTION,
				     "set: --disk %s: there is no such disk: %s has %u of them, "
				     "vda and so on",
				     value, change->machine->name, config->disk_count);
	disk.path = config->disks[number].file;
	disk.read_only = config->disks[number].read_only;
	if (!options_disk_take(&disk, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "set: disk %s: %s", disk.path, reason);
	was = disk;
	status = take_words(&disk, value + length, value);
	if (!status)
		status = change_disk(change, number, config->disks[number].file, &disk);
	if (status)
		return status;
	conf_change_ask(change, "disk-limit", limits_of(number, &disk), limits_of(number, &was));
	*live = change->runs && disk.when_full == was.when_full;
	return LODGE_OK;
}

int set_live_disk(struct conf_change *change, const char *value, bool *live)
{
	struct machine_config *config = malloc(sizeof(*config));
	int status;

	if (!config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = conf_change_config(change, config);
	if (!status)
		status = set_disk(change, config, value, live);
	free(config);
	return status;
}

/* The rate of a card that has address translation; -1: it is another one. */
static json_int_t user_rate_of(const char *net)
{
	struct options options;
	char reason[256];

	options_init(&options);
	if (!net[0] || !options_net_take(&options, net, reason, sizeof(reason)) ||
	    options.net != NET_USER)
		return -1;
	return (json_int_t)options.network.rate;
}

bool set_live_is_rate(const struct store_machine *machine, const char *value)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[REASON];
	bool is = config && !store_config(machine, config, reason, sizeof(reason)) &&
		  user_rate_of(config->net) >= 0 && user_rate_of(value) >= 0;

	free(config);
	return is;
}

/* With the new network it could not start. */
static int check_ports(const struct conf_change *change, const struct machine_config *config,
		       const struct options *options)
{
	const char *name = change->machine->name;

	if (!config->port_count || (options->net != NET_NONE && options->net != NET_TAP))
		return LODGE_OK;
	return complain_with(LODGE_BAD_STATE,
			     "set: --net: %s forwards port %s: lodge port rm %s %s first, and all "
			     "that lodge port ls %s shows",
			     name, config->ports[0], name, config->ports[0], name);
}

static int set_net(struct conf_change *change, const struct machine_config *config,
		   const struct options *options, const char *value, bool *live)
{
	json_int_t was = user_rate_of(config->net);
	int status = check_ports(change, config, options);

	if (!status)
		status = conf_change_line(change, "net", NULL, value);
	if (status || was < 0 || options->net != NET_USER)
		return status;
	*live = change->runs;
	conf_change_ask(change, "net-limit",
			json_pack("{s:I}", "rate", (json_int_t)options->network.rate),
			json_pack("{s:I}", "rate", was));
	return LODGE_OK;
}

int set_live_net(struct conf_change *change, const char *value, bool *live)
{
	struct machine_config *config;
	struct options options;
	char reason[256];
	int status;

	options_init(&options);
	if (!options_net_take(&options, value, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "set: --net %s: %s", value, reason);
	config = malloc(sizeof(*config));
	if (!config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = conf_change_config(change, config);
	if (!status)
		status = set_net(change, config, &options, value, live);
	free(config);
	return status;
}

/* Processors */

static json_t *cpu_limit(const char *key, unsigned value)
{
	return json_pack("{s:i}", key, (int)value);
}

/* The weight of the machine's control group is asked of its process, which has its file open. */
static void ask_group(struct conf_change *change, const struct state *state, unsigned weight)
{
	json_t *live = live_status(state, PATIENCE);
	uint64_t was = live_number(json_object_get(live, "cpu"), "weight");

	if (was)
		conf_change_ask(change, "cpu-limit", cpu_limit("weight", weight),
				cpu_limit("weight", (unsigned)was));
	json_decref(live);
}

static int set_cpu(struct conf_change *change, const char *key, const char *value,
		   struct machine_config *config, bool *live)
{
	unsigned was = config->cap;
	struct state state;
	int status = conf_change_line(change, key, NULL, value);

	if (!status)
		status = conf_change_config(change, config);
	if (status || !change->runs)
		return status;
	*live = true;
	state_read(change->machine, &state);
	if (!strcmp(key, "cap"))
		conf_change_ask(change, "cpu-limit", cpu_limit("cap", config->cap),
				cpu_limit("cap", was));
	else if (!strcmp(key, "weight"))
		ask_group(change, &state, config->weight);
	else if (limits_bind_check(config->processors))
		return complain_with(LODGE_HOST_LACKS,
				     "set: --processors %s: this host lets us use none of them "
				     "(nproc says how many there are)",
				     value);
	return LODGE_OK;
}

int set_live_cpu(struct conf_change *change, const char *key, const char *value, bool *live)
{
	struct machine_config *config = malloc(sizeof(*config));
	int status;

	if (!config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = conf_change_config(change, config);
	if (!status)
		status = set_cpu(change, key, value, config, live);
	free(config);
	return status;
}

/* Its number in the record is the process's own word. */
static pid_t process_of(const struct store_machine *machine)
{
	struct control_client *client;
	struct state state;
	pid_t pid;

	state_read(machine, &state);
	if (control_connect(&client, state.control))
		return -1;
	pid = control_client_peer(client);
	control_disconnect(client);
	return pid;
}

int set_live_outside(const struct conf_change *change, bool weight, bool processors, bool *live)
{
	struct machine_config *config;
	int error = 0, status;
	pid_t process;

	if (!change->runs || (!weight && !processors))
		return LODGE_OK;
	config = malloc(sizeof(*config));
	if (!config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	status = conf_change_config(change, config);
	process = process_of(change->machine);
	if (process <= 0)
		error = -ESRCH;
	if (!status && !error && processors)
		error = limits_bind(process, config->processors);
	if (!status && !error && weight)
		error = limits_share_of(process, config->weight);
	free(config);
	if (error == -EACCES || error == -EPERM)
		*live = false;
	else if (error)
		return complain_with(LODGE_HOST_LACKS, "set: %s: its process: %s",
				     change->machine->name, strerror(-error));
	return status;
}
