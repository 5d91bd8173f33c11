/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of all commands: one table for the parser, the help and the check of the man page. */
#ifndef MANAGE_OPTIONS_H
#define MANAGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manage/disk_words.h"
#include "network/tap.h"

#define OPTIONS_DISKS_MAX    16
#define OPTIONS_FORWARDS_MAX 32
#define OPTIONS_SHARES_MAX   8
#define OPTIONS_OWNED_MAX    32
#define OPTIONS_MEMORY_MIN   (UINT64_C(4) << 20)
#define OPTIONS_MEMORY_MAX   (UINT64_C(512) << 30)

/* The commands, as bits: which of them an option is for. */
enum {
	COMMAND_RUN = 1,
	COMMAND_DOCTOR = 2,
	COMMAND_VERSION = 4,
	COMMAND_HELP = 8,
	COMMAND_CREATE = 32, /* a machine of the store: what its machine.conf can say */
};

struct managed;

enum options_net { NET_DEFAULT, NET_NONE, NET_USER, NET_LAN, NET_TAP };

#define OPTIONS_NETWORK_NAME 64

/* A network between machines, and how this one is on it. */
struct options_network {
	char name[OPTIONS_NETWORK_NAME];
	uint16_t vlan; /* 1 to 4094 */
	bool trunk;
	uint64_t rate; /* bytes a second that it may send (and with NET_USER receive); 0: any */
};

/* A tap of this host; "" is not given. */
struct options_tap {
	char name[TAP_NAME], bridge[TAP_NAME];
};

/* A folder of this host and where the guest has it. */
struct options_share {
	char *host;  /* to be freed; guest is in the same block */
	char *guest; /* absolute */
	bool read_only;
	uint32_t uid, gid; /* whose its files are in the guest */
};

/* What was asked for. Strings live as long as argv, those of disks and of a machine file until
 * options_free. NULL: not given. */
struct options {
	uint64_t given;	     /* a bit for each row of options_table */
	const char *machine; /* FILE[:NAME]: machine_apply fills in what it says */
	const char *image;   /* of run: a throw-away machine of it (throwaway.h) */
	const char *kernel, *initrd, *append;
	struct options_disk disks[OPTIONS_DISKS_MAX];
	unsigned disk_count;
	struct options_share shares[OPTIONS_SHARES_MAX];
	unsigned share_count;
	unsigned cpus;
	uint64_t processors; /* of this host, a bit each, on which it may run; 0: any (limits.h) */
	unsigned weight;     /* its share of them, in hundredths of the usual one; 0: that */
	unsigned cap;	     /* percent of one of them that it may use at most; 0: any */
	const char *processors_text; /* as they were written; NULL: not given */
	uint64_t memory;	     /* bytes */
	enum options_net net;
	struct options_network network;		    /* with NET_LAN; its rate with NET_USER */
	struct options_tap tap;			    /* with NET_TAP */
	const char *net_text;			    /* with these two: as it was written */
	uint8_t mac[6];				    /* all 0: the usual one */
	const char *forwards[OPTIONS_FORWARDS_MAX]; /* [ip:]host:guest[/udp], checked later */
	unsigned forward_count;
	const char *engine, *cpu_model;
	const char *console;	 /* "stdio", "none" or "file:F" */
	const char *control;	 /* where the control socket is to be */
	const char *name;	 /* the machine's, if it has one */
	struct managed *managed; /* of a machine of the store; stays the caller's */
	const char *restore;	 /* the file of a saved machine */
	const char *incoming;	 /* where a machine is to come from */
	bool any_tsc;		 /* that runs at another speed than the saved machine's */
	bool trust_paths;	 /* a saved machine's word is enough for files to be opened */
	const char *cloud_init, *hostname, *user, *ssh_key; /* the seed's (seed.h); files, names */
	bool seeded; /* of create: the machine's folder has a seed */
	bool test_devices;
	int log_level; /* enum host_log_level */
	bool json;
	int stats;			      /* enum stats_form */
	char **command;			      /* behind --, ended by NULL; NULL for none */
	const char *subject, *subject_second; /* of help */
	char *owned[OPTIONS_OWNED_MAX];
	unsigned owned_count;
};

struct option {
	const char *name;     /* with its dashes */
	const char *argument; /* its name in the help; NULL for a switch */
	unsigned commands;
	bool repeats;
	/* Takes the value; false with a reason (what is wrong, what would be right) if it is no
	 * good. */
	bool (*set)(struct options *options, const char *value, char *reason, size_t size);
	const char *help;
};

/* Ended by one whose name is NULL. */
extern const struct option options_table[];

/* A shared folder, HOST:GUEST[:WORD[,WORD]], is added. False with a reason. */
bool options_share_take(struct options *options, const char *text, char *reason, size_t size);

/* user[,rate=SIZE], none, tap[,bridge=NAME][,name=NAME], or NAME[,vlan=N][,trunk][,rate=SIZE] of a
 * network. False with a reason. The text stays in use. */
bool options_net_take(struct options *options, const char *text, char *reason, size_t size);

void options_init(struct options *options);
void options_free(struct options *options);

/*
 * Parses what follows the command's name; arguments is ended by NULL. False if something is wrong:
 * then reason is one line that names the argument and says what to do.
 */
bool options_parse(struct options *options, unsigned command, char **arguments, char *reason,
		   size_t size);

/*
 * Takes one option of the command, whose value may be in the next argument: *next moves on to it
 * then. 1; 0 with a reason; -1: it is none of this command.
 */
int options_take(struct options *options, unsigned command, char ***next, char *reason,
		 size_t size);

/* What can only be seen in the whole, after the last option. */
bool options_check(const struct options *options, char *reason, size_t size);

/* Whether the command line has this option. */
bool options_given(const struct options *options, const char *name);

#endif
