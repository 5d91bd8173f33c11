/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_MAX (UINT64_C(4) << 30)

/* A file that can be read from any place; not a pipe, a folder or a device. */
static int open_file(const char *path, const char *what, char *reason, size_t size)
{
	struct stat status;
	int error, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		error = errno;
		snprintf(reason, size, "%s %s: %s%s", what, path, strerror(error),
			 error == ENOENT   ? ": is the name right?"
			 : error == EACCES ? ": you need to be allowed to read it"
					   : "");
		return -error;
	}
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		snprintf(reason, size, "%s %s: not a file", what, path);
		return -EINVAL;
	}
	return fd;
}

static int add_module(struct images *images, const char *entry, size_t length, char *reason,
		      size_t size)
{
	struct images_file *module = &images->modules[images->module_count];
	char *path;

	if (images->module_count == BOOT_MODULES_MAX) {
		snprintf(reason, size, "--initrd: there can be %u files at most", BOOT_MODULES_MAX);
		return -E2BIG;
	}
	module->name = strndup(entry, length);
	path = strndup(entry, length);
	if (!module->name || !path) {
		free(module->name);
		free(path);
		snprintf(reason, size, "no memory");
		return -ENOMEM;
	}
	if (access(path, F_OK))
		path[strcspn(path, " ")] = '\0';
	module->fd = open_file(path, "--initrd", reason, size);
	free(path);
	if (module->fd < 0) {
		int error = module->fd;

		free(module->name);
		return error;
	}
	images->module_count++;
	return 0;
}

static int add_modules(struct images *images, const char *list, char *reason, size_t size)
{
	int error;

	if (!access(list, F_OK))
		return add_module(images, list, strlen(list), reason, size);
	for (;;) {
		size_t length = strcspn(list, ",");

		error = add_module(images, list, length, reason, size);
		if (error || !list[length])
			return error;
		list += length + 1;
	}
}

int images_open(struct images *images, const char *kernel, const char *initrd, char *reason,
		size_t size)
{
	int error = 0;

	memset(images, 0, sizeof(*images));
	images->kernel.fd = open_file(kernel, "--kernel", reason, size);
	if (images->kernel.fd < 0)
		return images->kernel.fd;
	images->kernel.name = strdup(kernel);
	if (!images->kernel.name) {
		snprintf(reason, size, "no memory");
		error = -ENOMEM;
	}
	if (!error && initrd)
		error = add_modules(images, initrd, reason, size);
	if (error)
		images_close(images);
	return error;
}

void images_close(struct images *images)
{
	close(images->kernel.fd);
	free(images->kernel.name);
	for (unsigned i = 0; i < images->module_count; i++) {
		close(images->modules[i].fd);
		free(images->modules[i].name);
	}
	*images = (struct images){0};
}

/* Reads a whole file into pages of its own. An empty one is no bytes at all. */
static int read_file(const struct images_file *file, struct boot_file *boot, char *reason,
		     size_t size)
{
	struct stat status;
	size_t done = 0;
	uint8_t *bytes;

	boot->name = file->name;
	boot->image = (struct image){NULL, 0};
	if (fstat(file->fd, &status) || (uint64_t)status.st_size > IMAGE_MAX) {
		snprintf(reason, size, "%s: too large to start from (%llu bytes)", file->name,
			 (unsigned long long)status.st_size);
		return -EFBIG;
	}
	if (!status.st_size)
		return 0;
	bytes = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED) {
		snprintf(reason, size, "%s: no memory to read it into", file->name);
		return -ENOMEM;
	}
	boot->image = (struct image){bytes, (size_t)status.st_size};
	while (done < (size_t)status.st_size) {
		ssize_t got =
			pread(file->fd, bytes + done, (size_t)status.st_size - done, (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			int error = got ? errno : EIO;

			snprintf(reason, size, "%s: can't be read: %s", file->name,
				 got ? strerror(error) : "it became shorter");
			return -error;
		}
		done += (size_t)got;
	}
	return 0;
}

int images_read(const struct images *images, struct boot_config *config, char *reason, size_t size)
{
	int error = read_file(&images->kernel, &config->kernel, reason, size);

	config->module_count = 0;
	for (unsigned i = 0; !error && i < images->module_count; i++) {
		error = read_file(&images->modules[i], &config->modules[i], reason, size);
		config->module_count++;
	}
	return error;
}

void images_forget(struct boot_config *config)
{
	for (unsigned i = 0; i < config->module_count; i++)
		if (config->modules[i].image.size)
			munmap((void *)(uintptr_t)config->modules[i].image.bytes,
			       config->modules[i].image.size);
	if (config->kernel.image.size)
		munmap((void *)(uintptr_t)config->kernel.image.bytes, config->kernel.image.size);
	config->module_count = 0;
	config->kernel.image.size = 0;
}
