/* SPDX-License-Identifier: BSD-2-Clause */
/* What the side that a machine leaves takes back when it stays. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include "engines/scripted/scripted.h"
#include "manage/run_state.h"

#define DISKS 3

static struct run *run;
static struct options options;
static bool here[DISKS];
static unsigned busy; /* the disk that another process has */

static struct disk disks[DISKS];

static int lend(struct disk *disk, bool away)
{
	unsigned i = (unsigned)(disk - disks);

	if (!away && i == busy)
		return -EBUSY;
	here[i] = !away;
	return 0;
}

static void begin(void)
{
	static const struct disk_ops ops = {.lend = lend};
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = 4 << 20,
					 .hole_base = UINT64_C(0xc0000000),
					 .engine = &engine_scripted};

	run = calloc(1, sizeof(*run));
	REQUIRE(run && vm_create(&run->vm, &config) == 0);
	options.net = NET_NONE;
	run->options = &options;
	run->disk_count = DISKS;
	for (unsigned i = 0; i < DISKS; i++) {
		disks[i].ops = &ops;
		run->disks[i] = &disks[i];
	}
	run->in_doubt = true;
}

static bool resume(void)
{
	bool may;

	vm_lock(&run->vm);
	may = migrate_resume(run);
	vm_unlock(&run->vm);
	return may;
}

/* All disks or none, so that the other process can have them; and no network without them: there is
 * none here that could be taken back. */
TEST(a_machine_in_doubt_needs_all_of_its_disks)
{
	begin();
	for (busy = 0; busy < DISKS; busy++) {
		options.net = NET_TAP;
		EXPECT(!resume());
		EXPECT(run->in_doubt);
		EXPECT(!here[0] && !here[1] && !here[2]);
	}
	options.net = NET_NONE;
	EXPECT(resume());
	EXPECT(!run->in_doubt);
	EXPECT(here[0] && here[1] && here[2]);
	vm_destroy(&run->vm);
	free(run);
}
