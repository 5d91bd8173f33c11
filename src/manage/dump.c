/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/dump.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/vm.h"

static const char *const gpr_names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8",	 "r9",	"r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const segment_names[6] = {"es", "cs", "ss", "ds", "fs", "gs"};
static const char *const activities[] = {
	[VCPU_RUNNING] = "running",
	[VCPU_HALTED] = "halted",
	[VCPU_WAIT_FOR_SIPI] = "waiting to be started",
	[VCPU_SHUTDOWN] = "shut down (triple fault)",
};

static void dump_segment(const char *name, const struct segment *segment)
{
	fprintf(stderr, "  %-4s %04x base %016" PRIx64 " limit %08" PRIx32 " attributes %04x\n",
		name, segment->selector, segment->base, segment->limit, segment->attributes);
}

static void dump_code(const struct vcpu *vcpu)
{
	const struct vcpu_state *state = &vcpu->state;

	fprintf(stderr, "  rip  %016" PRIx64 " rflags %08" PRIx64 "\n", state->rip, state->rflags);
	for (int i = 0; i < 16; i++)
		fprintf(stderr, "  %-4s %016" PRIx64 "%s", gpr_names[i], state->gpr[i],
			i % 4 == 3 ? "\n" : "");
}

static void dump_system(const struct vcpu_state *state)
{
	for (int i = 0; i < 6; i++)
		dump_segment(segment_names[i], &state->segment[i]);
	dump_segment("ldtr", &state->ldtr);
	dump_segment("tr", &state->tr);
	fprintf(stderr, "  gdtr %016" PRIx64 " limit %04x   idtr %016" PRIx64 " limit %04x\n",
		state->gdtr.base, state->gdtr.limit, state->idtr.base, state->idtr.limit);
	fprintf(stderr,
		"  cr0  %08" PRIx64 " cr2 %016" PRIx64 " cr3 %016" PRIx64 " cr4 %08" PRIx64
		" efer %04" PRIx64 "\n",
		state->cr0, state->cr2, state->cr3, state->cr4, state->efer);
}

void dump_vcpus(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];
		unsigned activity;

		vcpu_sync(vcpu);
		activity = vcpu->state.activity;
		fprintf(stderr, "vcpu %u: %s\n", i,
			activity < sizeof(activities) / sizeof(activities[0]) ? activities[activity]
									      : "?");
		if (activity == VCPU_WAIT_FOR_SIPI)
			continue;
		dump_code(vcpu);
		dump_system(&vcpu->state);
	}
}
