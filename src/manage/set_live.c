/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/set_live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/verbs.h"

#define REASON (STORE_PATH + 512)

/* Asks the machine if it runs; *live says whether. */
static int ask(const struct store_machine *machine, const char *command, json_t *arguments,
	       bool *live)
{
	struct control_client *client;
	int status;

	*live = store_is_locked(machine, STORE_RUN);
	if (!*live) {
		json_decref(arguments);
		return LODGE_OK;
	}
	status = verb_connect(machine, &client);
	if (status) {
		json_decref(arguments);
		return status;
	}
	status = verb_ask(machine, client, command, arguments, NULL);
	control_disconnect(client);
	return status;
}

static struct machine_config *read_config(const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[REASON];

	if (!config) {
		complain("no memory");
	} else if (store_config(machine, config, reason, sizeof(reason))) {
		complain("set: %s", reason);
		free(config);
		config = NULL;
	}
	return config;
}

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
static int change_disk(const struct store_machine *machine, unsigned number, const char *path,
		       const struct options_disk *disk)
{
	char text[MACHINE_FILE_NAME_MAX + DISK_WORDS_MAX], words[DISK_WORDS_MAX];

	disk_words_text(disk, words);
	snprintf(text, sizeof(text), "%s%s", path, words);
	return verb_change_disk(machine, number, text);
}

static int set_disk(const struct store_machine *machine, struct machine_config *config,
		    const char *value, bool *live)
{
	size_t length = strcspn(value, ",");
	unsigned number = length == 3 && !strncmp(value, "vd", 2) ? (unsigned)(value[2] - 'a')
								  : MACHINE_DISKS_MAX;
	struct options_disk disk = {.path = NULL};
	enum hold_full when_full;
	char reason[256], serial[24];
	json_t *limits;
	int status;

	if (number >= config->disk_count)
		return complain_with(LODGE_BAD_OPTION,
				     "set: --disk %s: there is no such disk: %s has %u of them, "
				     "vda and so on",
				     value, machine->name, config->disk_count);
	disk.path = config->disks[number].file;
	disk.read_only = config->disks[number].read_only;
	if (!options_disk_take(&disk, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "set: disk %s: %s", disk.path, reason);
	when_full = disk.when_full;
	status = take_words(&disk, value + length, value);
	if (!status)
		status = change_disk(machine, number, config->disks[number].file, &disk);
	if (status)
		return status;
	snprintf(serial, sizeof(serial), "lodge%u", number);
	limits = json_pack("{s:s, s:I, s:I, s:I, s:I}", "disk", serial, "rate",
			   (json_int_t)disk.limits.rate, "burst", (json_int_t)disk.limits.burst,
			   "operations", (json_int_t)disk.limits.operations, "operations-burst",
			   (json_int_t)disk.limits.operations_burst);
	status = ask(machine, "disk-limit", limits, live);
	*live &= disk.when_full == when_full;
	return status;
}

int set_live_disk(const struct store_machine *machine, const char *value, bool *live)
{
	struct machine_config *config = read_config(machine);
	int status = config ? set_disk(machine, config, value, live) : LODGE_BAD_INPUT;

	free(config);
	return status;
}

static bool is_user(const struct machine_config *config)
{
	return !strcmp(config->net, "user") || !strncmp(config->net, "user,", 5);
}

bool set_live_is_rate(const struct store_machine *machine, const char *value)
{
	struct machine_config *config = read_config(machine);
	struct options options;
	char reason[256];
	bool is;

	options_init(&options);
	is = config && is_user(config) &&
	     options_net_take(&options, value, reason, sizeof(reason)) && options.net == NET_USER;
	free(config);
	return is;
}

/* With the new network it could not start. */
static int check_ports(const struct store_machine *machine, const struct machine_config *config,
		       const struct options *options)
{
	if (!config->port_count || (options->net != NET_NONE && options->net != NET_TAP))
		return LODGE_OK;
	return complain_with(LODGE_BAD_STATE,
			     "set: --net: %s forwards port %s: lodge port rm %s %s first, and all "
			     "that lodge port ls %s shows",
			     machine->name, config->ports[0], machine->name, config->ports[0],
			     machine->name);
}

int set_live_net(const struct store_machine *machine, const char *value, bool *live)
{
	struct machine_config *config;
	struct options options;
	char reason[256];
	bool was_user;
	int status;

	options_init(&options);
	if (!options_net_take(&options, value, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "set: --net %s: %s", value, reason);
	config = read_config(machine);
	if (!config)
		return LODGE_BAD_INPUT;
	was_user = is_user(config);
	status = check_ports(machine, config, &options);
	free(config);
	if (!status)
		status = verb_change_conf(machine, "net", NULL, value);
	if (status || !was_user || options.net != NET_USER)
		return status;
	return ask(machine, "net-limit",
		   json_pack("{s:I}", "rate", (json_int_t)options.network.rate), live);
}
