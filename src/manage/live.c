/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/live.h"

#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>

#include "manage/control_client.h"

json_t *live_status(const struct state *state, int timeout)
{
	const struct control_exchange exchange = {.command = "status", .timeout = timeout};
	struct control_client *client;
	char code[64], reason[1200];
	json_t *live = NULL;

	if (state->state != MACHINE_RUNNING && state->state != MACHINE_PAUSED)
		return NULL;
	if (control_connect(&client, state->control))
		return NULL;
	if (control_ask(client, &exchange, &live, code, sizeof(code), reason, sizeof(reason)))
		live = NULL;
	control_disconnect(client);
	return live;
}

uint64_t live_number(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* Limits */

/* The figures of a disk's limits, as `status` names them and as --disk does. */
static const struct {
	const char *name, *word;
} figures[] = {
	{"rate", "rate"},
	{"burst", "burst"},
	{"operations", "ops"},
	{"operations-burst", "ops-burst"},
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

/* Of its process, as the kernel has it. */
static int nice_of(const json_t *live)
{
	uint64_t pid = live_number(live, "pid");

	return pid && pid < INT_MAX ? getpriority(PRIO_PROCESS, (id_t)pid) : 0;
}

static void put_limits_of_cpu(const json_t *live)
{
	const json_t *cpu = json_object_get(live, "cpu");
	uint64_t cap = live_number(cpu, "cap"), weight = live_number(cpu, "weight");
	const char *group = text_of(cpu, "cgroup"), *why = text_of(cpu, "why");
	int nice = nice_of(live);

	if (cap)
		printf("%-12scpu cap=%llu, by %s\n", "limits", (unsigned long long)cap,
		       *group ? "its control group" : "Lodge itself");
	if (weight)
		printf("%-12scpu weight=%llu, by its control group\n", "limits",
		       (unsigned long long)weight);
	if (nice)
		printf("%-12scpu nice=%d\n", "limits", nice);
	if (*group)
		printf("%-12s%s\n", "cgroup", group);
	else if (*why)
		printf("%-12snone: %s\n", "cgroup", why);
}

static void put_limits(const json_t *live)
{
	uint64_t rate = live_number(json_object_get(live, "network"), "rate");
	const json_t *disk;
	size_t number;

	put_limits_of_cpu(live);
	json_array_foreach(json_object_get(live, "disks"), number, disk)
	{
		const json_t *limits = json_object_get(disk, "limits");

		if (json_object_size(limits)) {
			printf("%-12s%.20s", "limits", text_of(disk, "serial"));
			for (size_t i = 0; i < FIGURES; i++)
				if (live_number(limits, figures[i].name))
					printf(" %s=%llu", figures[i].word,
					       (unsigned long long)live_number(limits,
									       figures[i].name));
			putchar('\n');
		}
		if (json_is_true(json_object_get(disk, "waits")))
			printf("%-12s%.20s: what the guest writes waits for room on this host\n",
			       "full", text_of(disk, "serial"));
	}
	if (rate)
		printf("%-12snetwork rate=%llu\n", "limits", (unsigned long long)rate);
}

static void put_limits_of_cpu_json(struct json *out, const json_t *live)
{
	static const char *const texts[] = {"cap-by", "cgroup", "why"};
	const json_t *cpu = json_object_get(live, "cpu");

	json_begin(out, "cpu", '{');
	json_number(out, "cap", live_number(cpu, "cap"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		json_text(out, texts[i], *text_of(cpu, texts[i]) ? text_of(cpu, texts[i]) : NULL);
	json_number(out, "cgroup-weight", live_number(cpu, "weight"));
	json_signed(out, "nice", nice_of(live));
	json_end(out, '}');
}

static void put_limits_json(struct json *out, const json_t *live)
{
	const json_t *network = json_object_get(live, "network"), *disk;
	size_t number;

	json_begin(out, "limits", '{');
	put_limits_of_cpu_json(out, live);
	json_begin(out, "disks", '[');
	json_array_foreach(json_object_get(live, "disks"), number, disk)
	{
		json_begin(out, NULL, '{');
		json_text(out, "serial", text_of(disk, "serial"));
		for (size_t i = 0; i < FIGURES; i++)
			json_number(out, figures[i].name,
				    live_number(json_object_get(disk, "limits"), figures[i].name));
		json_bool(out, "waits", json_is_true(json_object_get(disk, "waits")));
		json_end(out, '}');
	}
	json_end(out, ']');
	json_number(out, "network-rate", live_number(network, "rate"));
	json_end(out, '}');
}

/* Sandbox */

/* A line for each part that is not in force. */
static void put_sandbox(const json_t *parts)
{
	const char *between = "";
	const json_t *part;
	size_t i;

	printf("%-12s", "sandbox");
	json_array_foreach(parts, i, part) if (json_is_true(json_object_get(part, "in-force")))
	{
		printf("%s%s", between, text_of(part, "name"));
		between = ", ";
	}
	json_array_foreach(parts, i, part) if (!json_is_true(json_object_get(part, "in-force")))
		printf("\n%-12snot: %s: %s", "", text_of(part, "name"), text_of(part, "why"));
	putchar('\n');
}

static void put_sandbox_json(struct json *out, const json_t *parts)
{
	const json_t *part;
	size_t i;

	json_begin(out, "sandbox", '[');
	json_array_foreach(parts, i, part)
	{
		const char *why = text_of(part, "why");

		json_begin(out, NULL, '{');
		json_text(out, "name", text_of(part, "name"));
		json_bool(out, "in-force", json_is_true(json_object_get(part, "in-force")));
		json_text(out, "why", *why ? why : NULL);
		json_end(out, '}');
	}
	json_end(out, ']');
}

void live_put(const json_t *live)
{
	put_limits(live);
	put_sandbox(json_object_get(live, "sandbox"));
}

void live_put_json(struct json *out, const json_t *live)
{
	put_limits_json(out, live);
	put_sandbox_json(out, json_object_get(live, "sandbox"));
}
