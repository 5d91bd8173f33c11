/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmdk images in one file, monolithicSparse and streamOptimized, to be read once: "Virtual Disk
 * Format 1.1" and "5.0" of VMware. Other kinds (several files, overlays) are refused.
 */
#ifndef STORAGE_VMDK_H
#define STORAGE_VMDK_H

#include <stddef.h>
#include <stdint.h>

struct vmdk;

/* Opens it for reading. 0, or a negative errno and one line in reason. */
int vmdk_open(const char *path, struct vmdk **vmdk, char *reason, size_t size);
void vmdk_close(struct vmdk *vmdk);

uint64_t vmdk_size(const struct vmdk *vmdk);

/* Both within the disk. 0 or a negative errno: -EIO where the image is damaged. Not for several
 * threads at once. */
int vmdk_read(struct vmdk *vmdk, void *bytes, size_t length, uint64_t offset);

/* The end of what is not in the image from the offset on, and so reads as zeroes. */
uint64_t vmdk_skip_hole(struct vmdk *vmdk, uint64_t offset);

#endif
