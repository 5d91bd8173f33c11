/* SPDX-License-Identifier: BSD-2-Clause */
/* System instructions, run as guests of a few bytes. */
#include "engines/translate/exception.h"
#include "x86/msr.h"

#include "translate_fixture.h"

static bool in_handler(unsigned vector)
{
	return stopped.kind == EXIT_HALT && vcpu->state.rip == HANDLERS + 16u * vector + 1;
}

static uint64_t frame(unsigned word)
{
	return get64(vcpu->state.gpr[RSP] + 8 * word);
}

static void begin(void)
{
	fixture_create();
	long_mode();
}

static void user_mode(void)
{
	vcpu->state.segment[SEGMENT_CS] = flat(USER_CODE_64 | 3, 0xa0fb);
	vcpu->state.segment[SEGMENT_SS] = flat(USER_DATA | 3, 0xc0f3);
	vcpu->state.gpr[RSP] = USER_STACK;
	vcpu->state.rip = USER_CODE;
}

/* A fresh start in the same vm. */
static void again(void)
{
	memset(vcpu->state.gpr, 0, sizeof(vcpu->state.gpr));
	long_mode();
	vcpu->state.rflags = 2;
}

static bool halted_at(uint64_t rip)
{
	return stopped.kind == EXIT_HALT && vcpu->state.rip == rip;
}

/* Control registers */

static uint64_t write_cr(unsigned number, uint64_t value)
{
	uint8_t code[] = {0x0f, 0x22, (uint8_t)(0xc0 | number << 3),
			  0xf4}; /* mov %rax, %crN; hlt */

	vcpu->state.gpr[RAX] = value;
	put(vcpu->state.rip, code, sizeof(code));
	run();
	return halted_at(CODE + 4);
}

TEST(cr0_refuses)
{
	begin();
	EXPECT(!write_cr(0, 0x80000010)); /* PG without PE */
	EXPECT(in_handler(13));
	again();
	EXPECT(!write_cr(0, vcpu->state.cr0 | CR0_NW));
	again();
	EXPECT(!write_cr(0, vcpu->state.cr0 | 1ull << 32));
	again();
	EXPECT(!write_cr(0, vcpu->state.cr0 & ~CR0_PG)); /* in 64-bit code */
	again();
	EXPECT(write_cr(0, vcpu->state.cr0 | CR0_TS));
	EXPECT_EQ(vcpu->state.cr0 & CR0_TS, CR0_TS);
}

TEST(cr4_refuses)
{
	begin();
	EXPECT(!write_cr(4, vcpu->state.cr4 & ~CR4_PAE));
	again();
	EXPECT(!write_cr(4, vcpu->state.cr4 | 1ull << 13)); /* VMXE */
	EXPECT(in_handler(13));
	again();
	EXPECT(write_cr(4, vcpu->state.cr4 | CR4_UMIP | CR4_PCIDE));
	again();
	vcpu->state.cr3 = PML4 | 5;
	vcpu->state.cr4 &= ~CR4_PCIDE;
	EXPECT(!write_cr(4, vcpu->state.cr4 | CR4_PCIDE));
}

TEST(cr3_with_pcid)
{
	begin();
	EXPECT(!write_cr(3, PML4 | 1ull << 63));
	EXPECT(in_handler(13));
	again();
	EXPECT(!write_cr(3, PML4 | 1ull << 46));
	again();
	vcpu->state.cr4 |= CR4_PCIDE;
	EXPECT(write_cr(3, PML4 | 7 | 1ull << 63));
	EXPECT_EQ(vcpu->state.cr3, PML4 | 7);
}

/* Without the flush, the old translation stays only where nothing else has been in between. */
TEST(mov_cr3_flushes)
{
	begin();
	put64(PT, 0x100007);
	put64(0x100000, 1), put64(0x300000, 2);
	/* mov WINDOW, %rbx; movq $0x300007, PT; mov %cr3, %rax; mov %rax, %cr3; mov WINDOW, %rdx;
	 * hlt */
	RUN("\x48\x8b\x1c\x25\x00\x00\x00\x40"
	    "\x48\xc7\x04\x25\x00\x40\x00\x00\x07\x00\x30\x00"
	    "\x0f\x20\xd8\x0f\x22\xd8\x48\x8b\x14\x25\x00\x00\x00\x40\xf4");
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(vcpu->state.gpr[RBX], 1);
	EXPECT_EQ(vcpu->state.gpr[RDX], 2);
}

TEST(invpcid)
{
	static const uint8_t type_0[] = {0x66, 0x0f, 0x38, 0x82, 0x01, 0x48, 0x8b, 0x13, 0xf4};
	/* invpcid (%rcx), %rax; mov (%rbx), %rdx; hlt */

	for (unsigned type = 0; type < 5; type++) {
		if (type)
			again();
		else
			begin();
		put64(PT, 0x100007);
		put64(0x100000, 1), put64(0x300000, 2), put64(0x7000, 0), put64(0x7008, WINDOW);
		vcpu->state.gpr[RAX] = type, vcpu->state.gpr[RCX] = 0x7000,
		vcpu->state.gpr[RBX] = WINDOW;
		load();
		EXPECT_EQ(mmu_load(cpu, WINDOW, 8, MMU_READ), 1);
		cpu_save(cpu, &vcpu->state);
		put64(PT, 0x300007);
		put(CODE, type_0, sizeof(type_0));
		run();
		EXPECT_EQ(stopped.kind, EXIT_HALT);
		if (type == 4)
			EXPECT(in_handler(13));
		else
			EXPECT_EQ(vcpu->state.gpr[RDX], 2);
	}
}

TEST(privileged_instructions_fault_at_level_3)
{
	static const char *const codes[] = {
		"\x0f\x20\xc0", "\x0f\x22\xc0", "\x0f\x23\xc0", "\x0f\x30",	"\x0f\x32",
		"\x0f\x01\x10", "\x0f\x01\x18", "\x0f\x00\xd0", "\x0f\x00\xd8", "\x0f\x06",
		"\x0f\x08",	"\x0f\x09",	"\x0f\x01\x38", "\xfa",		"\xfb",
		"\xf4",		"\x0f\x01\xf8", "\xec",		"\xee",		"\x6c",
		"\x6e",		"\x0f\x33",
	};

	fixture_create();
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		again();
		user_mode();
		vcpu->state.tr.limit = 0x67; /* no I/O bitmap */
		put(USER_CODE, codes[i], strlen(codes[i]));
		run();
		if (!EXPECT(in_handler(13)))
			FAIL("case %u", i);
		EXPECT_EQ(frame(0), 0);
		EXPECT_EQ(frame(1), USER_CODE);
	}
}

TEST(umip)
{
	fixture_create();
	for (unsigned on = 0; on < 2; on++) {
		again();
		user_mode();
		vcpu->state.cr4 |= on ? CR4_UMIP : 0;
		vcpu->state.gpr[RCX] = USER_STACK - 64;
		RUN("\x0f\x01\x01\xcc"); /* sgdt (%rcx); int3 */
		EXPECT(in_handler(13));
		EXPECT_EQ(frame(0), on ? 0 : 3 * 8 + 2);
	}
	EXPECT_EQ(get64(USER_STACK - 64), GDT_LIMIT | (uint64_t)GDT << 16);
}

/* Segments */

TEST(loading_data_segments)
{
	static const struct {
		uint16_t selector;
		bool user;
		int vector; /* -1: none */
		uint32_t error;
	} cases[] = {
		{KERNEL_DATA, false, -1, 0},
		{USER_DATA | 3, false, -1, 0},
		{0, false, -1, 0},
		{3, true, -1, 0},
		{KERNEL_DATA, true, 13, KERNEL_DATA},
		{USER_DATA | 3, true, -1, 0},
		{0x80, false, 13, 0x80},
		/* beyond the limit */ {TSS_SELECTOR, false, 13, TSS_SELECTOR},
		{0x38, false, 11, 0x38},
		/* absent */ {KERNEL_DATA | 3, false, 13, KERNEL_DATA},
		{4, false, 13, 4} /* no LDT */,
	};

	fixture_create();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		again();
		put64(GDT + 0x38, 0x00cf13000000ffff);
		if (cases[i].user)
			user_mode();
		vcpu->state.gpr[RAX] = cases[i].selector;
		RUN("\x8e\xd8\xf4"); /* mov %eax, %ds; hlt */
		if (cases[i].vector < 0 && !cases[i].user)
			EXPECT_EQ(vcpu->state.rip, CODE + 3);
		else
			EXPECT(in_handler(cases[i].vector < 0 ? 13 : (unsigned)cases[i].vector));
		if (cases[i].vector >= 0)
			EXPECT_EQ(frame(0), cases[i].error);
		else
			EXPECT_EQ(vcpu->state.segment[SEGMENT_DS].selector, cases[i].selector);
	}
}

TEST(loads_set_the_accessed_bit)
{
	begin();
	put64(GDT + 0x38, 0x00cf92000000ffff);
	vcpu->state.gpr[RAX] = 0x38;
	RUN("\x8e\xd8\xf4");
	EXPECT_EQ(get64(GDT + 0x38), 0x00cf93000000ffff);
}

TEST(ltr_marks_busy)
{
	begin();
	put64(GDT + TSS_SELECTOR, 0x0000890000000067 | (uint64_t)0x4567 << 16);
	put64(GDT + TSS_SELECTOR + 8, 0xffff8000);
	vcpu->state.gpr[RAX] = TSS_SELECTOR;
	RUN("\x0f\x00\xd8\x0f\x00\xd8"); /* ltr %ax, twice */
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(0), TSS_SELECTOR);
	EXPECT_EQ(frame(1), CODE + 3);
	EXPECT_EQ(vcpu->state.tr.base, 0xffff800000004567);
	EXPECT_EQ(vcpu->state.tr.limit, 0x67);
	EXPECT_EQ(get64(GDT + TSS_SELECTOR) >> 40 & 0xff, 0x8b);
}

TEST(lar_lsl_verr_verw)
{
	begin();
	/* lar %ax, %ecx; setz %bl; lsl %ax, %edx; verr %ax; setz %bh; verw %ax */
	vcpu->state.gpr[RAX] = KERNEL_CODE_32;
	RUN("\x0f\x02\xc8\x0f\x94\xc3\x0f\x03\xd0\x0f\x00\xe0\x0f\x94\xc7\x0f\x00\xe8\xf4");
	EXPECT_EQ(vcpu->state.gpr[RCX], 0xc09b00);
	EXPECT_EQ(vcpu->state.gpr[RBX], 0x101);
	EXPECT_EQ(vcpu->state.gpr[RDX], 0xffffffff);
	EXPECT_EQ(vcpu->state.rflags & FLAG_ZF, 0);
	again();
	vcpu->state.gpr[RAX] = 0x1000;
	vcpu->state.gpr[RCX] = 77;
	vcpu->state.rflags = 2 | FLAG_ZF | FLAG_CF;
	RUN("\x0f\x02\xc8\xf4");
	EXPECT_EQ(vcpu->state.gpr[RCX], 77);
	EXPECT_EQ(vcpu->state.rflags, 2 | FLAG_CF);
}

TEST(fs_and_gs_bases)
{
	begin();
	vcpu->state.gpr[RAX] = 0x123456789000;
	vcpu->state.kernel_gs_base = 0xffff888000000000;
	RUN("\xf3\x48\x0f\xae\xd0\xf3\x48\x0f\xae\xd8\x0f\x01\xf8\xf3\x48\x0f\xae\xc9\xf3\x0f\xae"
	    "\xc2\xf4");
	/* wrfsbase %rax; wrgsbase %rax; swapgs; rdgsbase %rcx; rdfsbase %edx */
	EXPECT_EQ(vcpu->state.segment[SEGMENT_FS].base, 0x123456789000);
	EXPECT_EQ(vcpu->state.gpr[RCX], 0xffff888000000000);
	EXPECT_EQ(vcpu->state.kernel_gs_base, 0x123456789000);
	EXPECT_EQ(vcpu->state.gpr[RDX], 0x56789000);
	again();
	vcpu->state.gpr[RAX] = 1ull << 47;
	RUN("\xf3\x48\x0f\xae\xd0");
	EXPECT(in_handler(13));
	again();
	vcpu->state.cr4 &= ~CR4_FSGSBASE;
	RUN("\xf3\x48\x0f\xae\xd0");
	EXPECT(in_handler(6));
}

/* Ports */

static uint64_t port_read(struct region *region, uint64_t offset, unsigned size, bool *fault)
{
	return 0xa0 + offset;
}

static uint64_t written, writes;

static void port_write(struct region *region, uint64_t offset, unsigned size, uint64_t value,
		       bool *fault)
{
	written = written << 8 | value;
	writes++;
}

static const struct region_ops port_ops = {.read = port_read, .write = port_write, .sizes = 1};
static struct region ports = {.name = "ports", .ops = &port_ops};

static void add_ports(void)
{
	vm_lock(&vm);
	REQUIRE(space_add(&vm.ports, &ports, 0x80, 8) == 0);
	vm_unlock(&vm);
}

TEST(in_and_out)
{
	begin();
	add_ports();
	vcpu->state.gpr[RAX] = UINT64_MAX;
	vcpu->state.gpr[RDX] = 0x83;
	RUN("\xe4\x81\x48\x89\xc3\xed\xe6\x80\xf4"); /* in $0x81, %al; mov %rax, %rbx; in %dx, %eax;
							out %al, $0x80 */
	EXPECT_EQ(vcpu->state.gpr[RBX], 0xffffffffffffffa1);
	EXPECT_EQ(vcpu->state.gpr[RAX], 0xa6a5a4a3);
	EXPECT_EQ(written, 0xa3);
}

TEST(rep_outs_and_ins)
{
	begin();
	add_ports();
	put(0x100000, "\1\2\3\4", 4);
	vcpu->state.gpr[RSI] = 0x100000, vcpu->state.gpr[RDI] = 0x100010;
	vcpu->state.gpr[RCX] = 4, vcpu->state.gpr[RDX] = 0x80;
	RUN("\xf3\x6e\xb1\x03\xfd\xf3\x6c\xf4"); /* rep outsb; mov $3, %cl; std; rep insb */
	EXPECT_EQ(stopped.kind, EXIT_HALT);
	EXPECT_EQ(written, 0x01020304);
	EXPECT_EQ(vcpu->state.gpr[RSI], 0x100004);
	EXPECT_EQ(vcpu->state.gpr[RDI], 0x10000d);
	EXPECT_EQ(vcpu->state.gpr[RCX], 0);
	EXPECT_EQ(get64(0x10000e) & 0xffffffff, 0x00a0a0a0);
}

TEST(ports_by_the_bitmap)
{
	fixture_create();
	add_ports();
	for (unsigned denied = 0; denied < 2; denied++) {
		again();
		put64(TSS + 0x66, 0x68);
		put64(TSS + 0x68 + 0x10, denied ? 1 << 3 : ~(3ull << 2)); /* ports 0x82, 0x83 */
		user_mode();
		RUN("\x66\xe5\x82\xcc"); /* in $0x82, %ax; int3 */
		EXPECT(in_handler(13));
		EXPECT_EQ(frame(0), denied ? 0 : 3 * 8 + 2);
		EXPECT_EQ(vcpu->state.gpr[RAX], denied ? 0 : 0xa3a2);
	}
	again();
	user_mode();
	put64(TSS + 0x66, 0x68);
	put64(TSS + 0x68 + 0x10, 0);
	vcpu->state.tr.limit = 0x68 + 0x10; /* the byte behind it has to be there as well */
	RUN("\xe4\x82");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(0), 0);
}

TEST(iopl_opens_ports_and_if)
{
	begin();
	add_ports();
	user_mode();
	vcpu->state.rflags = 2 | FLAG_IOPL;
	RUN("\xe4\x85\xfb\xfa\xcc"); /* in $0x85, %al; sti; cli; int3 */
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(1), USER_CODE + 4);
	EXPECT_EQ(vcpu->state.gpr[RAX], 0xa5);
}

/* MSRs, time, identity */

static bool rdmsr(uint32_t number, uint64_t *value)
{
	again();
	vcpu->state.gpr[RCX] = number;
	RUN("\x0f\x32\xf4");
	*value = vcpu->state.gpr[RAX] | vcpu->state.gpr[RDX] << 32;
	return halted_at(CODE + 3);
}

static bool wrmsr(uint32_t number, uint64_t value)
{
	again();
	vcpu->state.gpr[RCX] = number, vcpu->state.gpr[RAX] = (uint32_t)value,
	vcpu->state.gpr[RDX] = value >> 32;
	RUN("\x0f\x30\xf4");
	return halted_at(CODE + 3);
}

TEST(msrs_keep_what_is_written)
{
	static const struct {
		uint32_t number;
		uint64_t value;
	} cases[] = {
		{MSR_LSTAR, 0xffffffff81234567},
		{MSR_STAR, 0x23001000000000},
		{MSR_SFMASK, 0x47700},
		{MSR_KERNEL_GS_BASE, 0x1000},
		{MSR_TSC_AUX, 5},
		{MSR_SPEC_CTRL, 1},
		{MSR_PAT, 0x0407050600070106},
		{MSR_SYSENTER_ESP, 0xffff800000001000},
		{MSR_MTRR_FIXED_4K + 7, 6},
		{MSR_MTRR_VARIABLE + 15, 0x3fff00000800},
	};
	uint64_t value;

	fixture_create();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		EXPECT(wrmsr(cases[i].number, cases[i].value));
		EXPECT(rdmsr(cases[i].number, &value));
		EXPECT_EQ(value, cases[i].value);
	}
}

TEST(msrs_that_refuse)
{
	uint64_t value;

	fixture_create();
	EXPECT(!wrmsr(MSR_EFER, 0));	       /* LME while paging is on */
	EXPECT(!wrmsr(MSR_EFER, 0x1d01));      /* SVME */
	EXPECT(!wrmsr(MSR_LSTAR, 1ull << 50)); /* not canonical */
	EXPECT(!wrmsr(MSR_MTRR_CAP, 0));
	EXPECT(!wrmsr(MSR_ARCH_CAPABILITIES, 0));
	EXPECT(!rdmsr(MSR_PRED_CMD, &value));
	EXPECT(!rdmsr(0x480, &value)); /* VMX */
	EXPECT(!rdmsr(0x12345678, &value));
	EXPECT(in_handler(13));
	EXPECT(!rdmsr(MSR_TSC_DEADLINE, &value)); /* no local APIC in this vm */
	EXPECT(rdmsr(MSR_ARCH_CAPABILITIES, &value));
	EXPECT_EQ(value & 3, 3);
}

TEST(tsc)
{
	uint64_t value, later;

	fixture_create();
	EXPECT(wrmsr(MSR_TSC, 1ull << 40));
	EXPECT(rdmsr(MSR_TSC, &value));
	EXPECT(value >= 1ull << 40 && value < (1ull << 40) + 60000000000);
	again();
	RUN("\x0f\x31\x89\xc3\x89\xd1\x0f\x31\xf4"); /* rdtsc; mov %eax, %ebx; mov %edx, %ecx; rdtsc
						      */
	later = vcpu->state.gpr[RAX] | vcpu->state.gpr[RDX] << 32;
	value = vcpu->state.gpr[RBX] | vcpu->state.gpr[RCX] << 32;
	EXPECT(later > value);
	EXPECT(wrmsr(MSR_TSC_ADJUST, 0));
	EXPECT(rdmsr(MSR_TSC, &value));
	EXPECT(value < 1ull << 40);
}

TEST(tsd)
{
	begin();
	user_mode();
	vcpu->state.cr4 |= CR4_TSD;
	RUN("\x0f\x31");
	EXPECT(in_handler(13));
	EXPECT_EQ(frame(1), USER_CODE);
}

TEST(cpuid_and_xsetbv)
{
	begin();
	RUN("\x0f\xa2\xf4");
	EXPECT_EQ(vcpu->state.gpr[RBX], 0x756e6547);
	again();
	RUN("\x0f\x01\xd0"); /* xgetbv without OSXSAVE */
	EXPECT(in_handler(6));
	if (!cpu_model_xcr0(&fixture_model))
		SKIP("this host has no XSAVE");
	again();
	vcpu->state.cr4 |= CR4_OSXSAVE;
	vcpu->state.gpr[RAX] = 3;
	RUN("\x0f\x01\xd1\x31\xc0\x0f\x01\xd0\xf4"); /* xsetbv; xor %eax, %eax; xgetbv */
	EXPECT_EQ(vcpu->state.rip, CODE + 9);
	EXPECT_EQ(vcpu->state.gpr[RAX], 3);
	EXPECT_EQ(vcpu->state.xcr0, 3);
	for (uint64_t bad = 0; bad < 12; bad += bad ? 5 : 2) { /* 0, 2, 7 is good, ... */
		bool good = bad == 7;

		again();
		vcpu->state.cr4 |= CR4_OSXSAVE;
		vcpu->state.gpr[RAX] = bad;
		RUN("\x0f\x01\xd1\xf4");
		EXPECT_EQ(in_handler(13), !(good && cpu_model_xcr0(&fixture_model) == 7));
	}
}

TEST(smap_with_stac_and_clac)
{
	begin();
	put64(PT, 0x100007);
	vcpu->state.cr4 |= CR4_SMAP;
	put64(PD, 0x83),
		put64(PD + 8,
		      1 << 21 | 0x83); /* what the test itself runs on is the supervisor's */
	/* stac; mov WINDOW, %eax; clac; mov WINDOW, %eax */
	RUN("\x0f\x01\xcb\x8b\x04\x25\x00\x00\x00\x40\x0f\x01\xca\x8b\x04\x25\x00\x00\x00\x40");
	EXPECT(in_handler(14));
	EXPECT_EQ(frame(0), 1);
	EXPECT_EQ(frame(1), CODE + 13);
}
