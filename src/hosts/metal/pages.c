/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory from the kernel. */
#include "hosts/metal/pages.h"

#include "core/host.h"
#include "engines/metal/call.h"
#include "lib/error.h"

#define PAGE 4096

static size_t rounded(size_t size)
{
	return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

void *host_pages(size_t size)
{
	int64_t address = METAL_CALL(METAL_MAP, rounded(size));

	return address < 0 ? NULL : (void *)address;
}

void host_pages_free(void *pages, size_t size)
{
	if (pages)
		METAL_CALL(METAL_UNMAP, (uintptr_t)pages, rounded(size));
}

/* To wait for a word brings its page in, before a time that has passed ends it. */
bool pages_touch(const void *address)
{
	uintptr_t word = (uintptr_t)address & ~(uintptr_t)3;

	return METAL_CALL(METAL_WAIT, word, 0, 0) != -EFAULT;
}

void *host_guest_memory(size_t size, int *handle)
{
	int64_t address = METAL_CALL(METAL_GUEST_MEMORY, size);

	*handle = -1;
	return address < 0 ? NULL : (void *)address;
}

/* The kernel sets a machine's memory aside as a whole, and takes none of it back before the end. */
int host_guest_memory_discard(void *memory, int handle, uint64_t offset, uint64_t length)
{
	return -ENOTSUP;
}

/* It is the machine's as long as its process lives. */
void host_guest_memory_free(void *memory, size_t size, int handle)
{
}
