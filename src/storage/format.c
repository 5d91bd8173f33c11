/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/qcow2.h"
#include "storage/qcow2_header.h"
#include "storage/raw.h"

static const struct {
	enum format format;
	const char *name;
	int (*open)(const char *path, bool read_only, struct disk **disk, char *reason,
		    size_t size);
} formats[] = {
	{FORMAT_RAW, "raw", raw_open},
	{FORMAT_QCOW2, "qcow2", qcow2_disk_open},
};

enum { COUNT = sizeof(formats) / sizeof(formats[0]) };

bool format_parse(const char *name, enum format *format)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (!strcmp(formats[i].name, name)) {
			*format = formats[i].format;
			return true;
		}
	return false;
}

const char *format_name(enum format format)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (formats[i].format == format)
			return formats[i].name;
	return "auto";
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && !strcmp(text + length - end_length, end);
}

/* Whether the file begins as a qcow2 image does. What can't be read doesn't: who opens it says why.
 */
static bool has_magic(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t bytes[4] = {0};
	struct stat status;
	bool has = false;

	if (file < 0)
		return false;
	if (!fstat(file, &status) && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)))
		has = pread(file, bytes, sizeof(bytes), 0) == sizeof(bytes) &&
		      qcow2_load32(bytes) == QCOW2_MAGIC;
	close(file);
	return has;
}

int format_decide(const char *path, enum format *format, char *reason, size_t size)
{
	bool named = ends_with(path, ".qcow2"), magic = has_magic(path);

	if (ends_with(path, ".vmdk")) {
		snprintf(reason, size,
			 "disk %s: is named as a vmdk image, which can be read once: lodge image "
			 "import, or convert --from vmdk",
			 path);
		return -EINVAL;
	}
	*format = named ? FORMAT_QCOW2 : FORMAT_RAW;
	if (named == magic || access(path, R_OK))
		return 0;
	if (named)
		snprintf(reason, size,
			 "disk %s: is named as a qcow2 image and is none; say format=raw if it is "
			 "a raw disk",
			 path);
	else
		snprintf(
			reason, size,
			"disk %s: looks like a qcow2 image, which its name doesn't say; say "
			"format=qcow2 if it is one, format=raw if a guest wrote that on a raw disk",
			path);
	return -EINVAL;
}

int format_open(const char *path, enum format format, bool read_only, struct disk **disk,
		char *reason, size_t size)
{
	int error = format == FORMAT_AUTO ? format_decide(path, &format, reason, size) : 0;

	for (unsigned i = 0; i < COUNT && !error; i++)
		if (formats[i].format == format)
			return formats[i].open(path, read_only, disk, reason, size);
	return error ? error : -EINVAL;
}
