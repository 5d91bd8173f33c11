/* SPDX-License-Identifier: BSD-2-Clause */
/* A control group of one's own, in a tree of plain files: what is written where, and what is said
 * where it can't be had. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/cgroup.h"

static char root[64];
static struct cgroup group;

static const char *at(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "w");

	REQUIRE(file);
	fputs(text, file);
	fclose(file);
}

static bool has(const char *name, const char *text)
{
	char got[256] = "";
	FILE *file = fopen(at(name), "r");

	if (!file)
		return false;
	got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
	fclose(file);
	return !strcmp(got, text);
}

static void make(const char *name)
{
	REQUIRE(!mkdir(at(name), 0700));
}

/* The process is in /user/unit, which has been delegated to it, and web was there before. */
static void make_tree(void)
{
	snprintf(root, sizeof(root), "%s", test_folder());
	put("self", "4:memory:/else\n0::/user/unit\n");
	make("user");
	make("user/unit");
	put("user/unit/cgroup.controllers", "cpuset cpu io memory\n");
	put("user/unit/cgroup.subtree_control", "");
	put("user/unit/cgroup.procs", "");
	make("user/unit/lodge-web");
	put("user/unit/lodge-web/cgroup.procs", "");
	put("user/unit/lodge-web/cpu.max", "");
	put("user/unit/lodge-web/cpu.weight", "");
	put("user/unit/lodge-web/io.weight", "");
}

static void enter(const char *base, const char *name)
{
	char self[80];
	struct cgroup_place place = {.root = root, .self = self, .base = base, .name = name};

	snprintf(self, sizeof(self), "%s/self", root);
	cgroup_enter(&group, &place);
}

static void expect_refusal(const char *words)
{
	EXPECT(!group.entered);
	EXPECT(strstr(group.why, words));
	EXPECT_EQ(group.cpu_max, -1);
}

TEST(it_is_below_the_own_group)
{
	make_tree();
	enter(NULL, "web");
	REQUIRE(group.entered);
	EXPECT(strstr(group.path, "/user/unit/lodge-web"));
	EXPECT(has("user/unit/lodge-web/cgroup.procs", "0"));
	EXPECT(has("user/unit/cgroup.procs", ""));
	/* In a plain file one request lies over the other. */
	EXPECT(has("user/unit/cgroup.subtree_control", "+iou"));
}

TEST(limits_are_written_as_the_kernel_reads_them)
{
	make_tree();
	enter(NULL, "web");
	REQUIRE(group.entered);
	EXPECT_EQ(cgroup_cap(&group, 50), 0);
	EXPECT(has("user/unit/lodge-web/cpu.max", "10000 20000\n"));
	EXPECT_EQ(cgroup_cap(&group, 250), 0);
	EXPECT(has("user/unit/lodge-web/cpu.max", "50000 20000\n"));
	put("user/unit/lodge-web/cpu.max", "");
	EXPECT_EQ(cgroup_cap(&group, 5), 0);
	EXPECT(has("user/unit/lodge-web/cpu.max", "1000 20000\n"));
	put("user/unit/lodge-web/cpu.max", "");
	EXPECT_EQ(cgroup_cap(&group, 4), 0);
	EXPECT(has("user/unit/lodge-web/cpu.max", "4000 100000\n"));
	put("user/unit/lodge-web/cpu.max", "");
	EXPECT_EQ(cgroup_cap(&group, 1), 0);
	EXPECT(has("user/unit/lodge-web/cpu.max", "1000 100000\n"));
	put("user/unit/lodge-web/cpu.max", "");
	EXPECT_EQ(cgroup_cap(&group, 0), 0);
	EXPECT(has("user/unit/lodge-web/cpu.max", "max 20000\n"));
	EXPECT_EQ(cgroup_weight(&group, 300), 0);
	EXPECT(has("user/unit/lodge-web/cpu.weight", "300\n"));
	EXPECT(has("user/unit/lodge-web/io.weight", "default 300\n"));
}

TEST(disks_may_have_no_weights)
{
	make_tree();
	REQUIRE(!unlink(at("user/unit/lodge-web/io.weight")));
	enter(NULL, "web");
	REQUIRE(group.entered);
	EXPECT_EQ(cgroup_weight(&group, 300), 0);
	EXPECT(has("user/unit/lodge-web/cpu.weight", "300\n"));
}

TEST(it_can_be_below_a_named_group)
{
	make_tree();
	put("self", "0::/elsewhere\n");
	enter("user/unit", "web");
	EXPECT(group.entered);
	put("user/unit/lodge-web/cgroup.procs", "");
	enter("/user/unit", "web");
	EXPECT(group.entered);
}

TEST(what_is_missing_is_said)
{
	make_tree();
	put("self", "4:memory:/user/unit\n");
	enter(NULL, "web");
	expect_refusal("this host has no cgroup v2");
	put("self", "0::/gone\n");
	enter(NULL, "web");
	expect_refusal("there is no cgroup v2 at");
	put("self", "0::/user/unit\n");
	put("user/unit/cgroup.controllers", "cpuset memory\n");
	enter(NULL, "web");
	expect_refusal("does not have the controller cpu");
}

TEST(one_that_is_in_use_is_left_alone)
{
	make_tree();
	put("user/unit/lodge-web/cgroup.procs", "4711\n");
	enter(NULL, "web");
	expect_refusal("another machine of this name is there");
	EXPECT(has("user/unit/lodge-web/cgroup.procs", "4711\n"));
}

/* A group that has no such file is one in which the kernel has refused it. */
TEST(where_it_fails_half_way_the_process_moves_back)
{
	make_tree();
	REQUIRE(!unlink(at("user/unit/cgroup.subtree_control")));
	enter(NULL, "web");
	expect_refusal("cgroup.subtree_control");
	EXPECT(has("user/unit/cgroup.procs", "0"));
	put("user/unit/cgroup.subtree_control", "");
	REQUIRE(!unlink(at("user/unit/lodge-web/cpu.max")));
	put("user/unit/cgroup.procs", "");
	put("user/unit/lodge-web/cgroup.procs", "");
	enter(NULL, "web");
	expect_refusal("cpu.max");
	EXPECT(has("user/unit/cgroup.procs", "0"));
}

/* In a plain folder there is nothing in a new group: it must be gone again. */
TEST(a_group_that_could_not_be_used_is_removed)
{
	make_tree();
	enter(NULL, "other");
	expect_refusal("No such file");
	EXPECT(access(at("user/unit/lodge-other"), F_OK) && errno == ENOENT);
}

TEST(groups_of_processes_that_are_gone_are_removed)
{
	char own[64];

	make_tree();
	make("user/unit/lodge-4194305"); /* above the kernel's greatest number */
	make("user/unit/lodge-12x");
	snprintf(own, sizeof(own), "user/unit/lodge-%d", (int)getppid());
	make(own);
	enter(NULL, NULL);
	EXPECT(access(at("user/unit/lodge-4194305"), F_OK));
	EXPECT(!access(at("user/unit/lodge-12x"), F_OK));
	EXPECT(!access(at(own), F_OK));
}
