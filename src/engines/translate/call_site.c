/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/call_site.h"

#include <stddef.h>

#include "engines/translate/code_cache.h"

static struct call_site *place(struct machine_code *code, uint64_t at, uint64_t page, uint32_t mode)
{
	uint64_t hash = (at ^ page << 7 ^ mode) * 0x9e3779b97f4a7c15u;

	return &code->call_sites[hash >> 32 & (CALL_SITES - 1)];
}

struct call_site *call_site_find(struct machine_code *code, uint64_t at, uint64_t page,
				 uint32_t mode)
{
	struct call_site *site = place(code, at, page, mode);

	return site->at == at && site->page == page && site->mode == mode ? site : NULL;
}

void call_site_enter(struct machine_code *code, const struct call_site *site)
{
	*place(code, site->at, site->page, site->mode) = *site;
}

void call_site_forget(struct machine_code *code, uint64_t at, uint64_t page, uint32_t mode)
{
	struct call_site *site = call_site_find(code, at, page, mode);

	if (site)
		site->mode = 0;
}

int callee_number(struct machine_code *code, uint64_t linear, uint64_t physical, uint32_t mode)
{
	unsigned i = 0;

	for (; i < code->callee_count; i++) {
		const struct callee *callee = &code->callees[i];

		if (callee->linear == linear && callee->physical == physical &&
		    callee->mode == mode)
			return (int)i;
	}
	if (i == CALLEES)
		return -1;
	code->callees[i] = (struct callee){linear, physical, mode};
	return (int)code->callee_count++;
}
