/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One name for each family of instructions that is not simply copied to the host's processor
 * (struct opcode.handler). What exactly an instruction of the family does follows from its
 * operands in struct opcode and from struct insn (operand_size, address_size, opcode, modrm, w).
 * The class in brackets is the one that the tables give it (insn.h).
 */
#ifndef X86_HANDLERS_H
#define X86_HANDLERS_H

enum handler {
	HANDLER_NONE, /* COPY: nothing to do here */

	/* Near control flow [BRANCH]. Targets: operand[0] RELATIVE (immediate) or RM. */
	HANDLER_JMP,	       /* jmp rel8, rel32 */
	HANDLER_JMP_INDIRECT,  /* jmp r/m */
	HANDLER_JCC,	       /* jcc rel8, rel32: condition in opcode & 15 */
	HANDLER_CALL_NEAR,     /* call rel32 */
	HANDLER_CALL_INDIRECT, /* call r/m */
	HANDLER_RET_NEAR,      /* ret, ret imm16 (immediate is 0 without one) */
	HANDLER_LOOP,	       /* loop: count register by address_size */
	HANDLER_LOOPE,
	HANDLER_LOOPNE,
	HANDLER_JCXZ, /* jcxz, jecxz, jrcxz by address_size */

	/* Far control flow, interrupts, system calls [END]. */
	HANDLER_JMP_FAR,  /* operand[0] FAR (immediate, immediate2) or MEMORY m16:16/32/64 */
	HANDLER_CALL_FAR, /* the same */
	HANDLER_RET_FAR,  /* retf, retf imm16 */
	HANDLER_INT,	  /* int imm8 */
	HANDLER_INT3,
	HANDLER_INT1, /* icebp */
	HANDLER_INTO,
	HANDLER_IRET,
	HANDLER_SYSCALL,
	HANDLER_SYSRET,
	HANDLER_SYSENTER,
	HANDLER_SYSEXIT,
	HANDLER_UD, /* ud0, ud1, ud2: raises #UD by intent */

	/* Stack. */
	HANDLER_PUSH,	      /* [INLINE] operand[0] OPCODE_REG, RM or IMM */
	HANDLER_POP,	      /* [INLINE] operand[0] OPCODE_REG or RM */
	HANDLER_PUSH_SEGMENT, /* [CALL] operand[0] FIXED_SEGMENT */
	HANDLER_POP_SEGMENT,  /* [END] the same */
	HANDLER_PUSHA,	      /* [CALL] */
	HANDLER_POPA,	      /* [CALL] */
	HANDLER_PUSHF,	      /* [INLINE] */
	HANDLER_POPF,	      /* [END] */
	HANDLER_ENTER,	      /* [CALL] size in immediate, nesting level in immediate2 */
	HANDLER_LEAVE,	      /* [INLINE] */

	/* Addresses and hints [INLINE]. */
	HANDLER_LEA,
	HANDLER_NOP, /* nop, multi-byte nop, endbr, reserved hints; a memory operand is not accessed
		      */
	HANDLER_PAUSE,
	HANDLER_PREFETCH, /* prefetch*: no access, no fault */
	HANDLER_CLFLUSH,  /* clflush, clflushopt, clwb: nothing to do (may fault as a read of one
			     byte) */

	/* String instructions: insn->rep, address_size; element size is operand[0]'s. */
	HANDLER_MOVS, /* [INLINE] */
	HANDLER_STOS, /* [INLINE] */
	HANDLER_LODS, /* [INLINE] */
	HANDLER_CMPS, /* [INLINE] */
	HANDLER_SCAS, /* [INLINE] */
	HANDLER_INS,  /* [CALL] */
	HANDLER_OUTS, /* [CALL] */

	/* Ports [CALL]. The port is the operand that is IMM or DX. */
	HANDLER_IN,
	HANDLER_OUT,

	/* Old arithmetic and tables [CALL]; none but xlat exists in 64-bit code. */
	HANDLER_DAA,
	HANDLER_DAS,
	HANDLER_AAA,
	HANDLER_AAS,
	HANDLER_AAM, /* base in immediate; #DE if 0 */
	HANDLER_AAD,
	HANDLER_BOUND,
	HANDLER_XLAT,
	HANDLER_BIT_STRING, /* bt, bts, btr, btc of memory with a register bit offset: opcode a3 ab
			       b3 bb */

	/* Flags other than the status flags. */
	HANDLER_CLD,  /* [INLINE] */
	HANDLER_STD,  /* [INLINE] */
	HANDLER_CLI,  /* [INLINE] */
	HANDLER_STI,  /* [END] interrupts only after the next instruction */
	HANDLER_CLAC, /* [END] */
	HANDLER_STAC, /* [END] */

	/* Segments. */
	HANDLER_MOV_TO_SEGMENT,	  /* [END] operand[0] SEGMENT, number in insn->reg */
	HANDLER_MOV_FROM_SEGMENT, /* [CALL] */
	HANDLER_LOAD_FAR_POINTER, /* [END] les lds lss lfs lgs: segment register in
				     operand[2].number */
	HANDLER_LAR,		  /* [CALL] */
	HANDLER_LSL,		  /* [CALL] */
	HANDLER_VERR,		  /* [CALL] */
	HANDLER_VERW,		  /* [CALL] */
	HANDLER_ARPL,		  /* [CALL] */
	HANDLER_RDFSBASE,	  /* [CALL] */
	HANDLER_RDGSBASE,	  /* [CALL] */
	HANDLER_WRFSBASE,	  /* [CALL] */
	HANDLER_WRGSBASE,	  /* [CALL] */
	HANDLER_SWAPGS,		  /* [END] */

	/* Descriptor tables. */
	HANDLER_SGDT, /* [CALL] */
	HANDLER_SIDT, /* [CALL] */
	HANDLER_SLDT, /* [CALL] */
	HANDLER_STR,  /* [CALL] */
	HANDLER_LGDT, /* [END] */
	HANDLER_LIDT, /* [END] */
	HANDLER_LLDT, /* [END] */
	HANDLER_LTR,  /* [END] */

	/* Control and debug registers, numbers in insn->reg. */
	HANDLER_MOV_FROM_CR, /* [CALL] */
	HANDLER_MOV_TO_CR,   /* [END] */
	HANDLER_MOV_FROM_DR, /* [CALL] */
	HANDLER_MOV_TO_DR,   /* [END] */
	HANDLER_SMSW,	     /* [CALL] */
	HANDLER_LMSW,	     /* [END] */
	HANDLER_CLTS,	     /* [END] */
	HANDLER_XGETBV,	     /* [CALL] */
	HANDLER_XSETBV,	     /* [END] */

	/* Caches and translations. */
	HANDLER_INVLPG,	 /* [END] */
	HANDLER_INVPCID, /* [END] */
	HANDLER_INVD,	 /* [CALL] */
	HANDLER_WBINVD,	 /* [CALL] wbinvd, wbnoinvd */

	/* Model-specific registers, time, identity. */
	HANDLER_RDMSR,	/* [CALL] */
	HANDLER_WRMSR,	/* [END] */
	HANDLER_RDTSC,	/* [CALL] */
	HANDLER_RDTSCP, /* [CALL] */
	HANDLER_RDPMC,	/* [CALL] */
	HANDLER_RDPID,	/* [CALL] */
	HANDLER_CPUID,	/* [CALL] */

	/* Waiting. */
	HANDLER_HLT,	 /* [END] */
	HANDLER_MONITOR, /* [CALL] */
	HANDLER_MWAIT,	 /* [END] */

	/* x87, SSE and extended state [CALL]; insn->w makes the 64-bit form of fxsave, xsave, ...
	 */
	HANDLER_FNSAVE,
	HANDLER_FRSTOR,
	HANDLER_FNSTENV,
	HANDLER_FLDENV,
	HANDLER_LDMXCSR,
	HANDLER_FXSAVE,
	HANDLER_FXRSTOR,
	HANDLER_XSAVE,
	HANDLER_XSAVEOPT,
	HANDLER_XSAVEC,
	HANDLER_XSAVES, /* CPL 0 */
	HANDLER_XRSTOR,
	HANDLER_XRSTORS, /* CPL 0 */

	/* Vector instructions whose memory is not one plain ModRM operand [CALL]. */
	HANDLER_MASKMOVQ,   /* mmx registers, to segment:rdi (segment is insn->segment) */
	HANDLER_MASKMOVDQU, /* xmm registers, also the VEX form */
	HANDLER_VMASKMOV,   /* vmaskmovps/pd, vpmaskmovd/q, loads and stores; element size:
			       insn_element_size() */
	HANDLER_GATHER,	    /* vgather*, vpgather*; element size: insn_element_size(), index size:
			       insn_index_size() */

	HANDLER_COUNT
};

#endif
