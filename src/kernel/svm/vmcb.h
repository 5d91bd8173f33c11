/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual machine control block, its exit codes and the MSRs of SVM. Source: AMD Architecture
 * Programmer's Manual volume 2 (APM2), appendix B (layout), appendix C (exit codes), chapter 15.
 */
#ifndef KERNEL_SVM_VMCB_H
#define KERNEL_SVM_VMCB_H

#include <stddef.h>
#include <stdint.h>

#define MSR_VM_CR	0xc0010114u /* APM2 15.30.1 */
#define VM_CR_SVMDIS	0x10u
#define MSR_VM_HSAVE_PA 0xc0010117u /* 15.30.4 */
#define EFER_SVME	0x1000u

/* CPUID function 8000_000a, edx. */
#define SVM_FEATURE_NP	       0x01u
#define SVM_FEATURE_NRIPS      0x08u
#define SVM_FEATURE_VMCB_CLEAN 0x20u
#define SVM_FEATURE_FLUSH_ASID 0x40u

/* Intercepts: table B-1, bytes 0x0c, 0x10 and 0x14. */
enum {
	INTERCEPT_INTR = 1u << 0,
	INTERCEPT_NMI = 1u << 1,
	INTERCEPT_SMI = 1u << 2,
	INTERCEPT_INIT = 1u << 3,
	INTERCEPT_VINTR = 1u << 4,
	INTERCEPT_RDPMC = 1u << 15,
	INTERCEPT_CPUID = 1u << 18,
	INTERCEPT_IRET = 1u << 20,
	INTERCEPT_INVD = 1u << 22,
	INTERCEPT_HLT = 1u << 24,
	INTERCEPT_INVLPGA = 1u << 26,
	INTERCEPT_IOIO_PROT = 1u << 27,
	INTERCEPT_MSR_PROT = 1u << 28,
};
#define INTERCEPT_SHUTDOWN 0x80000000u
enum {
	INTERCEPT_VMRUN = 1u << 0,
	INTERCEPT_VMMCALL = 1u << 1,
	INTERCEPT_VMLOAD = 1u << 2,
	INTERCEPT_VMSAVE = 1u << 3,
	INTERCEPT_STGI = 1u << 4,
	INTERCEPT_CLGI = 1u << 5,
	INTERCEPT_SKINIT = 1u << 6,
	INTERCEPT_WBINVD = 1u << 9,
	INTERCEPT_MONITOR = 1u << 10,
	INTERCEPT_MWAIT = 1u << 11,
	INTERCEPT_XSETBV = 1u << 13,
	INTERCEPT_RDPRU = 1u << 14,
};
enum {
	INTERCEPT_INVLPGB = 1u << 0,
	INTERCEPT_INVLPGB_ILLEGAL = 1u << 1,
	INTERCEPT_MCOMMIT = 1u << 3,
	INTERCEPT_TLBSYNC = 1u << 4,
};
#define INTERCEPT_CR_WRITE(number) (1u << (16 + (number)))

/* Byte 0x5c. */
enum { TLB_CONTROL_NOTHING = 0, TLB_CONTROL_FLUSH_ALL = 1, TLB_CONTROL_FLUSH_ASID = 3 };

/* Bytes 0x60 (15.21.1). */
#define V_TPR_MASK     0xffull
#define V_IRQ	       (1ull << 8)
#define V_INTR_PRIO(n) ((uint64_t)(n) << 16)
#define V_IGN_TPR      (1ull << 20)
#define V_INTR_MASKING (1ull << 24)

/* EVENTINJ and EXITINTINFO (15.20, 15.7.2). */
#define INJECT_VALID	  (1ull << 31)
#define INJECT_ERROR	  (1ull << 11)
#define INJECT_TYPE_SHIFT 8
enum { INJECT_INTR = 0, INJECT_NMI = 2, INJECT_EXCEPTION = 3, INJECT_SOFTWARE = 4 };

/* Byte 0x90. */
#define NP_ENABLE 1u

/* VMCB clean bits (15.15.3): all that is defined for bytes that we write, but V_TPR and what is
 * beside it, which changes at any entry. */
#define CLEAN_TPR 0x008u
#define CLEAN_ALL (0x7ffu & ~CLEAN_TPR)

/* EXITINFO1 of an I/O exit (15.10.2). */
#define IOIO_IN	    0x01u
#define IOIO_STRING 0x04u

/* EXITINFO1 of a nested page fault (15.25.6). */
#define NPF_PRESENT 0x1ull
#define NPF_WRITE   0x2ull
#define NPF_FETCH   0x10ull

enum {
	VMEXIT_CR0_READ = 0x00,
	VMEXIT_CR0_WRITE = 0x10,
	VMEXIT_DR0_READ = 0x20,
	VMEXIT_DR15_WRITE = 0x3f,
	VMEXIT_EXCEPTION = 0x40,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI = 0x61,
	VMEXIT_SMI = 0x62,
	VMEXIT_INIT = 0x63,
	VMEXIT_VINTR = 0x64,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO = 0x7b,
	VMEXIT_MSR = 0x7c,
	VMEXIT_SHUTDOWN = 0x7f,
	VMEXIT_VMRUN = 0x80,
	VMEXIT_SKINIT = 0x86,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT = 0x8b,
	VMEXIT_MWAIT_CONDITIONAL = 0x8c,
	VMEXIT_XSETBV = 0x8d,
	VMEXIT_RDPRU = 0x8e,
	VMEXIT_INVLPGB = 0xa0,
	VMEXIT_TLBSYNC = 0xa4,
	VMEXIT_NPF = 0x400,
};
#define VMEXIT_INVALID 0xffffffffu /* the low half of -1: emulators leave the rest 0 */

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes; /* a descriptor's bits 55..52 and 47..40, side by side */
	uint32_t limit;
	uint64_t base;
};

/* Tables B-1 and B-2. Members that Lodge has no use for have no name. */
struct vmcb {
	/* 0x000: control area */
	uint32_t intercept_cr, intercept_dr, intercept_exceptions;
	uint32_t intercept_1, intercept_2, intercept_3;
	uint8_t reserved_018[0x28];
	uint64_t iopm_base_pa, msrpm_base_pa, tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved_05d[3];
	uint64_t int_ctl;
	uint64_t interrupt_shadow; /* bit 0 */
	uint64_t exitcode, exitinfo1, exitinfo2, exitintinfo;
	uint64_t np_control;
	uint8_t reserved_098[0x10];
	uint64_t eventinj, n_cr3;
	uint64_t virtual_extensions;
	uint32_t clean, reserved_0c4;
	uint64_t nrip;
	uint8_t fetched, guest_bytes[15];
	uint8_t reserved_0e0[0x320];
	/* 0x400: state save area */
	struct vmcb_segment segment[6]; /* es cs ss ds fs gs */
	struct vmcb_segment gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x2b];
	uint8_t cpl;
	uint32_t reserved_4cc;
	uint64_t efer;
	uint8_t reserved_4d8[0x70];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x58];
	uint64_t rsp;
	uint8_t reserved_5e0[0x18];
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
	uint8_t reserved_648[0x20];
	uint64_t g_pat, debugctl;
	uint8_t reserved_678[0x988];
};

_Static_assert(offsetof(struct vmcb, iopm_base_pa) == 0x40, "APM2 table B-1");
_Static_assert(offsetof(struct vmcb, int_ctl) == 0x60, "APM2 table B-1");
_Static_assert(offsetof(struct vmcb, np_control) == 0x90, "APM2 table B-1");
_Static_assert(offsetof(struct vmcb, eventinj) == 0xa8, "APM2 table B-1");
_Static_assert(offsetof(struct vmcb, nrip) == 0xc8, "APM2 table B-1");
_Static_assert(offsetof(struct vmcb, segment) == 0x400, "APM2 table B-2");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "APM2 table B-2");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "APM2 table B-2");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "APM2 table B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM2 table B-2");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM2 table B-2");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "APM2 table B-2");
_Static_assert(sizeof(struct vmcb) == 0x1000, "one page");

#endif
