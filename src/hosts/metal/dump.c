/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors of a guest that died, in the log. */
#include "hosts/metal/dump.h"

#include "core/vm.h"

typedef unsigned long long wide;

static void dump_general(const struct vcpu_state *state)
{
	static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					      "rsi", "rdi", "r8",  "r9",  "r10", "r11",
					      "r12", "r13", "r14", "r15"};

	host_log(LOG_ERROR, "  rip  %016llx rflags %08llx", (wide)state->rip, (wide)state->rflags);
	for (unsigned i = 0; i < 16; i += 4)
		host_log(LOG_ERROR, "  %-4s %016llx  %-4s %016llx  %-4s %016llx  %-4s %016llx",
			 names[i], (wide)state->gpr[i], names[i + 1], (wide)state->gpr[i + 1],
			 names[i + 2], (wide)state->gpr[i + 2], names[i + 3],
			 (wide)state->gpr[i + 3]);
}

static void dump_system(const struct vcpu_state *state)
{
	const struct segment *cs = &state->segment[1], *ss = &state->segment[2];

	host_log(LOG_ERROR,
		 "  cs   %04x base %llx attributes %04x  ss %04x base %llx attributes %04x",
		 cs->selector, (wide)cs->base, cs->attributes, ss->selector, (wide)ss->base,
		 ss->attributes);
	host_log(LOG_ERROR, "  gdtr %016llx limit %04x  idtr %016llx limit %04x",
		 (wide)state->gdtr.base, state->gdtr.limit, (wide)state->idtr.base,
		 state->idtr.limit);
	host_log(LOG_ERROR, "  cr0  %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx",
		 (wide)state->cr0, (wide)state->cr2, (wide)state->cr3, (wide)state->cr4,
		 (wide)state->efer);
}

void dump_vcpus(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		if (vcpu->state.activity == VCPU_WAIT_FOR_SIPI)
			continue;
		vcpu_sync(vcpu);
		host_log(LOG_ERROR, "vcpu %u%s:", i,
			 vcpu->state.activity == VCPU_SHUTDOWN ? " (triple fault)" : "");
		dump_general(&vcpu->state);
		dump_system(&vcpu->state);
	}
}
