/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/control_memory.h"

#include <sys/stat.h>

#include "devices/virtio/balloon.h"
#include "manage/run_state.h"

/* What is left to a guest that gives all else up, so that it can give it back on demand. */
#define LEAST (INT64_C(32) << 20)

/* The guest's own figures: by these names, as far as it has told them. */
static json_t *guest_figures(const struct virtio_balloon *balloon)
{
	static const char *const names[BALLOON_STATS] = {[BALLOON_SWAP_IN] = "swapped-in",
							 [BALLOON_SWAP_OUT] = "swapped-out",
							 [BALLOON_MAJOR_FAULTS] = "major-faults",
							 [BALLOON_MINOR_FAULTS] = "minor-faults",
							 [BALLOON_FREE] = "free",
							 [BALLOON_TOTAL] = "total",
							 [BALLOON_AVAILABLE] = "available",
							 [BALLOON_CACHES] = "caches"};
	json_t *figures = json_object();

	for (unsigned i = 0; i < BALLOON_STATS; i++)
		if (balloon->stats_known >> i & 1)
			json_object_set_new(figures, names[i],
					    json_integer((json_int_t)balloon->stats[i]));
	return figures;
}

/* How much of guest memory this host holds. */
static json_int_t resident(const struct vm *vm)
{
	struct stat status;

	return fstat(vm->memory.handle, &status) ? 0 : (json_int_t)status.st_blocks * 512;
}

void control_memory(struct run *run, struct control_call *call)
{
	struct virtio_balloon *balloon = pc_balloon(run->pc);
	const json_int_t size = (json_int_t)run->vm.memory.size;
	long long leave = control_integer(call, "size", -1);

	if (leave >= 0 && (leave < LEAST || leave > size)) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "memory: size must be %lld to %lld bytes for this machine",
			     (long long)LEAST, (long long)size);
		return;
	}
	if (leave >= 0)
		virtio_balloon_set(balloon, (uint64_t)(size - leave));
	virtio_balloon_ask(balloon);
	control_answer(call,
		       json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "memory", size, "resident",
				 resident(&run->vm), "balloon-target",
				 (json_int_t)virtio_balloon_target(balloon), "balloon",
				 (json_int_t)virtio_balloon_actual(balloon), "given-back",
				 (json_int_t)balloon->given_back, "guest", guest_figures(balloon)));
}
