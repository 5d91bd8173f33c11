/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/saved_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/checksum.h"

_Static_assert(SAVED_CHUNK == MEMORY_CHUNK, "what is fetched at once has one entry");

static int read_all(int fd, void *bytes, size_t length, uint64_t offset)
{
	uint8_t *to = bytes;

	while (length > 0) {
		ssize_t got = pread(fd, to, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EINVAL;
		to += got;
		length -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

static int write_all_at(int fd, const void *bytes, size_t length, uint64_t offset)
{
	const uint8_t *from = bytes;

	while (length > 0) {
		ssize_t put = pwrite(fd, from, length, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		from += put;
		length -= (size_t)put;
		offset += (uint64_t)put;
	}
	return 0;
}

/* Opening */

struct opening {
	const char *path;
	char *reason;
	size_t size;
};

static int refuse(const struct opening *opening, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int refuse(const struct opening *opening, int error, const char *format, ...)
{
	char text[SAVED_REASON + 256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(opening->reason, opening->size, "%s: %s", opening->path, text);
	return error;
}

/* A part of the file, whose length has been checked, in memory of its own. */
static int read_part(int fd, const struct saved_part *part, const char *name, uint8_t **bytes,
		     const struct opening *opening)
{
	int error;

	*bytes = malloc(part->length + 1);
	if (!*bytes)
		return refuse(opening, -ENOMEM, "no memory for it");
	error = read_all(fd, *bytes, part->length, part->offset);
	if (error)
		return refuse(opening, error, "can't be read: %s", strerror(-error));
	if (checksum_crc32c(0, *bytes, part->length) != part->checksum)
		return refuse(opening, -EINVAL, "is damaged: the checksum of its %s is wrong",
			      name);
	return 0;
}

static int check_table(const struct saved_file *file, const struct saved_part *part,
		       const struct opening *opening)
{
	char reason[SAVED_REASON];
	struct saved_entry entry;

	if (part->length != saved_table_length(file->memory))
		return refuse(opening, -EINVAL,
			      "is damaged: its table of memory has the wrong length");
	for (uint64_t at = 0; at < part->length; at += SAVED_ENTRY_BYTES)
		if (saved_entry_read(&entry, file->table + at, file->length, reason))
			return refuse(opening, -EINVAL, "%s", reason);
	return 0;
}

static int read_parts(struct saved_file *file, const struct saved_header *header,
		      struct saved_config *config, const struct opening *opening)
{
	char reason[SAVED_REASON];
	uint8_t *description = NULL;
	int error = read_part(file->fd, &header->config, "description", &description, opening);

	if (!error && saved_config_read(config, description, header->config.length, reason))
		error = refuse(opening, -EINVAL, "is damaged: %s", reason);
	free(description);
	if (error)
		return error;
	file->memory = config->memory;
	file->state_length = header->state.length;
	error = read_part(file->fd, &header->state, "state", &file->state, opening);
	if (!error)
		error = read_part(file->fd, &header->table, "table of memory", &file->table,
				  opening);
	return error ? error : check_table(file, &header->table, opening);
}

static int open_file(struct saved_file *file, struct saved_config *config,
		     const struct opening *opening)
{
	uint8_t bytes[SAVED_HEADER_BYTES] = {0};
	char reason[SAVED_REASON];
	struct saved_header header;
	struct stat status;
	size_t length;
	int error;

	/* Not blocked by a pipe that nobody writes to. */
	file->fd = open(opening->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &status) < 0)
		return refuse(opening, -errno, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return refuse(opening, -EINVAL, "is not a file");
	file->length = (uint64_t)status.st_size;
	length = file->length < sizeof(bytes) ? file->length : sizeof(bytes);
	error = read_all(file->fd, bytes, length, 0);
	if (error)
		return refuse(opening, error, "can't be read: %s", strerror(-error));
	if (saved_header_read(&header, bytes, file->length, reason))
		return refuse(opening, -EINVAL, "%s", reason);
	return read_parts(file, &header, config, opening);
}

int saved_file_open(struct saved_file *file, const char *path, struct saved_config *config,
		    char *reason, size_t size)
{
	const struct opening opening = {path, reason, size};
	int error;

	*file = (struct saved_file){.fd = -1};
	error = open_file(file, config, &opening);
	if (error)
		saved_file_close(file);
	return error;
}

void saved_file_close(struct saved_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->state);
	free(file->table);
	*file = (struct saved_file){.fd = -1};
}

/* Memory */

static struct saved_entry entry_at(const uint8_t *table, uint64_t offset)
{
	const uint8_t *bytes = table + offset / SAVED_CHUNK * SAVED_ENTRY_BYTES;

	return (struct saved_entry){bytes_load64(bytes), bytes_load32(bytes + 8),
				    bytes_load16(bytes + 12)};
}

bool saved_file_has(const struct saved_file *file, uint64_t offset)
{
	return entry_at(file->table, offset).pages != 0;
}

/* Moves the pages that lie one after another at the chunk's front to where they belong, the last
 * one first. */
static void spread(uint8_t *chunk, uint16_t pages)
{
	unsigned from = (unsigned)__builtin_popcount(pages);

	for (unsigned to = SAVED_CHUNK_PAGES; to-- > 0;) {
		if (!(pages >> to & 1))
			continue;
		from--;
		if (from == to)
			return;
		memcpy(chunk + to * SAVED_PAGE, chunk + from * SAVED_PAGE, SAVED_PAGE);
		memset(chunk + from * SAVED_PAGE, 0, SAVED_PAGE);
	}
}

int saved_file_read(const struct saved_file *file, uint64_t offset, uint8_t *ram)
{
	struct saved_entry entry = entry_at(file->table, offset);
	uint32_t length = saved_entry_length(&entry);
	int error = read_all(file->fd, ram, length, entry.offset);

	if (error)
		return error;
	if (checksum_crc32c(0, ram, length) != entry.checksum)
		return -EINVAL;
	spread(ram, entry.pages);
	return 0;
}

static bool is_zero(const uint8_t *page)
{
	for (unsigned i = 0; i < SAVED_PAGE; i += 64) {
		uint64_t any = 0;

		for (unsigned j = 0; j < 64; j += 8)
			any |= bytes_load64(page + i + j);
		if (any)
			return false;
	}
	return true;
}

uint16_t saved_pages_used(const uint8_t *chunk)
{
	uint16_t pages = 0;

	for (unsigned i = 0; i < SAVED_CHUNK_PAGES; i++)
		if (!is_zero(chunk + i * SAVED_PAGE))
			pages |= (uint16_t)(1u << i);
	return pages;
}

/* To look at what the host has no memory for would make it get some. */
uint64_t saved_next_data(const struct vm *vm, uint64_t offset)
{
	const struct memory *memory = &vm->memory;
	off_t found;

	if (memory->handle < 0 || offset >= memory->size)
		return offset;
	found = lseek(memory->handle, (off_t)offset, SEEK_DATA);
	if (found >= 0)
		return (uint64_t)found;
	return errno == ENXIO ? memory->size : offset;
}

/* Writing */

int saved_writer_begin(struct saved_writer *writer, int fd, struct vm *vm)
{
	*writer = (struct saved_writer){.fd = fd, .vm = vm, .position = SAVED_HEADER_BYTES};
	writer->table = calloc(1, saved_table_length(vm->memory.size));
	writer->buffer = malloc(SAVED_CHUNK);
	if (writer->table && writer->buffer)
		return 0;
	saved_writer_end(writer);
	return -ENOMEM;
}

void saved_writer_end(struct saved_writer *writer)
{
	free(writer->table);
	free(writer->buffer);
	writer->table = writer->buffer = NULL;
}

/* The pages that are used, one after the other, as they are now. */
static uint32_t gather(const uint8_t *chunk, uint16_t *pages, uint8_t *to)
{
	uint32_t length = 0;

	*pages = 0;
	for (unsigned i = 0; i < SAVED_CHUNK_PAGES; i++) {
		memcpy(to + length, chunk + i * SAVED_PAGE, SAVED_PAGE);
		if (is_zero(to + length))
			continue;
		*pages |= (uint16_t)(1u << i);
		length += SAVED_PAGE;
	}
	return length;
}

/* Once more: where it was before, if it fits. */
static int write_chunk(struct saved_writer *writer, uint64_t offset)
{
	struct saved_entry before = entry_at(writer->table, offset), entry = {0};
	uint32_t length;
	int error;

	memory_fetch(&writer->vm->memory, offset, SAVED_CHUNK);
	length = gather(writer->vm->memory.base + offset, &entry.pages, writer->buffer);
	entry.checksum = checksum_crc32c(0, writer->buffer, length);
	if (before.offset && length <= saved_entry_length(&before)) {
		entry.offset = before.offset;
	} else if (length) {
		entry.offset = writer->position;
		writer->position += length;
	}
	error = write_all_at(writer->fd, writer->buffer, length, entry.offset);
	saved_entry_write(&entry, writer->table + offset / SAVED_CHUNK * SAVED_ENTRY_BYTES);
	writer->memory_bytes += length;
	return error;
}

int saved_writer_memory(struct saved_writer *writer)
{
	const struct vm *vm = writer->vm;
	int error = 0;

	for (uint64_t offset = 0; offset < vm->memory.size && !error; offset += SAVED_CHUNK) {
		if (!memory_is_absent(&vm->memory, offset)) {
			uint64_t data = saved_next_data(vm, offset);

			/* What is absent is no data yet. */
			if (data >= offset + SAVED_CHUNK) {
				for (; offset + SAVED_CHUNK <= data && offset < vm->memory.size &&
				       !memory_is_absent(&vm->memory, offset);
				     offset += SAVED_CHUNK)
					;
				offset -= SAVED_CHUNK;
				continue;
			}
		}
		error = write_chunk(writer, offset);
	}
	return error;
}

int saved_writer_pages(struct saved_writer *writer, uint64_t *bitmap)
{
	const unsigned chunks = 64 / SAVED_CHUNK_PAGES; /* in a word */
	int error = 0;

	for (size_t word = 0; word < dirty_words(writer->vm) && !error; word++) {
		uint64_t bits = bitmap[word];

		bitmap[word] = 0;
		for (unsigned i = 0; i < chunks && !error; i++)
			if (bits >> i * SAVED_CHUNK_PAGES & ((1u << SAVED_CHUNK_PAGES) - 1))
				error = write_chunk(writer, (word * chunks + i) * SAVED_CHUNK);
	}
	return error;
}

/* A part behind all others. */
static int write_part(struct saved_writer *writer, struct saved_part *part, const uint8_t *bytes,
		      size_t length)
{
	*part = (struct saved_part){writer->position, length, checksum_crc32c(0, bytes, length)};
	writer->position += length;
	return write_all_at(writer->fd, bytes, length, part->offset);
}

static int write_config(struct saved_writer *writer, struct saved_part *part,
			const struct saved_config *config)
{
	uint8_t *bytes = malloc(SAVED_CONFIG_MAX);
	size_t length;
	int error = -ENOMEM;

	if (bytes)
		error = saved_config_write(config, bytes, SAVED_CONFIG_MAX, &length);
	if (!error)
		error = write_part(writer, part, bytes, length);
	free(bytes);
	return error;
}

int saved_writer_finish(struct saved_writer *writer, const struct saved_config *config,
			const uint8_t *state, size_t length)
{
	uint8_t bytes[SAVED_HEADER_BYTES];
	struct saved_header header = {0};
	int error = write_config(writer, &header.config, config);

	if (!error)
		error = write_part(writer, &header.state, state, length);
	if (!error)
		error = write_part(writer, &header.table, writer->table,
				   saved_table_length(writer->vm->memory.size));
	if (error)
		return error;
	header.file_length = writer->position;
	saved_header_write(&header, bytes);
	return write_all_at(writer->fd, bytes, sizeof(bytes), 0);
}
