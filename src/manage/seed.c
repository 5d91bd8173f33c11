/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ISO 9660 (ECMA-119) as plain as it can be: one folder with two files. Linux shows names without
 * Rock Ridge in small letters and without their version, which is what cloud-init looks for.
 */
#include "manage/seed.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	BLOCK = 2048,
	VOLUME = 16, /* blocks: the volume's description, its end, two path tables, the folder,
			files */
	VOLUME_END = 17,
	PATHS_LITTLE = 18,
	PATHS_BIG = 19,
	FOLDER = 20,
	FIRST_FILE = 21,
	RECORD = 33, /* bytes of a folder's record without the name */
	PATHS_SIZE = 10,
	NAME_ROOM = 16
};

#define META_DATA "META-DATA.;1"
#define USER_DATA "USER-DATA.;1"

static const char hostname_letters[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
static const char user_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

bool seed_hostname_ok(const char *name)
{
	size_t length = strspn(name, hostname_letters);

	return length && length <= 63 && !name[length] && !strchr(".-", name[0]) &&
	       !strchr(".-", name[length - 1]);
}

bool seed_user_ok(const char *name)
{
	size_t length = strspn(name, user_letters);

	return length && length <= 32 && !name[length] && !isdigit((unsigned char)name[0]) &&
	       name[0] != '-';
}

/* Texts */

/* A string of JSON, and so of YAML. What is no character of a line is left out. */
static void put_quoted(FILE *out, const char *text, size_t length)
{
	fputc('"', out);
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '"' || text[i] == '\\')
			fputc('\\', out);
		if ((unsigned char)text[i] >= ' ' && text[i] != 0x7f)
			fputc(text[i], out);
	}
	fputc('"', out);
}

static void put_keys(FILE *out, const char *keys, const char *indent)
{
	while (*keys) {
		size_t length = strcspn(keys, "\n");

		if (length && *keys != '#') {
			fprintf(out, "%s- ", indent);
			put_quoted(out, keys, length);
			fputc('\n', out);
		}
		keys += length + (keys[length] == '\n');
	}
}

/* Another machine is another instance, for which all is done anew; FNV-1a of what makes it one. */
static uint64_t hash(uint64_t so_far, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		so_far = (so_far ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return so_far;
}

static uint64_t instance(const struct seed *seed)
{
	const char *const parts[] = {seed->hostname, seed->user, seed->keys};
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		value = hash(value, parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) + 1 : 1);
	return hash(value, seed->user_data ? seed->user_data : "", seed->user_data_size);
}

static void put_meta_data(FILE *out, const struct seed *seed)
{
	fprintf(out, "instance-id: lodge-%016llx\n", (unsigned long long)instance(seed));
	if (seed->hostname)
		fprintf(out, "local-hostname: %s\n", seed->hostname);
	if (seed->user)
		fprintf(out, "lodge-user: %s\n", seed->user);
	if (seed->keys) {
		fputs("public-keys:\n", out);
		put_keys(out, seed->keys, "");
	}
}

static void put_user_data(FILE *out, const struct seed *seed)
{
	if (seed->user_data) {
		fwrite(seed->user_data, 1, seed->user_data_size, out);
		return;
	}
	fputs("#cloud-config\n", out);
	if (!seed->user)
		return;
	fprintf(out,
		"users:\n"
		"- name: %s\n"
		"  sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n"
		"  shell: /bin/bash\n",
		seed->user);
	if (seed->keys) {
		fputs("  ssh_authorized_keys:\n", out);
		put_keys(out, seed->keys, "  ");
	}
}

/* The file system */

static void both32(uint8_t *to, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++) {
		to[i] = (uint8_t)(value >> (8 * i));
		to[7 - i] = to[i];
	}
}

static void both16(uint8_t *to, uint16_t value)
{
	to[0] = to[3] = (uint8_t)value;
	to[1] = to[2] = (uint8_t)(value >> 8);
}

/* A folder's record (9.1); its length. The same seed is the same bytes, so its dates are no true
 * ones. */
static size_t put_record(uint8_t *to, const char *name, size_t name_length, uint32_t block,
			 uint32_t size, bool folder)
{
	size_t length = (RECORD + name_length + 1) & ~(size_t)1;

	static const uint8_t date[7] = {80, 1, 1}; /* the years since 1900, month, day, ... */

	to[0] = (uint8_t)length;
	both32(to + 2, block);
	both32(to + 10, size);
	memcpy(to + 18, date, sizeof(date));
	to[25] = folder ? 2 : 0;
	both16(to + 28, 1);
	to[32] = (uint8_t)name_length;
	memcpy(to + RECORD, name, name_length);
	return length;
}

/* The volume's description (8.4), and behind it the end of such. */
static void put_volume(uint8_t *disk, uint32_t blocks)
{
	static const char date[] = "0000000000000000";
	uint8_t *to = disk + VOLUME * BLOCK;

	to[0] = 1;
	memcpy(to + 1, "CD001\1", 6);
	memset(to + 8, ' ', 64);
	memcpy(to + 40, "cidata", 6);
	both32(to + 80, blocks);
	both16(to + 120, 1);
	both16(to + 124, 1);
	both16(to + 128, BLOCK);
	both32(to + 132, PATHS_SIZE);
	to[140] = PATHS_LITTLE;
	to[151] = PATHS_BIG;
	put_record(to + 156, "", 1, FOLDER, BLOCK, true);
	memset(to + 190, ' ', 813 - 190);
	for (unsigned at = 813; at < 881; at += 17)
		memcpy(to + at, date, 16);
	to[881] = 1;
	to = disk + VOLUME_END * BLOCK;
	to[0] = 255;
	memcpy(to + 1, "CD001\1", 6);
	/* Path tables (9.4): the folder alone. */
	disk[PATHS_LITTLE * BLOCK] = disk[PATHS_BIG * BLOCK] = 1;
	disk[PATHS_LITTLE * BLOCK + 2] = FOLDER;
	disk[PATHS_BIG * BLOCK + 5] = FOLDER;
	disk[PATHS_LITTLE * BLOCK + 6] = disk[PATHS_BIG * BLOCK + 7] = 1;
}

struct text {
	const char *name; /* in the order of names */
	void (*put)(FILE *out, const struct seed *seed);
	char *bytes;
	size_t size;
};

static bool text_make(struct text *text, const struct seed *seed)
{
	FILE *out = open_memstream(&text->bytes, &text->size);

	if (!out)
		return false;
	text->put(out, seed);
	return fclose(out) == 0;
}

static uint32_t blocks_of(size_t size)
{
	return (uint32_t)((size + BLOCK - 1) / BLOCK);
}

static uint8_t *disk_make(const struct text *texts, size_t *size)
{
	uint32_t blocks = FIRST_FILE + blocks_of(texts[0].size) + blocks_of(texts[1].size);
	uint8_t *disk = calloc(blocks, BLOCK), *record;
	uint32_t block = FIRST_FILE;

	if (!disk)
		return NULL;
	*size = (size_t)blocks * BLOCK;
	put_volume(disk, blocks);
	record = disk + FOLDER * BLOCK;
	record += put_record(record, "\0", 1, FOLDER, BLOCK, true);
	record += put_record(record, "\1", 1, FOLDER, BLOCK, true);
	for (unsigned i = 0; i < 2; i++) {
		record += put_record(record, texts[i].name, strlen(texts[i].name), block,
				     (uint32_t)texts[i].size, false);
		memcpy(disk + (size_t)block * BLOCK, texts[i].bytes, texts[i].size);
		block += blocks_of(texts[i].size);
	}
	return disk;
}

uint8_t *seed_make(const struct seed *seed, size_t *size)
{
	struct text texts[2] = {{.name = META_DATA, .put = put_meta_data},
				{.name = USER_DATA, .put = put_user_data}};
	uint8_t *disk = NULL;

	if (text_make(&texts[0], seed) && text_make(&texts[1], seed))
		disk = disk_make(texts, size);
	free(texts[0].bytes);
	free(texts[1].bytes);
	return disk;
}

/* Files */

/* All of a file, with a NUL behind it, to be freed. 0 or a negative errno. */
static int text_read(const char *path, size_t most, char **text, size_t *length)
{
	FILE *file = fopen(path, "re");
	int error = 0;

	if (!file)
		return -errno;
	*text = malloc(most + 2);
	*length = *text ? fread(*text, 1, most + 1, file) : 0;
	if (!*text)
		error = -ENOMEM;
	else if (ferror(file))
		error = -EIO;
	else if (*length > most)
		error = -EFBIG;
	else
		(*text)[*length] = '\0';
	fclose(file);
	if (error) {
		free(*text);
		*text = NULL;
	}
	return error;
}

char *seed_own_keys(void)
{
	static const char *const names[] = {"ed25519", "ecdsa", "rsa"};
	const char *home = getenv("HOME");
	char *keys = NULL, *one;
	size_t size, length;
	FILE *out = open_memstream(&keys, &size);

	for (size_t i = 0; out && home && i < sizeof(names) / sizeof(names[0]); i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/.ssh/id_%s.pub", home, names[i]);
		if (text_read(path, SEED_KEYS_MAX, &one, &length))
			continue;
		fprintf(out, "%s\n", one);
		free(one);
	}
	if (out && !fclose(out) && size)
		return keys;
	free(keys);
	return NULL;
}

static int memory_file(const uint8_t *bytes, size_t size)
{
	int file = memfd_create("lodge-seed", MFD_CLOEXEC);
	ssize_t wrote = file < 0 ? -1 : write(file, bytes, size);

	if (wrote == (ssize_t)size)
		return file;
	if (file >= 0)
		close(file);
	return -ENOSPC;
}

int seed_file(const struct seed *given, const char *user_data_path, const char *keys_path,
	      char *reason, size_t size)
{
	struct seed seed = *given;
	char *user_data = NULL, *keys = NULL;
	size_t keys_size, disk_size;
	uint8_t *disk = NULL;
	int error = 0;

	if (user_data_path) {
		error = text_read(user_data_path, SEED_USER_DATA_MAX, &user_data,
				  &seed.user_data_size);
		if (error)
			snprintf(reason, size, "--cloud-init %s: %s", user_data_path,
				 strerror(-error));
		seed.user_data = user_data;
	}
	if (!error && keys_path) {
		error = text_read(keys_path, SEED_KEYS_MAX, &keys, &keys_size);
		if (!error && strstr(keys, "PRIVATE KEY"))
			error = -EINVAL;
		if (error)
			snprintf(reason, size, "--ssh-key %s: %s", keys_path,
				 error == -EINVAL ? "is a private key: the public one is meant "
						    "(.pub)"
						  : strerror(-error));
		seed.keys = error ? NULL : keys;
	}
	if (!error)
		disk = seed_make(&seed, &disk_size);
	if (!error) {
		error = disk ? memory_file(disk, disk_size) : -ENOMEM;
		if (error < 0)
			snprintf(reason, size, "no memory");
	}
	free(disk);
	free(user_data);
	free(keys);
	return error;
}

/* For another machine */

/* With a NUL behind it; there may be others in it, for user-data may be compressed. */
static char *copy(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1);

	if (!text)
		return NULL;
	memcpy(text, bytes, length);
	text[length] = '\0';
	return text;
}

/* A file of the folder, as we wrote it: a copy with a NUL behind it. */
static char *file_take(const uint8_t *disk, size_t size, const char *name, size_t *length)
{
	const uint8_t *record = disk + FOLDER * BLOCK;
	const uint8_t *end = record + BLOCK - RECORD - NAME_ROOM;

	for (; record < end && record[0] >= RECORD; record += record[0]) {
		uint64_t at = (uint64_t)(record[2] | record[3] << 8 | record[4] << 16) * BLOCK;

		if (record[32] != strlen(name) || memcmp(record + RECORD, name, record[32]) != 0)
			continue;
		*length = record[10] | (size_t)record[11] << 8 | (size_t)record[12] << 16;
		return at <= size && *length <= size - at ? copy(disk + at, *length) : NULL;
	}
	return NULL;
}

/* What put_meta_data wrote, cut up in place. Keys become lines again where they stand. */
static void meta_data_cut(struct seed *seed, char *text)
{
	char *line, *keys = text, *to = text;

	while ((line = strsep(&text, "\n"))) {
		if (!strncmp(line, "local-hostname: ", 16))
			seed->hostname = line + 16;
		else if (!strncmp(line, "lodge-user: ", 12))
			seed->user = line + 12;
		else if (!strncmp(line, "public-keys:", 12))
			seed->keys = keys = to = line;
		else if (seed->keys && !strncmp(line, "- \"", 3)) {
			for (line += 3; *line && *line != '"'; line++) {
				line += *line == '\\' && line[1];
				*to++ = *line;
			}
			*to++ = '\n';
		}
	}
	if (seed->keys)
		keys[to - keys] = '\0';
}

static int renew(const uint8_t *disk, size_t size, const char *hostname)
{
	struct seed seed = {0};
	size_t length, new_size;
	char *meta = file_take(disk, size, META_DATA, &length);
	char *user = file_take(disk, size, USER_DATA, &seed.user_data_size);
	uint8_t *renewed = NULL;
	int file = -EINVAL;

	if (meta && user) {
		meta_data_cut(&seed, meta);
		seed.user_data = user;
		if (hostname)
			seed.hostname = hostname;
		renewed = seed_make(&seed, &new_size);
		file = renewed ? memory_file(renewed, new_size) : -ENOMEM;
	}
	free(renewed);
	free(meta);
	free(user);
	return file;
}

int seed_renew(const char *path, const char *hostname)
{
	char *bytes;
	size_t size;
	int file =
		text_read(path, SEED_USER_DATA_MAX + SEED_KEYS_MAX * 2 + 64 * BLOCK, &bytes, &size);

	if (file)
		return file;
	file = size >= (FOLDER + 1) * BLOCK ? renew((const uint8_t *)bytes, size, hostname)
					    : -EINVAL;
	free(bytes);
	return file;
}
