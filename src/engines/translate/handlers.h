/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter's handlers, one for each name in x86/handlers.h. What they do is in the manual.
 */
#ifndef TRANSLATE_HANDLERS_H
#define TRANSLATE_HANDLERS_H

#include "engines/translate/interpret.h"

handler_function handle_jmp;
handler_function handle_jmp_indirect;
handler_function handle_jcc;
handler_function handle_call_near;
handler_function handle_call_indirect;
handler_function handle_ret_near;
handler_function handle_loop;
handler_function handle_loope;
handler_function handle_loopne;
handler_function handle_jcxz;
handler_function handle_jmp_far;
handler_function handle_call_far;
handler_function handle_ret_far;
handler_function handle_int;
handler_function handle_int3;
handler_function handle_int1;
handler_function handle_into;
handler_function handle_iret;
handler_function handle_syscall;
handler_function handle_sysret;
handler_function handle_sysenter;
handler_function handle_sysexit;
handler_function handle_ud;
handler_function handle_push;
handler_function handle_pop;
handler_function handle_push_segment;
handler_function handle_pop_segment;
handler_function handle_pusha;
handler_function handle_popa;
handler_function handle_pushf;
handler_function handle_popf;
handler_function handle_enter;
handler_function handle_leave;
handler_function handle_lea;
handler_function handle_nop;
handler_function handle_clflush;
handler_function handle_movs;
handler_function handle_stos;
handler_function handle_lods;
handler_function handle_cmps;
handler_function handle_scas;
handler_function handle_ins;
handler_function handle_outs;
handler_function handle_in;
handler_function handle_out;
handler_function handle_daa;
handler_function handle_das;
handler_function handle_aaa;
handler_function handle_aas;
handler_function handle_aam;
handler_function handle_aad;
handler_function handle_bound;
handler_function handle_xlat;
handler_function handle_bit_string;
handler_function handle_cld;
handler_function handle_std;
handler_function handle_cli;
handler_function handle_sti;
handler_function handle_clac;
handler_function handle_stac;
handler_function handle_mov_to_segment;
handler_function handle_mov_from_segment;
handler_function handle_load_far_pointer;
handler_function handle_lar;
handler_function handle_lsl;
handler_function handle_verr;
handler_function handle_verw;
handler_function handle_arpl;
handler_function handle_rdfsbase;
handler_function handle_rdgsbase;
handler_function handle_wrfsbase;
handler_function handle_wrgsbase;
handler_function handle_swapgs;
handler_function handle_sgdt;
handler_function handle_sidt;
handler_function handle_sldt;
handler_function handle_str;
handler_function handle_lgdt;
handler_function handle_lidt;
handler_function handle_lldt;
handler_function handle_ltr;
handler_function handle_mov_from_cr;
handler_function handle_mov_to_cr;
handler_function handle_mov_from_dr;
handler_function handle_mov_to_dr;
handler_function handle_smsw;
handler_function handle_lmsw;
handler_function handle_clts;
handler_function handle_xgetbv;
handler_function handle_xsetbv;
handler_function handle_invlpg;
handler_function handle_invpcid;
handler_function handle_invd;
handler_function handle_wbinvd;
handler_function handle_rdmsr;
handler_function handle_wrmsr;
handler_function handle_rdtsc;
handler_function handle_rdtscp;
handler_function handle_rdpmc;
handler_function handle_rdpid;
handler_function handle_cpuid;
handler_function handle_hlt, handle_pause;
handler_function handle_monitor;
handler_function handle_mwait;
handler_function handle_fnsave;
handler_function handle_frstor;
handler_function handle_fnstenv;
handler_function handle_fldenv;
handler_function handle_ldmxcsr;
handler_function handle_fxsave;
handler_function handle_fxrstor;
handler_function handle_xsave;
handler_function handle_xsaveopt;
handler_function handle_xsavec;
handler_function handle_xsaves;
handler_function handle_xrstor;
handler_function handle_xrstors;
handler_function handle_maskmovq;
handler_function handle_maskmovdqu;
handler_function handle_vmaskmov;
handler_function handle_gather;

/* Does condition (the low four bits of jcc, setcc, cmovcc) hold for these status flags? */
bool condition_holds(uint32_t status, unsigned condition);

/*
 * For locked instructions whose operand cannot be reached in place (it crosses a page): makes the
 * other vcpus stand still. Raises #PF before that if the operand cannot be written. False, with
 * nothing done, if the vm has one vcpu.
 */
bool handler_exclusive_begin(struct cpu *cpu, uint64_t linear, unsigned size);
void handler_exclusive_end(struct cpu *cpu);

#endif
