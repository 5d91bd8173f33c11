/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosts/linux/linux.h"
#include "hosts/linux/namespaces.h"
#include "manage/engines.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "x86/cpuid.h"

struct fact {
	const char *name;
	bool good;
	char text[256];
};

#define FACTS_MAX 32
struct report {
	unsigned count;
	struct fact facts[FACTS_MAX];
};

static void add(struct report *report, const char *name, bool good, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void add(struct report *report, const char *name, bool good, const char *format, ...)
{
	struct fact *fact = &report->facts[report->count++];
	va_list arguments;

	fact->name = name;
	fact->good = good;
	va_start(arguments, format);
	vsnprintf(fact->text, sizeof(fact->text), format, arguments);
	va_end(arguments);
}

/* The machine */

static void look_at_system(struct report *report)
{
	struct utsname name;

	if (!uname(&name))
		add(report, "system", true, "%s %s %s", name.sysname, name.release, name.machine);
}

/* A number out of a file with lines "NAME: N kB"; 0 if there is none. */
static unsigned long long meminfo(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kilobytes = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			kilobytes = strtoull(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return kilobytes;
}

/* What a control group grants, where it is less than all. 0: no limit that we can see. */
static unsigned long long memory_limit(void)
{
	FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
	unsigned long long bytes = 0;

	if (file && fscanf(file, "%llu", &bytes) != 1)
		bytes = 0;
	if (file)
		fclose(file);
	return bytes;
}

static void look_at_resources(struct report *report)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned long long total = meminfo("MemTotal:") / 1024,
				 available = meminfo("MemAvailable:") / 1024;
	const unsigned long long limit = memory_limit() >> 20;

	add(report, "cores", online > 0, "%ld", online);
	if (limit && limit < total)
		add(report, "memory", true,
		    "%llu MiB of %llu available; a control group grants %llu", available, total,
		    limit);
	else
		add(report, "memory", true, "%llu MiB of %llu available", available, total);
}

static void look_at_processor(struct report *report)
{
	const struct cpu_model *v2 = cpu_model_find("x86-64-v2"), *v3 = cpu_model_find("x86-64-v3");
	struct cpu_model limited;
	struct cpuid_host host;
	const char *best = "x86-64-v3";

	memset(&host, 0, sizeof(host));
	cpuid_host_read(&host);
	cpu_model_limit(&limited, v3, &host);
	if (cpu_model_missing(&limited, v3, 0)) {
		cpu_model_limit(&limited, v2, &host);
		best = cpu_model_missing(&limited, v2, 0) ? "less than x86-64-v2" : "x86-64-v2";
	}
	add(report, "processor", true, "good for guests of %s", best);
	add(report, "clock", linux_tsc_is_invariant(), "TSC at %llu MHz (%s)%s",
	    (unsigned long long)(host_tsc_frequency() / 1000000), linux_tsc_source(),
	    linux_tsc_is_invariant() ? ""
				     : ", which may change its speed: guests' clocks may drift");
}

/* What containers and their profiles may take away, and the engine or the sandbox miss. */
static void look_at_rights(struct report *report)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int memory = memfd_create("lodge-doctor", MFD_CLOEXEC);
	bool code = page != MAP_FAILED && !mprotect(page, 4096, PROT_READ | PROT_EXEC);
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	int filtered = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "Seccomp:", 8))
			filtered = atoi(line + 8);
	if (file)
		fclose(file);
	add(report, "memfd", memory >= 0, "%s",
	    memory >= 0 ? "guest memory can be shared"
			: "memfd_create fails: guests can't have memory");
	add(report, "new code", code, "%s",
	    code ? "pages can be made executable"
		 : "pages can't be made executable: translated code can't run");
	add(report, "seccomp", filtered >= 0, "%s",
	    filtered > 0    ? "there is a filter on us already; ours comes on top"
	    : filtered == 0 ? "there is none on us; the sandbox will make one"
			    : "this kernel has none: the sandbox will be weaker");
	if (memory >= 0)
		close(memory);
	if (page != MAP_FAILED)
		munmap(page, 4096);
}

/* Of a machine without a network and shared folders, which needs the least: entered by a process of
 * its own, which tells. */
static void look_at_sandbox(struct report *report)
{
	const struct sandbox_options options = {0};
	struct sandbox_state state;
	char reason[128] = "";
	int ends[2], got;
	pid_t child;

	if (pipe(ends)) {
		add(report, "sandbox", false, "can't be tried: %s", strerror(errno));
		return;
	}
	child = fork();
	if (child == 0) {
		child = namespaces_fork();
		if (child == 0 && !sandbox_enter(&options, &state, reason, sizeof(reason)))
			(void)!write(ends[1], &state, sizeof(state));
		_exit(0);
	}
	close(ends[1]);
	got = (int)read(ends[0], &state, sizeof(state));
	close(ends[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	if (got != (int)sizeof(state))
		add(report, "sandbox", false, "can't be entered");
	for (unsigned i = 0; got == (int)sizeof(state) && i < SANDBOX_PARTS; i++)
		add(report, "sandbox", state.parts[i].in_force, "%s%s%s",
		    sandbox_part_name((enum sandbox_kind)i), state.parts[i].in_force ? "" : ": ",
		    state.parts[i].why);
}

/* The report */

static void put_text(const struct report *report, const struct engine *chosen, const char *why)
{
	const bool color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	for (unsigned i = 0; i < report->count; i++) {
		const struct fact *fact = &report->facts[i];

		printf("%s%-4s%s %-10s %s\n",
		       !color	    ? ""
		       : fact->good ? "\033[32m"
				    : "\033[33m",
		       fact->good ? "yes" : "no", color ? "\033[0m" : "", fact->name, fact->text);
	}
	for (const struct engine *const *engine = engines_all; *engine; engine++) {
		char reason[256] = "";
		int error = (*engine)->probe(reason, sizeof(reason));

		printf("%-4s engine %s: %s\n", error ? "no" : "yes", (*engine)->name, reason);
	}
	if (chosen)
		printf("\nlodge run would take the engine %s: %s\n", chosen->name, why);
	else
		printf("\nlodge run can't run guests here: %s\n", why);
}

static void put_json(const struct report *report, const struct engine *chosen, const char *why)
{
	struct json json = {0};

	json_begin(&json, NULL, '{');
	json_begin(&json, "host", '[');
	for (unsigned i = 0; i < report->count; i++) {
		json_begin(&json, NULL, '{');
		json_text(&json, "name", report->facts[i].name);
		json_bool(&json, "good", report->facts[i].good);
		json_text(&json, "text", report->facts[i].text);
		json_end(&json, '}');
	}
	json_end(&json, ']');
	json_begin(&json, "engines", '[');
	for (const struct engine *const *engine = engines_all; *engine; engine++) {
		char reason[256] = "";
		int error = (*engine)->probe(reason, sizeof(reason));

		json_begin(&json, NULL, '{');
		json_text(&json, "name", (*engine)->name);
		json_bool(&json, "usable", !error);
		json_text(&json, "reason", reason);
		json_end(&json, '}');
	}
	json_end(&json, ']');
	json_text(&json, "chosen", chosen ? chosen->name : NULL);
	json_text(&json, "reason", why);
	json_end(&json, '}');
}

int doctor(bool json)
{
	struct report report = {0};
	char why[1024] = "";
	const struct engine *chosen = engines_choose(NULL, why, sizeof(why));

	look_at_system(&report);
	look_at_resources(&report);
	look_at_processor(&report);
	look_at_rights(&report);
	look_at_sandbox(&report);
	if (json)
		put_json(&report, chosen, why);
	else
		put_text(&report, chosen, why);
	return chosen ? LODGE_OK : LODGE_HOST_LACKS;
}
