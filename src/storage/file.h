/* SPDX-License-Identifier: BSD-2-Clause */
/* One file or block device below a disk: opened, locked, read and written at offsets. */
#ifndef STORAGE_FILE_H
#define STORAGE_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/plug.h"

struct file {
	int descriptor;
	bool read_only, block_device;
	uint64_t size;	     /* bytes, when it was opened */
	uint32_t block_size; /* the device's; 0 for a file */
	dev_t device;	     /* with inode: which file it is */
	ino_t inode;
	/* What the file system can't do: once it has said so, it isn't asked again. */
	atomic_bool no_read_at_once, no_write_at_once, no_punch, no_zero_range;
};

/* Larger requests would keep a vcpu (and the vm's lock) for too long, even from memory. */
#define FILE_AT_ONCE_MAX (256u << 10)

/*
 * Opens for one writer or any number of readers: another process (or another open in this one) that
 * has it otherwise makes this -EBUSY. 0, or a negative errno and one line that names it in reason.
 */
int file_open(struct file *file, const char *path, bool read_only, char *reason, size_t size);
/* The same for one that is open for both, and is taken over if it is good. No line: 0 or a negative
 * errno. */
int file_take(struct file *file, int descriptor);
void file_close(struct file *file);

/* From now on it is only read, and others may read it too. */
void file_freeze(struct file *file);

/* Gives up the lock that file_open has taken, and takes it again: 0 or -EBUSY. */
int file_lend(struct file *file, bool away);

/*
 * All of these carry on after a short or interrupted transfer, wait if they have to, and return 0
 * or a negative errno. What lies behind the file's end reads as zeroes. Any thread.
 */
int file_read(struct file *file, void *bytes, size_t length, uint64_t offset);
int file_write(struct file *file, const void *bytes, size_t length, uint64_t offset);
/* Between `length` bytes of the slices, from byte `skip` of them on, and the file. */
int file_transfer(struct file *file, bool write, const struct slice *slices, unsigned count,
		  uint64_t skip, uint64_t length, uint64_t offset);
/* The same, if it can be had without waiting (length up to FILE_AT_ONCE_MAX); else -EAGAIN, when a
 * part may have been done. */
int file_transfer_at_once(struct file *file, bool write, const struct slice *slices, unsigned count,
			  uint64_t skip, uint64_t length, uint64_t offset);
/* What was written before is on stable storage after it. A failure has lost what could not be
 * written, and is told once; it is never -ENOSPC. */
int file_flush(struct file *file);
/* Gives space back: the range may read as anything. Advice: 0 also where it can't be taken. */
int file_discard(struct file *file, uint64_t offset, uint64_t length);
/* The range reads as zeroes; its space may be given back if unmap. */
int file_write_zeroes(struct file *file, uint64_t offset, uint64_t length, bool unmap);
/* A file's length. */
int file_resize(struct file *file, uint64_t size);

#define SLICES_CUT_MAX 256

/* Fills vector, of SLICES_CUT_MAX entries, with `length` bytes of the slices behind skip bytes, as
 * far as they fit. How many entries. */
int slices_cut(const struct slice *slices, unsigned count, uint64_t skip, uint64_t length,
	       struct iovec *vector);
/* Clears `length` bytes of the slices from byte `skip` on. */
void slices_clear(const struct slice *slices, unsigned count, uint64_t skip, uint64_t length);
/* Copies from memory into them. */
void slices_fill(const struct slice *slices, unsigned count, uint64_t skip, const void *bytes,
		 uint64_t length);

#endif
