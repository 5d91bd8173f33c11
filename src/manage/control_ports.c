/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * On a network of machines it is the switch that forwards, and it may take its time to say so: a
 * change waits without the vm's lock, and those behind it wait for it.
 */
#include "manage/control_ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "manage/net.h"
#include "manage/run_state.h"

struct port_change {
	struct user_forward_change asked;
	struct run *run;
	struct control_call *call;
	struct port_change *next;
};

json_t *control_ports_list(const struct run *run)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < run->forward_count; i++) {
		char text[USER_FORWARD_TEXT];

		user_forward_text(&run->forwards[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

void control_port_list(struct run *run, struct control_call *call)
{
	control_answer(call, json_pack("{s:o}", "ports", control_ports_list(run)));
}

/* The same port of this host: two forwards of it can't be. */
static unsigned find(const struct run *run, const struct user_forward *forward)
{
	unsigned i = 0;

	while (i < run->forward_count && !user_forward_same_host(&run->forwards[i], forward))
		i++;
	return i;
}

/* The argument `port`. False: the call has failed. */
static bool take_port(struct run *run, struct control_call *call, struct user_forward *forward)
{
	char reason[512];

	if (!run->netport || run->options->net == NET_TAP) {
		control_fail(call, CONTROL_BAD_STATE,
			     run->netport ? "behind a tap the guest has an address of its own: no "
					    "port is forwarded"
					  : "the machine has no network card");
		return false;
	}
	if (!user_forward_parse(control_string(call, "port", ""), forward, reason, sizeof(reason)))
		return true;
	control_fail(call, CONTROL_BAD_ARGUMENT, "%s", reason);
	return false;
}

static void tell(struct run *run, const char *event, const struct user_forward *forward)
{
	char text[USER_FORWARD_TEXT];

	user_forward_text(forward, text);
	control_event(run->control, event, json_pack("{s:s}", "port", text));
}

/* Takes the first one from the list. */
static void change_free(struct port_change *change)
{
	change->run->port_changes = change->next;
	free(change);
}

/* Whether the first one can be. False: it has failed. */
static bool change_fits(const struct port_change *change)
{
	const struct user_forward *forward = &change->asked.forward;
	const struct run *run = change->run;
	unsigned i = find(run, forward);

	if (!change->asked.remove && run->forward_count == OPTIONS_FORWARDS_MAX) {
		control_fail(change->call, CONTROL_BAD_STATE,
			     "there can be %u forwarded ports at most", OPTIONS_FORWARDS_MAX);
		return false;
	}
	if (change->asked.remove &&
	    (i == run->forward_count || run->forwards[i].guest_port != forward->guest_port)) {
		control_fail(change->call, CONTROL_BAD_ARGUMENT, "port \"%s\" is not forwarded",
			     control_string(change->call, "port", ""));
		return false;
	}
	return true;
}

static void change_answer(const struct port_change *change, int error, const char *reason)
{
	const struct user_forward *forward = &change->asked.forward;
	struct run *run = change->run;

	if (error) {
		control_fail(change->call, CONTROL_HOST, "%s", reason);
		return;
	}
	if (change->asked.remove)
		run->forwards[find(run, forward)] = run->forwards[--run->forward_count];
	else
		run->forwards[run->forward_count++] = *forward;
	tell(run, change->asked.remove ? "port-removed" : "port-added", forward);
	control_answer(change->call, NULL);
}

/* Carries out what there is, up to the first that takes time. */
static void changes_go_on(struct run *run)
{
	struct port_change *change;
	char reason[512];
	int error;

	for (; (change = run->port_changes); change_free(change)) {
		if (!change_fits(change))
			continue;
		error = net_change_begin(run->options, run->netport, &change->asked, reason,
					 sizeof(reason));
		if (error == -EINPROGRESS)
			return;
		change_answer(change, error, reason);
	}
}

static void change_done(struct user_forward_change *asked, int error, const char *reason)
{
	struct port_change *change = container_of(asked, struct port_change, asked);
	struct run *run = change->run;

	change_answer(change, error, reason);
	change_free(change);
	changes_go_on(run);
}

static void change_add(struct run *run, struct control_call *call, bool remove)
{
	struct port_change **end = &run->port_changes, *change;
	struct user_forward forward;

	if (!take_port(run, call, &forward))
		return;
	change = malloc(sizeof(*change));
	if (!change) {
		control_fail(call, CONTROL_HOST, "no memory");
		return;
	}
	*change = (struct port_change){
		.asked = {forward, remove, change_done}, .run = run, .call = call};
	while (*end)
		end = &(*end)->next;
	*end = change;
	if (change == run->port_changes)
		changes_go_on(run);
}

void control_port_add(struct run *run, struct control_call *call)
{
	change_add(run, call, false);
}

void control_port_remove(struct run *run, struct control_call *call)
{
	change_add(run, call, true);
}

void control_ports_abandon(struct run *run)
{
	if (run->port_changes)
		net_change_forget(run->options, run->netport);
	while (run->port_changes) {
		control_fail(run->port_changes->call, CONTROL_BAD_STATE, "the machine has stopped");
		change_free(run->port_changes);
	}
}
