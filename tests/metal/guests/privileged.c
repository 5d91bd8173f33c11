/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every privileged instruction at CPL 0, with operands that are wrong or nasty. An exception that
 * the manuals have for it, or success, and then it is still our processor.
 */
#include "neighbour.h"

#define UD 6
#define GP 13

static uint8_t area[64] __attribute__((aligned(16)));

/* SVM and VMX aren't offered: #UD, or #GP for a bad operand, but nothing that works. */
static void virtualization(void)
{
	EXPECT_EQ(TRAP_OF("xor %%eax, %%eax; vmrun"), UD);
	EXPECT_EQ(TRAP_OF("xor %%eax, %%eax; vmload"), UD);
	EXPECT_EQ(TRAP_OF("xor %%eax, %%eax; vmsave"), UD);
	EXPECT_EQ(TRAP_OF("stgi"), UD);
	EXPECT_EQ(TRAP_OF("clgi"), UD);
	EXPECT_EQ(TRAP_OF("xor %%eax, %%eax; skinit"), UD);
	EXPECT_EQ(TRAP_OF("xor %%ecx, %%ecx; invlpga %%rax, %%ecx"), UD);
	EXPECT_EQ(TRAP_OF("vmmcall"), UD);
	EXPECT_EQ(TRAP_OF("vmcall"), UD);
	EXPECT_EQ(TRAP_OF("vmxon (%%rbx)", "b"(area)), UD);
	EXPECT_EQ(TRAP_OF(".byte 0x0f, 0xaa"), UD);	  /* rsm */
	EXPECT_EQ(TRAP_OF(".byte 0x0f, 0x01, 0xcf"), UD); /* encls */
	EXPECT_EQ(TRAP_OF(".byte 0x0f, 0x37"), UD);	  /* getsec */
}

static void caches_and_counters(void)
{
	TRAP_OF("invd");
	TRAP_OF("wbinvd");
	TRAP_OF("wbnoinvd");
	TRAP_OF("rdpmc", "c"(0));
	TRAP_OF("rdpmc", "c"(0x7fffffff));
	TRAP_OF("monitor", "c"(0));
	TRAP_OF("mov $1, %%eax; monitor", "c"(1));
	TRAP_OF("invlpg (%%rbx)", "b"(0x7fffffffff000ull));
	TRAP_OF("invlpg (%%rbx)", "b"(0x8000000000000000ull));
	TRAP_OF(".byte 0x66, 0x0f, 0x38, 0x82, 0x03", "b"(area)); /* invpcid (%rbx), %rax */
	TRAP_OF("clac");
	TRAP_OF("stac");
	TRAP_OF("swapgs; swapgs");
	TRAP_OF("rdtscp", "c"(0));
	TRAP_OF("xgetbv", "c"(0));
}

/*
 * Values that must not be taken: the processor raises #GP (or #UD), and keeps what it had. PG
 * without PE and no PAE in long mode are left out: QEMU's TCG takes them.
 */
static void control_registers(uint64_t *seed)
{
	uint64_t cr0 = cr0_read(), cr3 = cr3_read(), cr4 = cr4_read();

	EXPECT_EQ(TRAP_OF("mov %%rbx, %%cr4", "b"(cr4 | 1ull << 63)), GP);
	EXPECT_EQ(TRAP_OF("mov %%rbx, %%cr4", "b"(cr4 | 1 << 13)), GP); /* VMXE */
	TRAP_OF("mov %%rbx, %%cr8", "b"(0x10));
	for (unsigned int i = 0; i < 1000; i++) {
		int vector =
			TRAP_OF("mov %%rbx, %%cr4", "b"(cr4 ^ 1ull << (13 + chance(seed) % 51)));

		EXPECT(vector == -1 || vector == GP);
		cr4_write(cr4);
		vector = TRAP_OF("xsetbv", "c"(chance(seed) & 3));
		EXPECT(vector == -1 || vector == GP || vector == UD);
	}
	EXPECT_EQ(TRAP_OF(".byte 0x0f, 0x20, 0xc8"), UD); /* mov from cr1 */
	EXPECT_EQ(TRAP_OF(".byte 0x0f, 0x22, 0xe8"), UD); /* mov to cr5 */
	EXPECT_EQ(cr0_read(), cr0);
	EXPECT_EQ(cr3_read(), cr3);
	EXPECT_EQ(cr4_read(), cr4);
}

static void descriptor_tables(void)
{
	TRAP_OF("lldt %%cx", "c"(0xfff8));
	EXPECT_EQ(TRAP_OF("ltr %%cx", "c"(0xfff8)), GP);
	TRAP_OF("ltr %%cx", "c"(0));
	EXPECT_EQ(TRAP_OF("lgdt (%%rbx)", "b"(0x8000000000000000ull)), GP);
	EXPECT_EQ(TRAP_OF("lidt (%%rbx)", "b"(0x8000000000000000ull)), GP);
	TRAP_OF("sgdt (%%rbx)", "b"(area));
	TRAP_OF("sidt (%%rbx)", "b"(area));
	TRAP_OF("smsw %%cx", "c"(0));
	TRAP_OF("lmsw %%cx", "c"(1));
	TRAP_OF("clts");
}

void test_main(void)
{
	uint64_t seed = option("seed", 1);

	system_init();
	virtualization();
	print("caches and counters\n");
	caches_and_counters();
	print("control registers\n");
	control_registers(&seed);
	print("descriptor tables\n");
	descriptor_tables();
}
