/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debian's own programs, from the root file system that tools/prepare-bench makes: on a disk in the
 * guest, in a folder on the bare host. Some take as long as their work takes; others work for a
 * second, and what they did in it is read from what they print.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS	       14
#define RUNS		       5    /* of what takes as long as it takes: the least counts */
#define RUNS_MILLISECONDS      3000 /* after so long there is no further run, but for the second */
#define DISK_WAIT_MILLISECONDS 10000
#define OUTPUT		       65536
#define OBJECT		       "/tmp/bench.o"

/* A number in a program's output, and the result that it is. Ends with a name of NULL. */
struct figure {
	const char *name;
	const char *behind; /* this text ... */
	unsigned skip;	    /* ... and so many words (ended by blanks, colons, brackets) */
	double scale;	    /* result = scale / number */
	bool data;	    /* nanoseconds for a MiB; otherwise for an operation */
};

struct program {
	const char *name;
	const char *arguments[ARGUMENTS];
	const struct figure *figures; /* NULL: the result is how long it ran */
};

#define PER_SECOND	 1e9
#define BYTES_PER_SECOND (1e9 * 1048576)
#define KIB_PER_SECOND	 (1e9 * 1024)
#define MIB_PER_SECOND	 1e9
#define FIGURES(...)	 ((const struct figure[]){__VA_ARGS__, {NULL, NULL, 0, 0, false}})
/* One line of `openssl speed -mr`: +F:algorithm's number:its name:bytes in a second. */
#define OPENSSL_DATA(row) FIGURES({row, "+F:", 2, BYTES_PER_SECOND, true})
#define OPENSSL		  "openssl", "speed", "-mr", "-elapsed", "-seconds", "1"
#define PYTHON_LOOP                                                                                \
	"total = 0\n"                                                                              \
	"for i in range(3000000):\n"                                                               \
	"    total += i * i % 7\n"                                                                 \
	"print(total)\n"

static const struct program programs[] = {
	{"7z",
	 {"7z", "b", "1", "-mmt1", "-md18", "-mtime=1"},
	 FIGURES({"7z-compress", "Avr:", 0, KIB_PER_SECOND, true},
		 {"7z-decompress", "Avr:", 4, KIB_PER_SECOND, true})},
	{"aes-128-cbc",
	 {OPENSSL, "-bytes", "16384", "-evp", "aes-128-cbc"},
	 OPENSSL_DATA("aes-128-cbc")},
	{"aes-256-cbc",
	 {OPENSSL, "-bytes", "16384", "-evp", "aes-256-cbc"},
	 OPENSSL_DATA("aes-256-cbc")},
	{"aes-128-gcm",
	 {OPENSSL, "-bytes", "16384", "-evp", "aes-128-gcm"},
	 OPENSSL_DATA("aes-128-gcm")},
	{"aes-256-gcm",
	 {OPENSSL, "-bytes", "16384", "-evp", "aes-256-gcm"},
	 OPENSSL_DATA("aes-256-gcm")},
	{"sha256", {OPENSSL, "-bytes", "16384", "sha256"}, OPENSSL_DATA("sha256")},
	/* +F2:number:bits:signatures:verifications in a second. */
	{"rsa2048",
	 {OPENSSL, "rsa2048"},
	 FIGURES({"rsa2048-sign", "+F2:", 2, PER_SECOND, false},
		 {"rsa2048-verify", "+F2:", 3, PER_SECOND, false})},
	{"sysbench-cpu",
	 {"sysbench", "cpu", "--time=1", "run"},
	 FIGURES({"sysbench-cpu", "events per second:", 0, PER_SECOND, false})},
	{"sysbench-memory",
	 {"sysbench", "memory", "--time=1", "--memory-total-size=1T", "run"},
	 FIGURES({"sysbench-memory", "transferred", 0, MIB_PER_SECOND, true})},
	{"hackbench", {"hackbench", "-g", "2", "-l", "100"}, NULL},
	{"gcc", {"gcc", "-O2", "-x", "c", "-c", "-o", OBJECT, "-"}, NULL},
	{"python3", {"python3", "-c", PYTHON_LOOP}, NULL},
	{NULL, {NULL}, NULL},
};

static char output[OUTPUT]; /* of the last run, ended by a NUL */

static void mount_or_fail(const char *source, const char *target, const char *type,
			  unsigned long flags)
{
	if (mount(source, target, type, flags, NULL))
		fail(target);
}

/* The guest's disk, read-only, becomes the root, with what programs expect in it. */
static void root_mount(void)
{
	static const struct timespec millisecond = {.tv_nsec = 1000000};

	for (int i = 0; access(root_path, F_OK) && i < DISK_WAIT_MILLISECONDS; i++)
		nanosleep(&millisecond, NULL);
	mount_or_fail(root_path, "/root", "ext4", MS_RDONLY);
	mount_or_fail("/dev", "/root/dev", NULL, MS_BIND);
	mount_or_fail("/proc", "/root/proc", NULL, MS_BIND);
	mount_or_fail("/sys", "/root/sys", NULL, MS_BIND);
	mount_or_fail("tmpfs", "/root/tmp", "tmpfs", MS_NOSUID | MS_NODEV);
	root_path = "/root";
}

/* A user who isn't root may change the root in a user namespace of his own, where there are such.
 */
static void root_change(void)
{
	struct stat status;

	if (stat(root_path, &status) || !S_ISDIR(status.st_mode))
		root_mount();
	if (geteuid() != 0 && unshare(CLONE_NEWUSER))
		fail("a user namespace");
	if (chroot(root_path) || chdir("/"))
		fail(root_path);
}

__attribute__((noreturn)) static void child_become(const struct program *program, int source,
						   int out)
{
	clearenv();
	putenv("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	putenv("HOME=/tmp");
	putenv("LANG=C.UTF-8");
	lseek(source, 0, SEEK_SET);
	dup2(source, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(program->arguments[0], (char **)program->arguments);
	dprintf(STDERR_FILENO, "%s: %s\n", program->arguments[0], strerror(errno));
	_exit(127);
}

/* Keeps what fits of what comes, until its end. */
static void output_read(int from)
{
	static char rest[4096];
	size_t size = 0;

	for (;;) {
		bool full = size == sizeof(output) - 1;
		ssize_t got = read(from, full ? rest : output + size,
				   full ? sizeof(rest) : sizeof(output) - 1 - size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (!full)
			size += (size_t)got;
	}
	output[size] = '\0';
}

/* Runs it once; returns for how long. Its output is in `output`. */
static uint64_t program_time(const struct program *program, int source)
{
	uint64_t begin = now(), time;
	int ends[2], status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		fail("pipe");
	child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0)
		child_become(program, source, ends[1]);
	close(ends[1]);
	output_read(ends[0]);
	close(ends[0]);
	if (waitpid(child, &status, 0) < 0)
		fail("waitpid");
	time = now() - begin;
	unlink(OBJECT);
	if (status != 0) {
		fputs(output, stdout);
		printf("failed %s: status %#x\n", program->name, (unsigned)status);
		exit(1);
	}
	return time;
}

static void figure_print(const struct program *program, const struct figure *figure)
{
	static const char ends[] = " \t\n:|()";
	const char *at = strstr(output, figure->behind);
	double number = 0;

	if (at) {
		at += strlen(figure->behind);
		at += strspn(at, ends);
		for (unsigned i = 0; i < figure->skip; i++) {
			at += strcspn(at, ends);
			at += strspn(at, ends);
		}
		number = strtod(at, NULL);
	}
	if (!(number > 0)) {
		fputs(output, stdout);
		printf("failed %s: there is no %s in its output\n", program->name, figure->name);
		exit(1);
	}
	printf("result %s %.2f%s\n", figure->name, figure->scale / number,
	       figure->data ? " MiB" : "");
}

static void program_measure(const struct program *program, int source)
{
	uint64_t best = UINT64_MAX, begin = now();

	if (program->figures) {
		program_time(program, source);
		for (const struct figure *figure = program->figures; figure->name; figure++)
			figure_print(program, figure);
	} else {
		/* The first run fetches the program from the disk. */
		for (unsigned i = 0; i < RUNS; i++) {
			uint64_t time = program_time(program, source);

			best = time < best ? time : best;
			if (i > 0 && now() - begin > RUNS_MILLISECONDS * (uint64_t)1000000)
				break;
		}
		printf("result %s %llu\n", program->name, (unsigned long long)best);
	}
	fflush(stdout);
}

static int source_open(void)
{
	int source = open(source_path, O_RDONLY | O_CLOEXEC);

	if (source < 0)
		fail(source_path);
	return source;
}

static const struct program *program_find(const char *name)
{
	for (const struct program *program = programs; program->name; program++)
		if (strcmp(name, program->name) == 0)
			return program;
	fprintf(stderr, "bench: --after %s: no such program\n", name);
	exit(2);
}

void programs_run(int count, char **names)
{
	int source = source_open();

	root_change();
	for (int i = 0; i < count; i++)
		program_time(program_find(names[i]), source);
	close(source);
}

void programs_measure(int count, char **names)
{
	int source = source_open();

	root_change();
	for (const struct program *program = programs; program->name; program++) {
		bool wanted = count == 0;

		for (int i = 0; i < count; i++)
			wanted |= strcmp(names[i], program->name) == 0;
		if (wanted)
			program_measure(program, source);
	}
}
