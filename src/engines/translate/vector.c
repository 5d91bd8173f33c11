/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the guest's x87, SSE and AVX state is: in the host's registers, or in cpu->xsave. */
#include "engines/translate/cpu.h"
#include "lib/bytes.h"
#include "lib/check.h"

/* x87, SSE, AVX: all that a guest may have. What the host has beyond that is left alone. */
#define COMPONENTS 7u

static const uint32_t host_mxcsr = 0x1f80;

void cpu_vector_load(struct cpu *cpu)
{
	CHECK(!cpu->vector_live);
	__asm__ volatile("xrstor64 %0" : : "m"(cpu->xsave), "a"(COMPONENTS), "d"(0));
	cpu->vector_live = true;
}

void cpu_vector_copy(const struct cpu *cpu, uint8_t area[VCPU_XSAVE_SIZE])
{
	if (!cpu->vector_live) {
		bytes_copy(area, cpu->xsave, VCPU_XSAVE_SIZE);
		return;
	}
	bytes_fill(area + 512, 0, 64); /* the header, which is kept in part */
	__asm__ volatile("xsave64 %0" : "+m"(*area) : "a"(COMPONENTS), "d"(0) : "memory");
}

/* Leaves the host's code with the x87 and SSE state that the ABI promises it. */
void cpu_vector_save(struct cpu *cpu)
{
	CHECK(cpu->vector_live);
	__asm__ volatile("xsave64 %0" : "+m"(cpu->xsave) : "a"(COMPONENTS), "d"(0) : "memory");
	if (cpu->xsave[512] & 1)
		__asm__ volatile("fninit");
	__asm__ volatile("ldmxcsr %0" : : "m"(host_mxcsr));
	cpu->vector_live = false;
}

bool cpu_outside_begin(struct cpu *cpu)
{
	bool live = cpu->vector_live;

	if (live)
		cpu_vector_save(cpu);
	return live;
}

void cpu_outside_end(struct cpu *cpu, bool live)
{
	if (live)
		cpu_vector_load(cpu);
}
