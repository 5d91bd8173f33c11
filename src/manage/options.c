/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/options.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"
#include "core/vm.h"
#include "lib/word.h"
#include "machines/machine_keys.h"
#include "manage/seed.h"
#include "manage/stats.h"
#include "network/lan.h"

#define MIB (UINT64_C(1) << 20)

static bool wrong(char *reason, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static bool wrong(char *reason, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, size, format, arguments);
	va_end(arguments);
	return false;
}

static bool set_machine(struct options *options, const char *value, char *reason, size_t size)
{
	options->machine = value;
	return *value || wrong(reason, size, "needs a file");
}

static bool set_kernel(struct options *options, const char *value, char *reason, size_t size)
{
	options->kernel = value;
	return *value || wrong(reason, size, "needs a file");
}

static bool set_initrd(struct options *options, const char *value, char *reason, size_t size)
{
	options->initrd = value;
	return *value || wrong(reason, size, "needs a file");
}

static bool set_append(struct options *options, const char *value, char *reason, size_t size)
{
	options->append = value;
	return true;
}

static bool set_disk(struct options *options, const char *value, char *reason, size_t size)
{
	struct options_disk *disk = &options->disks[options->disk_count];

	if (options->disk_count == OPTIONS_DISKS_MAX)
		return wrong(reason, size, "there can be %u disks at most", OPTIONS_DISKS_MAX);
	*disk = (struct options_disk){.path = strdup(value)};
	if (!disk->path)
		return wrong(reason, size, "no memory");
	options->disk_count++;
	return options_disk_take(disk, reason, size);
}

/* One of ro, uid=N and gid=N. */
static bool share_word(struct options_share *share, const char *word)
{
	uint64_t number;

	if (!strcmp(word, "ro"))
		return share->read_only = true;
	if ((strncmp(word, "uid=", 4) != 0 && strncmp(word, "gid=", 4) != 0) ||
	    !word_number(word + 4, &number) || number >= UINT32_MAX)
		return false;
	*(word[0] == 'u' ? &share->uid : &share->gid) = (uint32_t)number;
	return true;
}

/* HOST:GUEST[:WORD[,WORD]]. The guest's path is absolute, so the last ":/" parts the two. */
static bool share_take(struct options_share *share, char *reason, size_t size)
{
	char *guest = NULL, *words, *word;

	for (char *at = share->host; *at && (at = strstr(at + 1, ":/"));)
		guest = at;
	if (!guest)
		return wrong(reason, size, "write HOST:GUEST, with a GUEST that begins with /");
	*guest++ = '\0';
	share->guest = guest;
	words = strchr(guest, ':');
	if (words)
		*words++ = '\0';
	while ((word = strsep(&words, ",")))
		if (!share_word(share, word))
			return wrong(reason, size,
				     "what is %s? Behind the guest's folder may stand ro, uid=N "
				     "and gid=N",
				     word);
	return true;
}

bool options_share_take(struct options *options, const char *value, char *reason, size_t size)
{
	struct options_share *share = &options->shares[options->share_count];

	if (options->share_count == OPTIONS_SHARES_MAX)
		return wrong(reason, size, "there can be %u shared folders at most",
			     OPTIONS_SHARES_MAX);
	*share = (struct options_share){.host = strdup(value)};
	if (!share->host)
		return wrong(reason, size, "no memory");
	options->share_count++;
	return share_take(share, reason, size);
}

static bool set_cpus(struct options *options, const char *value, char *reason, size_t size)
{
	char *end;
	unsigned long count = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end || count < 1 || count > VM_VCPUS_MAX)
		return wrong(reason, size, "must be a number from 1 to %u", VM_VCPUS_MAX);
	options->cpus = (unsigned)count;
	return true;
}

static bool set_memory(struct options *options, const char *value, char *reason, size_t size)
{
	if (!word_size(value, &options->memory))
		return wrong(reason, size, "is not a size: write 512M, 2G or 64MiB, say");
	if (options->memory < OPTIONS_MEMORY_MIN)
		return wrong(
			reason, size,
			"is too little: a guest needs at least %llu MiB, and Linux 64 MiB or more",
			(unsigned long long)(OPTIONS_MEMORY_MIN / MIB));
	if (options->memory > OPTIONS_MEMORY_MAX)
		return wrong(reason, size, "is too much: %llu GiB is the most",
			     (unsigned long long)(OPTIONS_MEMORY_MAX >> 30));
	if (options->memory % (2 * MIB))
		return wrong(reason, size, "must be a multiple of 2 MiB");
	return true;
}

/* In the words of the machine file. */
static bool take_limit(enum machine_key key, struct machine_config *config, const char *value,
		       char *reason, size_t size)
{
	char why[MACHINE_KEY_REASON];

	return machine_keys[key].set(config, value, why) || wrong(reason, size, "%s", why);
}

static bool set_weight(struct options *options, const char *value, char *reason, size_t size)
{
	struct machine_config config;
	bool good = take_limit(MACHINE_WEIGHT, &config, value, reason, size);

	if (good)
		options->weight = config.weight;
	return good;
}

static bool set_cap(struct options *options, const char *value, char *reason, size_t size)
{
	struct machine_config config;
	bool good = take_limit(MACHINE_CAP, &config, value, reason, size);

	if (good)
		options->cap = config.cap;
	return good;
}

static bool set_processors(struct options *options, const char *value, char *reason, size_t size)
{
	struct machine_config config;
	bool good = take_limit(MACHINE_PROCESSORS, &config, value, reason, size);

	if (good)
		options->processors = config.processors;
	options->processors_text = value;
	return good;
}

/* One of vlan=N, trunk and rate=SIZE. */
static bool network_word(struct options_network *network, const char *word)
{
	uint64_t number;

	if (!strcmp(word, "trunk"))
		return network->trunk = true;
	if (!strncmp(word, "rate=", 5))
		return word_size(word + 5, &network->rate) && network->rate > 0;
	if (strncmp(word, "vlan=", 5) != 0 || !word_number(word + 5, &number) || number < 1 ||
	    number > LAN_VLAN_MAX)
		return false;
	network->vlan = (uint16_t)number;
	return true;
}

/* none, user or user,rate=SIZE. */
static bool user_take(struct options *options, const char *text, char *reason, size_t size)
{
	uint64_t rate = 0;

	options->network = (struct options_network){.name = ""};
	options->net = text[0] == 'u' ? NET_USER : NET_NONE;
	if (text[4] == ',' && (strncmp(text + 5, "rate=", 5) != 0 || !word_size(text + 10, &rate)))
		return wrong(reason, size,
			     "what is %s? Behind user may stand rate=SIZE (bytes a second, each "
			     "way)",
			     text + 5);
	options->network.rate = rate;
	return true;
}

/* One of bridge=NAME and name=NAME. */
static bool tap_word(struct options_tap *tap, const char *word)
{
	char *to = !strncmp(word, "bridge=", 7) ? tap->bridge
		   : !strncmp(word, "name=", 5) ? tap->name
						: NULL;
	const char *name = strchr(word, '=');

	if (!to || !name[1] || strlen(name + 1) >= TAP_NAME || strpbrk(name, "/ %:"))
		return false;
	strcpy(to, name + 1);
	return true;
}

static bool take_tap(struct options *options, char *words, char *reason, size_t size)
{
	char *word;

	options->tap = (struct options_tap){.name = ""};
	options->net = NET_TAP;
	while ((word = strsep(&words, ",")))
		if (!tap_word(&options->tap, word))
			return wrong(reason, size,
				     "what is %s? Behind tap may stand bridge=NAME and name=NAME "
				     "(of network cards here, at most %d letters)",
				     word, TAP_NAME - 1);
	return true;
}

bool options_net_take(struct options *options, const char *text, char *reason, size_t size)
{
	struct options_network *network = &options->network;
	char copy[128], *rest = copy, *word;

	if (!strncmp(text, "user,", 5) || !strcmp(text, "user") || !strcmp(text, "none"))
		return user_take(options, text, reason, size);
	*network = (struct options_network){.vlan = LAN_VLAN};
	snprintf(copy, sizeof(copy), "%s", text);
	word = strsep(&rest, ",");
	options->net_text = text;
	if (strlen(text) < sizeof(copy) && !strcmp(word, "tap"))
		return take_tap(options, rest, reason, size);
	snprintf(network->name, sizeof(network->name), "%s", word);
	if (strlen(text) >= sizeof(copy) || !lan_name_ok(word))
		return wrong(reason, size,
			     "must be user, none, tap, or the name of a network (lodge net "
			     "ls)");
	while ((word = strsep(&rest, ",")))
		if (!network_word(network, word))
			return wrong(reason, size,
				     "what is %s? Behind the network's name may stand vlan=N (1 to "
				     "%d), trunk and rate=SIZE (bytes a second)",
				     word, LAN_VLAN_MAX);
	options->net = NET_LAN;
	return true;
}

static bool set_net(struct options *options, const char *value, char *reason, size_t size)
{
	return options_net_take(options, value, reason, size);
}

static bool set_forward(struct options *options, const char *value, char *reason, size_t size)
{
	if (options->forward_count == OPTIONS_FORWARDS_MAX)
		return wrong(reason, size, "there can be %u of them at most", OPTIONS_FORWARDS_MAX);
	options->forwards[options->forward_count++] = value;
	return true; /* its parts are the network's to check */
}

static bool set_engine(struct options *options, const char *value, char *reason, size_t size)
{
	options->engine = value;
	return *value || wrong(reason, size, "needs a name (lodge doctor lists them)");
}

static bool set_cpu_model(struct options *options, const char *value, char *reason, size_t size)
{
	options->cpu_model = value;
	return *value || wrong(reason, size, "needs a name");
}

static bool set_console(struct options *options, const char *value, char *reason, size_t size)
{
	options->console = value;
	return !strcmp(value, "stdio") || !strcmp(value, "none") ||
	       (!strncmp(value, "file:", 5) && value[5]) ||
	       wrong(reason, size, "must be stdio, none or file:NAME");
}

static bool set_control(struct options *options, const char *value, char *reason, size_t size)
{
	options->control = value;
	return *value || wrong(reason, size, "needs the name of a socket");
}

static bool set_restore(struct options *options, const char *value, char *reason, size_t size)
{
	options->restore = value;
	return *value || wrong(reason, size, "needs a file");
}

static bool set_trust_paths(struct options *options, const char *value, char *reason, size_t size)
{
	options->trust_paths = true;
	return true;
}

static bool set_any_tsc(struct options *options, const char *value, char *reason, size_t size)
{
	options->any_tsc = true;
	return true;
}

static bool set_incoming(struct options *options, const char *value, char *reason, size_t size)
{
	options->incoming = value;
	return *value || wrong(reason, size, "needs an address: HOST:PORT or unix:PATH");
}

static bool set_cloud_init(struct options *options, const char *value, char *reason, size_t size)
{
	options->cloud_init = value;
	return *value || wrong(reason, size, "needs a file");
}

static bool set_hostname(struct options *options, const char *value, char *reason, size_t size)
{
	options->hostname = value;
	return seed_hostname_ok(value) ||
	       wrong(reason, size, "is no host name: letters, digits, - and ., at most 63 of them");
}

static bool set_user(struct options *options, const char *value, char *reason, size_t size)
{
	options->user = value;
	return seed_user_ok(value) ||
	       wrong(reason, size,
		     "is no user's name: small letters, digits, _ and -, at most 32 of them");
}

static bool set_ssh_key(struct options *options, const char *value, char *reason, size_t size)
{
	options->ssh_key = value;
	return *value || wrong(reason, size, "needs a file");
}

static bool set_test_devices(struct options *options, const char *value, char *reason, size_t size)
{
	options->test_devices = true;
	return true;
}

static bool set_log(struct options *options, const char *value, char *reason, size_t size)
{
	static const char *const levels[] = {[LOG_ERROR] = "error",
					     [LOG_WARNING] = "warning",
					     [LOG_INFO] = "info",
					     [LOG_DEBUG] = "debug"};

	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (!strcmp(value, levels[i])) {
			options->log_level = i;
			return true;
		}
	}
	return wrong(reason, size, "must be error, warning, info or debug");
}

static bool set_stats(struct options *options, const char *value, char *reason, size_t size)
{
	options->stats = !strcmp(value, "text")	  ? STATS_TEXT
			 : !strcmp(value, "json") ? STATS_JSON
						  : STATS_NONE;
	return options->stats != STATS_NONE || wrong(reason, size, "must be text or json");
}

static bool set_json(struct options *options, const char *value, char *reason, size_t size)
{
	options->json = true;
	return true;
}

/* Of a machine that is kept, too. */
#define COMMAND_MACHINE (COMMAND_RUN | COMMAND_CREATE)

const struct option options_table[] = {
	{"--machine", "FILE[:NAME]", COMMAND_RUN, false, set_machine,
	 "a machine as FILE describes it (machine-file(5)); what the command line says counts "
	 "more; "
	 "NAME says which of several"},
	{"--kernel", "FILE", COMMAND_MACHINE, false, set_kernel,
	 "the kernel: a Linux bzImage, an ELF file with a PVH note (vmlinux), or a multiboot 1 "
	 "kernel; "
	 "without it, the guest that `make guest` has prepared"},
	{"--initrd", "FILE", COMMAND_MACHINE, false, set_initrd,
	 "the initial RAM disk; for multiboot, modules: FILE[ ARGUMENTS][,FILE...]"},
	{"--append", "TEXT", COMMAND_MACHINE, false, set_append,
	 "the kernel's command line (default for Linux: console=ttyS0 panic=-1)"},
	{"--disk", "FILE[,WORD...]", COMMAND_MACHINE, true, set_disk,
	 "a disk image or a block device, as /dev/vda, /dev/vdb and so on; words: ro: never "
	 "written; format=raw|qcow2 (default: qcow2 if the name ends in .qcow2, else raw); "
	 "rate=SIZE, ops=N: no more bytes and operations a second; burst=SIZE, ops-burst=N: so "
	 "many at once after a rest; on-full=wait|error: whether what the guest writes waits "
	 "(default) or fails while this host has no room for it"},
	{"-v", "HOST:GUEST[:ro]", COMMAND_MACHINE, true, options_share_take,
	 "shares the folder HOST with the guest, whose kernel is Linux 5.4 or later: with Lodge's "
	 "initrd it is at GUEST, otherwise mount -t virtiofs share0 (share1, ...) DIR; ro: never "
	 "written; uid=N,gid=N: whose the files are there (default 0)"},
	{"--cpus", "N", COMMAND_MACHINE, false, set_cpus,
	 "how many processors, 1 to 32 (default 1)"},
	{"--memory", "SIZE", COMMAND_MACHINE, false, set_memory,
	 "memory: 512M, 2G, 64MiB (default 512M)"},
	{"--weight", "N", COMMAND_MACHINE, false, set_weight,
	 "its share of processor time among machines, 1 to 10000 (default 100); more than that is "
	 "for root"},
	{"--cap", "PERCENT", COMMAND_MACHINE, false, set_cap,
	 "how much of one processor it may use at most, all its processors together: 250 is two "
	 "and a half (default 0: no cap)"},
	{"--processors", "all|LIST", COMMAND_MACHINE, false, set_processors,
	 "which of this host's processors it may run on: 0-3,5 (default all)"},
	{"--net", "user[,rate=SIZE]|none|tap|NAME", COMMAND_MACHINE, false, set_net,
	 "a network card behind address translation, which needs no rights (user; rate: no more "
	 "bytes a second, each way); none (default, but for the prepared guest); a tap of this "
	 "host's, tap[,bridge=NAME][,name=NAME], which takes root, or a tap that is yours; or one "
	 "on a network between machines that lodge net create "
	 "has made: NAME[,vlan=N][,trunk][,rate=SIZE]"},
	{"-p", "[IP:]HOST:GUEST[/udp]", COMMAND_MACHINE, true, set_forward,
	 "makes a port of the guest reachable at a port of this host, at 127.0.0.1 or IP (one of "
	 "IPv6 in brackets: [::1]:8080:80; implies --net user)"},
	{"--engine", "NAME", COMMAND_MACHINE, false, set_engine,
	 "what runs the guest: auto (default) or one that `lodge doctor` lists; "
	 "translate,interpret "
	 "(for finding faults in Lodge) has it interpret every instruction"},
	{"--cpu-model", "NAME", COMMAND_MACHINE, false, set_cpu_model,
	 "what the guest's processors can do: portable, x86-64-v2 (default), x86-64-v3 or max"},
	{"--console", "stdio|file:FILE|none", COMMAND_RUN, false, set_console,
	 "where the serial port COM1 leads (default stdio; with COMMAND none)"},
	{"--control", "SOCKET", COMMAND_RUN, false, set_control,
	 "makes a socket there over which programs control the machine (docs/control-protocol.md)"},
	{"--restore", "FILE", COMMAND_RUN, false, set_restore,
	 "goes on with a machine that `lodge save` has saved, with the limits that it had; of the "
	 "options that make a machine only --disk (all of them, with their limits), --kernel, "
	 "--initrd, -p, -v and --net user[,rate=SIZE] may be given"},
	{"--incoming", "ADDRESS", COMMAND_RUN, false, set_incoming,
	 "waits at HOST:PORT or unix:PATH for a machine that `lodge migrate` sends, and goes on "
	 "with "
	 "it; options as with --restore"},
	{"--trust-paths", NULL, COMMAND_RUN, false, set_trust_paths,
	 "with --restore or --incoming: opens the files that the machine names, although it was "
	 "not "
	 "saved by this user on this host"},
	{"--any-tsc", NULL, COMMAND_RUN, false, set_any_tsc,
	 "with --restore or --incoming: goes on although the guest's clocks will be wrong, for its "
	 "TSC "
	 "runs at another speed here"},
	{"--cloud-init", "FILE", COMMAND_MACHINE, false, set_cloud_init,
	 "user-data for cloud-init, on a further disk that is never written (NoCloud)"},
	{"--hostname", "NAME", COMMAND_MACHINE, false, set_hostname,
	 "the guest's host name, by the same disk; with cloud-init, or with Lodge's agent"},
	{"--user", "NAME", COMMAND_MACHINE, false, set_user,
	 "a user who is made in the guest in this way, and may become root by sudo"},
	{"--ssh-key", "FILE", COMMAND_MACHINE, false, set_ssh_key,
	 "public keys that may log in as that user, or without one as root (or cloud-init's "
	 "user)"},
	{"--test-devices", NULL, COMMAND_MACHINE, false, set_test_devices,
	 "the ports of test programs: exit at 0xf4, debug console at 0xe9, pc-testdev at 0xe0 and "
	 "0xec"},
	{"--log", "LEVEL", COMMAND_RUN, false, set_log,
	 "what Lodge reports on standard error: error, warning (default), info or debug"},
	{"--stats", "text|json", COMMAND_RUN, false, set_stats,
	 "says on standard error at the end where the machine's time has gone"},
	{"--json", NULL, COMMAND_DOCTOR | COMMAND_VERSION, false, set_json, "reports as JSON"},
	{NULL, NULL, 0, false, NULL, NULL},
};

void options_init(struct options *options)
{
	*options = (struct options){
		.cpus = 1,
		.memory = UINT64_C(512) << 20,
		.log_level = LOG_WARNING,
	};
}

void options_free(struct options *options)
{
	for (unsigned i = 0; i < options->disk_count; i++)
		free(options->disks[i].path);
	options->disk_count = 0;
	for (unsigned i = 0; i < options->share_count; i++)
		free(options->shares[i].host);
	options->share_count = 0;
	for (unsigned i = 0; i < options->owned_count; i++)
		free(options->owned[i]);
	options->owned_count = 0;
}

bool options_given(const struct options *options, const char *name)
{
	for (const struct option *option = options_table; option->name; option++)
		if (!strcmp(option->name, name))
			return options->given >> (option - options_table) & 1;
	return false;
}

/* The option that argument names, and where its value begins if it is in the same argument. */
static const struct option *find(const char *argument, unsigned command, const char **value)
{
	size_t length = strcspn(argument, "=");

	*value = argument[length] ? argument + length + 1 : NULL;
	for (const struct option *option = options_table; option->name; option++)
		if ((option->commands & command) && strlen(option->name) == length &&
		    !strncmp(option->name, argument, length))
			return option;
	return NULL;
}

/* What can only be seen in the whole. */
bool options_check(const struct options *options, char *reason, size_t size)
{
	if (options->net == NET_TAP && options->forward_count)
		return wrong(reason, size,
			     "-p %s: behind a tap the guest has an address of its own: no port is "
			     "forwarded",
			     options->forwards[0]);
	if (options->net == NET_NONE && options->forward_count)
		return wrong(reason, size, "-p %s: there is no network with --net none",
			     options->forwards[0]);
	if (options->command && options->console && !strcmp(options->console, "stdio"))
		return wrong(reason, size,
			     "--console stdio: standard input and output are the command's: take "
			     "file:NAME or none");
	if (options->restore && options->incoming)
		return wrong(reason, size, "--restore and --incoming: it is one or the other");
	if (options->trust_paths && !options->restore && !options->incoming)
		return wrong(reason, size, "--trust-paths: goes with --restore or --incoming");
	if (options->any_tsc && !options->restore && !options->incoming)
		return wrong(reason, size, "--any-tsc: goes with --restore or --incoming");
	return true;
}

static bool unknown(const char *argument, unsigned command, char *reason, size_t size)
{
	const char *names[sizeof(options_table) / sizeof(options_table[0])] = {NULL};
	char word[64];
	const char *nearest;
	unsigned count = 0;

	for (const struct option *option = options_table; option->name; option++)
		if (option->commands & command)
			names[count++] = option->name;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(argument, "="), argument);
	nearest = word_nearest(word, names);
	if (nearest)
		return wrong(reason, size, "unknown option %s: did you mean %s?", word, nearest);
	return wrong(reason, size, "unknown option %s: see lodge help", word);
}

static bool take(struct options *options, const struct option *option, const char *value,
		 char *reason, size_t size)
{
	char why[512];

	if (option->set(options, value, why, sizeof(why)))
		return true;
	return wrong(reason, size, "%s %s: %s", option->name, value, why);
}

/* An argument that is no option: help's subject, or a mistake. */
static bool word(struct options *options, unsigned command, const char *argument, char *reason,
		 size_t size)
{
	if (command == COMMAND_HELP && !options->subject) {
		options->subject = argument;
		return true;
	}
	if (command == COMMAND_HELP && !options->subject_second) {
		options->subject_second = argument;
		return true;
	}
	if (command == COMMAND_RUN && !options->image) {
		options->image = argument;
		return *argument || wrong(reason, size, "an image needs a name");
	}
	if (command == COMMAND_RUN)
		return wrong(reason, size, "what is %s? A command for the guest goes behind --",
			     argument);
	return wrong(reason, size, "what is %s? See lodge help", argument);
}

int options_take(struct options *options, unsigned command, char ***next, char *reason, size_t size)
{
	const char *value;
	const struct option *option = find(**next, command, &value);
	uint64_t bit;

	if (!option)
		return -1;
	bit = UINT64_C(1) << (option - options_table);
	if ((options->given & bit) && !option->repeats)
		return wrong(reason, size, "%s is given twice: once is enough", option->name);
	options->given |= bit;
	if (!option->argument && value)
		return wrong(reason, size, "%s takes no value", option->name);
	if (option->argument && !value) {
		value = (*next)[1] ? *++*next : NULL;
		if (!value)
			return wrong(reason, size, "%s needs a value: %s %s", option->name,
				     option->name, option->argument);
	}
	return take(options, option, value, reason, size);
}

bool options_parse(struct options *options, unsigned command, char **arguments, char *reason,
		   size_t size)
{
	for (char **next = arguments; *next; next++) {
		const char *argument = *next;
		int taken;

		if (!strcmp(argument, "--") && command == COMMAND_RUN) {
			options->command = next + 1;
			if (!*options->command)
				return wrong(reason, size, "--: a command must follow");
			break;
		}
		if (argument[0] != '-' || !argument[1]) {
			if (!word(options, command, argument, reason, size))
				return false;
			continue;
		}
		taken = options_take(options, command, &next, reason, size);
		if (taken < 0)
			return unknown(argument, command, reason, size);
		if (!taken)
			return false;
	}
	return options_check(options, reason, size);
}
