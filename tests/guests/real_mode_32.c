/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real mode: the way there and back, interrupts by the vector table, far calls, wraps and limits,
 * and segments that keep a limit of 4 GiB. Source: Intel SDM volume 3, 9.9, 20.1.
 *	lodge: --cpus 1
 */
#include "guest.h"

enum {
	INT_60,
	INT_60_FLAGS,
	FAR_CS,
	HIGH_BYTE,
	GP_IP,
	DIVIDE_IP,
	SP_AFTER,
	PUSHED,
	UNREAL,
	DONE,
	UNDEFINED_IP,
	WRAPPED
};

void real_run(void);
extern const uint8_t real_blob[], real_blob_end[], real_gp[], real_divide[], real_undefined[];

#define RESULT(n)  (*(volatile uint16_t *)(0x6000 + 2 * (n)))
#define REAL(name) (0x7000u + (uint32_t)((name)-real_blob))

asm(".pushsection .text\n"
    ".code32\n"
    "real_run: pusha\n"
    "sidt saved_idt\n sgdt saved_gdt\n mov %esp, saved_esp\n"
    "lidt real_idt\n lgdt real_gdt\n"
    "ljmp $0x08, $0x7000\n"
    "back: mov $0x18, %eax\n"
    "mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n mov %eax, %fs\n"
    "mov saved_esp, %esp\n lidt saved_idt\n lgdt saved_gdt\n"
    "ljmp $0x08, $1f\n"
    "1: mov $0x10, %eax\n"
    "mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n mov %eax, %fs\n"
    "popa\n ret\n"

    ".code16\n"
    "real_blob:\n"
    "movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n movw %ax, %fs\n"
    "movl %cr0, %eax\n andl $~1, %eax\n movl %eax, %cr0\n"
    "ljmp $0, $0x7000 + (in_real - real_blob)\n"
    "in_real: xorw %ax, %ax\n movw %ax, %ds\n movw %ax, %ss\n movw %ax, %es\n movw $0x6ff0, %sp\n"
    /* int through the vector table */
    "movl $0x7000 + (on_60 - real_blob), 0x60 * 4\n"
    "sti\n stc\n int $0x60\n cli\n"
    "jnc 9f\n incw 0x6000\n 9:\n"
    /* a far call into another segment of the same bytes */
    "lcall $0x700, $far_code - real_blob\n"
    /* 0xffff:0x10 is 1 MiB */
    "movw $0xffff, %ax\n movw %ax, %ds\n movw 0x10, %bx\n movw %bx, %es:0x6006\n"
    "xorw %ax, %ax\n movw %ax, %ds\n"
    /* a word at 0xffff is beyond the limit */
    "movl $0x7000 + (on_gp - real_blob), 13 * 4\n"
    "movw $0xffff, %bx\n"
    ".globl real_gp\n real_gp: movw (%bx), %ax\n"
    "movl $0x7000 + (on_divide - real_blob), 0\n"
    "xorw %cx, %cx\n"
    ".globl real_divide\n real_divide: divw %cx\n"
    "movl $0x7000 + (on_undefined - real_blob), 6 * 4\n"
    ".globl real_undefined\n real_undefined: ud2\n"
    /* sp wraps within the segment */
    "movw $0x2000, %ax\n movw %ax, %ss\n xorw %sp, %sp\n movw $0xabcd, %ax\n pushw %ax\n"
    "movw %sp, 0x600c\n movw %ss:0xfffe, %bx\n movw %bx, 0x600e\n"
    "xorw %ax, %ax\n movw %ax, %ss\n movw $0x6ff0, %sp\n"
    /* lea and 16-bit addressing wrap */
    "movw $0xfff0, %bx\n movw $0x30, %si\n leaw (%bx,%si), %ax\n movw %ax, 0x6016\n"
    /* a limit of 4 GiB stays from protected mode */
    "movl %cr0, %eax\n orl $1, %eax\n movl %eax, %cr0\n"
    "movw $0x18, %bx\n movw %bx, %fs\n"
    "andl $~1, %eax\n movl %eax, %cr0\n"
    "movw %ax, %ax\n xorw %bx, %bx\n movw %bx, %fs\n"
    "movl $0x100000, %ebx\n movw %fs:(%ebx), %ax\n movw %ax, 0x6010\n"
    "movw $0x600d, 0x6012\n"
    "movl %cr0, %eax\n orl $1, %eax\n movl %eax, %cr0\n"
    "ljmpl $0x20, $back\n"

    "on_60: movw $0x6060, 0x6000\n pushfw\n popw 0x6002\n iret\n"
    "far_code: movw %cs, 0x6004\n lret\n"
    "on_gp: popw %ax\n movw %ax, 0x6008\n addw $2, %ax\n pushw %ax\n iret\n"
    "on_divide: popw %ax\n movw %ax, 0x600a\n addw $2, %ax\n pushw %ax\n iret\n"
    "on_undefined: popw %ax\n movw %ax, 0x6014\n addw $2, %ax\n pushw %ax\n iret\n"
    "real_blob_end:\n"
    ".globl real_blob, real_blob_end\n"
    ".code32\n .popsection\n"
    ".pushsection .data\n .balign 8\n"
    "real_table: .quad 0\n"
    ".quad 0x00009b000000ffff\n" /* 16-bit code, 64 KiB */
    ".quad 0x000093000000ffff\n" /* 16-bit data, 64 KiB */
    ".quad 0x00cf93000000ffff\n" /* data, 4 GiB */
    ".quad 0x00cf9b000000ffff\n" /* 32-bit code */
    "real_gdt: .word 39\n .long real_table\n"
    "real_idt: .word 0x3ff\n .long 0\n"
    "saved_idt: .skip 6\n saved_gdt: .skip 6\n saved_esp: .skip 4\n"
    ".popsection");

void test_main(void)
{
	for (unsigned int i = 0; i < 32; i++)
		RESULT(i) = 0;
	/* Three times, so that what real mode leaves behind is met by protected mode and back. */
	for (unsigned int round = 0; round < 3; round++) {
		uint8_t *to = (uint8_t *)0x7000;

		for (const uint8_t *from = real_blob; from < real_blob_end; from++)
			*to++ = *from;
		real_run();
		EXPECT_EQ(RESULT(DONE), 0x600d);
		EXPECT_EQ(RESULT(INT_60), 0x6061);
		EXPECT_EQ(RESULT(INT_60_FLAGS) & 0x201, 1); /* IF cleared, CF kept */
		EXPECT_EQ(RESULT(FAR_CS), 0x700);
		EXPECT_EQ(RESULT(HIGH_BYTE), *(volatile uint16_t *)0x100000);
		EXPECT_EQ(RESULT(GP_IP), REAL(real_gp));
		EXPECT_EQ(RESULT(DIVIDE_IP), REAL(real_divide));
		EXPECT_EQ(RESULT(UNDEFINED_IP), REAL(real_undefined));
		EXPECT_EQ(RESULT(SP_AFTER), 0xfffe);
		EXPECT_EQ(RESULT(PUSHED), 0xabcd);
		EXPECT_EQ(RESULT(WRAPPED), 0x20);
		EXPECT_EQ(RESULT(UNREAL), *(volatile uint16_t *)0x100000);
		EXPECT_EQ(TRAP_OF("ud2"), 6);
		RESULT(DONE) = 0;
	}
}
