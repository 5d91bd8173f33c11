/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small disk by which a machine learns who it is: cloud-init's NoCloud (an ISO 9660 file system
 * labelled cidata with the files meta-data and user-data). Where the guest has no cloud-init, the
 * agent reads the first of them (src/guest/seed.c).
 */
#ifndef MANAGE_SEED_H
#define MANAGE_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEED_NAME	   "seed.img" /* in a machine's folder */
#define SEED_USER_DATA_MAX (1u << 20)
#define SEED_KEYS_MAX	   (64u << 10)

/* NULL: not given. */
struct seed {
	const char *hostname, *user;
	const char *keys; /* as in authorized_keys: a line for each */
	const char *user_data;
	size_t user_data_size;
};

/* Whether these can be a host's and a user's name. */
bool seed_hostname_ok(const char *name);
bool seed_user_ok(const char *name);

/* The whole disk, to be freed: its size into *size. NULL: no memory. */
uint8_t *seed_make(const struct seed *seed, size_t *size);

/*
 * The public keys that ssh of the person who runs us would show, as a text to be freed:
 * ~/.ssh/id_*.pub. NULL: none.
 */
char *seed_own_keys(void);

/*
 * The same in memory, with user-data and keys from these files (NULL: none): a descriptor, or a
 * negative errno and a line that names the option.
 */
int seed_file(const struct seed *seed, const char *user_data_path, const char *keys_path,
	      char *reason, size_t size);

/*
 * The seed in the file at path once more, for another machine: with this host name (NULL: as it
 * was), and so another instance. A descriptor of it, or a negative errno: -EINVAL if the file is
 * none of ours.
 */
int seed_renew(const char *path, const char *hostname);

#endif
