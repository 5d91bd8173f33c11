/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log: which pages of RAM have been written. One bit for each 4 KiB page of the block of
 * guest memory (struct memory), in its order: range r's first page is bit range[r].offset / 4096,
 * and ranges begin at whole words.
 *
 * Writers mark a page after they have written to it, or while the collector can't run, so that a
 * page that is copied after a collection has all that was marked in it; what is written while it is
 * copied is marked again. Devices are marked by vm_written, vcpus by their engine (struct
 * engine_dirty).
 */
#ifndef CORE_DIRTY_H
#define CORE_DIRTY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

#define DIRTY_PAGE_SIZE 4096u

/* Part of struct vm. */
struct dirty {
	_Atomic bool on;
	_Atomic(_Atomic uint64_t *) bitmap; /* from the first dirty_start to vm_destroy */
};

/* Words of a bitmap, for vm->memory.size bytes. */
size_t dirty_words(const struct vm *vm);

/*
 * Begins to log, with all pages clean. 0; -ENOTSUP if the engine can't; another negative errno,
 * with nothing begun. Of dirty_start, dirty_collect and dirty_stop one runs at a time; on any
 * thread but a vcpu's; vcpus may run; vm's lock not held, but when the vm is paused it may be.
 */
int dirty_start(struct vm *vm);

/*
 * Adds the pages written since dirty_start or the last collection to bitmap (dirty_words words of
 * the caller's, whose other bits stay), and takes them out of the log. 0, or a negative errno.
 */
int dirty_collect(struct vm *vm, uint64_t *bitmap);

void dirty_stop(struct vm *vm);

/*
 * Enters the pages of [offset, offset + length) of the block. Only while the log is on
 * (dirty_is_on); any thread, no lock needed.
 */
void dirty_mark(struct vm *vm, uint64_t offset, uint64_t length);
bool dirty_is_on(const struct vm *vm);

/* For vm_destroy. */
void dirty_destroy(struct vm *vm);

#endif
