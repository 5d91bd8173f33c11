/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * share_check FOLDER : what programs rely on in a folder, tried in one that the host shares. Runs
 * in the guest; linked statically. Says what does not hold; its status is 0 if all of it does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static unsigned held, failed;

#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (condition) {                                                                   \
			held++;                                                                    \
		} else {                                                                           \
			failed++;                                                                  \
			printf("line %d: %s: %s\n", __LINE__, #condition, strerror(errno));        \
		}                                                                                  \
	} while (0)
#define FAILS(call, error) (errno = 0, (call) == -1 && errno == (error))

static int put(const char *name, const char *text)
{
	int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	return close(file);
}

static bool is(const char *name, const char *text)
{
	char have[256] = "";
	int file = open(name, O_RDONLY);
	ssize_t length = file < 0 ? -1 : read(file, have, sizeof(have) - 1);

	if (file >= 0)
		close(file);
	return length == (ssize_t)strlen(text) && !strcmp(have, text);
}

static void names(void)
{
	struct stat a, b;

	HOLDS(put("a", "one") == 0 && is("a", "one"));
	HOLDS(rename("a", "b") == 0 && access("a", F_OK) && is("b", "one"));
	HOLDS(put("c", "two") == 0 && rename("b", "c") == 0 && is("c", "one"));
	HOLDS(FAILS(renameat2(AT_FDCWD, "c", AT_FDCWD, "c2", 4), EINVAL));
	HOLDS(mkdir("d", 0700) == 0 && FAILS(mkdir("d", 0700), EEXIST));
	HOLDS(rename("c", "d/e") == 0 && is("d/e", "one"));
	HOLDS(FAILS(rmdir("d"), ENOTEMPTY));
	HOLDS(rename("d", "f") == 0 && is("f/e", "one"));
	HOLDS(link("f/e", "g") == 0 && !stat("g", &a) && !stat("f/e", &b));
	HOLDS(a.st_ino == b.st_ino && a.st_nlink == 2);
	HOLDS(put("g", "three") == 0 && is("f/e", "three"));
	HOLDS(unlink("g") == 0 && unlink("f/e") == 0 && rmdir("f") == 0);
	HOLDS(FAILS(open("no/such", O_RDONLY), ENOENT));
	HOLDS(FAILS(unlink("."), EISDIR) || errno == EINVAL || errno == EBUSY);
}

static void links(void)
{
	char target[64] = "";
	struct stat status;

	HOLDS(put("file", "text") == 0 && symlink("file", "link") == 0 && is("link", "text"));
	HOLDS(readlink("link", target, sizeof(target)) == 4 && !strcmp(target, "file"));
	HOLDS(!lstat("link", &status) && S_ISLNK(status.st_mode));
	HOLDS(symlink("nowhere", "dangling") == 0 && FAILS(open("dangling", O_RDONLY), ENOENT));
	HOLDS(FAILS(open("link", O_RDONLY | O_NOFOLLOW), ELOOP));
	/* It leads to the guest's file, not the host's. */
	HOLDS(symlink("/proc/self/status", "absolute") == 0 && access("absolute", R_OK) == 0);
	HOLDS(unlink("link") == 0 && unlink("dangling") == 0 && unlink("absolute") == 0);
	HOLDS(unlink("file") == 0);
}

static void open_after_unlink(void)
{
	int file = open("gone", O_RDWR | O_CREAT | O_EXCL, 0600);
	struct stat status;
	char text[8] = "";

	HOLDS(file >= 0 && FAILS(open("gone", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST));
	HOLDS(unlink("gone") == 0 && write(file, "kept", 4) == 4);
	HOLDS(pread(file, text, 4, 0) == 4 && !strcmp(text, "kept"));
	HOLDS(!fstat(file, &status) && status.st_nlink == 0 && status.st_size == 4);
	HOLDS(ftruncate(file, 2) == 0 && !fstat(file, &status) && status.st_size == 2);
	HOLDS(fchmod(file, 0400) == 0 && fsync(file) == 0 && close(file) == 0);
}

static void attributes(void)
{
	const struct timespec times[2] = {{1000, 5}, {2000000000, 999999999}};
	struct stat status;
	struct statvfs space;
	char value[8] = "";
	int file;

	HOLDS(put("a", "text") == 0 && chmod("a", 0640) == 0 && !stat("a", &status));
	HOLDS((status.st_mode & 07777) == 0640 && status.st_uid == 0 && status.st_gid == 0);
	HOLDS(utimensat(AT_FDCWD, "a", times, 0) == 0 && !stat("a", &status));
	HOLDS(status.st_mtim.tv_sec == 2000000000 && status.st_mtim.tv_nsec == 999999999);
	HOLDS(status.st_atim.tv_sec == 1000);
	HOLDS(truncate("a", 2) == 0 && is("a", "te") && truncate("a", 10) == 0);
	HOLDS(!stat("a", &status) && status.st_size == 10);
	HOLDS(chown("a", 0, 0) == 0 && FAILS(chown("a", 1000, 0), EPERM));
	HOLDS(chmod("a", 06755) == 0 && !stat("a", &status) && (status.st_mode & 06000) == 0);
	HOLDS(statvfs(".", &space) == 0 && space.f_blocks > 0);
	if (setxattr("a", "user.key", "value", 5, 0) == 0) {
		HOLDS(getxattr("a", "user.key", value, sizeof(value)) == 5);
		HOLDS(!strcmp(value, "value") && removexattr("a", "user.key") == 0);
		HOLDS(FAILS(getxattr("a", "user.key", value, sizeof(value)), ENODATA));
	} else {
		HOLDS(errno == EOPNOTSUPP);
	}
	HOLDS(mkfifo("pipe", 0600) == 0 && !stat("pipe", &status) && S_ISFIFO(status.st_mode));
	file = open("pipe", O_RDWR);
	HOLDS(file >= 0 && write(file, "through", 7) == 7 && read(file, value, 7) == 7);
	HOLDS(FAILS(mknod("device", S_IFCHR | 0600, 0x103), EPERM));
	HOLDS(close(file) == 0 && unlink("pipe") == 0 && unlink("a") == 0);
}

static void socket_name(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);

	HOLDS(bind(one, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(one, 1) == 0);
	HOLDS(connect(two, (struct sockaddr *)&address, sizeof(address)) == 0);
	close(one);
	close(two);
	HOLDS(unlink("socket") == 0);
}

/* The status of a child that tries to lock. */
static int lock_in_child(int (*try)(const char *name), const char *name)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0)
		_exit(try(name));
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

static int try_record(const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};

	return fcntl(open(name, O_RDWR), F_SETLK, &lock) ? errno : 0;
}

static int try_flock(const char *name)
{
	return flock(open(name, O_RDWR), LOCK_EX | LOCK_NB) ? errno : 0;
}

static void locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	int file;

	HOLDS(put("lock", "0123456789") == 0 && (file = open("lock", O_RDWR)) >= 0);
	HOLDS(fcntl(file, F_SETLK, &lock) == 0 && lock_in_child(try_record, "lock") == EAGAIN);
	lock.l_type = F_UNLCK;
	HOLDS(fcntl(file, F_SETLK, &lock) == 0 && lock_in_child(try_record, "lock") == 0);
	HOLDS(flock(file, LOCK_EX) == 0 && lock_in_child(try_flock, "lock") == EWOULDBLOCK);
	HOLDS(flock(file, LOCK_UN) == 0 && lock_in_child(try_flock, "lock") == 0);
	HOLDS(close(file) == 0 && unlink("lock") == 0);
}

static void mappings(void)
{
	const size_t size = 3 * 4096 + 100;
	char *one, *two;
	char last = 0;
	int file = open("map", O_RDWR | O_CREAT, 0600);

	HOLDS(ftruncate(file, (off_t)size) == 0);
	one = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	two = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
	HOLDS(one != MAP_FAILED && two != MAP_FAILED);
	memset(one, 'm', size);
	HOLDS(two[size - 1] == 'm' && msync(one, size, MS_SYNC) == 0);
	HOLDS(pread(file, &last, 1, (off_t)size - 1) == 1 && last == 'm');
	HOLDS(pwrite(file, "w", 1, 5000) == 1 && two[5000] == 'w');
	munmap(one, size);
	munmap(two, size);
	HOLDS(close(file) == 0);
	/* What is written back of a mapped file goes to its place, also where others append. */
	file = open("map", O_RDWR | O_APPEND);
	one = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	HOLDS(one != MAP_FAILED);
	one[0] = 'x';
	HOLDS(msync(one, size, MS_SYNC) == 0 && lseek(file, 0, SEEK_END) == (off_t)size);
	HOLDS(write(file, "end", 3) == 3 && lseek(file, 0, SEEK_END) == (off_t)size + 3);
	munmap(one, size);
	HOLDS(close(file) == 0 && unlink("map") == 0);
}

/* 40 MiB, in pieces that fit nothing, written once and read in others. */
static void large_file(void)
{
	enum { WORDS = 10 << 20, PIECE = 70001 };
	uint32_t *words = malloc(WORDS * 4), *read_back = calloc(WORDS, 4);
	uint8_t *at = (uint8_t *)words;
	int file = open("large", O_RDWR | O_CREAT, 0600);

	for (uint32_t i = 0; i < WORDS; i++)
		words[i] = i * 2654435761u;
	for (size_t left = WORDS * 4ul; left;) {
		size_t part = left < PIECE ? left : PIECE;

		if (write(file, at, part) != (ssize_t)part)
			break;
		at += part;
		left -= part;
	}
	HOLDS(at == (uint8_t *)(words + WORDS) && fsync(file) == 0);
	HOLDS(close(file) == 0);
	file = open("large", O_RDONLY);
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	at = (uint8_t *)read_back;
	for (ssize_t got; (got = read(file, at, 1 << 20)) > 0;)
		at += got;
	HOLDS(!memcmp(words, read_back, WORDS * 4ul));
	HOLDS(close(file) == 0 && unlink("large") == 0);
	/* Far behind the end, and a hole. */
	file = open("sparse", O_RDWR | O_CREAT, 0600);
	HOLDS(pwrite(file, "x", 1, (off_t)5 << 30) == 1);
	HOLDS(lseek(file, 0, SEEK_DATA) > 0 && lseek(file, 0, SEEK_END) == ((off_t)5 << 30) + 1);
	HOLDS(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 || errno == EOPNOTSUPP);
	HOLDS(close(file) == 0 && unlink("sparse") == 0);
	free(words);
	free(read_back);
}

static void many_files(void)
{
	enum { FILES = 1000 };
	unsigned count = 0;
	struct dirent *entry;
	char name[32];
	DIR *folder;

	HOLDS(mkdir("many", 0755) == 0);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "many/%u", i);
		if (put(name, "x"))
			break;
	}
	folder = opendir("many");
	HOLDS(folder != NULL);
	while (folder && (entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	HOLDS(count == FILES);
	rewinddir(folder);
	HOLDS(readdir(folder) != NULL);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "many/%u", i);
		unlink(name);
	}
	closedir(folder);
	HOLDS(rmdir("many") == 0);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) || (mkdir("check", 0700) && errno != EEXIST) ||
	    chdir("check")) {
		perror("share_check");
		return 2;
	}
	names();
	links();
	open_after_unlink();
	attributes();
	socket_name();
	locks();
	mappings();
	large_file();
	many_files();
	HOLDS(chdir("..") == 0 && rmdir("check") == 0);
	printf("%u hold, %u do not\n", held, failed);
	return failed != 0;
}
