/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One decoded x86 instruction, and the one description of each that the interpreter, the translator
 * and the bare-metal exit handlers share. The decoder (decode.c) fills struct insn from bytes; the
 * tables (opcodes*.c) hold one struct opcode for each instruction form.
 *
 * Source: Intel SDM volume 2, chapter 2 (formats), appendix A (opcode map); AMD APM volume 3.
 */
#ifndef X86_INSN_H
#define X86_INSN_H

#include <stdbool.h>
#include <stdint.h>

#define INSN_MAX_LENGTH 15

/* Code size that the processor runs in: from CS.D and CS.L. */
enum code_size { CODE_16, CODE_32, CODE_64 };

/* General registers by number: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8..15. */
#define INSN_NO_REGISTER 0xff
#define INSN_RIP	 0xfe /* as a base only: address of the next instruction */

/* Segment registers by number, in the order of their encodings. */
enum { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS };

/*
 * How an instruction is carried out.
 *
 * - COPY: the host's own processor does it: the same bytes with registers renamed and the memory
 *   operand (at most one, always through ModRM or moffs) pointed elsewhere. No effect but on
 *   general registers, vector, x87 and MMX state, status flags (CF PF AF ZF SF OF) and that one
 *   memory operand. Never depends on rip.
 *
 * - BRANCH: near control flow that the translator emits itself: jmp, jcc, call, ret, loop, jcxz
 *   (op->handler tells which).
 *
 * - INLINE: simple things that the translator knows by handler (push, pop, leave, lea, cld, std,
 *   nop, string instructions, ...), but that the interpreter does in C.
 *
 * - CALL: done in C by the interpreter's handler; execution goes on with the next instruction of
 *   the block.
 *
 * - END: done in C; may change mode, mappings or rip, so a translated block ends behind it.
 */
enum insn_class { CLASS_COPY, CLASS_BRANCH, CLASS_INLINE, CLASS_CALL, CLASS_END };

/*
 * What an operand is (Intel SDM volume 2, appendix A.2 letters). Sizes of the memory form in bytes
 * come from insn_memory_size().
 */
enum operand_kind {
	OPERAND_NONE,
	OPERAND_RM,	    /* E: general register or memory by ModRM.rm */
	OPERAND_REG,	    /* G: general register by ModRM.reg */
	OPERAND_VVVV,	    /* B: general register by VEX.vvvv */
	OPERAND_OPCODE_REG, /* general register in the opcode's low three bits */
	OPERAND_ACC,	    /* al, ax, eax, rax */
	OPERAND_CL,
	OPERAND_DX,
	OPERAND_ONE,
	OPERAND_FIXED,	     /* another implicit general register */
	OPERAND_MEMORY,	     /* M: memory only by ModRM.rm */
	OPERAND_RM_REGISTER, /* R: general register only by ModRM.rm */
	OPERAND_IMM,	     /* I */
	OPERAND_RELATIVE,    /* J */
	OPERAND_FAR,	     /* A: ptr16:16/32, offset in immediate, selector in immediate2 */
	OPERAND_OFFSET,	 /* O: memory at moffs; the address is in displacement, no base or index.
			    COPY: insn_encode writes the ModRM form */
	OPERAND_SEGMENT, /* S: segment register by ModRM.reg */
	OPERAND_FIXED_SEGMENT,
	OPERAND_CR,
	OPERAND_DR,
	OPERAND_XMM_REG,	 /* V */
	OPERAND_XMM_RM,		 /* W: vector register or memory */
	OPERAND_XMM_RM_REGISTER, /* U */
	OPERAND_XMM_VVVV,	 /* H */
	OPERAND_XMM_IS4,	 /* L: vector register in imm8[7:4] */
	OPERAND_MMX_REG,	 /* MMX registers: only the low three bits of reg and rm count */
	OPERAND_MMX_RM,
	OPERAND_MMX_RM_REGISTER,
	OPERAND_ST0,
	OPERAND_STI,
	OPERAND_STRING_SOURCE,
	OPERAND_STRING_DESTINATION, /* X, Y */
	OPERAND_VSIB,		    /* gather */
};

/* Operand sizes. */
enum operand_size {
	SIZE_NONE,
	SIZE_B,
	SIZE_W,
	SIZE_D,
	SIZE_Q,
	SIZE_V /* 2,4,8 by operand size */,
	SIZE_Y /* 4, or 8 with W */,
	SIZE_Z /* 2 or 4 */,
	SIZE_X /* 16, or 32 with VEX.L */,
	SIZE_O /* 16 */,
	SIZE_T /* 10 (x87) */,
	SIZE_P /* far pointer 4, 6, 10 */,
	SIZE_H /* half of X: 8, or 16 with VEX.L */,
	SIZE_4TH /* quarter of X */,
	SIZE_8TH,
	SIZE_STATE /* fxsave, fnstenv, ...: not one access */,
	SIZE_ADDRESS_ONLY, /* lea, invlpg, prefetch, nop: no access */
	SIZE_PAIR,	   /* two of V: bound */
	SIZE_TABLE,	   /* lgdt, sgdt, ...: 6, or 10 in 64-bit code */
};

enum { ACCESS_READ = 1, ACCESS_WRITE = 2 };

struct operand {
	uint8_t kind;	/* enum operand_kind */
	uint8_t size;	/* enum operand_size */
	uint8_t access; /* ACCESS_READ | ACCESS_WRITE */
	uint8_t number; /* which register, for the FIXED kinds */
};

/* Status flags as in RFLAGS. */
#define FLAG_CF	    0x0001u
#define FLAG_PF	    0x0004u
#define FLAG_AF	    0x0010u
#define FLAG_ZF	    0x0040u
#define FLAG_SF	    0x0080u
#define FLAG_TF	    0x0100u
#define FLAG_IF	    0x0200u
#define FLAG_DF	    0x0400u
#define FLAG_OF	    0x0800u
#define FLAG_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* struct opcode.attributes. On the bytes alone; insn_decode() has looked at these. */
#define OP_LOCKABLE	  0x000001u /* lock is legal when the destination is memory */
#define OP_NO_64	  0x000002u /* #UD in 64-bit code */
#define OP_ONLY_64	  0x000004u /* #UD elsewhere */
#define OP_DEFAULT_64	  0x000008u /* operand size 64 by default in 64-bit code (push, pop) */
#define OP_FORCE_64	  0x010000u /* always 64 there, 66 ignored (near branches, mov cr) */
#define OP_IGNORE_66	  0x080000u /* the 66 prefix has no effect (mov cr, mov dr) */
#define OP_VEX_L0	  0x000010u /* VEX.L must be 0 */
#define OP_VEX_L1	  0x000020u /* VEX.L must be 1 */
#define OP_CHECK_REGISTER 0x200000u /* ModRM.reg names a register that may not exist */

/* On the processor's state; whoever executes looks at these, in this order. */
#define OP_MODE_DEPENDENT_REAL 0x008000u /* #UD in real and virtual-8086 mode (VEX, sldt, ...) */
#define OP_SSE		       0x000080u /* CR0.EM or no CR4.OSFXSR: #UD; CR0.TS: #NM */
#define OP_AVX		       0x000100u /* no CR4.OSXSAVE or XCR0[2:1] not 3: #UD; CR0.TS: #NM */
#define OP_MMX		       0x000200u /* CR0.EM: #UD; CR0.TS: #NM; pending x87 exception: #MF */
#define OP_X87		       0x000400u /* CR0.EM or CR0.TS: #NM */
#define OP_WAIT		       0x100000u /* fwait: CR0.TS with CR0.MP: #NM; pending x87 exception: #MF */
#define OP_CPL0		       0x000800u /* #GP(0) unless CPL is 0 */
#define OP_IOPL		       0x040000u /* cli, sti, in, out, ins, outs: the handler checks IOPL, the bitmap */
#define OP_ALIGNED	       0x000040u /* a memory operand of 16 or more bytes must be aligned: #GP(0) */

/* On how it is carried out. */
#define OP_REPEATABLE 0x004000u /* string instruction: F2 and F3 repeat it */
#define OP_FALL_BACK  0x020000u /* without its feature it is another: insn_fall_back() */
/*
 * The flags written depend on data or the count (shifts, rep cmps): flags_written are not all
 * certainly written. insn_flags_killed() knows.
 */
#define OP_CONDITIONAL_FLAGS 0x001000u

/*
 * One form of an instruction. operand[] has room for four: cmpxchg8b and cmpxchg16b also read rcx;
 * pcmpestri and pcmpestrm also read rax and rdx, pcmp?strm writes xmm0; legacy blendv, pblendvb and
 * sha256rnds2 also read xmm0. All general registers that one of CLASS_COPY writes are listed.
 * Instructions with a handler may have implicit registers that are not listed.
 */
struct opcode {
	char name[17];	  /* here, not elsewhere: the loader need not relocate it */
	uint8_t class;	  /* enum insn_class */
	uint16_t handler; /* enum handler (handlers.h); for COPY 0 unless the interpreter has a fast
			     way of its own */
	uint32_t attributes;
	uint16_t feature;	/* enum cpu_feature (features.h): unless the guest's model has it,
				   insn_fall_back() or #UD; 0 = always there */
	uint16_t flags_read;	/* status flags, and FLAG_DF */
	uint16_t flags_written; /* set to a defined value, always */
	uint16_t flags_undefined;
	struct operand operand[4];
};

struct insn {
	const struct opcode *op;
	uint8_t length;	      /* 1..15 */
	uint8_t code_size;    /* enum code_size */
	uint8_t operand_size; /* 2, 4, 8: that of V operands */
	uint8_t address_size; /* 2, 4, 8 */
	bool lock;
	uint8_t rep;	 /* 0, 0xf2 or 0xf3: the last one given (0 when it is a mandatory prefix);
			    repeats only if OP_REPEATABLE */
	uint8_t segment; /* of the memory operand, default or overridden: SEGMENT_* */
	bool segment_override;
	uint8_t mandatory; /* 0, 0x66, 0xf2, 0xf3: the prefix that chose the opcode in maps 1..3 */
	uint8_t rex;	   /* 0 or 0x40..0x4f; with VEX in 64-bit code 0x40 and its R, X, B */
	bool vex;
	bool vex_l;
	bool w;		/* REX.W or VEX.W */
	uint8_t vvvv;	/* register number, VEX only */
	uint8_t map;	/* 0 one byte, 1 0f, 2 0f 38, 3 0f 3a */
	uint8_t opcode; /* the last opcode byte */
	bool has_modrm;
	uint8_t modrm;
	uint8_t reg;	     /* ModRM.reg with REX.R / VEX.R */
	uint8_t rm;	     /* ModRM.rm with REX.B when a register; the opcode's register
				(OPERAND_OPCODE_REG) */
	bool memory;	     /* ModRM.mod != 3, or a moffs operand */
	uint8_t base, index; /* register numbers, INSN_RIP, or INSN_NO_REGISTER; for VSIB index is a
				vector register */
	uint8_t scale;	     /* 1, 2, 4, 8 */
	int64_t displacement; /* sign-extended; moffs zero-extended */
	int64_t immediate;   /* sign-extended to 64 bits by the instruction's rule; relative targets
				likewise */
	uint16_t immediate2; /* selector of a far pointer; second immediate of enter */
};

enum decode_result {
	DECODE_OK,
	DECODE_MORE,	 /* the bytes given end before the instruction does */
	DECODE_TOO_LONG, /* above 15 bytes: #GP(0) */
	DECODE_INVALID,	 /* no such instruction: #UD; insn->length is how far it was read */
};

/*
 * Decodes one instruction from bytes[0..count) as run in `size` code. Checks everything that
 * depends on the bytes alone (bad lock, NO_64, VEX rules, register-only and memory-only forms);
 * never reads beyond count. Pure: no state, no allocation.
 */
enum decode_result insn_decode(struct insn *insn, const uint8_t *bytes, unsigned count,
			       enum code_size size);

/* Bytes that the memory operand reads or writes at once (1..32, 512 and so on for states); 0 if
 * there is none or no access. */
unsigned insn_memory_size(const struct insn *insn);

/* ACCESS_READ | ACCESS_WRITE of the memory operand (a ModRM or moffs one); 0 if none or no access.
 */
unsigned insn_memory_access(const struct insn *insn);

/*
 * Turns an instruction whose feature the guest's model lacks into what an older processor does with
 * the same bytes (tzcnt is bsf, lzcnt is bsr, wbnoinvd is wbinvd) and returns true; false: such a
 * processor raises #UD.
 */
bool insn_fall_back(struct insn *insn);

/* Bytes of one element of vmaskmov, vpmaskmov and of the gathers (4 or 8), and of one index of the
 * gathers (4 or 8). */
unsigned insn_element_size(const struct insn *insn);
unsigned insn_index_size(const struct insn *insn);

/* The general register (0..15, as in ModRM) that an operand is, or INSN_NO_REGISTER. */
unsigned insn_operand_register(const struct insn *insn, const struct operand *operand);

/*
 * The general registers that an instruction of CLASS_COPY names, and that its opcode implies: masks
 * of 1 << number. All that it may write are among `written`.
 */
struct insn_registers {
	uint16_t used, read, written;
	bool high_byte; /* it names ah, ch, dh or bh, which count as rax, rcx, rdx, rbx */
};
struct insn_registers insn_registers(const struct insn *insn);

/* Size in bytes of an operand by its enum operand_size. */
unsigned insn_operand_bytes(const struct insn *insn, const struct operand *operand);

/*
 * Status flags read (and DF), and status flags that this very instruction certainly writes or
 * leaves undefined, so that their earlier values are dead, with regard to its immediate, count and
 * prefixes (a shift by 0 writes none, one by cl perhaps none, rep cmps perhaps none, ...).
 */
unsigned insn_flags_read(const struct insn *insn);
unsigned insn_flags_killed(const struct insn *insn);

/*
 * Status flags whose value after this very instruction the manuals leave open, with regard to its
 * immediate; for a count in cl, those that are undefined for some count. (For shld and shrd of 16
 * bits by more than 16, the destination is undefined too.)
 */
unsigned insn_flags_undefined(const struct insn *insn);

/*
 * Encodes a COPY instruction again with other registers. Each gpr number in insn (reg, rm, vvvv,
 * opcode register, as its operands say which are general registers) is replaced by rename[number];
 * its memory operand, if any, by [base] with host register `base` (no index, no displacement);
 * fixed registers are left (the caller sees to them). Prefixes lock, 66, mandatory, VEX are kept;
 * segment and 67 dropped; code is for 64-bit mode. rename[] entries are 0..15. Byte registers
 * ah..bh: returns 0 (cannot be renamed) if the new form would need a REX prefix while the insn uses
 * ah, ch, dh or bh. `out` has room for 16 bytes. Returns the number of bytes, 0 if it cannot be
 * encoded.
 */
unsigned insn_encode(const struct insn *insn, uint8_t *out, const uint8_t rename[16],
		     unsigned base);

/* The same with its memory operand at [base + index + displacement]; index may be INSN_NO_REGISTER,
 * and is not 4. */
struct insn_address {
	uint8_t base, index;
	int32_t displacement;
};
unsigned insn_encode_at(const struct insn *insn, uint8_t *out, const uint8_t rename[16],
			const struct insn_address *address);

#endif
