/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "hosts/linux/namespaces.h"
#include "hosts/linux/sandbox.h"

static char text[SANDBOX_TEXT];
static struct sandbox_state state;

static void enter(const char *const *readable)
{
	struct sandbox_options options = {.readable = readable};

	REQUIRE(sandbox_enter(&options, &state, text, sizeof(text)) == 0);
	REQUIRE(state.parts[SANDBOX_CALLS].in_force);
}

/* The call is refused, with this error. */
#define REFUSED(call, error)                                                                       \
	do {                                                                                       \
		errno = 0;                                                                         \
		EXPECT_EQ((call), -1);                                                             \
		EXPECT_EQ(errno, (error));                                                         \
	} while (0)

TEST(no_program_can_be_run_and_no_process_made)
{
	char *none[] = {NULL};

	enter(NULL);
	REFUSED(execve("/bin/true", none, none), EPERM);
	REFUSED(syscall(SYS_fork), EPERM);
	REFUSED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), EPERM);
	REFUSED(syscall(SYS_ptrace, 0, 0, 0, 0), EPERM);
	REFUSED(kill(1, 0), EPERM);
	REFUSED(syscall(SYS_tgkill, 1, 1, 0), EPERM);
	EXPECT_EQ(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0), 0);
}

/* For processes of a test: says which check failed. */
#define HOLDS(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			dprintf(2, "sandbox_test.c:%d: %s (%s)\n", __LINE__, #condition,           \
				strerror(errno));                                                  \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* What a process of a test found not to be in force, so that it couldn't look at it: for its
 * parent, which has the test skipped with the reasons. */
static struct sandbox_state *lacking;

static bool in_force(enum sandbox_kind kind)
{
	lacking->parts[kind] = state.parts[kind];
	return state.parts[kind].in_force;
}

static void skip_what_lacks(void)
{
	static char reasons[SANDBOX_PARTS * (SANDBOX_WHY + 32)];
	size_t length = 0;

	for (unsigned i = 0; i < SANDBOX_PARTS; i++)
		if (!lacking->parts[i].in_force)
			length += (size_t)snprintf(reasons + length, sizeof(reasons) - length,
						   "%s%s: %s", length ? "; " : "no ",
						   sandbox_part_name(i), lacking->parts[i].why);
	if (length)
		SKIP(reasons);
}

/* Folders of this test's own: `in`, which is shared, and `out`. */
static const char *place;
static int in; /* the folder `in`, as the sandbox leaves it */

static struct sandbox_options folder_options(struct sandbox_folder *folder, bool writes)
{
	HOLDS(chdir(place) == 0);
	in = open("in", O_PATH | O_DIRECTORY);
	HOLDS(in >= 0);
	*folder = (struct sandbox_folder){.descriptor = in, .writes = writes};
	return (struct sandbox_options){.folders = folder, .folder_count = 1};
}

static void enter_with_folder(bool writes)
{
	struct sandbox_folder folder;
	struct sandbox_options options = folder_options(&folder, writes);

	HOLDS(sandbox_enter(&options, &state, text, sizeof(text)) == 0);
}

/* The tests are processes that end in the sandbox, so one outside of it makes the folders. Its
 * status is the test's. */
static void in_child(void (*body)(void))
{
	int status = -1;
	pid_t child;

	lacking = mmap(NULL, sizeof(*lacking), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	REQUIRE(lacking != MAP_FAILED);
	for (unsigned i = 0; i < SANDBOX_PARTS; i++)
		lacking->parts[i].in_force = true;
	place = test_folder();
	REQUIRE(chdir(place) == 0 && mkdir("in", 0700) == 0 && mkdir("out", 0700) == 0);
	REQUIRE(close(open("in/old", O_WRONLY | O_CREAT, 0600)) == 0);
	REQUIRE(close(open("out/secret", O_WRONLY | O_CREAT, 0600)) == 0);
	child = fork();
	if (child == 0) {
		body();
		_exit(77);
	}
	waitpid(child, &status, 0);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 77);
	skip_what_lacks();
}

static void work_in_folder(void)
{
	int file;

	enter_with_folder(true);
	file = openat(in, "new", O_RDWR | O_CREAT, 0600);
	HOLDS(file >= 0 && write(file, "x", 1) == 1 && ftruncate(file, 0) == 0);
	HOLDS(mkdirat(in, "d", 0700) == 0);
	/* A device that takes no rights to make (overlayfs's whiteout): only landlock is against
	 * it.
	 */
	if (in_force(SANDBOX_FILES))
		HOLDS(mknodat(in, "whiteout", S_IFCHR | 0600, 0) < 0 && errno == EACCES);
	HOLDS(renameat2(in, "new", in, "d/new", 0) == 0);
	HOLDS(linkat(in, "old", in, "d/link", 0) == 0);
	HOLDS(symlinkat("../out/secret", in, "s") == 0);
	HOLDS(unlinkat(in, "old", 0) == 0);
	/* By name, through a link and by renaming: nothing beside the folder. */
	if (!state.parts[SANDBOX_FILES].in_force && !in_force(SANDBOX_MOUNTS))
		return;
	HOLDS(openat(in, "../out/secret", O_RDONLY) < 0);
	HOLDS(openat(in, "s", O_RDONLY) < 0);
	HOLDS(openat(in, "../out/secret", O_WRONLY) < 0);
	HOLDS(openat(in, "../out/new", O_WRONLY | O_CREAT, 0600) < 0);
	HOLDS(unlinkat(in, "../out/secret", 0) < 0);
	HOLDS(renameat2(in, "../out/secret", in, "got", 0) < 0);
	HOLDS(linkat(in, "../out/secret", in, "got", 0) < 0);
	HOLDS(mknodat(in, "device", S_IFCHR | 0600, 0x103) < 0);
	HOLDS(open("/etc/passwd", O_RDONLY) < 0);
}

TEST(shared_folder_is_in_reach_and_nothing_beside_it)
{
	in_child(work_in_folder);
}

static void look_into_folder(void)
{
	enter_with_folder(false);
	HOLDS(openat(in, "old", O_RDONLY) >= 0);
	HOLDS(openat(in, "old", O_WRONLY) < 0);
	HOLDS(openat(in, "new", O_WRONLY | O_CREAT, 0600) < 0);
	HOLDS(mkdirat(in, "d", 0700) < 0 && errno == EPERM);
	HOLDS(unlinkat(in, "old", 0) < 0 && errno == EPERM);
	HOLDS(syscall(SYS_renameat2, in, "old", in, "a", 0) < 0);
	HOLDS(symlinkat("a", in, "s") < 0 && errno == EPERM);
}

TEST(folder_that_is_shared_read_only_is_not_written)
{
	in_child(look_into_folder);
}

TEST(files_by_name_are_out_of_reach)
{
	static const char *const readable[] = {"/etc/resolv.conf", "/nonexistent", NULL};
	int before = open("/etc/passwd", O_RDONLY);
	char byte;

	enter(readable);
	REFUSED(open("/etc/passwd", O_WRONLY), EPERM);
	REFUSED(open("/tmp/lodge-sandbox", O_RDWR | O_CREAT, 0600), EPERM);
	REFUSED(unlink("/etc/passwd"), EPERM);
	REFUSED(mkdir("/tmp/lodge-sandbox", 0700), EPERM);
	EXPECT_EQ(read(before, &byte, 1), 1);
	if (!state.parts[SANDBOX_FILES].in_force)
		SKIP("the kernel has no landlock: reading is not restricted");
	REFUSED(open("/etc/passwd", O_RDONLY),
		state.parts[SANDBOX_MOUNTS].in_force ? ENOENT : EACCES);
	EXPECT(open("/etc/resolv.conf", O_RDONLY) >= 0 || errno == ENOENT);
}

static void *thread_main(void *argument)
{
	errno = 0;
	*(int *)argument = mkdir("/tmp/lodge-sandbox", 0700) == -1 ? errno : 0;
	return NULL;
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *early_main(void *argument)
{
	pthread_mutex_lock(&gate);
	return thread_main(argument);
}

TEST(threads_made_before_and_after_are_in_it)
{
	pthread_t early, late;
	int early_error = -1, late_error = -1;

	pthread_mutex_lock(&gate);
	REQUIRE(pthread_create(&early, NULL, early_main, &early_error) == 0);
	enter(NULL);
	pthread_mutex_unlock(&gate);
	REQUIRE(pthread_create(&late, NULL, thread_main, &late_error) == 0);
	pthread_join(early, NULL);
	pthread_join(late, NULL);
	EXPECT_EQ(early_error, EPERM);
	EXPECT_EQ(late_error, EPERM);
}

TEST(no_new_code_and_no_typing_into_the_terminal)
{
	char byte = 'x';

	enter(NULL);
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED);
	REFUSED((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		EPERM);
	REFUSED(mprotect(&gate, 1, PROT_READ | PROT_EXEC), EPERM);
	REFUSED(ioctl(0, TIOCSTI, &byte), EPERM);
	REFUSED(ioctl(0, 0x100000000 | TIOCSTI, &byte), EPERM);
}

TEST(ioctls_are_those_of_terminals_disks_and_the_engine)
{
	static const uint32_t more[] = {FIONCLEX, FIOCLEX, 0};
	struct sandbox_options options = {.ioctls = more};
	int ends[2], waiting = -1;

	REQUIRE(pipe(ends) == 0);
	REQUIRE(write(ends[1], "abc", 3) == 3);
	REQUIRE(sandbox_enter(&options, &state, text, sizeof(text)) == 0);
	EXPECT_EQ(ioctl(ends[0], FIONREAD, &waiting), 0);
	EXPECT_EQ(waiting, 3);
	EXPECT_EQ(ioctl(ends[0], FIOCLEX), 0);
	EXPECT_EQ(ioctl(ends[0], FIONCLEX), 0);
	REFUSED(ioctl(ends[0], FIOASYNC, &waiting), EPERM);
	REFUSED(ioctl(ends[0], 0xae01 /* KVM_CREATE_VM */, 0), EPERM);
	/* Whatever comes behind it in the filter. */
	EXPECT(fcntl(ends[0], F_GETFL) >= 0);
	EXPECT_EQ(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0), 0);
	REFUSED(kill(1, 0), EPERM);
}

TEST(no_signal_reaches_others_by_way_of_a_file)
{
	int owner = getppid(), ends[2];

	REQUIRE(pipe(ends) == 0);
	enter(NULL);
	EXPECT(fcntl(ends[0], F_GETFL) >= 0);
	REFUSED(fcntl(ends[0], F_SETOWN, owner), EPERM);
	REFUSED(syscall(SYS_fcntl, ends[0], 15 /* F_SETOWN_EX */, NULL), EPERM);
	REFUSED(syscall(SYS_fcntl, ends[0], 10 /* F_SETSIG */, SIGKILL), EPERM);
	REFUSED(ioctl(ends[0], FIOSETOWN, &owner), EPERM);
	REFUSED(ioctl(ends[0], SIOCSPGRP, &owner), EPERM);
}

TEST(the_network_is_the_internet_only)
{
	int fd, ends[2];

	enter(NULL);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(fd >= 0);
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0), EPERM);
	/* One that is made so could send to any socket of this host by its path. */
	REFUSED(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), EPERM);
	REFUSED(socket(AF_NETLINK, SOCK_RAW, 0), EPERM);
	REFUSED(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
}

TEST(no_capability_is_left)
{
	enter(NULL);
	EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	REFUSED(prctl(PR_CAPBSET_DROP, 0, 0, 0, 0), EPERM);
	REFUSED(socket(AF_INET, SOCK_RAW, 1), EPERM);
}

TEST(calls_that_lead_out_are_refused)
{
	char byte;
	struct iovec piece = {&byte, 1};

	enter(NULL);
	REFUSED(syscall(SYS_unshare, CLONE_NEWUSER), EPERM);
	REFUSED(syscall(SYS_setns, 0, 0), EPERM);
	REFUSED(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL), EPERM);
	REFUSED(syscall(SYS_pivot_root, ".", "."), EPERM);
	REFUSED(syscall(SYS_chroot, "."), EPERM);
	REFUSED(syscall(SYS_open_tree, AT_FDCWD, "/", 0), EPERM);
	REFUSED(syscall(SYS_keyctl, 0, -3, 0), EPERM);
	REFUSED(syscall(SYS_bpf, 0, NULL, 0), EPERM);
	REFUSED(syscall(SYS_io_uring_setup, 1, NULL), EPERM);
	REFUSED(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0), EPERM);
	REFUSED(syscall(SYS_userfaultfd, 0), EPERM);
	REFUSED(syscall(SYS_process_vm_readv, getppid(), &piece, 1, &piece, 1, 0), EPERM);
	REFUSED(syscall(SYS_process_vm_writev, getppid(), &piece, 1, &piece, 1, 0), EPERM);
	REFUSED(syscall(SYS_pidfd_open, getppid(), 0), EPERM);
	REFUSED(syscall(SYS_open_by_handle_at, 0, NULL, 0), EPERM);
}

/* Name spaces alone: nothing else of the sandbox hides what they let through. */
static void in_namespaces_alone(bool writes, void (*body)(void))
{
	struct sandbox_folder folder;
	struct sandbox_options options = folder_options(&folder, writes);
	pid_t child = namespaces_fork();
	int status = -1;

	if (child) {
		waitpid(child, &status, 0);
		HOLDS(status == 0);
		return;
	}
	HOLDS(namespaces_enter(&options, &state) == 0);
	body();
	_exit(0);
}

/* An address of the host at which somebody listens. */
static struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0lodge-sandbox-test"};

static void get_out(void)
{
	const struct timespec times[2] = {{0}};
	pid_t parent = getppid();
	int stranger;

	if (in_force(SANDBOX_PIDS)) {
		HOLDS(getpid() == 1 && parent == 0 && namespaces_pid() > 1);
		HOLDS(kill(namespaces_pid(), 0) < 0 && errno == ESRCH);
	}
	if (in_force(SANDBOX_NETWORK)) {
		stranger = socket(AF_UNIX, SOCK_STREAM, 0);
		HOLDS(connect(stranger, (struct sockaddr *)&abstract, sizeof(abstract)) < 0 &&
		      errno == ECONNREFUSED);
	}
	if (!in_force(SANDBOX_MOUNTS))
		return;
	HOLDS(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
	HOLDS(open("/proc/1/status", O_RDONLY) < 0 && errno == ENOENT);
	HOLDS(openat(in, "../../etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
	HOLDS(openat(in, "../proc/self/fd/../../1", O_RDONLY) < 0 && errno == ENOENT);
	HOLDS(open("/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
	/* What landlock doesn't look at. */
	HOLDS(fchmodat(in, "../out/secret", 0777, 0) < 0 && errno == ENOENT);
	HOLDS(utimensat(in, "../out/secret", times, 0) < 0 && errno == ENOENT);
	HOLDS(setxattr("../out/secret", "user.a", "b", 1, 0) < 0 && errno == ENOENT);
	HOLDS(fchmodat(in, "old", 0644, 0) == 0);
}

static void change_read_only(void)
{
	const struct timespec times[2] = {{0}};

	if (!in_force(SANDBOX_MOUNTS))
		return;
	HOLDS(openat(in, "old", O_RDONLY) >= 0);
	HOLDS(fchmodat(in, "old", 0777, 0) < 0 && errno == EROFS);
	HOLDS(utimensat(in, "old", times, 0) < 0 && errno == EROFS);
	HOLDS(openat(in, "old", O_WRONLY) < 0 && errno == EROFS);
}

static void try_namespaces(void)
{
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	HOLDS(bind(listener, (struct sockaddr *)&abstract, sizeof(abstract)) == 0 &&
	      listen(listener, 1) == 0);
	in_namespaces_alone(true, get_out);
}

TEST(name_spaces_alone_leave_no_file_process_or_socket_to_name)
{
	in_child(try_namespaces);
}

static void try_read_only(void)
{
	in_namespaces_alone(false, change_read_only);
}

TEST(mount_of_a_folder_that_is_shared_read_only_is_read_only)
{
	in_child(try_read_only);
}

static void forget_a_folder(void)
{
	const struct sandbox_options options = {0};

	HOLDS(open("/etc", O_RDONLY | O_DIRECTORY) >= 0);
	HOLDS(namespaces_enter(&options, &state) == 0);
	HOLDS(!state.parts[SANDBOX_MOUNTS].in_force && state.parts[SANDBOX_MOUNTS].why[0]);
}

TEST(descriptor_of_a_folder_that_is_left_open_is_told)
{
	in_child(forget_a_folder);
}

/* What a program says that is run in it, which may read one file of ours. */
static void run_in_it(const char *script, const char *readable, char *said, size_t size)
{
	const char *const files[] = {readable, NULL};
	const char *const programs[] = {"/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", NULL};
	struct sandbox_options options = {.readable = files, .programs = programs};
	int ends[2];
	ssize_t length;
	pid_t child;

	REQUIRE(pipe(ends) == 0);
	child = fork();
	if (child == 0) {
		char *arguments[] = {"sh", "-c", (char *)script, "sh", (char *)readable, NULL};

		dup2(ends[1], 1);
		HOLDS(sandbox_enter(&options, &state, text, sizeof(text)) == 0);
		execve("/bin/sh", arguments, arguments + 5);
		_exit(1);
	}
	close(ends[1]);
	length = read(ends[0], said, size - 1);
	said[length < 0 ? 0 : length] = '\0';
	close(ends[0]);
	waitpid(child, NULL, 0);
}

TEST(a_program_reads_its_file_and_nothing_else)
{
	char path[128], said[256];
	int file;

	snprintf(path, sizeof(path), "%s/file", test_folder());
	file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	REQUIRE(file >= 0 && write(file, "hello\n", 6) == 6);
	run_in_it("read -r line <$1 && echo $line", path, said, sizeof(said));
	EXPECT_STR(said, "hello\n");
	run_in_it(
		"exec 2>&-; for file in /etc/passwd /etc/hostname /proc/1/cmdline; do read -r line "
		"<$file && echo read; done; echo x >$1.new && echo written; echo x >$1 && echo "
		"changed; "
		"kill -0 $PPID && echo seen; cd /etc && cd /tmp; echo end",
		path, said, sizeof(said));
	EXPECT_STR(said, "end\n");
	/* sh ends when it can't fork. */
	run_in_it("exec 2>&-; echo begin; (echo forked); echo end", path, said, sizeof(said));
	EXPECT_STR(said, "begin\n");
	close(file);
}
