/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory as its own page tables show it, for instructions that the kernel has to look
 * at.
 *
 * Not modelled: code in device memory. Fetching there reads all ones, which is no instruction
 * (#UD).
 */
#include "kernel/vcpu.h"
#include "kernel/vendor.h"
#include "lib/bytes.h"
#include "x86/registers.h"

static void *entry_at(void *context, uint64_t physical)
{
	struct vcpu *vcpu = context;

	/* Of 4 bytes or 8, and aligned: none lies across the end of a large page. */
	return guest_memory(vcpu->guest, physical, 4);
}

/* With nested paging, the four entries of PAE are read when they are needed (APM2 15.25.10). */
static void set_paging(struct vcpu *vcpu, struct paging *paging)
{
	const struct metal_state *state = &vcpu->state;

	paging_configure(paging, &vcpu->paging_features, state->cr0, state->cr3, state->cr4,
			 state->efer);
	if (paging->mode == PAGING_PAE) {
		const uint64_t *entries = guest_memory(vcpu->guest, paging->root, 32);

		for (unsigned i = 0; i < 4; i++)
			paging->pdpte[i] = entries ? entries[i] : 0;
	}
}

bool vcpu_walk(struct vcpu *vcpu, uint64_t linear, unsigned access, struct paging_page *page)
{
	struct paging paging;

	if (vcpu->cpl == 3)
		access |= PAGING_USER;
	else if (vcpu->state.rflags & FLAG_AC)
		access |= PAGING_AC;
	set_paging(vcpu, &paging);
	return paging_walk(&paging, linear, access, entry_at, vcpu, page);
}

enum code_size vcpu_code_size(struct vcpu *vcpu)
{
	struct metal_segment code;

	vendor->segment(vcpu, SEGMENT_CS, &code);
	if ((vcpu->state.efer & EFER_LMA) && (code.attributes & ATTRIBUTES_LONG))
		return CODE_64;
	return code.attributes & ATTRIBUTES_DB ? CODE_32 : CODE_16;
}

/*
 * At most `size` bytes of code, as many as one page has: how many. 0: an exception was raised.
 */
static unsigned fetch_code(struct vcpu *vcpu, uint64_t linear, uint8_t *bytes, unsigned size)
{
	struct paging_page page;
	unsigned offset = linear & (PAGE_SIZE - 1);
	const uint8_t *code;

	if (size > PAGE_SIZE - offset)
		size = (unsigned)PAGE_SIZE - offset;
	if (!vcpu_walk(vcpu, linear, PAGING_FETCH, &page)) {
		vcpu->state.cr2 = linear;
		vcpu_raise_error(vcpu, EXCEPTION_PF, page.error);
		return 0;
	}
	code = guest_memory(vcpu->guest, page.physical, PAGE_SIZE);
	if (code)
		bytes_copy(bytes, code + offset, size);
	else
		bytes_fill(bytes, 0xff, size);
	return size;
}

bool vcpu_decode(struct vcpu *vcpu, struct insn *insn)
{
	enum code_size size = vcpu_code_size(vcpu);
	uint64_t linear = vcpu->state.rip;
	uint8_t bytes[INSN_MAX_LENGTH];
	enum decode_result result;
	unsigned count, more;

	if (size != CODE_64) {
		struct metal_segment code;

		vendor->segment(vcpu, SEGMENT_CS, &code);
		linear = (uint32_t)(linear + code.base);
	}
	count = fetch_code(vcpu, linear, bytes, sizeof(bytes));
	if (!count)
		return false;
	result = insn_decode(insn, bytes, count, size);
	if (result == DECODE_MORE && count < sizeof(bytes)) {
		more = fetch_code(vcpu, linear + count, bytes + count,
				  (unsigned)sizeof(bytes) - count);
		if (!more)
			return false;
		result = insn_decode(insn, bytes, count + more, size);
	}
	if (result == DECODE_OK)
		return true;
	if (result == DECODE_INVALID)
		vcpu_raise(vcpu, EXCEPTION_UD);
	else
		vcpu_raise_error(vcpu, EXCEPTION_GP, 0);
	return false;
}

/* A walk that remembers which entries it went through. */
struct trail {
	struct vcpu *vcpu;
	unsigned count;
};

static void *entry_remembered(void *context, uint64_t physical)
{
	struct trail *trail = context;
	struct fetch_page *page = &trail->vcpu->fetch;
	uint64_t *entry = guest_memory(trail->vcpu->guest, physical, 8);

	if (!entry)
		return NULL;
	for (unsigned i = trail->count; i < 4; i++) {
		page->entry[i] = entry;
		page->value[i] = __atomic_load_n(entry, __ATOMIC_RELAXED);
	}
	trail->count++;
	return entry;
}

uint32_t vcpu_code_find(struct vcpu *vcpu, uint64_t linear, uint64_t cr3)
{
	struct fetch_page *fetch = &vcpu->fetch;
	struct trail trail = {.vcpu = vcpu};
	unsigned offset = linear & (PAGE_SIZE - 1);
	struct paging_page page;
	struct paging paging;

	fetch->linear = FETCH_EMPTY;
	if (offset > PAGE_SIZE - 4)
		return 0;
	paging_configure(&paging, &vcpu->paging_features, CR0_PE | CR0_PG, cr3, CR4_PAE,
			 EFER_LMA | EFER_LME | EFER_NXE);
	if (!paging_walk(&paging, linear, PAGING_QUIET, entry_remembered, &trail, &page))
		return 0;
	fetch->bytes = guest_memory(vcpu->guest, page.physical, PAGE_SIZE);
	if (!fetch->bytes)
		return 0;
	fetch->linear = linear - offset;
	fetch->cr3 = cr3;
	return *(const volatile uint32_t *)(fetch->bytes + offset);
}
