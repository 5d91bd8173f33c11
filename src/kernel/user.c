/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The current process's memory, at addresses that it named. What is copied may fault; the page is
 * brought in then, as if the process had touched it, and the copy goes on.
 */
#include <stddef.h>

#include "kernel/mapping.h"
#include "kernel/page.h"
#include "kernel/process.h"
#include "lib/bits.h"
#include "lib/checked.h"
#include "lib/error.h"

uint64_t user_copy(void *to, const void *from, uint64_t size);

static bool touch(uint64_t address, bool write)
{
	struct process *process = process_this();
	bool there;

	lock_take(&process->lock);
	there = mapping_touch(process, address, write, NULL);
	lock_drop(&process->lock);
	return there;
}

/* One of `to` and `from` is the process's: address. */
static int copy(char *to, const char *from, uint64_t size, uint64_t address, bool write)
{
	uint64_t done = 0;

	if (!range_within(address, size, METAL_USER_END))
		return -EFAULT;
	for (;;) {
		done = size - user_copy(to + done, from + done, size - done);
		if (done == size)
			return 0;
		if (!touch(address + done, write))
			return -EFAULT;
	}
}

int user_read(void *to, ua_t from, uint64_t size)
{
	return copy(to, (const char *)from.value, size, from.value, false);
}

int user_write(ua_t to, const void *from, uint64_t size)
{
	return copy((char *)to.value, from, size, to.value, true);
}

void *user_page(struct process *process, ua_t address)
{
	pa_t physical;
	unsigned rights;

	if (!mapping_touch(process, address.value, true, NULL) ||
	    !page_find(process->root, address.value, &physical, &rights))
		return NULL;
	return direct(physical);
}
