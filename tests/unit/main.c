/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the unit tests, each in a child process: a crash, a sanitizer's report or a hang is then
 * the failure of one test. The child tells its verdict by its exit status.
 *
 *	unit-tests [-n] [-l] [-v] [FILTER]...
 *
 * -n runs them in this process (for a debugger), -l lists them, -v names each as it ends. A FILTER
 * is a part of `file.test`.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "list.h"
#include "test.h"

enum verdict { PASSED = 0, FAILED = 90, SKIPPED = 91, ABORT_EXPECTED = 92 };

#define SECONDS_PER_TEST 60

/* The state of the one test that this process runs. */
static bool failed;
static bool abort_expected;
static const char *abort_message;
static FILE *stderr_copy;
static int stderr_saved = -1;
static const struct test *running;

/* Made by the first process, which also removes what tests have left in it: they end anyhow. */
static char folder_of_all[] = "/tmp/lodge-unit-XXXXXX";
static char folder[sizeof(folder_of_all) + sizeof("/test")];
static pid_t folder_owner;
static volatile sig_atomic_t interrupted;

/* Leaks are no failure: each test's process ends with what it holds, and many are cut short. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static FILE *report(void)
{
	fflush(stdout);
	return stdout;
}

static void fail_begin(const char *file, int line)
{
	failed = true;
	fprintf(report(), "%s:%d: %s.%s: ", file, line, running->file, running->name);
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	fail_begin(file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

int test_expect(int held, const char *file, int line, const char *text)
{
	if (!held)
		test_fail(file, line, "expected %s", text);
	return held;
}

int test_expect_eq(unsigned long long a, unsigned long long b, const char *file, int line,
		   const char *a_text, const char *b_text)
{
	if (a == b)
		return 1;
	test_fail(file, line, "expected %s == %s, but %lld (0x%llx) != %lld (0x%llx)", a_text,
		  b_text, (long long)a, a, (long long)b, b);
	return 0;
}

int test_expect_str(const char *a, const char *b, const char *file, int line, const char *a_text,
		    const char *b_text)
{
	if (a && b && strcmp(a, b) == 0)
		return 1;
	test_fail(file, line, "expected %s == %s, but \"%s\" != \"%s\"", a_text, b_text,
		  a ? a : "(null)", b ? b : "(null)");
	return 0;
}

int test_expect_mem(const void *a, const void *b, unsigned long size, const char *file, int line,
		    const char *a_text, const char *b_text)
{
	const unsigned char *x = a, *y = b;
	unsigned long i;

	for (i = 0; i < size && x[i] == y[i]; i++)
		;
	if (i == size)
		return 1;
	test_fail(file, line, "expected %s and %s to be alike, but byte %lu is 0x%02x and 0x%02x",
		  a_text, b_text, i, x[i], y[i]);
	return 0;
}

const char *test_folder(void)
{
	if (mkdir(folder, 0700) && errno != EEXIST) {
		perror(folder);
		test_stop();
	}
	return folder;
}

const char *test_path(const char *name)
{
	static char paths[16][256];
	static unsigned int next;
	char *path = paths[next++ % 16];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_folder(), name);
	return path;
}

static void folders_make(void)
{
	/* Other users have to get through, where a test is several of them. */
	if (!mkdtemp(folder_of_all) || chmod(folder_of_all, 0711)) {
		perror("unit-tests: /tmp");
		exit(2);
	}
	snprintf(folder, sizeof(folder), "%s/test", folder_of_all);
	folder_owner = getpid();
}

/* Whether nothing of the test is left. */
static bool folder_remove(void)
{
	char command[3 * sizeof(folder) + 32];

	if (access(folder, F_OK))
		return true;
	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", folder, folder);
	return !system(command) && access(folder, F_OK);
}

static void flush_and_exit(int status)
{
	fflush(NULL);
	/* Of -n: the one test, or the one that has failed. */
	if (getpid() == folder_owner) {
		folder_remove();
		rmdir(folder_of_all);
	}
	_exit(status);
}

void test_stop(void)
{
	flush_and_exit(failed ? FAILED : PASSED);
	__builtin_unreachable();
}

void test_skip(const char *reason)
{
	if (!failed)
		fprintf(report(), "skipped: %s.%s: %s\n", running->file, running->name, reason);
	flush_and_exit(failed ? FAILED : SKIPPED);
	__builtin_unreachable();
}

/* The message goes by stderr, so stderr is kept in a file until the abort. */
static void abort_check(int signal_number)
{
	static char text[65536];
	size_t size;

	fflush(stderr);
	rewind(stderr_copy);
	size = fread(text, 1, sizeof(text) - 1, stderr_copy);
	text[size] = '\0';
	dup2(stderr_saved, STDERR_FILENO);
	if (abort_message && !strstr(text, abort_message)) {
		fail_begin(__FILE__, __LINE__);
		printf("aborted, but without \"%s\":\n%s\n", abort_message, text);
	}
	flush_and_exit(failed ? FAILED : ABORT_EXPECTED);
}

void test_expect_abort(const char *message)
{
	abort_expected = true;
	abort_message = message;
	stderr_copy = tmpfile();
	if (!stderr_copy) {
		perror("unit-tests: can't make a temporary file");
		flush_and_exit(FAILED);
	}
	fflush(stderr);
	stderr_saved = dup(STDERR_FILENO);
	dup2(fileno(stderr_copy), STDERR_FILENO);
	signal(SIGABRT, abort_check);
}

static int run_here(const struct test *test)
{
	running = test;
	failed = false;
	test->run();
	if (abort_expected) {
		dup2(stderr_saved, STDERR_FILENO);
		fail_begin(__FILE__, __LINE__);
		printf("was to abort, but returned\n");
	}
	fflush(NULL);
	return failed ? FAILED : PASSED;
}

static void interrupt(int number)
{
	interrupted = number;
}

/* Without SA_RESTART: waitpid is to return. */
static void handle_interrupts(void (*handler)(int))
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction action = {.sa_handler = handler};

	for (unsigned int i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static int run_child(const struct test *test)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0) {
		perror("unit-tests: fork");
		exit(2);
	}
	if (child == 0) {
		handle_interrupts(SIG_DFL);
		alarm(SECONDS_PER_TEST);
		_exit(run_here(test));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		if (interrupted)
			kill(child, SIGKILL);
	if (WIFEXITED(status)) {
		int code = WEXITSTATUS(status);

		if (code == ABORT_EXPECTED)
			return PASSED;
		if (code != PASSED && code != FAILED && code != SKIPPED)
			printf("%s.%s: ended with status %d\n", test->file, test->name, code);
		return code == PASSED || code == SKIPPED ? code : FAILED;
	}
	if (WTERMSIG(status) == SIGALRM)
		printf("%s.%s: still running after %d seconds\n", test->file, test->name,
		       SECONDS_PER_TEST);
	else
		printf("%s.%s: killed by signal %d (%s)\n", test->file, test->name,
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
	return FAILED;
}

static bool is_wanted(const struct test *test, char **filters)
{
	char name[256];

	if (!*filters)
		return true;
	snprintf(name, sizeof(name), "%s.%s", test->file, test->name);
	for (; *filters; filters++)
		if (strstr(name, *filters))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool here = false, list = false, verbose = false;
	unsigned int passed = 0, failures = 0, skipped = 0;
	int option;

	while ((option = getopt(argc, argv, "nlv")) != -1) {
		if (option == '?')
			return 2;
		here |= option == 'n';
		list |= option == 'l';
		verbose |= option == 'v';
	}
	if (!list) {
		folders_make();
		if (!here)
			handle_interrupts(interrupt);
	}
	for (const struct test *test = tests; test->run && !interrupted; test++) {
		int verdict;

		if (!is_wanted(test, argv + optind))
			continue;
		if (list) {
			printf("%s.%s\n", test->file, test->name);
			continue;
		}
		verdict = here ? run_here(test) : run_child(test);
		if (!folder_remove()) {
			printf("%s.%s: %s can't be removed\n", test->file, test->name, folder);
			verdict = FAILED;
		}
		passed += verdict == PASSED;
		failures += verdict == FAILED;
		skipped += verdict == SKIPPED;
		if (verbose || verdict == FAILED)
			printf("%s: %s.%s\n",
			       verdict == PASSED    ? "passed"
			       : verdict == SKIPPED ? "skipped"
						    : "failed",
			       test->file, test->name);
	}
	if (!list && rmdir(folder_of_all)) {
		printf("unit-tests: %s: %s\n", folder_of_all, strerror(errno));
		failures++;
	}
	if (interrupted) {
		handle_interrupts(SIG_DFL);
		raise(interrupted);
	}
	if (!list)
		printf("%u passed, %u failed, %u skipped\n", passed, failures, skipped);
	return failures ? 1 : 0;
}
