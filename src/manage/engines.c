/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/engines.h"

#include <stdio.h>
#include <string.h>

#include "engines/kvm/kvm.h"
#include "engines/translate/engine.h"
#include "engines/translate/translate.h"
#include "lib/word.h"
#include "manage/options.h"

const struct engine *const engines_all[] = {
	&engine_kvm,
	&engine_translate,
	NULL,
};

/* Every engine's verdict, one behind the other, for a host where none works. */
static void collect_reasons(char *reason, size_t size)
{
	size_t length = (size_t)snprintf(reason, size, "no engine can run guests here");

	for (const struct engine *const *engine = engines_all; *engine && length < size; engine++) {
		char why[256] = "";

		(*engine)->probe(why, sizeof(why));
		length += (size_t)snprintf(reason + length, size - length, "; %s: %s",
					   (*engine)->name, why);
	}
}

static bool is_named(const struct engine *engine, const char *name)
{
	size_t length = strcspn(name, ",");

	return strlen(engine->name) == length && !strncmp(engine->name, name, length);
}

static bool option_known(const struct engine *engine, const char *name)
{
	const char *option = strchr(name, ',');

	if (!option)
		return true;
	return engine == &engine_translate &&
	       (!strcmp(option, ",interpret") || !strcmp(option, ",windows") ||
		!strcmp(option, ",windows-all"));
}

void engines_configure(const char *name, struct vm *vm)
{
	const char *option = name ? strchr(name, ',') : NULL;

	if (option && !strcmp(option, ",interpret"))
		engine_interpret_only(vm, true);
	else if (option)
		engine_windows(vm, strcmp(option, ",windows") ? ENGINE_WINDOWS_ALL
							      : ENGINE_WINDOWS_USER);
}

static const struct engine *find(const char *name, char *reason, size_t size)
{
	const char *names[8] = {"auto"};
	const char *nearest;
	unsigned count = 1;

	for (const struct engine *const *engine = engines_all; *engine; engine++) {
		if (is_named(*engine, name)) {
			if (option_known(*engine, name))
				return *engine;
			snprintf(reason, size,
				 "--engine %s: the engine %s has no such option: leave out what is "
				 "behind the comma",
				 name, (*engine)->name);
			return NULL;
		}
		if (count < sizeof(names) / sizeof(names[0]) - 1)
			names[count++] = (*engine)->name;
	}
	nearest = word_nearest(name, names);
	snprintf(reason, size,
		 "--engine %s: there is no such engine%s%s%s (lodge doctor lists them)", name,
		 nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
	return NULL;
}

/* The first that can. What is better and can't is named: nobody is to wonder why it is slow. */
static const struct engine *choose(char *reason, size_t size)
{
	char passed[512] = "";
	size_t length = 0;

	for (const struct engine *const *engine = engines_all; *engine; engine++) {
		char why[256] = "";

		if (!(*engine)->probe(why, sizeof(why))) {
			snprintf(reason, size, "%s%s", why, passed);
			return *engine;
		}
		if (length < sizeof(passed))
			length += (size_t)snprintf(passed + length, sizeof(passed) - length,
						   "; not %s: %s", (*engine)->name, why);
	}
	collect_reasons(reason, size);
	return NULL;
}

const struct engine *engines_choose(const char *name, char *reason, size_t size)
{
	if (name && strcmp(name, "auto") != 0) {
		const struct engine *engine = find(name, reason, size);
		char why[256] = "";

		if (engine && engine->probe(why, sizeof(why))) {
			snprintf(reason, size, "--engine %s: it can't run guests here: %s", name,
				 why);
			return NULL;
		}
		if (engine)
			snprintf(reason, size, "%s", why);
		return engine;
	}
	return choose(reason, size);
}
