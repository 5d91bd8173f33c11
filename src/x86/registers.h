/* SPDX-License-Identifier: BSD-2-Clause */
/* Bits of the control registers, RFLAGS and EFER. Source: Intel SDM volume 3, section 2.5; volume
 * 1, section 3.4.3. */
#ifndef X86_REGISTERS_H
#define X86_REGISTERS_H

#define CR0_PE 0x00000001ull
#define CR0_MP 0x00000002ull
#define CR0_EM 0x00000004ull
#define CR0_TS 0x00000008ull
#define CR0_ET 0x00000010ull
#define CR0_NE 0x00000020ull
#define CR0_WP 0x00010000ull
#define CR0_AM 0x00040000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull

#define CR4_VME	       (1ull << 0)
#define CR4_PVI	       (1ull << 1)
#define CR4_TSD	       (1ull << 2)
#define CR4_DE	       (1ull << 3)
#define CR4_PSE	       (1ull << 4)
#define CR4_PAE	       (1ull << 5)
#define CR4_MCE	       (1ull << 6)
#define CR4_PGE	       (1ull << 7)
#define CR4_PCE	       (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)

#define EFER_SCE 0x001ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

/* RFLAGS beside the status flags and TF, IF, DF (insn.h). */
#define FLAG_IOPL 0x00003000ull
#define FLAG_NT	  0x00004000ull
#define FLAG_RF	  0x00010000ull
#define FLAG_VM	  0x00020000ull
#define FLAG_AC	  0x00040000ull
#define FLAG_VIF  0x00080000ull
#define FLAG_VIP  0x00100000ull
#define FLAG_ID	  0x00200000ull

#endif
