/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine's description, and a machine made from a saved one: what run.c does not as usual. */
#ifndef MANAGE_RESTORE_H
#define MANAGE_RESTORE_H

#include "manage/options.h"
#include "manage/saved_memory.h"

struct run;

/* Part of struct run: what lodge run --restore needs until its machine runs. */
struct restore {
	const char *path; /* NULL: this machine is no restored one */
	struct saved_file file;
	struct saved_config *config;
	struct saved_memory *memory;
	char *forwards[SAVED_FORWARDS_MAX];
};

/* Opens and checks options->restore, if it was given, and makes options those of its machine. An
 * exit status, after a complaint. */
int restore_begin(struct run *run, struct options *options);

/* Makes options those of restore.config's machine, whose word may be enough for files to be opened
 * (manage/seal.h). An exit status, after a complaint. */
int restore_take(struct run *run, struct options *options);

/* Once engine and model are chosen: the model becomes the saved one, if this host has all of it. */
int restore_cpu_model(struct run *run);

/* Once the vm is made, outside of the sandbox: its TSC runs as the machine's did, if the engine can
 * see to that. */
int restore_tsc(struct run *run);

/* Once the disks are open: whether they are what they were. */
int restore_check_disks(struct run *run);

/* Before shared folders are opened: whether they are as many as the guest has devices for. */
int restore_check_shares(struct run *run);

/* In place of boot(), in the sandbox: the machine as it was, paused. */
int restore_machine(struct run *run);

/* Its processors run now. */
void restore_started(struct run *run);

void restore_end(struct run *run);

/*
 * Makes run->description, while files may still be looked for by name. The machine is complete. An
 * exit status, after a complaint.
 */
int describe_machine(struct run *run);

/* What changes in it while a machine runs. The disks are flushed. */
void describe_again(struct run *run);

#endif
