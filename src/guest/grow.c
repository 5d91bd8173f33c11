/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's disk may be larger than the image that it was made from: then the root file system
 * grows to the disk's (or the partition's) size while it is used, as resize2fs, xfs_growfs and
 * btrfs do it.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define EXT4_MAGIC	   0xef53
#define XFS_MAGIC	   0x58465342
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t) /* to so many blocks; Linux, fs/ext4/ext4.h */

/* Linux, fs/xfs/libxfs/xfs_fs.h: xfs_fsop_geom_v4, of which we need the beginning, and
 * xfs_growfs_data. */
struct xfs_geometry {
	uint32_t block_size, more[6], inode_percent;
	uint64_t blocks, rest[9];
};
struct xfs_size {
	uint64_t blocks;
	uint32_t inode_percent;
};
#define XFS_IOC_FSGEOMETRY_V4 _IOR('X', 124, struct xfs_geometry)
#define XFS_IOC_FSGROWFSDATA  _IOW('X', 110, struct xfs_size)
_Static_assert(sizeof(struct xfs_geometry) == 112, "as Linux has it");

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

/* Each: 0, or -1 with errno. At that size already, nothing is done. */
static int ext4_grow(int root, uint64_t size)
{
	struct statfs system;
	uint64_t blocks;

	if (fstatfs(root, &system))
		return -1;
	blocks = size / (uint64_t)system.f_bsize;
	return blocks ? ioctl(root, EXT4_IOC_RESIZE_FS, &blocks) : 0;
}

static int xfs_grow(int root, uint64_t size)
{
	struct xfs_geometry geometry;
	struct xfs_size to;

	if (ioctl(root, XFS_IOC_FSGEOMETRY_V4, &geometry) || !geometry.block_size)
		return -1;
	to = (struct xfs_size){size / geometry.block_size, geometry.inode_percent};
	return to.blocks > geometry.blocks ? ioctl(root, XFS_IOC_FSGROWFSDATA, &to) : 0;
}

/* It knows its device itself. */
static int btrfs_grow(int root, uint64_t size)
{
	struct btrfs_ioctl_vol_args to = {.name = "max"};

	return ioctl(root, BTRFS_IOC_RESIZE, &to);
}

static const struct {
	long magic;
	int (*grow)(int root, uint64_t size);
} systems[] = {{EXT4_MAGIC, ext4_grow}, {XFS_MAGIC, xfs_grow}, {BTRFS_SUPER_MAGIC, btrfs_grow}};

void root_grow(void)
{
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs system;
	struct stat status;

	if (root < 0)
		return;
	if (fstatfs(root, &system) == 0 && fstat(root, &status) == 0)
		for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++)
			/* One that is mounted read-only stays. */
			if (systems[i].magic == system.f_type &&
			    systems[i].grow(root, device_size(status.st_dev)) && errno != EROFS)
				fprintf(stderr,
					"lodge-agent: the root file system doesn't grow: %s\n",
					strerror(errno));
	close(root);
}
