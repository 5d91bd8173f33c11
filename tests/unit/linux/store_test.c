/* SPDX-License-Identifier: BSD-2-Clause */
/* The store: names, locks, folders that appear and go at once, records of state. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manage/safe_file.h"
#include "manage/kept.h"
#include "manage/state.h"
#include "manage/store.h"

static struct store store;
static char reason[STORE_PATH + 512];

static void begin(void)
{
	setenv("XDG_DATA_HOME", test_folder(), 1);
	setenv("XDG_RUNTIME_DIR", test_folder(), 1);
	REQUIRE(store_open(&store, reason, sizeof(reason)) == 0);
}

static void make(const char *name)
{
	struct store_new new;

	REQUIRE(store_new_begin(store.machines, &new, reason, sizeof(reason)) == 0);
	REQUIRE(store_new_finish(store.machines, &new, name, reason, sizeof(reason)) == 0);
}

TEST(names_that_could_mean_anything_else_are_none)
{
	static const char *const bad[] = {"",	  ".",	 "..",	"a/b", "/a",   "-a",
					  "a b",  "a\n", "all", "a.b", "a;b",  "a*",
					  "\xc3", "a:b", "~",	"a\\", "$(a)", "a'b"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		reason[0] = '\0';
		if (store_name_check(bad[i], reason, sizeof(reason)))
			FAIL("%s is taken for a name", bad[i]);
		EXPECT(reason[0]);
	}
	EXPECT(store_name_check("web-1_B", reason, sizeof(reason)));
	EXPECT(!store_image_name_check("../x", reason, sizeof(reason)));
	EXPECT(!store_image_name_check(".x", reason, sizeof(reason)));
	EXPECT(store_image_name_check("debian:12", reason, sizeof(reason)));
}

TEST(a_machine_appears_once_under_its_name)
{
	struct store_machine machine;
	struct store_new new;
	char **names;
	unsigned count;

	begin();
	make("web");
	REQUIRE(store_new_begin(store.machines, &new, reason, sizeof(reason)) == 0);
	EXPECT_EQ(store_new_finish(store.machines, &new, "web", reason, sizeof(reason)), -EEXIST);
	REQUIRE(store_new_begin(store.machines, &new, reason, sizeof(reason)) == 0);
	REQUIRE(store_machine_names(&store, &names, &count) == 0);
	EXPECT_EQ(count, 1);
	store_names_free(names, count);
	store_new_abandon(&new);
	EXPECT_EQ(store_find(&store, "db", &machine, reason, sizeof(reason)), -ENOENT);
	REQUIRE(store_find(&store, "web", &machine, reason, sizeof(reason)) == 0);
	store_close(&machine);
	EXPECT_EQ(store_remove(store.machines, "web", reason, sizeof(reason)), 0);
	EXPECT_EQ(store_find(&store, "web", &machine, reason, sizeof(reason)), -ENOENT);
}

TEST(what_a_killed_maker_left_behind_is_swept_later)
{
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct store_new new, held;
	char left[STORE_PATH];

	begin();
	REQUIRE(store_new_begin(store.machines, &new, reason, sizeof(reason)) == 0);
	REQUIRE(store_new_begin(store.machines, &held, reason, sizeof(reason)) == 0);
	snprintf(left, sizeof(left), "%s", new.folder);
	close(new.lock); /* as its end would */
	utimensat(AT_FDCWD, new.folder, old, 0);
	utimensat(AT_FDCWD, held.folder, old, 0);
	REQUIRE(store_new_begin(store.machines, &new, reason, sizeof(reason)) == 0);
	EXPECT(access(left, F_OK));
	EXPECT(!access(held.folder, F_OK));
	store_new_abandon(&new);
	store_new_abandon(&held);
}

TEST(a_lock_is_seen_by_others_and_dies_with_its_owner)
{
	struct store_machine mine, other;
	int status, ends[2];
	pid_t child;
	char byte;

	begin();
	make("web");
	REQUIRE(store_find(&store, "web", &mine, reason, sizeof(reason)) == 0);
	REQUIRE(pipe(ends) == 0);
	child = fork();
	if (!child) {
		if (store_find(&store, "web", &other, reason, sizeof(reason)) ||
		    store_lock(&store, &other, STORE_RUN, 0))
			_exit(1);
		(void)!write(ends[1], "x", 1);
		pause();
	}
	REQUIRE(read(ends[0], &byte, 1) == 1);
	EXPECT(store_is_locked(&mine, STORE_RUN));
	EXPECT(!store_is_locked(&mine, STORE_CHANGE));
	EXPECT_EQ(store_lock(&store, &mine, STORE_RUN, 20), -EBUSY);
	EXPECT_EQ(store_lock(&store, &mine, STORE_CHANGE, 0), 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	EXPECT(!store_is_locked(&mine, STORE_RUN));
	EXPECT_EQ(store_lock(&store, &mine, STORE_RUN, 0), 0);
	store_close(&mine);
}

TEST(the_lock_of_a_machine_that_was_removed_is_none)
{
	struct store_machine machine;

	begin();
	make("web");
	REQUIRE(store_find(&store, "web", &machine, reason, sizeof(reason)) == 0);
	REQUIRE(store_remove(store.machines, "web", reason, sizeof(reason)) == 0);
	make("web");
	EXPECT_EQ(store_lock(&store, &machine, STORE_CHANGE, 0), -ENOENT);
	store_close(&machine);
}

TEST(a_record_of_running_without_a_process_is_a_crash)
{
	struct state state = {.state = MACHINE_RUNNING,
			      .pid = 7,
			      .control = "/a\"b/lodge/web/control"},
		     read;
	struct store_machine machine, other;
	int fd;

	begin();
	make("web");
	REQUIRE(store_find(&store, "web", &machine, reason, sizeof(reason)) == 0);
	REQUIRE(store_find(&store, "web", &other, reason, sizeof(reason)) == 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_STOPPED);
	fd = state_open(&machine);
	REQUIRE(fd >= 0 && state_write(fd, &state) == 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_CRASHED);
	EXPECT_STR(read.control, "/a\"b/lodge/web/control");
	REQUIRE(store_lock(&store, &other, STORE_RUN, 0) == 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_RUNNING);
	EXPECT_EQ(read.pid, 7);
	state.state = MACHINE_STOPPED;
	REQUIRE(state_write(fd, &state) == 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_STARTING);
	close(fd);
	store_close(&machine);
	store_close(&other);
}

/* As a guest could write it that has taken its process over. */
TEST(a_record_can_t_lead_elsewhere)
{
	char own[STORE_PATH], link_folder[STORE_PATH], linked[STORE_PATH];
	const char *const controls[] = {"/run/lodge/db/control",
					"/run/lodge/web/control/../../db/control",
					"lodge/web/control",
					"/run/lodge/xweb/control",
					"/lodge/web/other",
					"/tmp/lodge-12345/web/control",
					linked};
	struct state state = {.state = MACHINE_RUNNING, .reason = "\033]0;x\007\302\233m"}, read;
	struct store_machine machine;
	int fd;

	begin();
	make("web");
	REQUIRE(store_find(&store, "web", &machine, reason, sizeof(reason)) == 0);
	REQUIRE(store_runtime_make(&store, "db", own, reason, sizeof(reason)) == 0);
	snprintf(link_folder, sizeof(link_folder), "%s/web", store.runtime);
	snprintf(linked, sizeof(linked), "%.4000s/control", link_folder);
	REQUIRE(symlink(own, link_folder) == 0);
	fd = state_open(&machine);
	REQUIRE(fd >= 0);
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		snprintf(state.control, sizeof(state.control), "%s", controls[i]);
		REQUIRE(state_write(fd, &state) == 0);
		state_read(&machine, &read);
		EXPECT_STR(read.control, "");
		EXPECT_STR(read.reason, "?]0;x???m");
	}
	close(fd);
	store_close(&machine);
}

/* Runs and ends, again and again, as a machine's process does. */
static _Noreturn void run_often(void)
{
	struct state state = {.state = MACHINE_STOPPED};
	struct store_machine machine;
	int fd;

	if (store_find(&store, "web", &machine, reason, sizeof(reason)))
		_exit(1);
	fd = state_open(&machine);
	for (;;) {
		if (store_lock(&store, &machine, STORE_RUN, 1000))
			_exit(1);
		state.state = MACHINE_RUNNING;
		state_write(fd, &state);
		usleep(5000);
		state.state = MACHINE_STOPPED;
		state_write(fd, &state);
		store_unlock(&machine, STORE_RUN);
		usleep(20);
	}
}

TEST(one_that_starts_or_ends_is_not_a_crash)
{
	struct store_machine machine;
	unsigned crashes = 0;
	struct state read;
	pid_t child;

	begin();
	make("web");
	REQUIRE(store_find(&store, "web", &machine, reason, sizeof(reason)) == 0);
	child = fork();
	if (!child)
		run_often();
	for (unsigned i = 0; i < 40000; i++) {
		state_read(&machine, &read);
		crashes += read.state == MACHINE_CRASHED;
	}
	EXPECT_EQ(crashes, 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	store_close(&machine);
}

TEST(a_record_that_makes_no_sense_is_none)
{
	static const char *const cases[] = {"",
					    "{",
					    "[]",
					    "{}",
					    "{\"state\":7}",
					    "{\"state\":\"flying\"}",
					    "null",
					    "\xff",
					    "[[[[[",
					    "{\"state\":\"running\",\"state\":\"running\"}"};
	char text[STATE_SIZE];
	struct state state = {.state = MACHINE_PAUSED, .reason = "x", .status = -3}, read;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		EXPECT(!state_parse(cases[i], strlen(cases[i]), &read));
	state_text(&state, text);
	EXPECT(state_parse(text, sizeof(text), &read));
	EXPECT_EQ(read.state, MACHINE_PAUSED);
	EXPECT_EQ(read.status, -3);
	memset(state.control, 'x', sizeof(state.control) - 1);
	state_text(&state, text);
	EXPECT_EQ(text[STATE_SIZE - 1], '\n');
	EXPECT(!state_parse(text, sizeof(text), &read));
}

static void put_file(const struct store_machine *machine, const char *name)
{
	char path[STORE_PATH];
	FILE *file;

	store_path(machine, name, path);
	file = fopen(path, "we");
	REQUIRE(file && fputs("memory", file) >= 0 && fclose(file) == 0);
}

TEST(memory_counts_while_the_record_says_saved)
{
	struct state state = {.state = MACHINE_SAVED, .reason = "saved"}, read;
	struct store_machine machine;
	int fd;

	begin();
	make("web");
	REQUIRE(store_find(&store, "web", &machine, reason, sizeof(reason)) == 0);
	fd = state_open(&machine);
	REQUIRE(fd >= 0 && state_write(fd, &state) == 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_STOPPED); /* without the file */
	put_file(&machine, "memory");
	put_file(&machine, "memory.7-0");
	put_file(&machine, "memories");
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_SAVED);
	EXPECT(kept_size(&machine) > 0);
	EXPECT_EQ(kept_settle(&machine), 0);
	EXPECT_EQ(kept_discard(&machine), 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_STOPPED);
	EXPECT_STR(read.reason, "discarded");
	EXPECT_EQ(kept_size(&machine), 0);
	EXPECT_EQ(kept_remove(&machine), 0);
	/* Left of a save that was killed: the machine has run on, and ended. */
	put_file(&machine, "memory");
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_STOPPED);
	state.state = MACHINE_RUNNING;
	REQUIRE(state_write(fd, &state) == 0);
	state_read(&machine, &read);
	EXPECT_EQ(read.state, MACHINE_CRASHED);
	close(fd);
	store_close(&machine);
}

TEST(a_folder_of_somebody_else_is_refused)
{
	char path[STORE_PATH];

	begin();
	REQUIRE(store_runtime_make(&store, "web", path, reason, sizeof(reason)) == 0);
	REQUIRE(chmod(path, 0755) == 0);
	EXPECT_EQ(store_runtime_make(&store, "web", path, reason, sizeof(reason)), -EPERM);
	REQUIRE(rmdir(path) == 0 && symlink("/tmp", path) == 0);
	EXPECT_EQ(store_runtime_make(&store, "web", path, reason, sizeof(reason)), -EPERM);
}

TEST(a_file_is_replaced_at_once_or_not_at_all)
{
	char path[128], *text;
	size_t size;

	begin();
	snprintf(path, sizeof(path), "%s", test_path("file"));
	EXPECT_EQ(safe_file_replace(path, "one", 3, 0600), 0);
	EXPECT_EQ(safe_file_replace(path, "other", 5, 0600), 0);
	REQUIRE(safe_file_read(path, 5, &text, &size) == 0);
	EXPECT_STR(text, "other");
	free(text);
	EXPECT_EQ(safe_file_read(path, 4, &text, &size), -EFBIG);
	EXPECT_EQ(safe_file_read(test_folder(), 4, &text, &size), -EINVAL);
	EXPECT_EQ(safe_file_replace("/nowhere/file", "x", 1, 0600), -ENOENT);
}

TEST(a_copy_has_the_bytes_and_the_holes)
{
	char from[128], to[128], byte = 0;
	struct stat status;
	int fd;

	begin();
	snprintf(from, sizeof(from), "%s", test_path("from"));
	snprintf(to, sizeof(to), "%s", test_path("to"));
	fd = open(from, O_RDWR | O_CREAT, 0600);
	REQUIRE(fd >= 0 && ftruncate(fd, 64 << 20) == 0 && pwrite(fd, "x", 1, 33 << 20) == 1);
	close(fd);
	EXPECT_EQ(safe_file_copy(from, to, 0400), 0);
	EXPECT_EQ(safe_file_copy(from, to, 0400), -EEXIST);
	REQUIRE(stat(to, &status) == 0);
	EXPECT_EQ(status.st_size, 64 << 20);
	EXPECT(status.st_blocks < 4096);
	fd = open(to, O_RDONLY);
	EXPECT(pread(fd, &byte, 1, 33 << 20) == 1 && byte == 'x');
	close(fd);
}
