/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/word.h"
#include "manage/completion.h"
#include "manage/help.h"
#include "manage/net_store.h"
#include "manage/safe_file.h"
#include "manage/verb.h"

static struct store store;

/* The words are separated by blanks; the possibilities come with one behind each. */
static void expect(const char *line, const char *possibilities)
{
	char words[256], *all[16] = {NULL}, *text = NULL;
	unsigned count = 0;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	snprintf(words, sizeof(words), "%s", line);
	for (char *at = words;; at++) {
		all[count++] = at;
		at = strchr(at, ' ');
		if (!at)
			break;
		*at = '\0';
	}
	complete_words((const char *const *)all, &store, out);
	fclose(out);
	for (char *c = text; *c; c++)
		if (*c == '\n')
			*c = ' ';
	if (strcmp(text, possibilities) != 0)
		FAIL("\"%s\": %s, not %s", line, text, possibilities);
	free(text);
}

TEST(verbs_options_and_names_are_completed)
{
	static const char machine[] = "[machine web]\nkernel = kernel\n";
	static const char snapshot[] = "{\"time\": 1, \"disks\": []}\n";
	struct net_info net = {.isolated = true};
	char path[STORE_PATH], reason[256];

	setenv("XDG_DATA_HOME", test_folder(), 1);
	REQUIRE(store_open(&store, reason, sizeof(reason)) == 0);
	snprintf(path, sizeof(path), "%s/web", store.machines);
	REQUIRE(safe_folder_make(path) == 0);
	snprintf(path, sizeof(path), "%s/wiki", store.machines);
	REQUIRE(safe_folder_make(path) == 0);
	snprintf(path, sizeof(path), "%s/debian", store.images);
	REQUIRE(safe_folder_make(path) == 0);

	snprintf(path, sizeof(path), "%s/web/snapshots", store.machines);
	REQUIRE(safe_folder_make(path) == 0);
	snprintf(path, sizeof(path), "%s/web/machine.conf", store.machines);
	REQUIRE(safe_file_replace(path, machine, strlen(machine), 0600) == 0);
	snprintf(path, sizeof(path), "%s/web/snapshots/first", store.machines);
	REQUIRE(safe_file_replace(path, snapshot, strlen(snapshot), 0600) == 0);
	snprintf(net.name, sizeof(net.name), "blue");
	REQUIRE(net_create(&net, reason, sizeof(reason)) == 0);
	snprintf(net.name, sizeof(net.name), "red");
	REQUIRE(net_create(&net, reason, sizeof(reason)) == 0);

	expect("st", "start stop ");
	expect("port", "port ");
	expect("port ", "add ls rm ");
	expect("snapshot re", "restore ");
	expect("start ", "web wiki ");
	expect("start web wi", "wiki ");
	expect("port add w", "web wiki ");
	expect("port add web ", "");
	expect("stop --t", "--timeout ");
	expect("stop --timeout ", "");
	expect("stop --timeout 5 wik", "wiki ");
	expect("create --image ", "debian ");
	expect("create --mem", "--memory ");
	expect("image rm ", "debian ");
	expect("image c", "create check convert ");
	expect("image convert --fr", "--from ");
	expect("image resize --format ", "raw qcow2 ");
	expect("help res", "restart resume restore ");
	expect("doctor --", "--json ");
	expect("shell w", "web wiki ");
	expect("exec wi", "wiki ");
	expect("exec web --t", "--tty --timeout ");
	expect("exec web -- w", "");
	expect("exec --user w", "");
	expect("cp w", "web: wiki: ");
	expect("cp web : /r", "");
	expect("cp file wi", "wiki: ");
	expect("save w", "web wiki ");
	expect("completion z", "zsh ");
	expect("net rm b", "blue ");
	expect("net rm blue r", "red ");
	expect("run --net ", "user none tap blue red ");
	expect("create --net r", "red ");
	expect("snapshot restore web ", "first ");
	expect("nonsense ", "");
}

TEST(every_verb_can_be_found_and_says_what_it_is)
{
	for (const struct verb *const *table = verb_tables; *table; table++) {
		for (const struct verb *verb = *table; verb->name; verb++) {
			char name[64];
			const char *words[3] = {name, NULL, NULL};
			char *blank;
			unsigned length;

			snprintf(name, sizeof(name), "%s", verb->name);
			blank = strchr(name, ' ');
			if (blank) {
				*blank = '\0';
				words[1] = blank + 1;
				EXPECT(verb_is_first_word(name));
			}
			EXPECT(verb_find(words, &length) == verb);
			EXPECT_EQ(length, blank ? 2 : 1);
			EXPECT(verb->summary && verb->usage && verb->run);
			EXPECT(verb->words_max <= VERB_WORDS_MAX);
		}
	}
}
