/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/control_ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manage/net.h"
#include "manage/run_state.h"

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

void control_port_add(struct run *run, struct control_call *call)
{
	struct user_forward forward;
	char reason[512];

	if (!take_port(run, call, &forward))
		return;
	if (run->forward_count == OPTIONS_FORWARDS_MAX) {
		control_fail(call, CONTROL_BAD_STATE, "there can be %u forwarded ports at most",
			     OPTIONS_FORWARDS_MAX);
		return;
	}
	if (net_forward_add(run->options, run->netport, &forward, reason, sizeof(reason))) {
		control_fail(call, CONTROL_HOST, "%s", reason);
		return;
	}
	run->forwards[run->forward_count++] = forward;
	tell(run, "port-added", &forward);
	control_answer(call, NULL);
}

void control_port_remove(struct run *run, struct control_call *call)
{
	struct user_forward forward;
	char reason[512];
	unsigned i;

	if (!take_port(run, call, &forward))
		return;
	i = find(run, &forward);
	if (i == run->forward_count || run->forwards[i].guest_port != forward.guest_port) {
		control_fail(call, CONTROL_BAD_ARGUMENT, "port \"%s\" is not forwarded",
			     control_string(call, "port", ""));
		return;
	}
	if (net_forward_remove(run->options, run->netport, &forward, reason, sizeof(reason))) {
		control_fail(call, CONTROL_HOST, "%s", reason);
		return;
	}
	run->forwards[i] = run->forwards[--run->forward_count];
	tell(run, "port-removed", &forward);
	control_answer(call, NULL);
}
