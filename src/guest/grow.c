/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's disk may be larger than the image that it was made from: then the root file system
 * grows to the disk's (or the partition's) size while it is used, as resize2fs does it.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define EXT4_MAGIC	   0xef53
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t) /* to so many blocks; Linux, fs/ext4/ext4.h */

/* Bytes of the device that the root is on; 0 if that can't be told. */
static uint64_t device_size(dev_t device)
{
	unsigned long long sectors = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/size", major(device), minor(device));
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu", &sectors) != 1)
		sectors = 0;
	if (file)
		fclose(file);
	return sectors * 512;
}

void root_grow(void)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs system;
	struct stat status;
	uint64_t blocks;

	if (root < 0)
		return;
	if (fstatfs(root, &system) == 0 && system.f_type == EXT4_MAGIC &&
	    fstat(root, &status) == 0) {
		blocks = device_size(status.st_dev) / (uint64_t)system.f_bsize;
		/* At that size already, it does nothing. One that is mounted read-only stays. */
		if (blocks && ioctl(root, EXT4_IOC_RESIZE_FS, &blocks) && errno != EROFS)
			fprintf(stderr, "lodge-agent: the root file system doesn't grow: %s\n",
				strerror(errno));
	}
	close(root);
}
