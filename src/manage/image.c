/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/image.h"

#include <string.h>

#include "hosts/linux/linux.h"
#include "lib/bits.h"
#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "storage/qcow2_header.h"

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

/* How the options of image's verbs are understood, whichever of them has the option. */
static const struct {
	const char *name;
	bool (*set)(struct image_options *options, const char *value);
} setters[] = {
	{"--format", set_format},
	{"--from", set_from},
	{"--backing", set_backing},
	{"--backing-format", set_backing_format},
	{"--cluster-size", set_cluster_size},
	{"--version", set_version},
	{"--compression", set_compression},
	{"--lazy-refcounts", set_lazy_refcounts},
	{"--compress", set_compress},
	{"--repair", set_repair},
	{"--shrink", set_shrink},
	{"--name", set_name},
	{"--size", set_size},
	{"--json", set_json},
};

static int take(const struct verb_call *call, const struct verb_value *given,
		struct image_options *options)
{
	const struct verb_option *option = given->option;

	for (size_t i = 0; i < ARRAY_LENGTH(setters); i++)
		if (!strcmp(setters[i].name, option->name) && setters[i].set(options, given->value))
			return LODGE_OK;
	return complain_with(LODGE_BAD_OPTION, "%s: %s %s: must be %s: %s", call->verb->name,
			     option->name, given->value, option->argument, option->help);
}

int image_carry_out(const struct verb_call *call, int (*run)(struct image_options *options))
{
	struct image_options options = {
		.qcow2 = {.version = 3, .cluster_bits = QCOW2_CLUSTER_BITS_USUAL}};
	int status = LODGE_OK;

	for (unsigned i = 0; i < call->value_count && !status; i++)
		status = take(call, &call->values[i], &options);
	for (unsigned i = 0; i < call->word_count && i < ARRAY_LENGTH(options.words); i++)
		options.words[i] = call->words[i];
	if (status)
		return status;
	/* Nothing is left half written by Ctrl-C; build and import clean up. */
	linux_signals_held();
	return run(&options);
}
