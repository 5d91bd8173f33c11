/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts/linux/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hosts/linux/namespaces.h"
#include "lib/format.h"

/*
 * What may be called, and who needs it. What is missing on purpose: execve, fork (clone is let
 * through for threads alone), ptrace, process_vm_*, mount, unshare, setns, bpf, perf_event_open,
 * keyctl, userfaultfd, io_uring, kill, and all that changes files by name.
 */
static const uint16_t allowed[] = {
	/* all threads: memory, locks, clocks, signals, ending */
	SYS_brk,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_mincore,
	SYS_msync,
	SYS_mlock,
	SYS_munlock,
	SYS_futex,
	SYS_clock_gettime,
	SYS_clock_getres,
	SYS_gettimeofday,
	SYS_time,
	SYS_nanosleep,
	SYS_clock_nanosleep,
	SYS_rt_sigreturn,
	SYS_rt_sigprocmask,
	SYS_rt_sigaction,
	SYS_rt_sigtimedwait,
	SYS_sigaltstack,
	SYS_restart_syscall,
	SYS_exit,
	SYS_exit_group,
	SYS_getpid,
	SYS_gettid,
	SYS_getrandom,
	SYS_sched_yield,
	SYS_membarrier,
	SYS_getcpu,
	/* pthread_create and what libc does in it; names of threads; the engine's gs base where
	   wrgsbase is not there */
	SYS_set_robust_list,
	SYS_rseq,
	SYS_set_tid_address,
	SYS_prctl,
	SYS_arch_prctl,
	SYS_sched_getaffinity,
	SYS_getrusage,
	SYS_sysinfo,
	SYS_uname,
	/* the event loop */
	SYS_epoll_wait,
	SYS_epoll_pwait,
	SYS_epoll_ctl,
	SYS_poll,
	SYS_ppoll,
	SYS_select,
	SYS_pselect6,
	SYS_timerfd_settime,
	SYS_eventfd2,
	SYS_epoll_create1,
	SYS_timerfd_create,
	SYS_signalfd4,
	SYS_pipe2,
	/* disks and the terminal, on files that are open
	 */
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_pread64,
	SYS_pwrite64,
	SYS_preadv,
	SYS_pwritev,
	SYS_preadv2,
	SYS_pwritev2,
	SYS_fsync,
	SYS_fdatasync,
	SYS_sync_file_range,
	SYS_fallocate,
	SYS_ftruncate,
	SYS_lseek,
	SYS_fstat,
	SYS_fadvise64,
	SYS_close,
	SYS_dup,
	SYS_dup3,
	SYS_flock,
	SYS_memfd_create,
	SYS_statfs,
	SYS_fstatfs,
	/* libslirp: the guest's connections; whether resolv.conf has changed */
	SYS_connect,
	SYS_bind,
	SYS_listen,
	SYS_accept,
	SYS_accept4,
	SYS_getsockname,
	SYS_getpeername,
	SYS_getsockopt,
	SYS_setsockopt,
	SYS_shutdown,
	SYS_sendto,
	SYS_recvfrom,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_sendmmsg,
	SYS_recvmmsg,
	SYS_stat,
	SYS_lstat,
	SYS_newfstatat,
	SYS_statx,
	SYS_readlink,
	SYS_access,
};

/* For shared folders, on top of that: all by descriptors of folders. */
static const uint16_t for_folders[] = {SYS_getdents64, SYS_readlinkat, SYS_fgetxattr,
				       SYS_flistxattr};
/* For a program: ld.so, libc, and what looks at a file by its name. */
static const uint16_t for_programs[] = {
	SYS_execve,  SYS_mmap,	  SYS_mprotect, SYS_getdents64, SYS_readlinkat, SYS_faccessat,
	SYS_getcwd,  SYS_dup2,	  SYS_getuid,	SYS_geteuid,	SYS_getgid,	SYS_getegid,
	SYS_getppid, SYS_getpgrp, SYS_umask,	SYS_pipe,	SYS_getrlimit,	SYS_faccessat2,
};
static const uint16_t for_writable_folders[] = {
	SYS_openat,    SYS_mkdirat,   SYS_mknodat,	SYS_unlinkat, SYS_renameat,
	SYS_renameat2, SYS_linkat,    SYS_symlinkat,	SYS_fchmod,   SYS_fchmodat,
	SYS_utimensat, SYS_fsetxattr, SYS_fremovexattr, SYS_syncfs,
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* A filter program that is being put together. */
struct program {
	struct sock_filter code[512];
	unsigned short length;
};

static void emit(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	if (program->length < LENGTH(program->code))
		program->code[program->length] = (struct sock_filter){code, yes, no, k};
	program->length++;
}

#define LOAD(offset)	BPF_LD | BPF_W | BPF_ABS, (offset), 0, 0
#define RETURN(value)	BPF_RET | BPF_K, (value), 0, 0
#define ARGUMENT(index) ((uint32_t)offsetof(struct seccomp_data, args[index]))

/*
 * The call `number` is allowed if (argument & mask) == value in the low 32 bits of the argument.
 * The number is in the accumulator before, and again after.
 */
static void emit_if(struct program *program, uint32_t number, unsigned argument, uint32_t mask,
		    uint32_t value)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 5);
	emit(program, LOAD(ARGUMENT(argument)));
	emit(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	emit(program, RETURN(SECCOMP_RET_ALLOW));
	emit(program, LOAD(offsetof(struct seccomp_data, nr)));
}

static void emit_fail(struct program *program, uint32_t number, uint32_t error)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
	emit(program, RETURN(SECCOMP_RET_ERRNO | error));
}

/* The call `number` is allowed but for these values of its second argument. */
static void emit_unless(struct program *program, uint32_t number, const uint32_t *refused,
			unsigned count)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, number, 0, (uint8_t)(count + 3));
	emit(program, LOAD(ARGUMENT(1)));
	for (unsigned i = 0; i < count; i++)
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, refused[i], (uint8_t)(count - i), 0);
	emit(program, RETURN(SECCOMP_RET_ALLOW));
	emit(program, RETURN(SECCOMP_RET_ERRNO | EPERM));
}

/* Of ioctl: a terminal's settings and size, block devices as disks, sockets of libslirp. */
static const uint32_t ioctl_allowed[] = {
	TCGETS,	  TCSETS,	TCSETSW,    TCSETSF,	TIOCGWINSZ,
	FIONREAD, BLKGETSIZE64, BLKPBSZGET, BLKDISCARD, FIONBIO,
};

/* And those of the engine. The call's number is in the accumulator before, and again after. */
static void emit_ioctls(struct program *program, const uint32_t *more)
{
	unsigned own = LENGTH(ioctl_allowed), count = own;

	while (more && more[count - own])
		count++;
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, (uint8_t)(count + 4));
	emit(program, LOAD(ARGUMENT(1)));
	for (unsigned i = 0; i < count; i++)
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, i < own ? ioctl_allowed[i] : more[i - own],
		     (uint8_t)(count - i + 1), 0);
	emit(program, LOAD(offsetof(struct seccomp_data, nr)));
	emit(program, BPF_JMP | BPF_JA, 1, 0, 0);
	emit(program, RETURN(SECCOMP_RET_ALLOW));
}

/*
 * Of fcntl, nothing that has a file's owner sent a signal when it becomes ready: any signal, and
 * any process of the same user, or of all if that is root.
 */
static const uint32_t fcntl_refused[] = {F_SETOWN, 15 /* F_SETOWN_EX */, 10 /* F_SETSIG */};

#define WRITING (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

static void emit_list(struct program *program, const uint16_t *numbers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, 1);
		emit(program, RETURN(SECCOMP_RET_ALLOW));
	}
}

static bool writes(const struct sandbox_options *options)
{
	bool any = false;

	for (unsigned i = 0; i < options->folder_count; i++)
		any |= options->folders[i].writes;
	return any;
}

static void emit_all(struct program *program, const struct sandbox_options *options)
{
	/* Another architecture's or x32's call numbers mean other calls: nobody here makes those.
	 */
	emit(program, LOAD(offsetof(struct seccomp_data, arch)));
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	emit(program, RETURN(SECCOMP_RET_KILL_PROCESS));
	emit(program, LOAD(offsetof(struct seccomp_data, nr)));
	emit_list(program, allowed, LENGTH(allowed));
	if (options->programs)
		emit_list(program, for_programs, LENGTH(for_programs));
	if (options->folder_count)
		emit_list(program, for_folders, LENGTH(for_folders));
	if (writes(options))
		emit_list(program, for_writable_folders, LENGTH(for_writable_folders));
	emit_if(program, SYS_mmap, 2, PROT_EXEC, 0);
	emit_if(program, SYS_mprotect, 2, PROT_EXEC, 0);
	emit_if(program, SYS_pkey_mprotect, 2, PROT_EXEC, 0);
	emit_if(program, SYS_open, 1, WRITING, 0);
	emit_if(program, SYS_openat, 2, WRITING, 0);
	if (!options->programs) {
		emit_if(program, SYS_socket, 0, ~0u, AF_INET);
		emit_if(program, SYS_socket, 0, ~0u, AF_INET6);
	}
	emit_if(program, SYS_prlimit64, 0, ~0u, 0);
	/* Signals among our own threads: a vcpu is kicked, abort(). */
	emit_if(program, SYS_tgkill, 0, ~0u, (uint32_t)getpid());
	emit_ioctls(program, options->ioctls);
	emit_unless(program, SYS_fcntl, fcntl_refused, LENGTH(fcntl_refused));
	/* CLONE_THREAD: a thread, not a process. clone3 hides its flags from us; libc falls back to
	 * clone. */
	emit_if(program, SYS_clone, 0, 0x00010000, 0x00010000);
	emit_fail(program, SYS_clone3, ENOSYS);
	emit(program, RETURN(options->strict ? SECCOMP_RET_TRAP : SECCOMP_RET_ERRNO | EPERM));
}

static int filter_enter(const struct sandbox_options *options)
{
	struct program program = {.length = 0};
	struct sock_fprog fprog = {.filter = program.code};

	emit_all(&program, options);
	if (program.length > LENGTH(program.code))
		return -E2BIG;
	fprog.len = program.length;
	/* TSYNC: all threads; the result is above 0 if one of them has filters that ours can't
	 * follow. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &fprog) != 0)
		return errno ? -errno : -EBUSY;
	return 0;
}

/* Rights of later versions of landlock, by number, for headers that are older than the kernel. */
#define FS_REFER    (UINT64_C(1) << 13) /* version 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14) /* version 3 */

static int landlock_allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights};
	struct stat status;
	int error = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return 0; /* what isn't there needs no right */
	if (!fstat(rule.parent_fd, &status) && !S_ISDIR(status.st_mode))
		rule.allowed_access &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		error = -errno;
	close(rule.parent_fd);
	return error;
}

/* What sharing a folder takes; `known` are the rights that this kernel knows. Devices can't be
 * made.
 */
static int landlock_allow_folder(int ruleset, const struct sandbox_folder *folder, uint64_t known)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
								    LANDLOCK_ACCESS_FS_READ_DIR,
						  .parent_fd = folder->descriptor};

	if (folder->writes)
		rule.allowed_access |= LANDLOCK_ACCESS_FS_WRITE_FILE |
				       LANDLOCK_ACCESS_FS_REMOVE_DIR |
				       LANDLOCK_ACCESS_FS_REMOVE_FILE |
				       LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				       LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				       LANDLOCK_ACCESS_FS_MAKE_SYM | FS_REFER | FS_TRUNCATE;
	rule.allowed_access &= known;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

/* 0; 1 if the kernel has no landlock. */
static int landlock_enter(const struct sandbox_options *options)
{
	const char *const *readable = options->readable, *const *programs = options->programs;
	struct landlock_ruleset_attr attributes = {.handled_access_fs = (UINT64_C(1) << 13) - 1};
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset, error = 0;

	if (version < 1)
		return 1;
	if (version >= 2)
		attributes.handled_access_fs |= FS_REFER;
	if (version >= 3)
		attributes.handled_access_fs |= FS_TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes,
			       sizeof(attributes.handled_access_fs), 0);
	if (ruleset < 0)
		return -errno;
	for (; readable && *readable && !error; readable++)
		error = landlock_allow(ruleset, *readable, LANDLOCK_ACCESS_FS_READ_FILE);
	/* A program may look around: at names, of which a mount name space leaves few. */
	if (programs)
		error = landlock_allow(ruleset, "/", LANDLOCK_ACCESS_FS_READ_DIR);
	for (; programs && *programs && !error; programs++)
		error = landlock_allow(ruleset, *programs,
				       LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
					       LANDLOCK_ACCESS_FS_EXECUTE);
	for (unsigned i = 0; i < options->folder_count && !error; i++)
		error = landlock_allow_folder(ruleset, &options->folders[i],
					      attributes.handled_access_fs);
	if (!error && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		error = -errno;
	close(ruleset);
	return error;
}

static int capabilities_drop(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	/* The bounding set first, for which a capability is needed. Without it no_new_privs does
	 * the same. */
	for (int i = 0; i <= CAP_LAST_CAP; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int failed(char *text, size_t size, const char *what, int error)
{
	format(text, size, "%s: %s", what, strerror(-error));
	return error;
}

const char *sandbox_part_name(enum sandbox_kind kind)
{
	static const char *const names[SANDBOX_PARTS] = {
		[SANDBOX_PRIVILEGES] = "no new privileges",
		[SANDBOX_CAPABILITIES] = "no capabilities",
		[SANDBOX_USERS] = "user name space",
		[SANDBOX_PIDS] = "pid name space",
		[SANDBOX_MOUNTS] = "mount name space",
		[SANDBOX_NETWORK] = "network name space",
		[SANDBOX_FILES] = "files by landlock",
		[SANDBOX_CALLS] = "system calls by seccomp",
	};

	return names[kind];
}

void sandbox_describe(const struct sandbox_state *state, char *text, size_t size)
{
	const char *between = "";
	size_t length = 0;

	*text = 0;
	for (int in_force = 1; in_force >= 0; in_force--) {
		for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
			const struct sandbox_part *part = &state->parts[i];

			if (part->in_force != in_force)
				continue;
			format(text + length, size - length, "%s%s%s%s%s", between,
			       sandbox_part_name((enum sandbox_kind)i), in_force ? "" : " (",
			       in_force ? "" : part->why, in_force ? "" : ")");
			length += strlen(text + length);
			between = ", ";
		}
		between = "; not in force: ";
	}
}

int sandbox_enter(const struct sandbox_options *options, struct sandbox_state *state, char *reason,
		  size_t size)
{
	struct sandbox_part *parts = state->parts;
	int error;

	memset(state, 0, sizeof(*state));
	/* No file of ours but the first three is to outlive an exec, if there is one. */
	if (syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) < 0 && errno != ENOSYS &&
	    errno != EINVAL)
		return failed(reason, size, "close_range", -errno);
	/* First, for it takes capabilities, and what follows would forbid it. */
	error = namespaces_enter(options, state);
	if (error)
		return failed(reason, size, "mount name space", error);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(reason, size, "no_new_privs", -errno);
	error = capabilities_drop();
	if (error)
		return failed(reason, size, "capabilities", error);
	parts[SANDBOX_PRIVILEGES].in_force = parts[SANDBOX_CAPABILITIES].in_force = true;
	error = landlock_enter(options);
	if (error < 0)
		return failed(reason, size, "landlock", error);
	parts[SANDBOX_FILES].in_force = !error;
	if (error)
		format(parts[SANDBOX_FILES].why, SANDBOX_WHY, "this kernel has none");
	error = filter_enter(options);
	parts[SANDBOX_CALLS].in_force = !error;
	if (error == -ENOSYS || error == -EINVAL)
		format(parts[SANDBOX_CALLS].why, SANDBOX_WHY, "this kernel has no filters");
	else if (error)
		return failed(reason, size, "seccomp", error);
	return 0;
}
