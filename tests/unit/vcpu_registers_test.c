/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers that a process or a guest asks for, and what becomes of them before VMRUN. */
#include "test.h"

#include <stddef.h>

#include "kernel/svm/svm.h"
#include "kernel/vcpu.h"
#include "lib/bytes.h"
#include "x86/registers.h"

#define CR4_ALL                                                                                    \
	(CR4_VME | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_PCIDE | CR4_OSXSAVE |  \
	 CR4_SMEP)

static struct vcpu vcpu;
static struct vmcb vmcb;
static struct svm svm;

static struct metal_state *begin(void)
{
	bytes_fill(&vcpu, 0, sizeof(vcpu));
	vcpu.cr4_allowed = CR4_ALL;
	vcpu.xcr0_allowed = 7;
	vcpu.paging_features.physical_bits = 40;
	vcpu.state.xcr0 = 1;
	svm.vmcb = &vmcb;
	vcpu.vendor = &svm;
	return &vcpu.state;
}

static void begin_long_mode(void)
{
	struct metal_state *state = begin();

	state->cr0 = CR0_PG | CR0_PE | CR0_ET;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	vcpu_sanitize(&vcpu);
	EXPECT_EQ(state->efer, EFER_LME | EFER_LMA);
}

/* What VMRUN checks of control registers (APM2 15.5.1). */
static void expect_legal(const struct metal_state *state)
{
	EXPECT(!(state->cr0 >> 32));
	EXPECT(!((state->cr0 & CR0_NW) && !(state->cr0 & CR0_CD)));
	EXPECT(!(state->cr3 >> 40));
	EXPECT(!(state->cr4 & ~CR4_ALL));
	EXPECT(!(state->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)));
	EXPECT(!(state->dr[6] >> 32) && !(state->dr[7] >> 32));
	EXPECT_EQ(!!(state->efer & EFER_LMA), (state->efer & EFER_LME) && (state->cr0 & CR0_PG));
	if (state->cr0 & CR0_PG)
		EXPECT(state->cr0 & CR0_PE);
	if (state->efer & EFER_LMA) {
		EXPECT(state->cr4 & CR4_PAE);
		EXPECT(!(state->rflags & FLAG_VM));
		EXPECT((state->segment[SEGMENT_CS].attributes & 0x6000) != 0x6000);
	}
	EXPECT(state->rflags & 2);
	EXPECT(!(state->rflags & ~UINT64_C(0x3f7fd7)));
	EXPECT(state->xcr0 == 1 || state->xcr0 == 3 || state->xcr0 == 7);
	for (unsigned i = 0; i < 6; i++)
		EXPECT((state->segment[i].base >> 47) == 0 ||
		       (state->segment[i].base >> 47) == 0x1ffff);
}

TEST(whatever_a_process_says_becomes_legal)
{
	uint64_t random = 88172645463325252;
	uint8_t *bytes;

	for (unsigned round = 0; round < 20000; round++) {
		struct metal_state *state = begin();

		bytes = (uint8_t *)state;
		for (unsigned i = 0; i < offsetof(struct metal_state, xsave); i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[i] = (uint8_t)(random & (round % 3 ? random >> 8 : 0xff));
		}
		vcpu_sanitize(&vcpu);
		expect_legal(state);
		EXPECT(vcpu.event.kind == EVENT_NONE || vcpu.event.vector != 2);
		EXPECT(vcpu.event.kind == EVENT_NONE || vcpu.event.vector < 20);
		EXPECT(vcpu.flush);
	}
}

TEST(a_sane_state_stays)
{
	struct metal_state before, *state = begin();

	state->cr0 = CR0_PG | CR0_PE | CR0_ET | CR0_WP;
	state->cr3 = 0x123456000;
	state->cr4 = CR4_PAE | CR4_PGE;
	state->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	state->rflags = 0x202;
	state->dr[6] = 0xffff0ff0;
	state->dr[7] = 0x400;
	state->xcr0 = 7;
	state->pat = UINT64_C(0x0007040600070406);
	state->segment[SEGMENT_CS] =
		(struct metal_segment){.selector = 8, .attributes = 0xa09b, .limit = 0xffffffff};
	state->segment[SEGMENT_GS].base = UINT64_C(0xffff888000000000);
	state->exception_pending = 1;
	state->exception_vector = 14;
	state->exception_error = 2;
	before = *state;
	vcpu_sanitize(&vcpu);
	EXPECT_MEM(&before, state, sizeof(before));
	EXPECT_EQ(vcpu.event.kind, EVENT_FAULT);
	EXPECT_EQ(vcpu.event.vector, 14);
	EXPECT(vcpu.event.has_error);
}

TEST(cr4_has_its_rules)
{
	begin_long_mode();
	vcpu.flush = false;
	EXPECT(!vcpu_set_cr4(&vcpu, CR4_PAE | CR4_SMAP)); /* not allowed */
	EXPECT(!vcpu_set_cr4(&vcpu, 0));		  /* PAE is needed in long mode */
	EXPECT(vcpu_set_cr4(&vcpu, CR4_PAE | CR4_OSFXSR));
	EXPECT(!vcpu.flush);
	EXPECT(vcpu_set_cr4(&vcpu, CR4_PAE | CR4_PGE));
	EXPECT(vcpu.flush);
	vcpu.state.cr3 = 1;
	EXPECT(!vcpu_set_cr4(&vcpu, CR4_PAE | CR4_PCIDE));
	vcpu.state.cr3 = 0x1000;
	EXPECT(vcpu_set_cr4(&vcpu, CR4_PAE | CR4_PCIDE));
}

TEST(efer_has_its_rules)
{
	begin_long_mode();
	EXPECT(!vcpu_set_efer(&vcpu, 0)); /* LME while paging is on */
	vcpu.flush = false;
	EXPECT(vcpu_set_efer(&vcpu, EFER_LME | EFER_NXE));
	EXPECT_EQ(vcpu.state.efer, EFER_LME | EFER_LMA | EFER_NXE);
	EXPECT(vcpu.flush);
}

TEST(xcr0_has_its_rules)
{
	begin();
	EXPECT(!vcpu_set_xcr0(&vcpu, 0, 0));
	EXPECT(!vcpu_set_xcr0(&vcpu, 0, 5)); /* AVX without SSE */
	EXPECT(!vcpu_set_xcr0(&vcpu, 0, 0x207));
	EXPECT(!vcpu_set_xcr0(&vcpu, 1, 7));
	EXPECT(vcpu_set_xcr0(&vcpu, 0, 7));
	EXPECT_EQ(vcpu.state.xcr0, 7);
}

TEST(what_a_processor_refuses_is_repaired_once)
{
	begin_long_mode();
	EXPECT(!vcpu_repair(&vcpu));
	vcpu.state.cr0 |= CR0_NW; /* without CD */
	EXPECT(vcpu_repair(&vcpu));
	expect_legal(&vcpu.state);
	EXPECT(!vcpu_repair(&vcpu));
}

TEST(the_vmcb_holds_what_was_loaded)
{
	struct metal_state before, *state = begin();
	struct metal_segment segment;

	state->cr0 = CR0_PE;
	for (unsigned i = 0; i < 6; i++)
		state->segment[i] = (struct metal_segment){.selector = (uint16_t)(8 * i + 3),
							   .attributes = 0xc0f3,
							   .limit = 0xfffff000 + i,
							   .base = 0x1000 * i};
	state->ldtr = (struct metal_segment){.selector = 0x50, .attributes = 0x82, .limit = 7};
	state->tr = (struct metal_segment){.selector = 0x58, .attributes = 0x8b, .limit = 0x67};
	state->gdtr_base = 0x1234;
	state->gdtr_limit = 0xff;
	state->idtr_base = 0x5678;
	state->idtr_limit = 0xfff;
	state->lstar = 1, state->star = 2, state->cstar = 3, state->sfmask = 4;
	state->sysenter_cs = 5, state->sysenter_esp = 6, state->sysenter_eip = 7;
	state->kernel_gs_base = 8;
	vcpu_sanitize(&vcpu);
	before = *state;
	svm_load(&vcpu);
	EXPECT_EQ(vcpu.cpl, 3);
	EXPECT_EQ(vmcb.segment[SEGMENT_DS].attributes, 0xcf3);
	svm_segment(&vcpu, SEGMENT_FS, &segment);
	EXPECT_MEM(&segment, &before.segment[SEGMENT_FS], sizeof(segment));
	bytes_fill(state->segment, 0, sizeof(state->segment));
	state->lstar = state->tr.base = 0;
	svm_store(&vcpu);
	EXPECT_MEM(&before, state, sizeof(before));
}
