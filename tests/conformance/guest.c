/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a sequence in a vm of the software engine: long mode, CPL 0, code and data at the same
 * linear addresses as natively. */
#include "conformance.h"

#include <stddef.h>
#include <string.h>

#include "core/engine.h"
#include "core/vm.h"
#include "engines/translate/engine.h"
#include "engines/translate/translate.h"
#include "x86/cpuid.h"
#include "x86/registers.h"

enum { ES, CS, SS, DS, FS, GS };

/* Guest-physical layout. */
enum {
	PHYSICAL_PML4 = 0x1000,
	PHYSICAL_PDPT = 0x2000,
	PHYSICAL_PD = 0x3000,
	PHYSICAL_PT_CODE = 0x4000,
	PHYSICAL_PT_DATA = 0x5000,
	PHYSICAL_IDT = 0x6000,
	PHYSICAL_GDT = 0x7000,
	PHYSICAL_TSS = 0x8000,
	PHYSICAL_STACK_TOP = 0xa000,
	PHYSICAL_TRAPS = 0xb000, /* one hlt for each vector, at the same linear address */
	PHYSICAL_CODE = 0x10000,
	PHYSICAL_DATA = 0x20000,
};

#define PAGE_FLAGS 0x63u /* present, writable, accessed, dirty */

static struct vm vm;

static void put64(uint64_t address, uint64_t value)
{
	vm_write(&vm, gpa(address), &value, 8);
}

static void map_pages(uint64_t table, uint64_t linear, uint64_t physical, unsigned pages)
{
	for (unsigned i = 0; i < pages; i++)
		put64(table + ((linear >> 12) + i) % 512 * 8, (physical + i * 4096u) | PAGE_FLAGS);
}

static void make_tables(void)
{
	put64(PHYSICAL_PML4, PHYSICAL_PDPT | PAGE_FLAGS);
	put64(PHYSICAL_PDPT, PHYSICAL_PD | PAGE_FLAGS);
	put64(PHYSICAL_PD,
	      0 | PAGE_FLAGS | 0x80); /* the first 2 MiB as they are: traps, stack, tables */
	put64(PHYSICAL_PD + (CODE_ADDRESS >> 21) * 8, PHYSICAL_PT_CODE | PAGE_FLAGS);
	map_pages(PHYSICAL_PT_CODE, CODE_ADDRESS, PHYSICAL_CODE, CODE_SIZE / 4096);
	if (DATA_ADDRESS >> 21 == CODE_ADDRESS >> 21)
		map_pages(PHYSICAL_PT_CODE, DATA_ADDRESS, PHYSICAL_DATA, DATA_SIZE / 4096);
	else
		map_pages(PHYSICAL_PT_DATA, DATA_ADDRESS, PHYSICAL_DATA, DATA_SIZE / 4096);
}

/* Every vector goes to its own hlt on a stack of its own (IST 1). */
static void make_traps(void)
{
	for (unsigned vector = 0; vector < 256; vector++) {
		uint64_t target = PHYSICAL_TRAPS + vector;

		put64(PHYSICAL_IDT + vector * 16, (target & 0xffff) | 8ull << 16 | 1ull << 32 |
							  0x8eull << 40 |
							  (target >> 16 & 0xffff) << 48);
		put64(PHYSICAL_IDT + vector * 16 + 8, 0);
		vm_write(&vm, gpa(target), "\xf4", 1);
	}
	put64(PHYSICAL_GDT, 0);
	put64(PHYSICAL_GDT + 8, 0x00af9b000000ffffull);
	put64(PHYSICAL_GDT + 16, 0x00cf93000000ffffull);
	put64(PHYSICAL_TSS + 0x24, PHYSICAL_STACK_TOP);
}

int guest_create(void)
{
	const struct vm_config config = {
		.vcpus = 1,
		.memory_size = 4 << 20,
		.hole_base = 0x80000000,
		.engine = &engine_translate,
		.cpu_model = cpu_model_find("max"),
	};
	int error = vm_create(&vm, &config);

	if (error)
		return error;
	make_tables();
	make_traps();
	return 0;
}

void guest_destroy(void)
{
	vm_destroy(&vm);
}

static void set_state(struct vcpu_state *state, const struct sequence *sequence)
{
	static const struct segment code = {
		.selector = 8, .attributes = 0xa09b, .limit = 0xffffffff};
	static const struct segment data = {
		.selector = 16, .attributes = 0xc093, .limit = 0xffffffff};

	state->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	state->cr3 = PHYSICAL_PML4;
	state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	state->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	state->xcr0 = 7;
	for (unsigned i = 0; i < 6; i++)
		state->segment[i] = data;
	state->segment[CS] = code;
	state->idtr = (struct table_register){.base = PHYSICAL_IDT, .limit = 0xfff};
	state->gdtr = (struct table_register){.base = PHYSICAL_GDT, .limit = 0x17};
	state->tr = (struct segment){
		.selector = 0x18, .attributes = 0x8b, .limit = 0x67, .base = PHYSICAL_TSS};
	memcpy(state->gpr, sequence->start.gpr, sizeof(state->gpr));
	state->rip = CODE_ADDRESS + sequence->code_offset;
	state->rflags = sequence->start.rflags;
	memcpy(state->xsave, sequence->start.xsave, sizeof(state->xsave));
	state->activity = VCPU_RUNNING;
}

static uint64_t get64(uint64_t address)
{
	uint64_t value;

	vm_read(&vm, gpa(address), &value, 8);
	return value;
}

/* The hlt that it stopped at tells the vector; the frame on the trap stack the rest. */
static void read_trap(const struct vcpu_state *state, struct machine_state *end)
{
	bool has_error =
		(state->rip - 1 - PHYSICAL_TRAPS == 8) ||
		(state->rip - 1 - PHYSICAL_TRAPS >= 10 && state->rip - 1 - PHYSICAL_TRAPS <= 14) ||
		state->rip - 1 - PHYSICAL_TRAPS == 17;
	uint64_t frame = state->gpr[4] + (has_error ? 8 : 0);

	end->exception = (uint32_t)(state->rip - 1 - PHYSICAL_TRAPS);
	end->rip = get64(frame);
	end->rflags = get64(frame + 16) & ~FLAG_RF;
	end->gpr[4] = get64(frame + 24);
}

void guest_run(const struct sequence *sequence, struct machine_state *end, enum way way)
{
	static const uint8_t hlt = 0xf4;
	struct vcpu *vcpu = vm.vcpus[0];
	uint64_t code = PHYSICAL_CODE + sequence->code_offset;
	struct exit exit = {0};

	engine_interpret_only(&vm, way == WAY_INTERPRET);
	engine_windows(&vm, way == WAY_WINDOWS ? ENGINE_WINDOWS_ALL : 0);
	vm_write(&vm, gpa(code), sequence->bytes, sequence->size);
	vm_write(&vm, gpa(code + sequence->size), &hlt, 1);
	vm_write(&vm, gpa(PHYSICAL_DATA), sequence->start.data, DATA_SIZE);
	set_state(&vcpu->state, sequence);
	engine_translate.reset(vcpu);
	do
		engine_translate.run(vcpu, &exit);
	while (exit.kind == EXIT_KICKED);
	memcpy(end->gpr, vcpu->state.gpr, sizeof(end->gpr));
	end->rip = vcpu->state.rip - 1;
	end->rflags = vcpu->state.rflags;
	end->exception = exit.kind == EXIT_HALT ? 0xff : 0xfe;
	if (exit.kind == EXIT_HALT && vcpu->state.rip > PHYSICAL_TRAPS &&
	    vcpu->state.rip <= PHYSICAL_TRAPS + 256)
		read_trap(&vcpu->state, end);
	memcpy(end->xsave, vcpu->state.xsave, sizeof(end->xsave));
	vm_read(&vm, gpa(PHYSICAL_DATA), end->data, DATA_SIZE);
}
