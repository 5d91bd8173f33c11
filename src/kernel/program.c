/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs out of the kernel's own image. They are linked with text, constants and data in pages of
 * their own, and lie page-aligned in the image: what is not written is mapped from there, once in
 * memory for all processes.
 */
#include "kernel/boot.h"
#include "kernel/mapping.h"
#include "kernel/page.h"
#include "kernel/process.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"

/* The pages of the image that hold a segment. */
static int map_shared(struct process *process, const struct program *program,
		      const struct program_segment *segment)
{
	uint64_t image = (uint64_t)program->bytes + segment->offset;
	unsigned rights;
	pa_t physical;
	int error = 0;

	for (uint64_t done = 0; done < segment->file_size && !error; done += PAGE_SIZE)
		error = page_find(page_kernel_root, image + done, &physical, &rights)
				? page_map(process->root, segment->address + done, physical,
					   PAGE_SIZE, segment->rights | PAGE_MAP_USER,
					   process_owner(process))
				: -ENOEXEC;
	return error;
}

/* Pages of the process's own, filled as far as the file goes; those behind come when touched. */
static int map_own(struct process *process, const struct program *program,
		   const struct program_segment *segment)
{
	int error = mapping_add_at(process, segment->address,
				   align_up(segment->memory_size, PAGE_SIZE), MAPPING_MEMORY, 0);

	for (uint64_t done = 0; done < segment->file_size && !error; done += PAGE_SIZE) {
		uint64_t left = segment->file_size - done;
		uint8_t *bytes = user_page(process, ua(segment->address + done));

		if (!bytes)
			return -ENOMEM;
		bytes_copy(bytes, program->bytes + segment->offset + done,
			   left < PAGE_SIZE ? left : PAGE_SIZE);
	}
	return error;
}

int program_load(struct process *process, const struct program *program)
{
	const struct program_segment *segment = program->segment;
	int error = 0;

	for (; segment->memory_size && !error; segment++)
		error = segment->rights & PAGE_MAP_WRITE ? map_own(process, program, segment)
							 : map_shared(process, program, segment);
	return error;
}
