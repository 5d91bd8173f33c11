/* SPDX-License-Identifier: BSD-2-Clause */
/* Can the software engine run on this Linux host? */
#include "engines/translate/probe.h"

#include <cpuid.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "engines/translate/code_memory.h"

#define HWCAP2_USER_FSGSBASE 2u
#define CPUID_1_ECX_XSAVE    (1u << 26)
#define CPUID_1_ECX_OSXSAVE  (1u << 27)
#define CPUID_1_ECX_SSE42    (1u << 20)
#define CPUID_7_EBX_BMI2     (1u << 8)

static bool has_xsave(void)
{
	unsigned eax, ebx, ecx, edx;
	const unsigned wanted = CPUID_1_ECX_XSAVE | CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_SSE42;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & wanted) == wanted;
}

bool probe_bmi2(void)
{
	unsigned eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & CPUID_7_EBX_BMI2);
}

int probe_host(char *reason, size_t size)
{
	struct code_memory memory;
	int error;

	if (!has_xsave()) {
		snprintf(reason, size,
			 "the processor has no SSE4.2 or no XSAVE (x86-64-v2 is needed)");
		return -ENOTSUP;
	}
	if (!(getauxval(AT_HWCAP2) & HWCAP2_USER_FSGSBASE)) {
		snprintf(reason, size,
			 "programs may not use wrgsbase here (Linux 5.9 or later on a processor "
			 "with FSGSBASE is needed)");
		return -ENOTSUP;
	}
	error = code_memory_create(&memory, 4096);
	if (error) {
		snprintf(reason, size, "memory for generated code was refused (%s)",
			 strerror(-error));
		return error;
	}
	code_memory_destroy(&memory);
	snprintf(reason, size, "needs no virtualization by the processor");
	return 0;
}
