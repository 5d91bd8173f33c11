/* SPDX-License-Identifier: BSD-2-Clause */
/* net create, ls, rm: networks between machines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "manage/net_store.h"
#include "manage/verbs.h"

#define REASON (PATH_MAX + 512)

static int status_of(int error)
{
	switch (error) {
	case -EINVAL:
		return LODGE_BAD_OPTION;
	case -EEXIST:
		return LODGE_EXISTS;
	case -ENOENT:
		return LODGE_NOT_FOUND;
	case -EBUSY:
		return LODGE_BAD_STATE;
	default:
		return LODGE_HOST_LACKS;
	}
}

static int create(struct verb_call *call)
{
	struct net_info info = {.isolated = verb_given(call, "--isolated"),
				.trust_guests = verb_given(call, "--trust-guests")};
	char reason[REASON];
	int error;

	if (strlen(call->words[0]) > LAN_NAME_MAX)
		return complain_with(LODGE_BAD_OPTION,
				     "net create %s: the name is too long: %d letters are the most",
				     call->words[0], LAN_NAME_MAX);
	strcpy(info.name, call->words[0]);
	error = net_create(&info, reason, sizeof(reason));
	return error ? complain_with(status_of(error), "%s", reason) : LODGE_OK;
}

static void put_json(const struct net_info *list, unsigned count)
{
	struct json out = {0};

	json_begin(&out, NULL, '[');
	for (unsigned i = 0; i < count; i++) {
		json_begin(&out, NULL, '{');
		json_text(&out, "name", list[i].name);
		json_bool(&out, "isolated", list[i].isolated);
		json_bool(&out, "trust-guests", list[i].trust_guests);
		json_bool(&out, "running", list[i].running);
		json_end(&out, '}');
	}
	json_end(&out, ']');
}

static int ls(struct verb_call *call)
{
	struct net_info *list;
	char reason[REASON];
	unsigned count;
	int error = net_list(&list, &count, reason, sizeof(reason));

	if (error)
		return complain_with(status_of(error), "%s", reason);
	if (verb_given(call, "--json")) {
		put_json(list, count);
	} else {
		printf("%-31s %-9s %s\n", "NAME", "WORLD", "STATE");
		for (unsigned i = 0; i < count; i++)
			printf("%-31s %-9s %s%s\n", list[i].name,
			       list[i].isolated ? "isolated" : "nat",
			       list[i].running ? "in use" : "idle",
			       list[i].trust_guests ? ", guests are trusted" : "");
	}
	free(list);
	return LODGE_OK;
}

static int rm(struct verb_call *call)
{
	char reason[REASON];
	int error, status = LODGE_OK;

	for (unsigned i = 0; i < call->word_count; i++) {
		error = net_remove(call->words[i], reason, sizeof(reason));
		if (error)
			status = complain_with(status_of(error), "%s", reason);
	}
	return status;
}

static const struct verb_option create_options[] = {
	{"--isolated", NULL, false, "without a way to the world"},
	{"--trust-guests", NULL, false,
	 "machines may be routers and DHCP servers, and have addresses of others"},
	VERB_END};
static const struct verb_option ls_options[] = {VERB_JSON, VERB_END};

const struct verb verbs_net[] = {
	{"net create",
	 "NAME [--isolated] [--trust-guests]",
	 "makes a network between machines, which run with --net NAME",
	 1,
	 1,
	 {0, 0},
	 create_options,
	 false,
	 false,
	 create,
	 "Its machines get addresses, and find each other by their names; to the world they come "
	 "by address translation. A switch runs while there are machines on it. It lets no machine "
	 "pass itself off as another, or as router or server, unless guests are trusted."},
	{"net ls",
	 "[--json]",
	 "lists the networks between machines",
	 0,
	 0,
	 {0, 0},
	 ls_options,
	 false,
	 false,
	 ls,
	 NULL},
	{"net rm",
	 "NAME...",
	 "removes networks",
	 1,
	 VERB_WORDS_MAX,
	 {COMPLETE_NETWORK, COMPLETE_NETWORK},
	 NULL,
	 false,
	 false,
	 rm,
	 "One that machines are on stays."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
