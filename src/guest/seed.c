/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a machine is told about itself at its first start, where nobody else listens: host name, a
 * user, and who may log in by ssh. It is in meta-data of the disk labelled cidata, as lodge writes
 * it (manage/seed.c); where cloud-init is installed, this is its work.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK	    2048
#define VOLUME	    16
#define TEXT_MAX    (256u << 10)
#define DONE_FOLDER "/var/lib/lodge"
#define DONE	    DONE_FOLDER "/instance-id"
#define DISKS_MAX   26
#define SEED_LABEL  "cidata"
#define RECORD_NAME 33
#define META_DATA   "META-DATA."

struct identity {
	char *instance, *hostname, *user;
	char *keys; /* lines of an authorized_keys */
};

static bool block_read(int disk, uint8_t *to, uint32_t block)
{
	return pread(disk, to, BLOCK, (off_t)block * BLOCK) == BLOCK;
}

/* The contents of meta-data on a disk, with a NUL behind; NULL: it isn't one of ours. */
static char *meta_data_read(int disk)
{
	uint8_t block[BLOCK];
	uint32_t folder, at, size;
	char *text;

	if (!block_read(disk, block, VOLUME) || memcmp(block + 1, "CD001", 5) != 0 ||
	    strncasecmp((char *)block + 40, SEED_LABEL " ", strlen(SEED_LABEL) + 1) != 0)
		return NULL;
	folder = agent_get32(block + 156 + 2);
	if (!block_read(disk, block, folder))
		return NULL;
	for (unsigned i = 0; i + RECORD_NAME < BLOCK && block[i] > RECORD_NAME; i += block[i]) {
		size_t length = block[i + 32];

		if (i + RECORD_NAME + length > BLOCK || length < strlen(META_DATA) ||
		    memcmp(block + i + RECORD_NAME, META_DATA, strlen(META_DATA)) != 0)
			continue;
		at = agent_get32(block + i + 2);
		size = agent_get32(block + i + 10);
		if (size > TEXT_MAX)
			return NULL;
		text = calloc(1, size + 1);
		if (text && pread(disk, text, size, (off_t)at * BLOCK) == (ssize_t)size)
			return text;
		free(text);
		return NULL;
	}
	return NULL;
}

static char *meta_data_find(void)
{
	char *text = NULL;

	for (char letter = 'a'; !text && letter < 'a' + DISKS_MAX; letter++) {
		char path[16];
		int disk;

		snprintf(path, sizeof(path), "/dev/vd%c", letter);
		disk = open(path, O_RDONLY | O_CLOEXEC);
		if (disk < 0)
			continue;
		text = meta_data_read(disk);
		close(disk);
	}
	return text;
}

/* A key's line: - "...", with \" and \\ in it. */
static void key_add(struct identity *identity, char *line)
{
	char *more, *to = line;
	size_t have = identity->keys ? strlen(identity->keys) : 0;

	for (char *from = line; *from && *from != '"'; from++) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from;
	}
	*to = '\0';
	more = realloc(identity->keys, have + strlen(line) + 2);
	if (!more)
		return;
	sprintf(more + have, "%s\n", line);
	identity->keys = more;
}

static void identity_read(struct identity *identity, char *text)
{
	static const char *const names[] = {"instance-id: ", "local-hostname: ", "lodge-user: "};
	char **const values[] = {&identity->instance, &identity->hostname, &identity->user};
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (strncmp(line, "- \"", 3) == 0)
			key_add(identity, line + 3);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strncmp(line, names[i], strlen(names[i])) == 0)
				*values[i] = line + strlen(names[i]);
	}
}

static int write_all(int file, const char *text)
{
	size_t size = strlen(text);

	while (size) {
		ssize_t done = write(file, text, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		text += done;
		size -= (size_t)done;
	}
	return 0;
}

static int file_write(const char *path, const char *text, mode_t mode)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int error = file < 0 ? -errno : write_all(file, text);

	if (file >= 0 && close(file) && !error)
		error = -errno;
	if (error)
		fprintf(stderr, "lodge-agent: %s: %s\n", path, strerror(-error));
	return error;
}

static bool is_done(const char *instance)
{
	char text[128] = "";
	int file = open(DONE, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return false;
	if (read(file, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(file);
	return strcmp(text, instance) == 0;
}

static struct passwd *user_entry(const char *name)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry = NULL;

	while (file && (entry = fgetpwent(file)) && strcmp(entry->pw_name, name) != 0)
		continue;
	if (file)
		fclose(file);
	return entry; /* libc's, until the next look */
}

static bool group_exists(const char *name)
{
	FILE *file = fopen("/etc/group", "re");
	struct group *entry = NULL;

	while (file && (entry = fgetgrent(file)) && strcmp(entry->gr_name, name) != 0)
		continue;
	if (file)
		fclose(file);
	return entry;
}

static int program_run(char *const *arguments)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

/* A user who may become root by sudo, where the guest has that. */
static void user_make(char *name)
{
	char *plain[] = {"useradd", "-m", "-s", "/bin/bash", name, NULL};
	char *with_sudo[] = {"usermod", "-a", "-G", group_exists("sudo") ? "sudo" : "wheel",
			     name,	NULL};

	if (!user_entry(name) && program_run(plain))
		fprintf(stderr, "lodge-agent: the user %s can't be made\n", name);
	if (user_entry(name))
		program_run(with_sudo);
}

/* A user who isn't there, and could not be made, gets none. */
static int keys_write(const char *user, const char *keys)
{
	struct passwd *entry = user_entry(user);
	char folder[512], path[600];
	int error;

	if (!entry)
		return 0;
	snprintf(folder, sizeof(folder), "%s/.ssh", entry->pw_dir);
	snprintf(path, sizeof(path), "%s/authorized_keys", folder);
	mkdir(folder, 0700);
	error = file_write(path, keys, 0600);
	if (error)
		return error;
	if (chown(folder, entry->pw_uid, entry->pw_gid) ||
	    chown(path, entry->pw_uid, entry->pw_gid))
		fprintf(stderr, "lodge-agent: %s: %s\n", folder, strerror(errno));
	/* sshd may read what has its own label only, which a new file does not get from us. */
	if (access("/sys/fs/selinux/enforce", F_OK) == 0)
		program_run((char *[]){"restorecon", "-R", folder, NULL});
	return 0;
}

static int hostname_set(const char *name)
{
	char line[128];

	if (sethostname(name, strlen(name)))
		fprintf(stderr, "lodge-agent: host name %s: %s\n", name, strerror(errno));
	snprintf(line, sizeof(line), "%s\n", name);
	return file_write("/etc/hostname", line, 0644);
}

/* Whether the next start may have more luck. A link, say, is the guest's own way, tomorrow as well.
 */
static bool may_pass(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EFBIG || error == -EIO ||
	       error == -ENOMEM;
}

/* 0, or the error of a file that could not be written: the next start tries again. */
static int identity_apply(const struct identity *identity)
{
	int error = identity->hostname ? hostname_set(identity->hostname) : 0, keys_error = 0;

	if (identity->user)
		user_make(identity->user);
	if (identity->keys)
		keys_error = keys_write(identity->user ? identity->user : "root", identity->keys);
	return may_pass(error) ? error : may_pass(keys_error) ? keys_error : 0;
}

void seed_apply(void)
{
	struct identity identity = {0};
	char *text = access("/usr/bin/cloud-init", X_OK) ? meta_data_find() : NULL;

	if (!text)
		return;
	identity_read(&identity, text);
	if (identity.instance && !is_done(identity.instance) && !identity_apply(&identity)) {
		mkdir(DONE_FOLDER, 0755);
		file_write(DONE, identity.instance, 0644);
	}
	free(identity.keys);
	free(text);
}
