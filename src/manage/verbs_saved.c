/* SPDX-License-Identifier: BSD-2-Clause */
/* restore, discard: machines whose memory is kept (lodge save NAME). */
#include <string.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/kept.h"
#include "manage/start.h"
#include "manage/verb_wait.h"
#include "manage/verbs.h"

static int no_memory_kept(const struct verb_call *call, const struct store_machine *machine,
			  const struct state *state)
{
	return complain_with(LODGE_BAD_STATE, "%s: %s is %s, not saved: lodge save %s saves it",
			     call->verb->name, machine->name, state_name(state->state),
			     machine->name);
}

static int restore_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	struct state state;
	int status = verb_machine_changed(call, store, name, &machine);
	size_t mark;

	if (status)
		return status;
	mark = verb_wait_mark(&machine);
	state_read(&machine, &state);
	status = state.state == MACHINE_SAVED ? machine_start(store, &machine, NULL, false)
					      : no_memory_kept(call, &machine, &state);
	if (!status)
		status = verb_wait_until(call, &machine, mark);
	store_close(&machine);
	return status;
}

static int restore(struct verb_call *call)
{
	return verb_for_each(call, restore_one);
}

static int discard_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	struct state state;
	int status = verb_machine_changed(call, store, name, &machine), error;

	if (status)
		return status;
	state_read(&machine, &state);
	if (state.state != MACHINE_SAVED) {
		status = no_memory_kept(call, &machine, &state);
	} else {
		/* Nobody starts it meanwhile: that takes the lock that we have. */
		error = kept_discard(&machine);
		if (error)
			status = complain_with(LODGE_HOST_LACKS, "discard: %s: %s", name,
					       strerror(-error));
	}
	store_close(&machine);
	return status;
}

static int discard(struct verb_call *call)
{
	return verb_for_each(call, discard_one);
}

int verb_not_saved(const struct verb_call *call, const struct store_machine *machine)
{
	struct state state;

	state_read(machine, &state);
	if (state.state != MACHINE_SAVED)
		return LODGE_OK;
	return complain_with(LODGE_BAD_STATE,
			     "%s: %s is saved, and goes on from its memory: lodge start %s first, "
			     "or lodge discard %s",
			     call->verb->name, machine->name, machine->name, machine->name);
}

static const struct verb_option restore_options[] = {VERB_WAIT, VERB_UNTIL, VERB_TIMEOUT, VERB_END};

#define MACHINES                                                                                   \
	{                                                                                          \
		COMPLETE_MACHINE, COMPLETE_MACHINE                                                 \
	}

const struct verb verbs_saved[] = {
	{"restore", "[OPTION...] NAME...", "lets saved machines go on from where they were", 1,
	 VERB_WORDS_MAX, MACHINES, restore_options, false, false, restore,
	 "What lodge start does too, but of machines that are saved only."},
	{"discard", "NAME...", "drops the memory of saved machines: they are stopped then", 1,
	 VERB_WORDS_MAX, MACHINES, NULL, false, false, discard,
	 "Their disks are what they would be after a power failure."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
