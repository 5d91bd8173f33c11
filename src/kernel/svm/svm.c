/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD's Secure Virtual Machine: what processors need, and what each vcpu does. AMD APM volume 2,
 * chapter 15.
 *
 * Intercepted is what would reach the computer (ports, most MSRs, cache and TLB control of others,
 * SVM itself), what the guest has of its own in software (cpuid, CR4's bits, xcr0, timers), and
 * what could keep the host out: #DB and #AC, whose delivery can loop for ever in microcode
 * (CVE-2015-8104, CVE-2015-5307). CR0, CR3, page tables, TLB flushes, task switches, TSC and the
 * segment bases are the guest's own.
 *
 * Between guests the branch predictor is flushed where the processor can do that. There are no
 * other defences against speculative execution.
 *
 * Not modelled: the guest's SPEC_CTRL and DEBUGCTL hold what is written, without effect. SMM. A
 * guest that disables its caches runs without them. monitor and mwait, if CPUID shows them, do
 * nothing.
 */
#include "kernel/svm/svm.h"

#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/log.h"
#include "kernel/register.h"
#include "kernel/vendor.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "x86/msr.h"
#include "x86/paging.h"

#define CPUID_EXTENDED	       0x80000001u
#define CPUID_SIZES	       0x80000008u
#define SIZES_IBPB	       0x1000u /* ebx */
#define CPUID_SVM	       0x8000000au
#define EXTENDED_SVM	       0x4u	  /* ecx */
#define EXTENDED_RDTSCP	       0x8000000u /* edx */
#define IO_MAP_SIZE	       0x3000
#define MSR_MAP_SIZE	       0x2000
#define INTERCEPTED_EXCEPTIONS (1u << EXCEPTION_DB | 1u << EXCEPTION_AC | 1u << 18 /* #MC */)

struct svm_features svm_features;

static const char *svm_probe(void)
{
	uint32_t out[4];

	cpuid_read(CPUID_EXTENDED, 0, out);
	svm_features.tsc_aux = out[3] & EXTENDED_RDTSCP;
	if (!(out[2] & EXTENDED_SVM))
		return "the processor has no SVM";
	if (msr_read(MSR_VM_CR) & VM_CR_SVMDIS)
		return "SVM is disabled: enable it in the firmware's setup";
	cpuid_read(CPUID_SIZES, 0, out);
	svm_features.ibpb = out[1] & SIZES_IBPB;
	cpuid_read(CPUID_SVM, 0, out);
	if (!(out[3] & SVM_FEATURE_NP))
		return "the processor's SVM has no nested paging";
	svm_features.asids = out[1];
	svm_features.nrips = out[3] & SVM_FEATURE_NRIPS;
	svm_features.clean = out[3] & SVM_FEATURE_VMCB_CLEAN ? CLEAN_ALL : 0;
	svm_features.flush_asid = out[3] & SVM_FEATURE_FLUSH_ASID;
	log_line("guests: AMD SVM with nested paging, %u address spaces%s%s%s", svm_features.asids,
		 svm_features.nrips ? ", next rip" : "",
		 svm_features.flush_asid ? ", flush by ASID" : "",
		 svm_features.clean ? ", clean bits" : "");
	return NULL;
}

/* Two bits for each MSR, in three ranges of 2 KiB (15.11). */
static void pass_msr(uint8_t *map, uint32_t number)
{
	uint32_t place = (number & 0x1fff) + (number >= MSR_EFER ? 0x2000 : 0);

	map[place / 4] &= (uint8_t) ~(3u << place % 4 * 2);
}

/* All ports end in an exit, and all MSRs but these, which are switched by VMLOAD and VMSAVE. */
static int make_maps(void)
{
	static const uint32_t passed[] = {
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP, MSR_STAR,
		MSR_LSTAR,	 MSR_CSTAR,	     MSR_SFMASK,       MSR_FS_BASE,
		MSR_GS_BASE,	 MSR_KERNEL_GS_BASE,
	};
	uint8_t *io_map = kernel_pages(IO_MAP_SIZE), *msr_map = kernel_pages(MSR_MAP_SIZE);

	if (!io_map || !msr_map)
		return -ENOMEM;
	bytes_fill(io_map, 0xff, IO_MAP_SIZE);
	bytes_fill(msr_map, 0xff, MSR_MAP_SIZE);
	for (unsigned i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		pass_msr(msr_map, passed[i]);
	svm_features.io_map = direct_pa(io_map).value;
	svm_features.msr_map = direct_pa(msr_map).value;
	return 0;
}

static int svm_processor_init(void)
{
	/* The host's save area, the VMCB for VMSAVE, and what else the processor has. */
	uint8_t *pages = kernel_pages(2 * PAGE_SIZE + sizeof(struct svm_cpu));
	struct svm_cpu *cpu;

	if (!pages || (!svm_features.io_map && make_maps()))
		return -ENOMEM;
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SVME);
	msr_write(MSR_VM_HSAVE_PA, direct_pa(pages).value);
	cpu = (struct svm_cpu *)(pages + 2 * PAGE_SIZE);
	cpu->host = direct_pa(pages + PAGE_SIZE).value;
	cpu->next_asid = svm_features.asids; /* a new generation begins with the first guest */
	cpu_this()->vendor = cpu;
	return 0;
}

static void set_intercepts(struct vmcb *vmcb)
{
	vmcb->intercept_exceptions = INTERCEPTED_EXCEPTIONS;
	vmcb->intercept_2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
			    INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT |
			    INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
			    INTERCEPT_XSETBV | INTERCEPT_RDPRU;
	vmcb->intercept_3 = INTERCEPT_INVLPGB | INTERCEPT_INVLPGB_ILLEGAL | INTERCEPT_MCOMMIT |
			    INTERCEPT_TLBSYNC;
}

/* The VMCB's page, with struct svm behind it. */
#define SVM_SIZE (sizeof(struct vmcb) + sizeof(struct svm))

static int svm_create(struct vcpu *vcpu)
{
	struct vmcb *vmcb = kernel_pages(SVM_SIZE);
	struct svm *svm;

	if (!vmcb)
		return -ENOMEM;
	svm = (struct svm *)(vmcb + 1);
	set_intercepts(vmcb);
	vmcb->iopm_base_pa = svm_features.io_map;
	vmcb->msrpm_base_pa = svm_features.msr_map;
	vmcb->np_control = NP_ENABLE;
	vmcb->n_cr3 = vcpu->guest->nested.value;
	svm->vmcb = vmcb;
	svm->vmcb_pa = direct_pa(vmcb).value;
	svm->stays = cpu_features.fsgsbase;
	vcpu->vendor = svm;
	return 0;
}

static void svm_destroy(struct vcpu *vcpu)
{
	struct svm *svm = vcpu->vendor;

	kernel_pages_free(svm->vmcb, SVM_SIZE);
}

const struct vendor svm_vendor = {
	.probe = svm_probe,
	.processor_init = svm_processor_init,
	.create = svm_create,
	.destroy = svm_destroy,
	.run = svm_run,
	.load = svm_load,
	.store = svm_store,
	.segment = svm_segment,
	/* Nested tables are walked as if by a user (15.25.5). */
	.nested_table = PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_ACCESSED,
	.nested_leaf = PAGE_PRESENT | PAGE_WRITABLE | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY,
	.nested_large = PAGE_LARGE,
};
