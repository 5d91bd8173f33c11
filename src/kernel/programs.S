/* SPDX-License-Identifier: BSD-2-Clause */
/* The two programs, as the linker made them (struct program, boot.h). */
	.section .programs, "a"
	.balign 4096
manager:
	.incbin "manager.elf"
	.balign 4096
machine:
	.incbin "machine.elf"
	.balign 4096

	.section .rodata
	.balign 8
	.globl program_manager, program_machine
program_manager:
	.quad manager
	.include "manager.segments"
program_machine:
	.quad machine
	.include "machine.segments"

	.section .note.GNU-stack, "", @progbits
