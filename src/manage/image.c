/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/image.h"

#include <stdio.h>
#include <string.h>

#include "lib/bits.h"
#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/help.h"
#include "manage/image_make.h"
#include "manage/image_verbs.h"
#include "storage/qcow2_header.h"

enum { CREATE = 1, INFO = 2, CHECK = 4, RESIZE = 8, CONVERT = 16, BUILD = 32, IMPORT = 64 };

static bool set_format(struct image_options *options, const char *value)
{
	return format_parse(value, &options->format);
}

static bool set_from(struct image_options *options, const char *value)
{
	options->from = FORMAT_VMDK;
	return !strcmp(value, "vmdk") || format_parse(value, &options->from);
}

static bool set_backing(struct image_options *options, const char *value)
{
	options->qcow2.backing = value;
	return *value && strlen(value) <= QCOW2_BACKING_NAME_MAX;
}

static bool set_backing_format(struct image_options *options, const char *value)
{
	enum format format;

	options->qcow2.backing_format = value;
	return format_parse(value, &format);
}

static bool set_cluster_size(struct image_options *options, const char *value)
{
	uint64_t size;

	if (!word_size(value, &size) || !is_power_of_two(size) ||
	    size < BIT(QCOW2_CLUSTER_BITS_MIN) || size > BIT(QCOW2_CLUSTER_BITS_MAX))
		return false;
	options->qcow2.cluster_bits = (unsigned)bits_lowest(size);
	return true;
}

static bool set_version(struct image_options *options, const char *value)
{
	options->qcow2.version = !strcmp(value, "2") ? 2 : 3;
	return !strcmp(value, "2") || !strcmp(value, "3");
}

static bool set_compression(struct image_options *options, const char *value)
{
	options->qcow2.zstd = !strcmp(value, "zstd");
	return options->qcow2.zstd || !strcmp(value, "zlib");
}

static bool set_lazy_refcounts(struct image_options *options, const char *value)
{
	options->qcow2.lazy_refcounts = true;
	return true;
}

static bool set_compress(struct image_options *options, const char *value)
{
	options->compress = true;
	return true;
}

static bool set_repair(struct image_options *options, const char *value)
{
	options->repair = true;
	return true;
}

static bool set_shrink(struct image_options *options, const char *value)
{
	options->shrink = true;
	return true;
}

static bool set_json(struct image_options *options, const char *value)
{
	options->json = true;
	return true;
}

static bool set_name(struct image_options *options, const char *value)
{
	options->name = value;
	return *value;
}

static bool set_size(struct image_options *options, const char *value)
{
	options->size = value;
	return *value;
}

static const struct option {
	const char *name, *argument;
	unsigned verbs;
	bool (*set)(struct image_options *options, const char *value);
	const char *help; /* of a value that is no good as well */
} options_table[] = {
	{"--format", "raw|qcow2", CREATE | INFO | CHECK | RESIZE | CONVERT, set_format,
	 "the image's format, the new one's of convert (default: qcow2 if its name ends in "
	 ".qcow2, else raw)"},
	{"--from", "raw|qcow2|vmdk", CONVERT, set_from, "the old image's format"},
	{"--backing", "FILE", CREATE, set_backing,
	 "what the new image is an overlay on, as seen from the new image's folder"},
	{"--backing-format", "raw|qcow2", CREATE, set_backing_format, "of that file"},
	{"--cluster-size", "SIZE", CREATE | CONVERT, set_cluster_size,
	 "a power of two from 512 to 2M (default 64K)"},
	{"--version", "2|3", CREATE | CONVERT, set_version,
	 "of qcow2 (default 3); 2 for programs from before 2012"},
	{"--compression", "zlib|zstd", CREATE | CONVERT, set_compression,
	 "how clusters are compressed that are (default zlib)"},
	{"--lazy-refcounts", NULL, CREATE | CONVERT, set_lazy_refcounts,
	 "allows other programs to keep refcounts lazily"},
	{"--compress", NULL, CONVERT, set_compress, "compresses the new qcow2 image"},
	{"--repair", NULL, CHECK, set_repair, "mends what can be mended"},
	{"--shrink", NULL, RESIZE, set_shrink, "allows to cut off what is behind the new size"},
	{"--name", "NAME", BUILD | IMPORT, set_name,
	 "of the image in the store (default: what it is built from, or the file's name)"},
	{"--size", "SIZE", BUILD, set_size,
	 "of its disk, which takes no more room than what is in it (default 4G)"},
	{"--json", NULL, INFO | CHECK, set_json, "reports as JSON"},
	{NULL, NULL, 0, NULL, NULL},
};

static const struct verb {
	const char *name;
	unsigned bit, words_min, words_max;
	int (*run)(struct image_options *options);
	const char *usage, *summary;
} verbs[] = {
	{"create", CREATE, 1, 2, image_create, "[OPTION...] FILE [SIZE]",
	 "makes an empty image, or an overlay on another one"},
	{"info", INFO, 1, 1, image_info, "[--json] FILE", "says what an image is"},
	{"check", CHECK, 1, 1, image_check, "[--repair] [--json] FILE",
	 "looks for damage in a qcow2 image"},
	{"resize", RESIZE, 2, 2, image_resize, "[--shrink] FILE [+|-]SIZE",
	 "makes a disk larger or smaller"},
	{"convert", CONVERT, 2, 2, image_convert, "[OPTION...] FROM TO",
	 "copies a disk into a new image"},
	{"build", BUILD, 1, 1, image_build, "[OPTION...] debian:12|debian:13",
	 "makes an image of the store out of Debian's packages"},
	{"import", IMPORT, 1, 1, image_import, "[--name NAME] FILE|URL",
	 "makes one out of a cloud image"},
	{NULL, 0, 0, 0, NULL, NULL, NULL},
};

const char *image_option_name(unsigned i)
{
	return options_table[i].name;
}

void image_help(void)
{
	puts("lodge image VERB: makes, shows, checks and changes disk images\n\nverbs:");
	for (const struct verb *verb = verbs; verb->name; verb++)
		printf("  %-8s %-26s %s\n", verb->name, verb->usage, verb->summary);
	help_verbs("image");
	puts("\noptions:");
	for (const struct option *option = options_table; option->name; option++)
		printf("  %-16s %-10s %s\n", option->name, option->argument ? option->argument : "",
		       option->help);
}

static int unknown(const char *what, const char *word, const char *const *names)
{
	const char *nearest = word_nearest(word, names);

	if (nearest)
		return complain_with(LODGE_BAD_OPTION, "image: unknown %s %s: did you mean %s?",
				     what, word, nearest);
	return complain_with(LODGE_BAD_OPTION, "image: unknown %s %s: see lodge help image", what,
			     word);
}

static int unknown_option(const struct verb *verb, const char *word)
{
	const char *names[ARRAY_LENGTH(options_table)] = {NULL};
	unsigned count = 0;

	for (const struct option *option = options_table; option->name; option++)
		if (option->verbs & verb->bit)
			names[count++] = option->name;
	return unknown("option", word, names);
}

/* One option, whose value may be in the next argument: *next moves on then. */
static int take_option(const struct verb *verb, char ***next, struct image_options *options)
{
	const char *argument = **next, *value = strchr(argument, '=');
	size_t length = value ? (size_t)(value - argument) : strlen(argument);
	const struct option *option = options_table;
	unsigned bit;

	while (option->name && !((option->verbs & verb->bit) && strlen(option->name) == length &&
				 !strncmp(option->name, argument, length)))
		option++;
	if (!option->name)
		return unknown_option(verb, argument);
	bit = 1u << (option - options_table);
	value = value ? value + 1 : NULL;
	if (options->given & bit)
		return complain_with(LODGE_BAD_OPTION,
				     "image %s: %s is given twice: once is enough", verb->name,
				     option->name);
	options->given |= bit;
	if (!option->argument && value)
		return complain_with(LODGE_BAD_OPTION, "image %s: %s takes no value", verb->name,
				     option->name);
	if (option->argument && !value)
		value = (*next)[1] ? *++*next : NULL;
	if (option->argument && !value)
		return complain_with(LODGE_BAD_OPTION, "image %s: %s needs a value: %s %s",
				     verb->name, option->name, option->name, option->argument);
	if (!option->set(options, value))
		return complain_with(LODGE_BAD_OPTION, "image %s: %s %s: must be %s: %s",
				     verb->name, option->name, value, option->argument,
				     option->help);
	return LODGE_OK;
}

static int parse(const struct verb *verb, char **arguments, struct image_options *options)
{
	unsigned words = 0;
	int status = LODGE_OK;
	bool only_words = false;

	for (char **next = arguments; *next && !status; next++) {
		if (!only_words && !strcmp(*next, "--"))
			only_words = true;
		/* "-1G" is a size. */
		else if (!only_words && (*next)[0] == '-' && (*next)[1] == '-')
			status = take_option(verb, &next, options);
		else if (words < verb->words_max)
			options->words[words++] = *next;
		else
			return complain_with(LODGE_BAD_OPTION,
					     "image %s: what is %s? See lodge help "
					     "image",
					     verb->name, *next);
	}
	if (!status && words < verb->words_min)
		return complain_with(LODGE_BAD_OPTION, "image %s: write lodge image %s %s",
				     verb->name, verb->name, verb->usage);
	return status;
}

int image(char **arguments)
{
	struct image_options options = {
		.qcow2 = {.version = 3, .cluster_bits = QCOW2_CLUSTER_BITS_USUAL}};
	const char *names[ARRAY_LENGTH(verbs)] = {NULL};
	const struct verb *verb = verbs;
	int status;

	if (!arguments[0]) {
		image_help();
		return LODGE_BAD_OPTION;
	}
	while (verb->name && strcmp(verb->name, arguments[0]) != 0)
		verb++;
	for (size_t i = 0; i + 1 < ARRAY_LENGTH(verbs); i++)
		names[i] = verbs[i].name;
	if (!verb->name)
		return unknown("verb", arguments[0], names);
	status = parse(verb, arguments + 1, &options);
	return status ? status : verb->run(&options);
}
