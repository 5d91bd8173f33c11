/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF files (System V ABI, chapter 4 and 5) of 32 and 64 bits for x86, as kernels come in them. */
#ifndef MACHINES_ELF_H
#define MACHINES_ELF_H

#include <stdint.h>

#include "machines/boot.h"

#define ELF_SEGMENTS_MAX 64

enum { ELF_PT_LOAD = 1, ELF_PT_NOTE = 4 };

struct elf_segment {
	uint32_t type;
	uint64_t offset, address, file_size, memory_size, align; /* address is the physical one */
};

struct elf {
	const struct boot_file *file;
	unsigned bits;	/* 32 or 64 */
	uint64_t entry; /* physical: e_entry, moved as its segment is from virtual to physical
			   addresses */
	unsigned count;
	struct elf_segment segment[ELF_SEGMENTS_MAX]; /* PT_LOAD and PT_NOTE; their bytes are within
							 the file */
};

/* Reads and checks the headers. 0, or -ENOEXEC with its reason. */
int elf_open(struct elf *elf, const struct boot_file *file, struct boot_result *result);

/*
 * Puts the PT_LOAD segments at their physical addresses and takes their places. 0, or -ENOEXEC,
 * -ENOMEM with its reason. end: the first address behind them all.
 */
int elf_load(struct vm *vm, const struct elf *elf, const struct boot_config *config,
	     struct boot_placer *placer, uint64_t *end, struct boot_result *result);

#endif
