/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/paging.h"

#include "x86/registers.h"

void paging_configure(struct paging *paging, const struct paging_features *features, uint64_t cr0,
		      uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	uint64_t beyond = PAGE_ADDRESS & ~((1ull << features->physical_bits) - 1);

	paging->mode = !(cr0 & CR0_PG)	   ? PAGING_NONE
		       : !(cr4 & CR4_PAE)  ? PAGING_32
		       : (efer & EFER_LMA) ? PAGING_LONG
					   : PAGING_PAE;
	paging->write_protect = cr0 & CR0_WP;
	paging->smep = paging->mode != PAGING_NONE && (cr4 & CR4_SMEP);
	paging->smap = paging->mode != PAGING_NONE && (cr4 & CR4_SMAP);
	paging->large_32 = cr4 & CR4_PSE;
	paging->global_pages = cr4 & CR4_PGE;
	paging->no_execute = (efer & EFER_NXE) && paging->mode >= PAGING_PAE;
	paging->gigabyte_pages = features->gigabyte_pages && paging->mode == PAGING_LONG;
	paging->reserved = beyond;
	if (paging->mode == PAGING_PAE)
		paging->reserved |= 0x7ff0000000000000;
	if (!(efer & EFER_NXE))
		paging->reserved |= PAGE_NX;
	paging->root = paging->mode == PAGING_32    ? cr3 & 0xfffff000
		       : paging->mode == PAGING_PAE ? cr3 & 0xffffffe0
						    : cr3 & PAGE_ADDRESS;
}

bool paging_load_pdpte(struct paging *paging, const uint64_t entries[4])
{
	/* Bits 2:1 and 8:5 and all above the address are reserved (section 4.4.1). */
	uint64_t reserved = paging->reserved | PAGE_NX | 0x1e6;

	for (unsigned i = 0; i < 4; i++)
		if ((entries[i] & PAGE_PRESENT) && (entries[i] & reserved))
			return false;
	for (unsigned i = 0; i < 4; i++)
		paging->pdpte[i] = entries[i];
	return true;
}

bool paging_walk(const struct paging *paging, uint64_t linear, unsigned access,
		 paging_entry_function *entry, void *context, struct paging_page *page)
{
	return paging_walk_with(paging, linear, access, entry, context, page);
}
