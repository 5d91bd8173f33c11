/* SPDX-License-Identifier: BSD-2-Clause */
/* Control and debug registers, translations and caches. Source: Intel SDM volume 2, MOV; volume 3,
 * sections 2.5, 4.10.4, 17.2. */
#include "core/vm.h"
#include "engines/translate/debug.h"
#include "engines/translate/exception.h"
#include "engines/translate/handlers.h"
#include "engines/translate/mmu.h"
#include "engines/translate/segment.h"
#include "engines/translate/window.h"
#include "x86/cpuid.h"

#define CR0_ALL                                                                                    \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
/* Changes that make old translations wrong. */
#define CR0_FLUSH    (CR0_PG | CR0_WP | CR0_PE)
#define CR4_FLUSH    (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)
#define CR3_NO_FLUSH (1ull << 63)

#define DR7_ALL 0xffff23ffu
#define DR6_ALL 0xe00fu

_Noreturn static void general_protection(struct cpu *cpu)
{
	exception_raise_error(cpu, EXCEPTION_GP, 0);
}

static void require_level_0(struct cpu *cpu)
{
	if (cpu->cpl)
		general_protection(cpu);
}

/* mov to and from control and debug registers have no other size. */
static unsigned register_size(const struct cpu *cpu)
{
	return cpu_code_size(cpu) == CODE_64 ? 8 : 4;
}

/* Makes the new values count, or raises #GP with the old ones if they ask for PAE entries that are
 * not valid. */
static void commit(struct cpu *cpu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer,
		   bool load_pdpte)
{
	uint64_t old[] = {cpu->cr0, cpu->cr3, cpu->cr4, cpu->efer};

	cpu->cr0 = cr0, cpu->cr3 = cr3, cpu->cr4 = cr4, cpu->efer = efer;
	mmu_paging_changed(cpu);
	if (load_pdpte && !mmu_load_pdpte(cpu)) {
		cpu->cr0 = old[0], cpu->cr3 = old[1], cpu->cr4 = old[2], cpu->efer = old[3];
		mmu_paging_changed(cpu);
		general_protection(cpu);
	}
	if (((cr0 ^ old[0]) & CR0_FLUSH) || ((cr4 ^ old[2]) & CR4_FLUSH))
		mmu_flush_all(cpu);
	cpu_mode_changed(cpu);
	window_switch(cpu);
}

static void write_cr0(struct cpu *cpu, uint64_t value)
{
	uint64_t efer = cpu->efer;
	bool long_code = cpu->segment[SEGMENT_CS].attributes & SEGMENT_L;

	if (value >> 32)
		general_protection(cpu);
	value = (value & CR0_ALL) | CR0_ET;
	if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		general_protection(cpu);
	if ((value & CR0_PG) && !(cpu->cr0 & CR0_PG) && (efer & EFER_LME)) {
		if (!(cpu->cr4 & CR4_PAE) || long_code)
			general_protection(cpu);
		efer |= EFER_LMA;
	}
	if (!(value & CR0_PG) && (cpu->cr0 & CR0_PG)) {
		if ((cpu->cr4 & CR4_PCIDE) || (cpu_long(cpu) && long_code))
			general_protection(cpu);
		efer &= ~EFER_LMA;
	}
	commit(cpu, value, cpu->cr3, cpu->cr4, efer,
	       (value ^ cpu->cr0) & (CR0_PG | CR0_CD | CR0_NW));
}

static void write_cr3(struct cpu *cpu, uint64_t value)
{
	bool keep = (cpu->cr4 & CR4_PCIDE) && (value & CR3_NO_FLUSH);
	uint64_t old = cpu->cr3;

	if (cpu->cr4 & CR4_PCIDE)
		value &= ~CR3_NO_FLUSH;
	if (cpu_long(cpu) && value >> CPU_PHYSICAL_BITS)
		general_protection(cpu);
	commit(cpu, cpu->cr0, value, cpu->cr4, cpu->efer, true);
	/* Our entries have no PCID: they are kept only if it is the same address space. Windows
	 * know theirs. */
	if (!keep || old != value)
		mmu_flush_non_global(cpu);
	if (!(cpu->cr4 & CR4_PCIDE))
		window_flush(cpu);
	else if (!keep)
		window_flush_pcid(cpu, value & 0xfff);
}

static void write_cr4(struct cpu *cpu, uint64_t value)
{
	uint64_t changed = value ^ cpu->cr4;

	if (value & ~cpu_model_cr4(cpu->vm->cpu_model))
		general_protection(cpu);
	if (cpu_long(cpu) && !(value & CR4_PAE))
		general_protection(cpu);
	if ((changed & value & CR4_PCIDE) && (!cpu_long(cpu) || (cpu->cr3 & 0xfff)))
		general_protection(cpu);
	commit(cpu, cpu->cr0, cpu->cr3, value, cpu->efer,
	       changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP));
}

/* The local APIC's task priority. A vcpu without one has it always 0. */
static uint64_t read_cr8(struct cpu *cpu)
{
	const struct interrupt_controller *controller = cpu->vcpu->interrupts;
	uint64_t value;
	bool live;

	if (!controller)
		return 0;
	live = cpu_outside_begin(cpu);
	vm_lock(cpu->vm);
	value = controller->get_tpr(cpu->vcpu);
	vm_unlock(cpu->vm);
	cpu_outside_end(cpu, live);
	return value;
}

static void write_cr8(struct cpu *cpu, uint64_t value)
{
	const struct interrupt_controller *controller = cpu->vcpu->interrupts;
	bool live;

	if (value > 15)
		general_protection(cpu);
	if (!controller)
		return;
	live = cpu_outside_begin(cpu);
	vm_lock(cpu->vm);
	controller->set_tpr(cpu->vcpu, value);
	vm_unlock(cpu->vm);
	cpu_outside_end(cpu, live);
}

void handle_mov_from_cr(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	require_level_0(cpu);
	switch (insn->reg) {
	case 0:
		value = cpu->cr0;
		break;
	case 2:
		value = cpu->cr2;
		break;
	case 3:
		value = cpu->cr3;
		break;
	case 4:
		value = cpu->cr4;
		break;
	case 8:
		value = read_cr8(cpu);
		break;
	default:
		exception_raise(cpu, EXCEPTION_UD);
	}
	register_write(cpu, insn->rm, register_size(cpu), false, value);
}

void handle_mov_to_cr(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = register_read(cpu, insn->rm, register_size(cpu), false);

	require_level_0(cpu);
	switch (insn->reg) {
	case 0:
		write_cr0(cpu, value);
		break;
	case 2:
		cpu->cr2 = value;
		break;
	case 3:
		write_cr3(cpu, value);
		break;
	case 4:
		write_cr4(cpu, value);
		break;
	case 8:
		write_cr8(cpu, value);
		break;
	default:
		exception_raise(cpu, EXCEPTION_UD);
	}
}

/* DR4 and DR5 are DR6 and DR7, unless CR4.DE makes them #UD. */
static unsigned debug_register(struct cpu *cpu, const struct insn *insn)
{
	unsigned number = insn->reg;

	require_level_0(cpu);
	if (number > 7 || ((number == 4 || number == 5) && (cpu->cr4 & CR4_DE)))
		exception_raise(cpu, EXCEPTION_UD);
	if (cpu->dr[7] & DR7_GD)
		debug_raise(cpu, DR6_BD);
	return number == 4 || number == 5 ? number + 2 : number;
}

void handle_mov_from_dr(struct cpu *cpu, const struct insn *insn)
{
	unsigned number = debug_register(cpu, insn);

	register_write(cpu, insn->rm, register_size(cpu), false, cpu->dr[number]);
}

void handle_mov_to_dr(struct cpu *cpu, const struct insn *insn)
{
	unsigned number = debug_register(cpu, insn);
	uint64_t value = register_read(cpu, insn->rm, register_size(cpu), false);

	if (number >= 6 && value >> 32)
		general_protection(cpu);
	if (number == 6)
		value = (value & DR6_ALL) | DR6_FIXED;
	if (number == 7)
		value = (value & DR7_ALL) | DR7_FIXED;
	cpu->dr[number] = value;
	debug_changed(cpu);
}

void handle_smsw(struct cpu *cpu, const struct insn *insn)
{
	if ((cpu->cr4 & CR4_UMIP) && cpu->cpl)
		general_protection(cpu);
	operand_write(cpu, insn, 0, cpu->cr0);
}

/* Sets PE, MP, EM, TS; does not clear PE. */
void handle_lmsw(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value;

	require_level_0(cpu);
	value = operand_read(cpu, insn, 0);
	write_cr0(cpu, (cpu->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) |
			       (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)));
}

void handle_clts(struct cpu *cpu, const struct insn *insn)
{
	require_level_0(cpu);
	cpu->cr0 &= ~CR0_TS;
	cpu_mode_changed(cpu);
}

static void check_osxsave(struct cpu *cpu)
{
	if (!(cpu->cr4 & CR4_OSXSAVE))
		exception_raise(cpu, EXCEPTION_UD);
}

/* With ecx 1: which components are in use; to say "all" is always right. */
void handle_xgetbv(struct cpu *cpu, const struct insn *insn)
{
	uint32_t number = (uint32_t)cpu->gpr[RCX];

	check_osxsave(cpu);
	if (number > 1 || (number == 1 && !cpu_model_has(cpu->vm->cpu_model, FEATURE_XGETBV1)))
		general_protection(cpu);
	cpu->gpr[RAX] = (uint32_t)cpu->xcr0;
	cpu->gpr[RDX] = cpu->xcr0 >> 32;
}

void handle_xsetbv(struct cpu *cpu, const struct insn *insn)
{
	uint64_t value = (uint32_t)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;

	check_osxsave(cpu);
	require_level_0(cpu);
	if ((uint32_t)cpu->gpr[RCX] || !(value & 1) ||
	    (value & ~cpu_model_xcr0(cpu->vm->cpu_model)) || (value & 6) == 4)
		general_protection(cpu);
	cpu->xcr0 = value;
	cpu_mode_changed(cpu);
}

/* Translations and caches */

void handle_invlpg(struct cpu *cpu, const struct insn *insn)
{
	uint64_t linear = operand_address(cpu, insn);

	require_level_0(cpu);
	if (cpu_code_size(cpu) != CODE_64)
		linear = (uint32_t)(linear + cpu->segment[insn->segment].base);
	else if (insn->segment >= SEGMENT_FS)
		linear += cpu->segment[insn->segment].base;
	if (paging_canonical(linear))
		mmu_flush_page(cpu, linear);
}

void handle_invpcid(struct cpu *cpu, const struct insn *insn)
{
	uint64_t type = register_read(cpu, insn->reg, register_size(cpu), false), linear, pcid,
		 address;
	bool current;

	require_level_0(cpu);
	linear = segment_linear(cpu, insn->segment, operand_address(cpu, insn), 16, MMU_READ);
	pcid = mmu_load(cpu, linear, 8, MMU_READ);
	address = mmu_load(cpu, mmu_wrap(cpu, linear + 8), 8, MMU_READ);
	if (type > 3 || pcid >> 12 || (type < 2 && pcid && !(cpu->cr4 & CR4_PCIDE)) ||
	    (type == 0 && !paging_canonical(address)))
		general_protection(cpu);
	/* But for windows there are never entries of another PCID than the current one. */
	current = !(cpu->cr4 & CR4_PCIDE) || pcid == (cpu->cr3 & 0xfff);
	if (type == 0 && current)
		mmu_flush_page(cpu, address);
	else if (type == 2)
		mmu_flush_all(cpu);
	else if (type == 3 || (type == 1 && current))
		mmu_flush_non_global(cpu);
	if (type == 0 && !current)
		window_flush_page(cpu, (unsigned)pcid, address);
	else if (type == 1 && !current)
		window_flush_pcid(cpu, (unsigned)pcid);
	else if (type == 1 || type == 3)
		window_flush(cpu);
}

/* The host's caches are coherent with everything that the guest could reach. */
void handle_invd(struct cpu *cpu, const struct insn *insn)
{
	require_level_0(cpu);
}

void handle_wbinvd(struct cpu *cpu, const struct insn *insn)
{
	require_level_0(cpu);
}
