/* SPDX-License-Identifier: BSD-2-Clause */
#include "x86/cpuid.h"

#include "lib/bits.h"
#include "lib/bytes.h"
#include "test.h"

static uint32_t out[4];
static struct cpuid_state state = {.vcpu = 2, .vcpu_count = 4, .xcr0 = 1};

static const struct cpu_model *model(const char *name)
{
	const struct cpu_model *found = cpu_model_find(name);

	REQUIRE(found);
	return found;
}

static const uint32_t *ask(const struct cpu_model *of, uint32_t leaf, uint32_t subleaf)
{
	cpuid_answer(of, &state, leaf, subleaf, out);
	return out;
}

static struct cpuid_host everything(void)
{
	struct cpuid_host host;

	bytes_fill(&host, 0xff, sizeof(host));
	host.avx_enabled = true;
	host.executes = false;
	host.intel = false;
	host.tsc_frequency = 2500000000;
	return host;
}

TEST(names)
{
	EXPECT_STR(cpu_model_name(0), "x86-64-v2");
	EXPECT_STR(cpu_model_name(1), "portable");
	EXPECT_STR(cpu_model_name(2), "x86-64-v3");
	EXPECT_STR(cpu_model_name(3), "max");
	EXPECT(!cpu_model_name(4));
	EXPECT(!cpu_model_find("486"));
}

TEST(vendor_and_signature)
{
	ask(model("x86-64-v2"), 0, 0);
	EXPECT_MEM(&out[1], "Genu", 4);
	EXPECT_MEM(&out[3], "ineI", 4);
	EXPECT_MEM(&out[2], "ntel", 4);
	EXPECT(out[0] >= 0x1f);
	ask(model("x86-64-v2"), 1, 0);
	EXPECT_EQ(out[0] >> 8 & 15, 6);
	EXPECT_EQ(out[1] >> 24, 2);
	EXPECT_EQ(out[1] >> 16 & 0xff, 4);
}

TEST(signature_of_the_hypervisor)
{
	ask(model("max"), 0x40000000, 0);
	EXPECT_MEM(&out[1], "KVMKVMKVM\0\0\0", 12);
	EXPECT_EQ(out[0], 0x40000010);
	ask(model("max"), 0x40000001, 0);
	EXPECT_EQ(out[0] & 9, 0); /* no paravirtual clock */
}

TEST(portable_lacks_what_kvm_may_lack)
{
	const struct cpu_model *v2 = model("x86-64-v2"), *portable = model("portable");

	static const struct {
		uint32_t leaf, word, bit;
	} lacks[] = {{1, 2, 17}, {7, 1, 10}, {7, 3, 4}}; /* PCID, INVPCID, FSRM */

	for (unsigned i = 0; i < ARRAY_LENGTH(lacks); i++) {
		uint32_t has = ask(v2, lacks[i].leaf, 0)[lacks[i].word];

		EXPECT_EQ(has & ~ask(portable, lacks[i].leaf, 0)[lacks[i].word],
			  1u << lacks[i].bit);
	}
	EXPECT(!cpu_model_missing(v2, portable, 0));
	EXPECT_STR(cpu_model_missing(portable, v2, 0), "INVPCID");
}

/* Leaf, register and bit by the manual, not by the table that is tested. */
TEST(features_are_told_where_the_manual_says)
{
	const struct cpu_model *v2 = model("x86-64-v2"), *v3 = model("x86-64-v3"),
			       *max = model("max");

	EXPECT_EQ(ask(v2, 1, 0)[2] &
			  (1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23),
		  1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 |
			  1u << 23); /* sse3 ... popcnt */
	EXPECT_EQ(ask(v2, 1, 0)[2] &
			  (1u << 12 | 1u << 25 | 1u << 26 | 1u << 28 | 1u << 29 | 1u << 30),
		  0);
	EXPECT_EQ(ask(v2, 1, 0)[2] & (1u << 17 | 1u << 21 | 1u << 24 | 1u << 31),
		  1u << 17 | 1u << 21 | 1u << 24 |
			  1u << 31); /* pcid, x2apic, deadline, hypervisor */
	EXPECT_EQ(ask(v3, 1, 0)[2] & (1u << 12 | 1u << 22 | 1u << 26 | 1u << 28 | 1u << 29),
		  1u << 12 | 1u << 22 | 1u << 26 | 1u << 28 | 1u << 29);
	EXPECT_EQ(ask(v3, 7, 0)[1] & (1u << 3 | 1u << 5 | 1u << 8), 1u << 3 | 1u << 5 | 1u << 8);
	EXPECT_EQ(ask(v3, 0x80000001, 0)[2] & 1u << 5, 1u << 5);
	EXPECT_EQ(ask(max, 1, 0)[2] & (1u << 1 | 1u << 25 | 1u << 30),
		  1u << 1 | 1u << 25 | 1u << 30);
	EXPECT_EQ(ask(v2, 7, 0)[1] & (1u << 0 | 1u << 7 | 1u << 9 | 1u << 10 | 1u << 20),
		  1u << 0 | 1u << 7 | 1u << 9 | 1u << 10 | 1u << 20);
	EXPECT_EQ(ask(v2, 7, 0)[3] & (1u << 26 | 1u << 29 | 1u << 31),
		  1u << 26 | 1u << 29 | 1u << 31);
	EXPECT_EQ(out[0], 2);
	EXPECT_EQ(ask(v2, 7, 1)[0], 0);
	EXPECT_EQ(ask(v2, 7, 2)[3], 1u << 4); /* BHI_DIS_S */
	EXPECT_EQ(ask(v2, 0x80000001, 0)[3] &
			  (1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29),
		  1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29);
	EXPECT_EQ(ask(v2, 0x80000007, 0)[3], 1u << 8);
	EXPECT_EQ(ask(v2, 0x80000008, 0)[0], 46 | 48 << 8);
	EXPECT_EQ(ask(v2, 6, 0)[0], 4);
	EXPECT_EQ(ask(v2, 1, 0)[3] & 1u << 1, 0); /* no vme */
}

TEST(osxsave_follows_cr4)
{
	EXPECT_EQ(ask(model("max"), 1, 0)[2] & 1u << 27, 0);
	state.osxsave = true;
	EXPECT_EQ(ask(model("max"), 1, 0)[2] & 1u << 27, 1u << 27);
}

TEST(extended_state)
{
	const struct cpu_model *v3 = model("x86-64-v3");

	EXPECT_EQ(cpu_model_xcr0(model("x86-64-v2")), 0);
	EXPECT_EQ(cpu_model_xcr0(v3), 7);
	EXPECT_EQ(ask(v3, 0xd, 0)[0], 7);
	EXPECT_EQ(out[1], 576);
	EXPECT_EQ(out[2], 832);
	state.xcr0 = 7;
	EXPECT_EQ(ask(v3, 0xd, 0)[1], 832);
	EXPECT_EQ(ask(v3, 0xd, 1)[0], 7);
	EXPECT_EQ(ask(v3, 0xd, 2)[0], 256);
	EXPECT_EQ(out[1], 576);
	EXPECT_EQ(ask(v3, 0xd, 3)[0], 0);
	EXPECT_EQ(ask(model("x86-64-v2"), 0xd, 0)[0], 0);
}

TEST(topology_is_one_package_of_cores)
{
	EXPECT_EQ(ask(model("max"), 0xb, 0)[0], 0);
	EXPECT_EQ(out[1], 1);
	EXPECT_EQ(out[2], 1 << 8);
	EXPECT_EQ(out[3], 2);
	EXPECT_EQ(ask(model("max"), 0xb, 1)[0], 2);
	EXPECT_EQ(out[1], 4);
	EXPECT_EQ(out[2], 1 | 2 << 8);
	EXPECT_EQ(ask(model("max"), 0x1f, 2)[2], 2);
	EXPECT_EQ(out[1], 0);
	state.vcpu_count = 5;
	EXPECT_EQ(ask(model("max"), 0xb, 1)[0], 3);
	state.vcpu_count = 1;
	EXPECT_EQ(ask(model("max"), 0xb, 1)[0], 0);
}

TEST(caches)
{
	EXPECT_EQ(ask(model("max"), 4, 0)[0] & 31, 1);
	EXPECT_EQ(((out[1] >> 22) + 1) * ((out[1] & 0xfff) + 1) * (out[2] + 1), 48 * 1024);
	EXPECT_EQ(ask(model("max"), 4, 3)[0] >> 14 & 0xfff, 3); /* shared by all */
	EXPECT_EQ(ask(model("max"), 4, 4)[0], 0);
}

/* As Linux computes it: in unsigned 32-bit kHz. */
static uint32_t tsc_khz(uint64_t hz)
{
	struct cpuid_host host = everything();
	struct cpu_model limited;

	host.tsc_frequency = hz;
	cpu_model_limit(&limited, model("max"), &host);
	ask(&limited, 0x15, 0);
	return out[0] ? out[2] / 1000 * out[1] / out[0] : 0;
}

TEST(tsc_frequency)
{
	EXPECT_EQ(tsc_khz(0), 0);
	EXPECT_EQ(tsc_khz(2499998123), 2499998);
	EXPECT_EQ(tsc_khz(800000000), 800000);
	EXPECT_EQ(tsc_khz(4289000000), 4289000);
	EXPECT_EQ(tsc_khz(5700000000), 5700000);
}

TEST(brand_is_text)
{
	char brand[49] = {0};

	for (unsigned i = 0; i < 3; i++)
		bytes_copy(brand + 16 * i, ask(model("max"), 0x80000002 + i, 0), 16);
	EXPECT_STR(brand, "Intel Xeon Processor (Lodge)");
}

TEST(unknown_leaves_are_zero)
{
	static const uint32_t leaves[] = {0x20,	      0x3fffffff, 0x40000002, 0x40000100,
					  0x7fffffff, 0x80000009, 0xffffffff};

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		ask(model("max"), leaves[i], 0);
		EXPECT_EQ(out[0] | out[1] | out[2] | out[3], 0);
	}
}

TEST(a_host_that_has_everything_takes_nothing_away)
{
	struct cpuid_host host = everything();
	struct cpu_model limited;

	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_missing(&limited, model("max"), 0), 0);
	EXPECT_EQ(limited.tsc_frequency, 2500000000);
}

TEST(what_the_host_lacks_is_taken_away)
{
	struct cpuid_host host = everything();
	struct cpu_model limited;

	host.leaf_7[1] &= ~(1u << 29);
	host.leaf_1[2] &= ~(1u << 25);
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT(!cpu_model_has(&limited, FEATURE_SHA));
	EXPECT(!cpu_model_has(&limited, FEATURE_AES));
	EXPECT(cpu_model_has(&limited, FEATURE_AVX2));
	EXPECT_STR(cpu_model_missing(&limited, model("max"), 0), "AES");
	EXPECT_STR(cpu_model_missing(&limited, model("max"), 1), "SHA");
	EXPECT(!cpu_model_missing(&limited, model("max"), 2));
}

TEST(what_the_engine_does_itself_needs_no_host)
{
	struct cpuid_host host = everything();
	struct cpu_model limited;

	bytes_fill(host.leaf_7, 0, sizeof(host.leaf_7));
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT(cpu_model_has(&limited, FEATURE_SMAP));
	EXPECT(cpu_model_has(&limited, FEATURE_INVPCID));
	EXPECT(cpu_model_has(&limited, FEATURE_FSGSBASE));
	EXPECT(!cpu_model_has(&limited, FEATURE_BMI2));
}

TEST(no_avx_unless_the_host_has_enabled_it)
{
	struct cpuid_host host = everything();
	struct cpu_model limited;

	host.avx_enabled = false;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT(!cpu_model_has(&limited, FEATURE_AVX));
	EXPECT(!cpu_model_has(&limited, FEATURE_AVX2));
	EXPECT(!cpu_model_has(&limited, FEATURE_FMA));
	EXPECT_EQ(cpu_model_xcr0(&limited), 3);
	host = everything();
	host.leaf_1[2] &= ~(1u << 26);
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT(!cpu_model_has(&limited, FEATURE_AVX2));
	EXPECT(!cpu_model_has(&limited, FEATURE_XSAVEC));
	EXPECT_EQ(cpu_model_xcr0(&limited), 0);
}

/* A processor that runs the guest itself. */

static struct cpuid_host nothing_that_executes(void)
{
	return (struct cpuid_host){.executes = true, .tsc_frequency = 2500000000};
}

TEST(a_processor_that_executes_has_to_have_what_engines_do_elsewhere)
{
	struct cpuid_host host = everything();
	struct cpu_model limited;

	host.executes = true;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_missing(&limited, model("max"), 0), 0);
	host.leaf_7[1] &= ~(1u << 20);	      /* smap */
	host.leaf_1[2] &= ~(1u << 17);	      /* pcid */
	host.leaf_80000001[3] &= ~(1u << 26); /* pages of 1 GiB */
	host.leaf_80000008[1] &= ~(1u << 9);  /* wbnoinvd */
	host.leaf_d_1[0] &= ~(1u << 2);	      /* xgetbv with ecx = 1 */
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT(!cpu_model_has(&limited, FEATURE_SMAP));
	EXPECT(!cpu_model_has(&limited, FEATURE_PCID));
	EXPECT(!cpu_model_has(&limited, FEATURE_1G_PAGES));
	EXPECT(!cpu_model_has(&limited, FEATURE_WBNOINVD));
	EXPECT(!cpu_model_has(&limited, FEATURE_XGETBV1));
	EXPECT(cpu_model_has(&limited, FEATURE_SMEP));
	host.executes = false;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_missing(&limited, model("max"), 0), 0);
}

TEST(what_lodge_is_itself_needs_no_processor)
{
	static const enum cpu_feature ours[] = {
		FEATURE_APIC,	    FEATURE_X2APIC,	  FEATURE_TSC_DEADLINE, FEATURE_HYPERVISOR,
		FEATURE_ARAT,	    FEATURE_MTRR,	  FEATURE_MCE,		FEATURE_MCA,
		FEATURE_TSC_ADJUST, FEATURE_INVARIANT_TSC};
	struct cpuid_host host = nothing_that_executes();
	struct cpu_model limited;
	unsigned count = 0;

	cpu_model_limit(&limited, model("max"), &host);
	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		EXPECT(cpu_model_has(&limited, ours[i]));
	for (unsigned f = FEATURE_ALWAYS + 1; f < FEATURE_COUNT; f++)
		count += limited.feature[f];
	EXPECT_EQ(count, sizeof(ours) / sizeof(ours[0]));
}

TEST(its_addresses_are_the_guest_s)
{
	struct cpuid_host host = nothing_that_executes();
	struct cpu_model limited;

	EXPECT_EQ(cpu_model_physical_bits(model("max")), 46);
	host.leaf_80000008[0] = 0x3028; /* 40 bits */
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_physical_bits(&limited), 40);
	EXPECT_EQ(ask(&limited, 0x80000008, 0)[0], 40 | 48 << 8);
	host.leaf_80000008[0] = 0x3934;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_physical_bits(&limited), 46);
	host.leaf_80000008[0] = 0;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_physical_bits(&limited), 46);
	host.leaf_80000008[0] = 0x3028;
	host.executes = false;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_physical_bits(&limited), 46);
}

TEST(its_flaws_are_the_guest_s)
{
	struct cpuid_host host = nothing_that_executes();
	struct cpu_model limited;

	EXPECT_EQ(cpu_model_arch_capabilities(model("max")) & 0x13, 0x13);
	cpu_model_limit(&limited, model("max"), &host);
	/* No AMD processor has Meltdown, MDS or L1TF; this one may have SSB, and no IBRS. */
	EXPECT_EQ(cpu_model_arch_capabilities(&limited) & 0x3b, 0x29);
	EXPECT_EQ(ask(&limited, 7, 0)[3] & (1u << 26 | 1u << 27 | 1u << 29 | 1u << 31), 1u << 29);
	EXPECT_EQ(ask(&limited, 7, 2)[3], 0);
	host.leaf_80000008[1] = 1u << 26;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_arch_capabilities(&limited) & 0x3b, 0x39);
	/* One of Intel's says for itself what it has not; nothing else of it is believed. */
	host.intel = true;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_arch_capabilities(&limited), 0);
	host.arch_capabilities = UINT64_MAX;
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_arch_capabilities(&limited) & 0x3b, 0x39);
}

TEST(control_register_bits_follow_features)
{
	struct cpuid_host host = nothing_that_executes();
	struct cpu_model limited;

	EXPECT_EQ(cpu_model_cr4(model("x86-64-v2")), 0x330ffc & ~UINT64_C(0x40000) & ~UINT64_C(3));
	EXPECT_EQ(cpu_model_cr4(model("x86-64-v3")) & 0x40000, 0x40000);
	cpu_model_limit(&limited, model("max"), &host);
	EXPECT_EQ(cpu_model_cr4(&limited), 0x140); /* MCE, PCE */
}
