/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is written is read again by the parser before anybody relies on it: so a value that can't
 * stand in such a file (a newline, a name too long) is found there, with the parser's words.
 */
#include "manage/machine_conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/seed.h"

void machine_conf_mac(uint8_t mac[6])
{
	host_random(mac, 6);
	mac[0] = 0x52;
	mac[1] = 0x54;
	mac[2] = 0x00;
}

/* A file of the person's, wherever the machine's folder is. False: *missing can't be found. */
static bool put_file(FILE *out, const char *key, const char *path, const char *rest,
		     const char **missing)
{
	char *whole = realpath(path, NULL);

	if (!whole) {
		*missing = path;
		return false;
	}
	fprintf(out, "%s = %s%s\n", key, whole, rest);
	free(whole);
	return true;
}

/* One of a list: a file, with a blank behind it what a multiboot kernel is told of it. */
static bool put_part(FILE *out, char *part)
{
	char *whole = realpath(part, NULL), *rest = strchr(part, ' ');
	bool found;

	if (!whole && rest) {
		*rest = '\0';
		whole = realpath(part, NULL);
		*rest = ' ';
	} else {
		rest = NULL;
	}
	if (whole)
		fprintf(out, "%s%s", whole, rest ? rest : "");
	found = whole;
	free(whole);
	return found;
}

/* FILE[ ARGUMENTS][,FILE...]; one that is there by the whole name is one. */
static bool put_initrd(FILE *out, const char *list, const char **missing)
{
	char *parts, *next, *part;
	bool good = true;

	if (!access(list, F_OK))
		return put_file(out, "initrd", list, "", missing);
	parts = next = strdup(list);
	fputs("initrd = ", out);
	while (good && (part = strsep(&next, ","))) {
		good = put_part(out, part);
		if (good && next)
			fputc(',', out);
	}
	fputc('\n', out);
	free(parts);
	if (!good)
		*missing = list;
	return good;
}

/* A file of an image: relative if both are in the store, which may be moved as a whole then. */
static void put_image_file(FILE *out, const char *key, const struct image *image, const char *file)
{
	if (file[0] == '/')
		fprintf(out, "%s = %s\n", key, file);
	else if (image->stored)
		fprintf(out, "%s = ../../images/%s/%s\n", key, image->name, file);
	else
		fprintf(out, "%s = %s/%s\n", key, image->folder, file);
}

static bool put_boot(FILE *out, const struct options *options, const struct image *image,
		     const char **missing)
{
	if (options->kernel) {
		if (!put_file(out, "kernel", options->kernel, "", missing))
			return false;
	} else if (image && image->config.kernel[0]) {
		put_image_file(out, "kernel", image, image->config.kernel);
	}
	if (options->initrd) {
		if (!put_initrd(out, options->initrd, missing))
			return false;
	} else if (image && image->config.initrd[0] && !options->kernel) {
		put_image_file(out, "initrd", image, image->config.initrd);
	}
	if (options->append)
		fprintf(out, "append = %s\n", options->append);
	else if (image && image->config.lines[MACHINE_APPEND] && !options->kernel)
		fprintf(out, "append = %s\n", image->config.append);
	return true;
}

static bool put_disks(FILE *out, const struct options *options, const char *root,
		      const char **missing)
{
	if (root)
		fprintf(out, "disk = %s\n", root);
	for (unsigned i = 0; i < options->disk_count; i++) {
		const struct options_disk *disk = &options->disks[i];
		char rest[DISK_WORDS_MAX];

		disk_words_text(disk, rest);
		if (!put_file(out, "disk", disk->path, rest, missing))
			return false;
	}
	if (options->seeded)
		fputs("disk = " SEED_NAME ",format=raw,ro\n", out);
	return true;
}

static void put_share(FILE *out, const struct options_share *share)
{
	char *whole = realpath(share->host, NULL);

	/* One that isn't there is told of when the machine starts. */
	fprintf(out, "share = %s:%s", whole ? whole : share->host, share->guest);
	fprintf(out, ":uid=%u,gid=%u%s\n", (unsigned)share->uid, (unsigned)share->gid,
		share->read_only ? ",ro" : "");
	free(whole);
}

static void put_rest(FILE *out, const struct options *options, const struct image *image)
{
	const char *net = options->net == NET_USER			       ? "user"
			  : options->net == NET_LAN || options->net == NET_TAP ? options->net_text
			  : options->net == NET_NONE			       ? "none"
			  : options->forward_count			       ? "user"
			  : image					       ? image->config.net
									       : "";
	uint8_t mac[6];

	if (net[0])
		fprintf(out, "net = %s", net);
	if (net[0] && options->net == NET_USER && options->network.rate)
		fprintf(out, ",rate=%llu", (unsigned long long)options->network.rate);
	if (net[0])
		fputc('\n', out);
	machine_conf_mac(mac);
	if (net[0] && strcmp(net, "none") != 0)
		fprintf(out, "mac = %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2],
			mac[3], mac[4], mac[5]);
	for (unsigned i = 0; i < options->forward_count; i++)
		fprintf(out, "port = %s\n", options->forwards[i]);
	for (unsigned i = 0; i < options->share_count; i++)
		put_share(out, &options->shares[i]);
	if (options_given(options, "--weight"))
		fprintf(out, "weight = %u\n", options->weight);
	if (options_given(options, "--cap"))
		fprintf(out, "cap = %u\n", options->cap);
	if (options->processors_text)
		fprintf(out, "processors = %s\n", options->processors_text);
	if (options->engine)
		fprintf(out, "engine = %s\n", options->engine);
	if (options->cpu_model)
		fprintf(out, "cpu-model = %s\n", options->cpu_model);
	if (options->test_devices)
		fputs("test-devices = yes\n", out);
}

/* Whether the parser takes it. */
static int check(const char *text, size_t length, char *reason, size_t size)
{
	struct machine_config *config = malloc(sizeof(*config));
	struct machine_settings *settings = malloc(sizeof(*settings));
	struct machine_file_error wrong;
	unsigned count;
	int error = -ENOMEM;

	if (config && settings)
		error = machine_file_parse(text, length, config, 1, &count, settings, &wrong);
	if (error)
		snprintf(reason, size, "%s", error == -ENOMEM ? "no memory" : wrong.text);
	free(config);
	free(settings);
	return error;
}

int machine_conf_text(const char *name, const struct options *options, const struct image *image,
		      const char *root, char **text, char *reason, size_t size)
{
	const struct machine_config *usual = image ? &image->config : NULL;
	bool image_cpus = usual && usual->lines[MACHINE_CPUS] && !options_given(options, "--cpus");
	bool image_memory =
		usual && usual->lines[MACHINE_MEMORY] && !options_given(options, "--memory");
	const char *missing = "";
	size_t length = 0;
	FILE *out = open_memstream(text, &length);
	bool good;
	int error;

	if (!out) {
		snprintf(reason, size, "no memory");
		return -ENOMEM;
	}
	fprintf(out,
		"# machine-file(5) explains each line; changes count from the next start on\n"
		"[machine %s]\n",
		name);
	fprintf(out, "cpus = %u\nmemory = %lluM\n", image_cpus ? usual->cpus : options->cpus,
		(unsigned long long)(image_memory ? usual->memory : options->memory) >> 20);
	good = put_boot(out, options, image, &missing) && put_disks(out, options, root, &missing);
	error = good ? 0 : -errno;
	put_rest(out, options, image);
	if (fclose(out)) {
		free(*text);
		snprintf(reason, size, "no memory");
		return -ENOMEM;
	}
	if (error)
		snprintf(reason, size, "%s: %s", missing, strerror(-error));
	else
		error = check(*text, length, reason, size);
	if (error)
		free(*text);
	return error;
}

/* Changes */

/* The line's key and value, without the blanks around them. False: it has none. */
static bool split(const char *line, size_t length, size_t *key_end, size_t *value_from,
		  size_t *value_end)
{
	const char *equals = memchr(line, '=', length);

	if (!equals || line[strspn(line, " \t")] == '#' || line[strspn(line, " \t")] == '[')
		return false;
	for (*key_end = (size_t)(equals - line); *key_end && strchr(" \t", line[*key_end - 1]);)
		(*key_end)--;
	*value_from = (size_t)(equals - line) + 1;
	*value_from += strspn(line + *value_from, " \t");
	for (*value_end = length;
	     *value_end > *value_from && strchr(" \t\r", line[*value_end - 1]);)
		(*value_end)--;
	return true;
}

static bool line_matches(const char *line, size_t length, const char *key, const char *old)
{
	size_t from = strspn(line, " \t"), key_end, value_from, value_end;

	if (from >= length || !split(line, length, &key_end, &value_from, &value_end))
		return false;
	if (key_end - from != strlen(key) || strncmp(line + from, key, strlen(key)) != 0)
		return false;
	return !old || (value_end - value_from == strlen(old) &&
			!strncmp(line + value_from, old, strlen(old)));
}

/* Where a new line goes: behind the last line of the machine's section that has something. */
static const char *section_end(const char *text, size_t length)
{
	const char *end = text + length, *last = NULL;
	bool inside = false;

	for (const char *line = text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline + 1 : end;
		const char *first = line + strspn(line, " \t");

		if (first < next && *first == '[')
			inside = !strncmp(first, "[machine", 8) && !last;
		if (inside && first < next && !strchr("\r\n", *first))
			last = next;
		line = next;
	}
	return last ? last : end;
}

/* The line to be replaced; NULL: there is none. */
static const char *find_line(const char *text, size_t length, const char *key, const char *old)
{
	for (const char *line = text, *end = text + length; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));

		if (line_matches(line, (size_t)((newline ? newline : end) - line), key, old))
			return line;
		line = newline ? newline + 1 : end;
	}
	return NULL;
}

/* The text with a line replaced, or (NULL) added; value NULL: without it. */
static char *put_line(const char *text, size_t length, const char *line, const char *key,
		      const char *value, char *reason, size_t size)
{
	const char *end = text + length;
	const char *place = line ? line : section_end(text, length), *rest = place;
	size_t new_length = 0;
	char *new = NULL;
	FILE *out = open_memstream(&new, &new_length);

	if (!out) {
		snprintf(reason, size, "no memory");
		return NULL;
	}
	if (line) {
		rest = memchr(line, '\n', (size_t)(end - line));
		rest = rest ? rest + 1 : end;
	}
	fwrite(text, 1, (size_t)(place - text), out);
	if (value && place > text && place[-1] != '\n')
		fputc('\n', out);
	if (value)
		fprintf(out, "%s = %s\n", key, value);
	fwrite(rest, 1, (size_t)(end - rest), out);
	if (fclose(out) || check(new, new_length, reason, size)) {
		free(new);
		return NULL;
	}
	return new;
}

char *machine_conf_set(const char *text, size_t length, const char *key, const char *old,
		       const char *value, char *reason, size_t size)
{
	return put_line(text, length, find_line(text, length, key, old), key, value, reason, size);
}

char *machine_conf_disk(const char *text, size_t length, unsigned number, const char *value,
			char *reason, size_t size)
{
	const char *line = find_line(text, length, "disk", NULL), *end = text + length;

	while (line && number--) {
		line = memchr(line, '\n', (size_t)(end - line));
		line = line ? find_line(line + 1, (size_t)(end - line - 1), "disk", NULL) : NULL;
	}
	if (line)
		return put_line(text, length, line, "disk", value, reason, size);
	snprintf(reason, size, "there is no such disk");
	return NULL;
}

char *machine_conf_rename(const char *text, size_t length, const char *name, char *reason,
			  size_t size)
{
	const char *end = text + length;
	size_t new_length = 0;
	bool done = false;
	char *new = NULL;
	FILE *out = open_memstream(&new, &new_length);

	if (!out) {
		snprintf(reason, size, "no memory");
		return NULL;
	}
	for (const char *line = text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline + 1 : end;

		if (!done && !strncmp(line + strspn(line, " \t"), "[machine", 8)) {
			fprintf(out, "[machine %s]\n", name);
			done = true;
		} else {
			fwrite(line, 1, (size_t)(next - line), out);
		}
		line = next;
	}
	if (fclose(out) || check(new, new_length, reason, size)) {
		free(new);
		return NULL;
	}
	return new;
}
