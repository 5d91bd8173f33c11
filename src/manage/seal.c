/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/seal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"
#include "lib/siphash.h"
#include "manage/safe_file.h"
#include "manage/store.h"

#define BYTES_MAX ((SAVED_DISKS_MAX + 2) * (SAVED_PATH_MAX + SAVED_NAME_MAX + 8))

static int key_load(const char *path, uint8_t key[SIPHASH_KEY])
{
	char *text;
	size_t size;
	int error = safe_file_read(path, SIPHASH_KEY, &text, &size);

	if (error)
		return error;
	if (size == SIPHASH_KEY)
		memcpy(key, text, SIPHASH_KEY);
	free(text);
	return size == SIPHASH_KEY ? 0 : -EINVAL;
}

/* A file that is there is never replaced: seals of now must be good tomorrow. */
static int key_make(const char *path, uint8_t key[SIPHASH_KEY])
{
	int error;

	host_random(key, SIPHASH_KEY);
	error = safe_file_create(path, (const char *)key, SIPHASH_KEY, 0600);
	if (error != -EEXIST)
		return error;
	return key_load(path, key);
}

static int key_read(uint8_t key[SIPHASH_KEY], bool make)
{
	char path[STORE_PATH], reason[256];
	int error = store_data_file("seal-key", path, make, reason, sizeof(reason));

	if (error)
		return error;
	error = key_load(path, key);
	return error == -ENOENT && make ? key_make(path, key) : error;
}

static size_t put(uint8_t *bytes, size_t at, const char *text)
{
	size_t length = strlen(text) + 1;

	memcpy(bytes + at, text, length);
	return at + length;
}

/* Never 0, which is none. */
static uint64_t seal_of(const struct saved_config *config, const uint8_t key[SIPHASH_KEY])
{
	static uint8_t bytes[BYTES_MAX];
	size_t length = 0;
	uint64_t seal;

	length = put(bytes, length, config->kernel);
	length = put(bytes, length, config->initrd);
	for (unsigned i = 0; i < config->disk_count; i++) {
		length = put(bytes, length, config->disks[i].path);
		length = put(bytes, length, config->disks[i].format);
		length = put(bytes, length, config->disks[i].read_only ? "ro" : "rw");
	}
	seal = siphash(key, bytes, length);
	return seal ? seal : 1;
}

void seal_make(struct saved_config *config)
{
	uint8_t key[SIPHASH_KEY];
	int error = key_read(key, true);

	config->seal = 0;
	if (error)
		host_log(LOG_INFO, "the files of this machine are not sealed: no key: %s",
			 strerror(-error));
	else
		config->seal = seal_of(config, key);
	explicit_bzero(key, sizeof(key));
}

bool seal_is_ours(const struct saved_config *config)
{
	uint8_t key[SIPHASH_KEY];
	bool ours = config->seal && !key_read(key, false) && config->seal == seal_of(config, key);

	explicit_bzero(key, sizeof(key));
	return ours;
}
