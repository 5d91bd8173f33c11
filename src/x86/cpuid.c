/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why the models promise what they do beside instructions:
 *
 * - ARCH_CAPABILITIES says that no known flaw is there, and enhanced IBRS is: guests of the
 * software engine run translated, nothing of the host's speculation follows their mitigations, so
 * the guest kernel shall not spend time on them (no page-table isolation, no retpolines). Where the
 * processor itself executes the guest, only what that one lacks is denied, and SPEC_CTRL and
 * PRED_CMD are not offered: a guest then takes retpolines against Spectre 2, which work anywhere.
 * - Leaf 0x15 gives the TSC's frequency, with INVARIANT_TSC and TSC_DEADLINE: no calibration loops,
 * no clock that is read by a port.
 * - KVM's signature without paravirtual clocks: Linux then trusts the TSC and skips delays after
 * port accesses.
 */
#include "x86/cpuid.h"

#include "lib/bits.h"
#include "lib/string.h"
#include "x86/registers.h"

enum { EAX, EBX, ECX, EDX };

/* Who has to have a feature: the host's processor in any case (instructions that are copied to it);
 * the software engine, or the processor where that executes the guest; or neither, because our
 * devices and MSRs are it. */
enum provider { HOST, ENGINE, LODGE };

/* Where cpuid tells of each feature, and who provides it. */
struct place {
	const char *name;
	uint32_t leaf;
	uint8_t subleaf, reg, bit;
	uint8_t provider;
};

#define HOSTS(f, l, s, r, b)   [FEATURE_##f] = {#f, l, s, r, b, HOST}
#define ENGINES(f, l, s, r, b) [FEATURE_##f] = {#f, l, s, r, b, ENGINE}
#define OURS(f, l, s, r, b)    [FEATURE_##f] = {#f, l, s, r, b, LODGE}

/* clang-format off */
static const struct place places[FEATURE_COUNT] = {
	HOSTS(FPU, 1, 0, EDX, 0),                       ENGINES(TSC, 1, 0, EDX, 4),
	ENGINES(MSR, 1, 0, EDX, 5),                     HOSTS(CX8, 1, 0, EDX, 8),
	ENGINES(SEP, 1, 0, EDX, 11),                    HOSTS(CMOV, 1, 0, EDX, 15),
	ENGINES(CLFLUSH, 1, 0, EDX, 19),                HOSTS(MMX, 1, 0, EDX, 23),
	HOSTS(FXSR, 1, 0, EDX, 24),                     HOSTS(SSE, 1, 0, EDX, 25),
	HOSTS(SSE2, 1, 0, EDX, 26),                     HOSTS(SSE3, 1, 0, ECX, 0),
	HOSTS(PCLMULQDQ, 1, 0, ECX, 1),                 ENGINES(MONITOR, 1, 0, ECX, 3),
	HOSTS(SSSE3, 1, 0, ECX, 9),                     HOSTS(FMA, 1, 0, ECX, 12),
	HOSTS(CX16, 1, 0, ECX, 13),                     HOSTS(SSE4_1, 1, 0, ECX, 19),
	HOSTS(SSE4_2, 1, 0, ECX, 20),                   HOSTS(MOVBE, 1, 0, ECX, 22),
	HOSTS(POPCNT, 1, 0, ECX, 23),                   HOSTS(AES, 1, 0, ECX, 25),
	HOSTS(XSAVE, 1, 0, ECX, 26),                    HOSTS(AVX, 1, 0, ECX, 28),
	HOSTS(F16C, 1, 0, ECX, 29),                     HOSTS(RDRAND, 1, 0, ECX, 30),
	ENGINES(FSGSBASE, 7, 0, EBX, 0),                HOSTS(BMI1, 7, 0, EBX, 3),
	HOSTS(AVX2, 7, 0, EBX, 5),                      HOSTS(BMI2, 7, 0, EBX, 8),
	ENGINES(INVPCID, 7, 0, EBX, 10),                HOSTS(RDSEED, 7, 0, EBX, 18),
	HOSTS(ADX, 7, 0, EBX, 19),                      ENGINES(SMAP, 7, 0, EBX, 20),
	ENGINES(CLFLUSHOPT, 7, 0, EBX, 23),             ENGINES(CLWB, 7, 0, EBX, 24),
	HOSTS(SHA, 7, 0, EBX, 29),                      ENGINES(RDPID, 7, 0, ECX, 22),
	HOSTS(XSAVEOPT, 0xd, 1, EAX, 0),                HOSTS(XSAVEC, 0xd, 1, EAX, 1),
	ENGINES(XGETBV1, 0xd, 1, EAX, 2),               HOSTS(XSAVES, 0xd, 1, EAX, 3),
	ENGINES(SYSCALL, 0x80000001, 0, EDX, 11),       ENGINES(RDTSCP, 0x80000001, 0, EDX, 27),
	ENGINES(LM, 0x80000001, 0, EDX, 29),            HOSTS(LAHF_LM, 0x80000001, 0, ECX, 0),
	HOSTS(LZCNT, 0x80000001, 0, ECX, 5),            ENGINES(PREFETCHW, 0x80000001, 0, ECX, 8),
	ENGINES(WBNOINVD, 0x80000008, 0, EBX, 9),       ENGINES(VME, 1, 0, EDX, 1),
	ENGINES(DE, 1, 0, EDX, 2),                      ENGINES(PSE, 1, 0, EDX, 3),
	ENGINES(PAE, 1, 0, EDX, 6),                     OURS(MCE, 1, 0, EDX, 7),
	OURS(APIC, 1, 0, EDX, 9),                       OURS(MTRR, 1, 0, EDX, 12),
	ENGINES(PGE, 1, 0, EDX, 13),                    OURS(MCA, 1, 0, EDX, 14),
	ENGINES(PAT, 1, 0, EDX, 16),                    ENGINES(PSE36, 1, 0, EDX, 17),
	ENGINES(PCID, 1, 0, ECX, 17),                   OURS(X2APIC, 1, 0, ECX, 21),
	OURS(TSC_DEADLINE, 1, 0, ECX, 24),              OURS(HYPERVISOR, 1, 0, ECX, 31),
	OURS(ARAT, 6, 0, EAX, 2),                       OURS(TSC_ADJUST, 7, 0, EBX, 1),
	ENGINES(SMEP, 7, 0, EBX, 7),                    ENGINES(ERMS, 7, 0, EBX, 9),
	ENGINES(UMIP, 7, 0, ECX, 2),                    ENGINES(FSRM, 7, 0, EDX, 4),
	ENGINES(NX, 0x80000001, 0, EDX, 20),            ENGINES(1G_PAGES, 0x80000001, 0, EDX, 26),
	OURS(INVARIANT_TSC, 0x80000007, 0, EDX, 8),
};

/* Models */

#define HAS(f) [FEATURE_##f] = true

/* All that the engine does itself, whatever the host. VME is left out: virtual-8086 mode extensions are not modelled. */
#define SYSTEM \
	PORTABLE, HAS(INVPCID), HAS(PCID), HAS(FSRM)
/* Less what KVM can't give on many a host: a machine of this can move to and fro. */
#define PORTABLE \
	HAS(TSC), HAS(MSR), HAS(SEP), HAS(CLFLUSH), HAS(FSGSBASE), HAS(SMAP), HAS(SYSCALL), HAS(RDTSCP), \
	HAS(LM), HAS(DE), HAS(PSE), HAS(PAE), HAS(MCE), HAS(APIC), HAS(MTRR), HAS(PGE), HAS(MCA), HAS(PAT), HAS(PSE36), \
	HAS(X2APIC), HAS(TSC_DEADLINE), HAS(HYPERVISOR), HAS(ARAT), HAS(TSC_ADJUST), HAS(SMEP), HAS(ERMS), \
	HAS(UMIP), HAS(NX), HAS(1G_PAGES), HAS(INVARIANT_TSC)

/* x86-64 psABI, section 3.1.1, micro-architecture levels. */
#define LEVEL_2 \
	HAS(FPU), HAS(CX8), HAS(CMOV), HAS(MMX), HAS(FXSR), HAS(SSE), HAS(SSE2), HAS(SSE3), HAS(SSSE3), HAS(CX16), \
	HAS(SSE4_1), HAS(SSE4_2), HAS(POPCNT), HAS(LAHF_LM)
#define LEVEL_3 \
	LEVEL_2, HAS(AVX), HAS(AVX2), HAS(BMI1), HAS(BMI2), HAS(F16C), HAS(FMA), HAS(LZCNT), HAS(MOVBE), HAS(XSAVE), \
	HAS(XSAVEOPT), HAS(XSAVEC), HAS(XGETBV1)
#define REST \
	HAS(AES), HAS(PCLMULQDQ), HAS(RDRAND), HAS(RDSEED), HAS(ADX), HAS(SHA), HAS(CLFLUSHOPT), HAS(CLWB), HAS(RDPID), \
	HAS(PREFETCHW), HAS(WBNOINVD)
/* clang-format on */

#define SIGNATURE 0x606a6 /* family 6, model 0x6a, stepping 6 */

#define MODEL(n, about_it, ...)                                                                    \
	{                                                                                          \
		.name = n, .about = about_it, .signature = SIGNATURE, .feature = { __VA_ARGS__ }   \
	}

static const struct cpu_model models[] = {
	MODEL("x86-64-v2", "SSE4.2 and POPCNT; runs on every host (default)", SYSTEM, LEVEL_2),
	MODEL("portable", "x86-64-v2 without PCIDs and FSRM, which some KVM can't give", PORTABLE,
	      LEVEL_2),
	MODEL("x86-64-v3", "AVX2, BMI2 and FMA", SYSTEM, LEVEL_3),
	MODEL("max", "everything that the engine and this host can give", SYSTEM, LEVEL_3, REST),
};

const struct cpu_model *cpu_model_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(models); i++)
		if (string_equal(models[i].name, name))
			return &models[i];
	return NULL;
}

const char *cpu_model_name(unsigned index)
{
	return index < ARRAY_LENGTH(models) ? models[index].name : NULL;
}

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[EAX]), "=b"(out[EBX]), "=c"(out[ECX]), "=d"(out[EDX])
			 : "a"(leaf), "c"(subleaf));
}

void cpuid_host_read(struct cpuid_host *host)
{
	uint32_t top[4], high[4], xcr0 = 0, xcr0_high;

	*host = (struct cpuid_host){.avx_enabled = false};
	host_cpuid(0, 0, top);
	host_cpuid(1, 0, host->leaf_1);
	if (top[EAX] >= 7)
		host_cpuid(7, 0, host->leaf_7);
	if (top[EAX] >= 0xd)
		host_cpuid(0xd, 1, host->leaf_d_1);
	host_cpuid(0x80000000, 0, high);
	host_cpuid(0x80000001, 0, host->leaf_80000001);
	if (high[EAX] >= 0x80000008)
		host_cpuid(0x80000008, 0, host->leaf_80000008);
	if (host->leaf_1[ECX] & BIT(27))
		__asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
	host->avx_enabled = (xcr0 & 6) == 6;
}

static bool host_has(const struct cpuid_host *host, enum cpu_feature feature)
{
	const struct place *place = &places[feature];
	const uint32_t *leaf = place->leaf == 1		   ? host->leaf_1
			       : place->leaf == 7	   ? host->leaf_7
			       : place->leaf == 0xd	   ? host->leaf_d_1
			       : place->leaf == 0x80000008 ? host->leaf_80000008
							   : host->leaf_80000001;

	return leaf[place->reg] >> place->bit & 1;
}

static bool needs_host(const struct cpuid_host *host, enum cpu_feature feature)
{
	return places[feature].provider == HOST ||
	       (places[feature].provider == ENGINE && host->executes);
}

/* Flaws that only processors of Intel's have, as IA32_ARCH_CAPABILITIES denies them. */
#define FLAWS_OF_INTEL                                                                             \
	(BIT(0) /* RDCL_NO */ | BIT(3) /* SKIP_L1DFL_VMENTRY */ | BIT(5) /* MDS_NO */ |            \
	 BIT(6) /* IF_PSCHANGE_MC_NO */ | BIT(8) /* TAA_NO */ | BIT(13) /* SBDR_SSDP_NO */ |       \
	 BIT(14) /* FBSDP_NO */ | BIT(15) /* PSDP_NO */ | BIT(20) /* BHI_NO */ |                   \
	 BIT(24) /* PBRSB_NO */ | BIT(26) /* GDS_NO */ | BIT(27) /* RFDS_NO */ |                   \
	 BIT(62) /* ITS_NO */)
#define SSB_NO BIT(4)

/* What beside features depends on a processor that executes the guest itself. */
static void limit_to_executing(struct cpu_model *limited, const struct cpuid_host *host)
{
	uint8_t bits = (uint8_t)host->leaf_80000008[EAX];

	limited->physical_bits = bits && bits < CPU_PHYSICAL_BITS ? bits : CPU_PHYSICAL_BITS;
	limited->flawed = true;
	if (host->intel)
		limited->flawless = host->arch_capabilities & (FLAWS_OF_INTEL | SSB_NO);
	else
		limited->flawless =
			FLAWS_OF_INTEL |
			(host->leaf_80000008[EBX] & BIT(26) /* AMD's SsbNo */ ? SSB_NO : 0);
}

static bool needs_avx(enum cpu_feature feature)
{
	return feature == FEATURE_AVX || feature == FEATURE_AVX2 || feature == FEATURE_FMA ||
	       feature == FEATURE_F16C;
}

void cpu_model_limit(struct cpu_model *limited, const struct cpu_model *model,
		     const struct cpuid_host *host)
{
	*limited = *model;
	limited->tsc_frequency = host->tsc_frequency;
	for (unsigned f = FEATURE_ALWAYS + 1; f < FEATURE_COUNT; f++)
		if ((needs_host(host, f) && !host_has(host, f)) ||
		    (needs_avx(f) && !host->avx_enabled))
			limited->feature[f] = false;
	if (host->executes)
		limit_to_executing(limited, host);
	/* Nothing of AVX without XSAVE, nothing of XSAVE's kin without it. */
	if (!limited->feature[FEATURE_XSAVE]) {
		limited->feature[FEATURE_XSAVEOPT] = limited->feature[FEATURE_XSAVEC] = false;
		limited->feature[FEATURE_XGETBV1] = limited->feature[FEATURE_XSAVES] = false;
		limited->feature[FEATURE_AVX] = false;
	}
	if (!limited->feature[FEATURE_AVX])
		limited->feature[FEATURE_AVX2] = limited->feature[FEATURE_FMA] =
			limited->feature[FEATURE_F16C] = false;
}

const char *cpu_model_missing(const struct cpu_model *limited, const struct cpu_model *model,
			      unsigned index)
{
	for (unsigned f = FEATURE_ALWAYS + 1; f < FEATURE_COUNT; f++)
		if (model->feature[f] && !limited->feature[f] && index-- == 0)
			return places[f].name;
	return NULL;
}

uint64_t cpu_model_xcr0(const struct cpu_model *model)
{
	if (!model->feature[FEATURE_XSAVE])
		return 0;
	return model->feature[FEATURE_AVX] ? 7 : 3;
}

uint32_t cpuid_xsave_size(uint64_t components)
{
	return components & 4 ? 832 : 576;
}

uint64_t cpu_model_cr4(const struct cpu_model *model)
{
	static const struct {
		uint64_t bits;
		enum cpu_feature feature;
	} table[] = {
		{CR4_VME | CR4_PVI, FEATURE_VME},
		{CR4_TSD, FEATURE_TSC},
		{CR4_DE, FEATURE_DE},
		{CR4_PSE, FEATURE_PSE},
		{CR4_PAE, FEATURE_PAE},
		{CR4_MCE, FEATURE_MCE},
		{CR4_PGE, FEATURE_PGE},
		{CR4_OSFXSR, FEATURE_FXSR},
		{CR4_OSXMMEXCPT, FEATURE_SSE},
		{CR4_UMIP, FEATURE_UMIP},
		{CR4_FSGSBASE, FEATURE_FSGSBASE},
		{CR4_PCIDE, FEATURE_PCID},
		{CR4_OSXSAVE, FEATURE_XSAVE},
		{CR4_SMEP, FEATURE_SMEP},
		{CR4_SMAP, FEATURE_SMAP},
	};
	uint64_t allowed = CR4_PCE;

	for (unsigned i = 0; i < ARRAY_LENGTH(table); i++)
		if (cpu_model_has(model, table[i].feature))
			allowed |= table[i].bits;
	return allowed;
}

uint64_t cpu_model_arch_capabilities(const struct cpu_model *model)
{
	const uint64_t ibrs_all = BIT(1);

	return model->flawed ? model->flawless : FLAWS_OF_INTEL | ibrs_all | SSB_NO;
}

/* Answers */

static void set(uint32_t out[4], uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	out[EAX] = eax, out[EBX] = ebx, out[ECX] = ecx, out[EDX] = edx;
}

static void features_of(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf,
			uint32_t out[4])
{
	for (unsigned f = FEATURE_ALWAYS + 1; f < FEATURE_COUNT; f++)
		if (model->feature[f] && places[f].leaf == leaf && places[f].subleaf == subleaf)
			out[places[f].reg] |= 1u << places[f].bit;
}

static void text(uint32_t out[4], const char *string, size_t from)
{
	size_t length = string_length(string);

	for (size_t i = 0; i < 16; i++)
		if (from + i < length)
			out[i / 4] |= (uint32_t)(uint8_t)string[from + i] << i % 4 * 8;
}

/* Bits that number the cores of a package with so many. */
static unsigned core_bits(uint32_t count)
{
	return count > 1 ? (unsigned)bits_highest(count - 1) + 1 : 0;
}

static void answer_features(const struct cpu_model *model, const struct cpuid_state *state,
			    uint32_t out[4])
{
	uint32_t ids = 1u << core_bits(state->vcpu_count);

	set(out, model->signature,
	    state->vcpu << 24 | (ids > 255 ? 255 : ids) << 16 | 8 << 8 /* clflush: 64 bytes */, 0,
	    0);
	features_of(model, 1, 0, out);
	if (state->osxsave)
		out[ECX] |= BIT(27);
	if (state->vcpu_count > 1)
		out[EDX] |= BIT(28); /* HTT: more than one id in the package */
}

/* Deterministic caches: 48 and 32 KiB, 1.25 MiB per core, 24 MiB for all. */
static void answer_caches(const struct cpuid_state *state, uint32_t subleaf, uint32_t out[4])
{
	static const struct {
		uint8_t type, level, ways;
		uint16_t sets;
		bool shared;
	} caches[] = {{1, 1, 12, 64, false},
		      {2, 1, 8, 64, false},
		      {3, 2, 20, 1024, false},
		      {3, 3, 12, 32768, true}};
	uint32_t cores = (1u << core_bits(state->vcpu_count)) - 1;

	if (subleaf >= ARRAY_LENGTH(caches))
		return;
	set(out,
	    caches[subleaf].type | (uint32_t)caches[subleaf].level << 5 |
		    1 << 8 /* needs no initialising */ |
		    (caches[subleaf].shared ? cores : 0) << 14 | cores << 26,
	    63 | (caches[subleaf].ways - 1u) << 22, caches[subleaf].sets - 1u, 0);
}

/* Leaves 0xb and 0x1f: one thread in a core, cores in the package. */
static void answer_topology(const struct cpuid_state *state, uint32_t subleaf, uint32_t out[4])
{
	set(out, 0, 0, subleaf & 0xff, state->vcpu);
	if (subleaf == 0) {
		out[EBX] = 1;
		out[ECX] |= 1 << 8;
	} else if (subleaf == 1) {
		out[EAX] = core_bits(state->vcpu_count);
		out[EBX] = state->vcpu_count;
		out[ECX] |= 2 << 8;
	}
}

static void answer_xsave(const struct cpu_model *model, const struct cpuid_state *state,
			 uint32_t subleaf, uint32_t out[4])
{
	uint64_t all = cpu_model_xcr0(model);

	if (!all)
		return;
	switch (subleaf) {
	case 0:
		set(out, (uint32_t)all, cpuid_xsave_size(state->xcr0), cpuid_xsave_size(all), 0);
		break;
	case 1:
		features_of(model, 0xd, 1, out);
		out[EBX] = cpuid_xsave_size(state->xcr0 | state->xss);
		break;
	case 2:
		if (all & 4)
			set(out, 256, 576, 0, 0);
	}
}

/*
 * The TSC's frequency as a multiple of a crystal's: crystal * ebx / eax. Linux computes it in 32
 * bits of kHz, so the denominator is chosen such that nothing overflows, and as large as that
 * allows: exact to 1 kHz below 4.29 GHz.
 */
static void answer_tsc(const struct cpu_model *model, uint32_t out[4])
{
	uint64_t khz = model->tsc_frequency / 1000;
	uint32_t denominator = khz < 4290000 ? 1000 : 100;

	if (khz)
		set(out, denominator, (uint32_t)(khz * denominator / 1000), 1000000, 0);
}

/*
 * Leaf 7. SPEC_CTRL, PRED_CMD and ARCH_CAPABILITIES exist. So does SPEC_CTRL.BHI_DIS_S, without
 * which Linux runs a long loop of branches at each system call, BHI_NO or not. With the processor's
 * own flaws only ARCH_CAPABILITIES is there.
 */
static void answer_structured(const struct cpu_model *model, uint32_t subleaf, uint32_t out[4])
{
	if (subleaf == 0) {
		features_of(model, 7, 0, out);
		out[EAX] = 2; /* the last subleaf */
		out[EDX] |= BIT(29);
		if (!model->flawed)
			out[EDX] |= BIT(26) | BIT(27) /* STIBP */ | (uint32_t)BIT(31) /* SSBD */;
	} else if (subleaf == 2 && !model->flawed) {
		out[EDX] = BIT(4);
	}
}

static void answer_basic(const struct cpu_model *model, const struct cpuid_state *state,
			 uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	uint32_t mhz = (uint32_t)(model->tsc_frequency / 1000000);

	switch (leaf) {
	case 0:
		set(out, 0x1f, 0x756e6547, 0x6c65746e,
		    0x49656e69); /* Genu ineI ntel, in the order ebx edx ecx */
		break;
	case 1:
		answer_features(model, state, out);
		break;
	case 2:
		set(out, 0x00feff01, 0, 0, 0); /* TLBs: leaf 0x18 (empty); caches: leaf 4 */
		break;
	case 4:
		answer_caches(state, subleaf, out);
		break;
	case 6:
		features_of(model, 6, 0, out);
		break;
	case 7:
		answer_structured(model, subleaf, out);
		break;
	case 0xb:
	case 0x1f:
		answer_topology(state, subleaf, out);
		break;
	case 0xd:
		answer_xsave(model, state, subleaf, out);
		break;
	case 0x15:
		answer_tsc(model, out);
		break;
	case 0x16:
		if (mhz)
			set(out, mhz, mhz, 100, 0);
	}
}

static void answer_hypervisor(const struct cpu_model *model, uint32_t leaf, uint32_t out[4])
{
	if (leaf == 0x40000000)
		set(out, 0x40000010, 0x4b4d564b, 0x564b4d56, 0x4d); /* KVMK VMKV M */
	else if (leaf == 0x40000001)
		set(out, BIT(1), 0, 0, 0); /* no delay needed after port accesses */
	else if (leaf == 0x40000010)
		set(out, (uint32_t)(model->tsc_frequency / 1000), 0, 0, 0);
}

static void answer_extended(const struct cpu_model *model, uint32_t leaf, uint32_t out[4])
{
	static const char brand[] = "Intel Xeon Processor (Lodge)";

	switch (leaf) {
	case 0x80000000:
		out[EAX] = 0x80000008;
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		text(out, brand, (leaf - 0x80000002) * 16);
		break;
	case 0x80000006:
		out[ECX] = 64 | 7 << 12 | 1280 << 16; /* L2: line, ways, KiB */
		break;
	case 0x80000008:
		out[EAX] = cpu_model_physical_bits(model) | CPU_LINEAR_BITS << 8;
		/* fall through */
	default:
		features_of(model, leaf, 0, out);
	}
}

void cpuid_answer(const struct cpu_model *model, const struct cpuid_state *state, uint32_t leaf,
		  uint32_t subleaf, uint32_t out[4])
{
	set(out, 0, 0, 0, 0);
	if (leaf < 0x40000000)
		answer_basic(model, state, leaf, subleaf, out);
	else if (leaf < 0x40000100)
		answer_hypervisor(model, leaf, out);
	else if (leaf >= 0x80000000 && leaf <= 0x80000008)
		answer_extended(model, leaf, out);
}
