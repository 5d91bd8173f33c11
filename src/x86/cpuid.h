/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processor models: what a guest is told that it runs on. Source: Intel SDM volume 2, CPUID; AMD
 * APM volume 3, appendix E.
 *
 * A named model is what we promise; cpu_model_limit makes of it what this host can keep. All models
 * are one package with one core for each vcpu and no hyper-threads, a Xeon of family 6 (Ice Lake)
 * under a hypervisor with KVM's signature.
 *
 * How much of it depends on the host follows from who executes the guest. The software engine needs
 * the processor for the instructions that it copies; paging, SMAP, PCID and the like it does
 * itself. An engine that runs the guest on the processor itself (cpuid_host.executes) needs it for
 * all but what Lodge's devices and the hypervisor are: APIC, timers, MTRRs, machine checks.
 */
#ifndef X86_CPUID_H
#define X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include "x86/features.h"

#define CPU_PHYSICAL_BITS 46
#define CPU_LINEAR_BITS	  48

struct cpu_model {
	const char *name;
	const char *about;	/* for a person who chooses */
	uint32_t signature;	/* leaf 1, EAX */
	uint64_t tsc_frequency; /* Hz; 0: the guest has to find out */
	bool feature[FEATURE_COUNT];
	/* Set by cpu_model_limit for a host that executes the guest itself: its width of addresses
	 * (0: CPU_PHYSICAL_BITS), and that its flaws are the guest's too. */
	uint8_t physical_bits;
	bool flawed;
	uint64_t flawless; /* flawed: bits of IA32_ARCH_CAPABILITIES that hold all the same */
};

/* What the host has; registers in the order eax ebx ecx edx. */
struct cpuid_host {
	uint32_t leaf_1[4], leaf_7[4], leaf_d_1[4], leaf_80000001[4], leaf_80000008[4];
	bool avx_enabled; /* XCR0[2:1] is 3 */
	bool executes;	  /* it runs the guest itself; not filled by cpuid_host_read: false */
	bool intel;	  /* executes: it may have the flaws of Intel's processors ... */
	uint64_t arch_capabilities; /* ... but for these; neither is filled by cpuid_host_read */
	uint64_t tsc_frequency;	    /* Hz, or 0; not filled by cpuid_host_read */
};

/* Asks the processor that we run on. */
void cpuid_host_read(struct cpuid_host *host);

/* x86-64-v2, portable, x86-64-v3, max; NULL if there is none of that name. Unlimited: see
 * cpu_model_limit. */
const struct cpu_model *cpu_model_find(const char *name);

/* The names, one after another; NULL after the last. */
const char *cpu_model_name(unsigned index);

/* model without what the host would have to have and lacks, and with its TSC frequency. */
void cpu_model_limit(struct cpu_model *limited, const struct cpu_model *model,
		     const struct cpuid_host *host);

/*
 * The name of the index-th feature that the model has and limited has not, so that a person can be
 * told; NULL after the last.
 */
const char *cpu_model_missing(const struct cpu_model *limited, const struct cpu_model *model,
			      unsigned index);

static inline bool cpu_model_has(const struct cpu_model *model, enum cpu_feature feature)
{
	return feature == FEATURE_ALWAYS || model->feature[feature];
}

static inline unsigned cpu_model_physical_bits(const struct cpu_model *model)
{
	return model->physical_bits ? model->physical_bits : CPU_PHYSICAL_BITS;
}

/* Bits that XCR0 may have, and those that CR4 may. */
uint64_t cpu_model_xcr0(const struct cpu_model *model);
uint64_t cpu_model_cr4(const struct cpu_model *model);

/* Bytes of an XSAVE area in standard form with these components: 576 or 832. */
uint32_t cpuid_xsave_size(uint64_t components);

/* IA32_ARCH_CAPABILITIES: which flaws of processors the guest need not work around. */
uint64_t cpu_model_arch_capabilities(const struct cpu_model *model);

/* What an answer depends on beside the model. */
struct cpuid_state {
	uint32_t vcpu; /* number, which is the APIC id */
	uint32_t vcpu_count;
	bool osxsave; /* CR4.OSXSAVE */
	uint64_t xcr0, xss;
};

/* The answer to cpuid with eax = leaf and ecx = subleaf. */
void cpuid_answer(const struct cpu_model *model, const struct cpuid_state *state, uint32_t leaf,
		  uint32_t subleaf, uint32_t out[4]);

#endif
