/* SPDX-License-Identifier: BSD-2-Clause */
/* port add, ls, rm: in machine.conf, and in the machine if it runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/conf_change.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "manage/net_store.h"
#include "manage/verbs.h"
#include "network/user.h"

#define REASON (STORE_PATH + 512)

static int take_port(const struct verb_call *call, const char *word, char *text)
{
	struct user_forward forward;
	char reason[512];

	if (user_forward_parse(word, &forward, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "%s: %s", call->verb->name, reason);
	user_forward_text(&forward, text);
	return LODGE_OK;
}

/* The line of machine.conf that means this port, as it is written there; NULL: none. */
static const char *find_line(const struct machine_config *config, const char *port)
{
	char text[USER_FORWARD_TEXT], reason[512];
	struct user_forward forward;

	for (unsigned i = 0; i < config->port_count; i++) {
		if (user_forward_parse(config->ports[i], &forward, reason, sizeof(reason)))
			continue;
		user_forward_text(&forward, text);
		if (!strcmp(text, port))
			return config->ports[i];
	}
	return NULL;
}

/* In the machine that runs, first: whether this host gives the port is seen there. */
static int change_port(const char *verb, const struct store_machine *machine, const char *port,
		       const char *line, bool add)
{
	struct conf_change change;
	int status = conf_change_begin(&change, verb, machine);

	if (!status)
		status = conf_change_line(&change, "port", line, add ? port : NULL);
	if (!status) {
		conf_change_ask_or(&change, add ? "port-add" : "port-remove",
				   add ? "port-remove" : "port-add",
				   json_pack("{s:s}", "port", port));
		status = conf_change_apply(&change);
	}
	conf_change_end(&change);
	return status;
}

/* Whether ports can lead to it at all. */
static int check_network(const struct store_machine *machine, const struct machine_config *config)
{
	char name[MACHINE_NET_MAX], reason[REASON];
	struct net_info network;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(config->net, ","), config->net);
	if (!strcmp(name, "none"))
		return complain_with(LODGE_BAD_STATE,
				     "%s has no network card: lodge set --net user %s first",
				     machine->name, machine->name);
	if (!strcmp(name, "tap"))
		return complain_with(LODGE_BAD_STATE,
				     "%s is on a tap, where it has an address of its own: no port "
				     "is forwarded",
				     machine->name);
	if (!*name || !strcmp(name, "user") || net_find(name, &network, reason, sizeof(reason)) ||
	    !network.isolated)
		return LODGE_OK;
	return complain_with(LODGE_BAD_STATE,
			     "%s: network %s is isolated: no port leads to its machines; lodge "
			     "exec, shell and cp work",
			     machine->name, name);
}

/* One port, in its usual form. The lock is held. */
static int add_one(const struct store_machine *machine, struct machine_config *config,
		   const char *port)
{
	int status;

	if (find_line(config, port))
		return complain_with(LODGE_EXISTS, "%s: port %s is forwarded already",
				     machine->name, port);
	status = check_network(machine, config);
	return status ? status : change_port("port add", machine, port, "", true);
}

static int remove_one(const struct store_machine *machine, struct machine_config *config,
		      const char *port)
{
	const char *line = find_line(config, port);

	if (!line)
		return complain_with(LODGE_NOT_FOUND,
				     "%s: port %s is not forwarded: see lodge port "
				     "ls %s",
				     machine->name, port, machine->name);
	return change_port("port rm", machine, port, line, false);
}

static int change(struct verb_call *call,
		  int (*one)(const struct store_machine *machine, struct machine_config *config,
			     const char *port))
{
	struct machine_config *config = malloc(sizeof(*config));
	char port[USER_FORWARD_TEXT], reason[REASON];
	struct store_machine machine;
	struct store store;
	int status =
		config ? verb_store(call, &store) : complain_with(LODGE_HOST_LACKS, "no memory");

	for (unsigned i = 1; !status && i < call->word_count; i++)
		status = take_port(call, call->words[i], port);
	if (!status)
		status = verb_machine_changed(call, &store, call->words[0], &machine);
	if (status) {
		free(config);
		return status;
	}
	for (unsigned i = 1; !status && i < call->word_count; i++) {
		status = take_port(call, call->words[i], port);
		if (!status && store_config(&machine, config, reason, sizeof(reason)))
			status = complain_with(LODGE_BAD_INPUT, "%s", reason);
		if (!status)
			status = one(&machine, config, port);
	}
	store_close(&machine);
	free(config);
	return status;
}

static int add(struct verb_call *call)
{
	return change(call, add_one);
}

static int rm(struct verb_call *call)
{
	return change(call, remove_one);
}

static void show(const struct verb_call *call, const struct machine_config *config)
{
	char text[USER_FORWARD_TEXT], reason[512];
	struct user_forward forward;
	struct json out = {0};

	if (verb_given(call, "--json")) {
		json_begin(&out, NULL, '[');
		for (unsigned i = 0; i < config->port_count; i++) {
			if (user_forward_parse(config->ports[i], &forward, reason, sizeof(reason)))
				continue;
			user_forward_text(&forward, text);
			json_begin(&out, NULL, '{');
			json_text(&out, "port", text);
			json_number(&out, "host", forward.host_port);
			json_number(&out, "guest", forward.guest_port);
			json_text(&out, "protocol", forward.udp ? "udp" : "tcp");
			json_end(&out, '}');
		}
		json_end(&out, ']');
		return;
	}
	for (unsigned i = 0; i < config->port_count; i++) {
		if (user_forward_parse(config->ports[i], &forward, reason, sizeof(reason))) {
			printf("%s\n", config->ports[i]);
			continue;
		}
		user_forward_text(&forward, text);
		printf("%s\n", text);
	}
}

static int ls(struct verb_call *call)
{
	struct machine_config *config = malloc(sizeof(*config));
	struct store_machine machine;
	char reason[REASON];
	struct store store;
	int status =
		config ? verb_store(call, &store) : complain_with(LODGE_HOST_LACKS, "no memory");

	if (!status)
		status = verb_machine(call, &store, call->words[0], &machine);
	if (!status) {
		if (store_config(&machine, config, reason, sizeof(reason)))
			status = complain_with(LODGE_BAD_INPUT, "%s", reason);
		else
			show(call, config);
		store_close(&machine);
	}
	free(config);
	return status;
}

static const struct verb_option ls_options[] = {VERB_JSON, VERB_END};

#define MACHINE                                                                                    \
	{                                                                                          \
		COMPLETE_MACHINE, COMPLETE_NOTHING                                                 \
	}

const struct verb verbs_port[] = {
	{"port add", "NAME [IP:]HOST:GUEST[/udp]...",
	 "makes ports of a machine reachable at ports of this host", 2, VERB_WORDS_MAX, MACHINE,
	 NULL, false, false, add,
	 "At once if it runs, and at each start. Without IP they are bound to 127.0.0.1; one of "
	 "IPv6 stands in brackets: [::1]:8080:80."},
	{"port ls", "[--json] NAME", "lists the forwarded ports of a machine", 1, 1, MACHINE,
	 ls_options, false, false, ls, NULL},
	{"port rm", "NAME [IP:]HOST:GUEST[/udp]...", "ends the forwarding of ports", 2,
	 VERB_WORDS_MAX, MACHINE, NULL, false, false, rm, "Connections that are open stay."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
