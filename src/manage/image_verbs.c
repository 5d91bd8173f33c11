/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/image_verbs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/json.h"
#include "storage/backing.h"
#include "storage/convert.h"
#include "storage/file.h"

enum { REASON = 1024 + PATH_MAX, SECTOR = 512 };

static int bad(const char *reason)
{
	return complain_with(LODGE_BAD_INPUT, "%s", reason);
}

/* What was said, or what the file's name says. An exit status. */
static int decide(struct image_options *options, const char *path)
{
	char reason[REASON];

	if (options->format == FORMAT_AUTO &&
	    format_decide(path, &options->format, reason, sizeof(reason)))
		return bad(reason);
	return LODGE_OK;
}

static bool parse_size(const char *word, uint64_t *size)
{
	return word_size(word, size) && *size && *size % SECTOR == 0 && *size <= INT64_MAX;
}

/* The backing file's format goes into the image, so that nobody has to guess it later. */
static int decide_backing(struct image_options *options)
{
	static enum format format;
	char reason[REASON];
	char *path;
	int error;

	if (!options->qcow2.backing || options->qcow2.backing_format)
		return LODGE_OK;
	path = backing_path(options->words[0], options->qcow2.backing);
	if (!path)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	error = format_decide(path, &format, reason, sizeof(reason));
	free(path);
	if (error)
		return complain_with(LODGE_BAD_INPUT,
				     "image create: --backing-format is needed: %s", reason);
	options->qcow2.backing_format = format_name(format);
	return LODGE_OK;
}

int image_create(struct image_options *options)
{
	struct qcow2_options *qcow2 = &options->qcow2;
	char reason[REASON];
	int status = decide(options, options->words[0]), error;

	if (status)
		return status;
	if (options->words[1] && !parse_size(options->words[1], &qcow2->size))
		return complain_with(LODGE_BAD_OPTION,
				     "image create: %s is not a size: write 8G, 512M or another "
				     "multiple of 512 bytes",
				     options->words[1]);
	if (!qcow2->backing && !qcow2->size)
		return complain_with(LODGE_BAD_OPTION,
				     "image create: how large? Add a size: 8G, say");
	if (options->format == FORMAT_RAW && qcow2->backing)
		return complain_with(LODGE_BAD_OPTION,
				     "image create: a raw image can't be an overlay: take --format "
				     "qcow2, or a name that ends in .qcow2");
	if (qcow2->version == 2 && (qcow2->zstd || qcow2->lazy_refcounts))
		return complain_with(LODGE_BAD_OPTION, "image create: --version 2 has neither zstd "
						       "nor lazy refcounts");
	status = decide_backing(options);
	if (status)
		return status;
	error = options->format == FORMAT_RAW
			? raw_create(options->words[0], qcow2->size, reason, sizeof(reason))
			: qcow2_create(options->words[0], qcow2, reason, sizeof(reason));
	return error ? complain_with(exit_for(error, LODGE_BAD_INPUT), "%s", reason) : LODGE_OK;
}

/* info */

static const char *date_of(uint64_t seconds, char *text, size_t size)
{
	time_t time = (time_t)seconds;
	struct tm date;

	if (!gmtime_r(&time, &date) || !strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &date))
		text[0] = '\0';
	return text;
}

static void info_json(const char *path, const struct qcow2_info *info, bool qcow2,
		      const struct qcow2_snapshot *snapshots)
{
	struct json json = {0};
	char date[32];

	json_begin(&json, NULL, '{');
	json_text(&json, "file", path);
	json_text(&json, "format", qcow2 ? "qcow2" : "raw");
	json_number(&json, "size", info->size);
	json_number(&json, "file-size", info->file_size);
	json_number(&json, "used", info->used_size);
	if (qcow2) {
		json_number(&json, "version", info->version);
		json_number(&json, "cluster-size", info->cluster_size);
		json_number(&json, "refcount-bits", info->refcount_bits);
		json_text(&json, "compression", info->compression);
		json_bool(&json, "lazy-refcounts", info->lazy_refcounts);
		json_bool(&json, "dirty", info->dirty);
		json_bool(&json, "corrupt", info->corrupt);
		json_text(&json, "backing", info->backing[0] ? info->backing : NULL);
		json_text(&json, "backing-format",
			  info->backing_format[0] ? info->backing_format : NULL);
		json_begin(&json, "snapshots", '[');
		for (unsigned i = 0; i < info->snapshots; i++) {
			json_begin(&json, NULL, '{');
			json_text(&json, "id", snapshots[i].id);
			json_text(&json, "name", snapshots[i].name);
			json_text(&json, "date", date_of(snapshots[i].seconds, date, sizeof(date)));
			json_number(&json, "size", snapshots[i].disk_size);
			json_number(&json, "vm-state-size", snapshots[i].vm_state_size);
			json_end(&json, '}');
		}
		json_end(&json, ']');
	}
	json_end(&json, '}');
}

/* Text of an image may hold anything. */
static void put_safely(const char *name, const char *text)
{
	printf("%-16s", name);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
	putchar('\n');
}

static void put_bytes(const char *name, uint64_t bytes)
{
	printf("%-16s%llu (%.1f MiB)\n", name, (unsigned long long)bytes,
	       (double)bytes / (1 << 20));
}

static void info_text(const char *path, const struct qcow2_info *info, bool qcow2,
		      const struct qcow2_snapshot *snapshots)
{
	char date[32];

	put_safely("file", path);
	printf("%-16s%s\n", "format", qcow2 ? "qcow2" : "raw");
	put_bytes("size", info->size);
	put_bytes("used", info->used_size);
	if (!qcow2)
		return;
	printf("%-16s%u\n", "version", info->version);
	printf("%-16s%llu\n", "cluster size", (unsigned long long)info->cluster_size);
	printf("%-16s%u bits%s\n", "refcounts", info->refcount_bits,
	       info->lazy_refcounts ? ", lazy" : "");
	printf("%-16s%s\n", "compression", info->compression);
	if (info->backing[0])
		put_safely("backing file", info->backing);
	if (info->backing_format[0])
		put_safely("backing format", info->backing_format);
	if (info->dirty || info->corrupt)
		printf("%-16s%s\n", "state",
		       info->corrupt ? "marked as damaged" : "wasn't closed properly");
	for (unsigned i = 0; i < info->snapshots; i++) {
		printf("%-16s%s, %.1f MiB\n", "snapshot",
		       date_of(snapshots[i].seconds, date, sizeof(date)),
		       (double)snapshots[i].disk_size / (1 << 20));
		put_safely("  id", snapshots[i].id);
		put_safely("  name", snapshots[i].name);
	}
}

static int info_qcow2(struct image_options *options)
{
	struct qcow2_snapshot *snapshots = NULL;
	struct qcow2_info info;
	struct qcow2 *image;
	char reason[REASON];
	int error = qcow2_open(options->words[0], QCOW2_READ_ONLY | QCOW2_ALONE | QCOW2_AS_IT_IS,
			       &image, reason, sizeof(reason));

	if (error)
		return bad(reason);
	qcow2_info(image, &info);
	error = qcow2_snapshots(image, &snapshots, &info.snapshots);
	if (error)
		complain("disk %s: its table of snapshots can't be read; see lodge image check",
			 options->words[0]);
	(options->json ? info_json : info_text)(options->words[0], &info, true, snapshots);
	free(snapshots);
	qcow2_close(image);
	return error ? LODGE_BAD_INPUT : LODGE_OK;
}

int image_info(struct image_options *options)
{
	struct qcow2_info info = {0};
	struct stat status;
	struct file file;
	char reason[REASON];
	int result = decide(options, options->words[0]);

	if (result)
		return result;
	if (options->format == FORMAT_QCOW2)
		return info_qcow2(options);
	if (file_open(&file, options->words[0], true, reason, sizeof(reason)))
		return bad(reason);
	info.size = info.file_size = info.used_size = file.size;
	if (!file.block_device && !fstat(file.descriptor, &status))
		info.used_size = (uint64_t)status.st_blocks * 512;
	file_close(&file);
	(options->json ? info_json : info_text)(options->words[0], &info, false, NULL);
	return LODGE_OK;
}

/* check */

static void check_json(const struct qcow2_findings *findings)
{
	struct json json = {0};

	json_begin(&json, NULL, '{');
	json_number(&json, "corruptions", findings->corruptions);
	json_number(&json, "leaks", findings->leaks);
	json_number(&json, "repaired", findings->repaired);
	json_number(&json, "left", findings->left);
	json_number(&json, "lost", findings->lost);
	json_number(&json, "clusters", findings->clusters);
	json_number(&json, "allocated", findings->allocated);
	json_number(&json, "compressed", findings->compressed);
	json_number(&json, "end", findings->end);
	json_end(&json, '}');
}

static void check_text(const struct image_options *options, const struct qcow2_findings *findings)
{
	unsigned long long corruptions = findings->corruptions, leaks = findings->leaks;

	if (!corruptions && !leaks)
		puts("sound");
	if (corruptions)
		printf("%llu tables or refcounts are wrong\n", corruptions);
	if (leaks)
		printf("%llu clusters are lost space (leaked), which does no harm\n", leaks);
	if (options->repair && (corruptions || leaks))
		printf("%llu of both are mended\n", (unsigned long long)findings->repaired);
	if (findings->lost)
		printf("%llu entries could not be right and read as zeroes now\n",
		       (unsigned long long)findings->lost);
	printf("%llu of %llu clusters are in the image, %llu of them compressed\n",
	       (unsigned long long)findings->allocated, (unsigned long long)findings->clusters,
	       (unsigned long long)findings->compressed);
}

int image_check(struct image_options *options)
{
	struct qcow2_findings findings;
	struct qcow2 *image;
	unsigned flags = QCOW2_ALONE | QCOW2_AS_IT_IS;
	char reason[REASON];
	int status = decide(options, options->words[0]), error;

	if (status)
		return status;
	if (options->format == FORMAT_RAW)
		return complain_with(
			LODGE_BAD_INPUT,
			"disk %s: is raw: in a raw disk, only what the guest wrote can "
			"be wrong",
			options->words[0]);
	if (!options->repair)
		flags |= QCOW2_READ_ONLY;
	if (qcow2_open(options->words[0], flags, &image, reason, sizeof(reason)))
		return bad(reason);
	error = qcow2_check(image, options->repair, &findings);
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "disk %s: can't be checked: %s",
				       options->words[0], strerror(-error));
	else
		(options->json ? check_json(&findings) : check_text(options, &findings));
	qcow2_close(image);
	return status ? status : !error && findings.left ? LODGE_BAD_INPUT : LODGE_OK;
}

/* resize */

/* "8G", "+1G", "-1G" of a disk that has so much. */
static bool new_size(const char *word, uint64_t old, uint64_t *size)
{
	uint64_t by;

	if (*word != '+' && *word != '-')
		return parse_size(word, size);
	if (!parse_size(word + 1, &by) || (*word == '-' && by >= old))
		return false;
	*size = *word == '+' ? old + by : old - by;
	return *size <= INT64_MAX;
}

static int check_resize(const struct image_options *options, uint64_t old, uint64_t *size)
{
	if (!new_size(options->words[1], old, size))
		return complain_with(LODGE_BAD_OPTION,
				     "image resize: %s is not a size that the disk can have: write "
				     "8G, +1G or -512M, in multiples of 512 bytes",
				     options->words[1]);
	if (*size < old && !options->shrink)
		return complain_with(
			LODGE_BAD_OPTION,
			"image resize: %s is less than it has, and what is behind would "
			"be lost: add --shrink if it may be",
			options->words[1]);
	return LODGE_OK;
}

static int resize_qcow2(struct image_options *options)
{
	const char *path = options->words[0];
	struct qcow2 *image;
	char reason[REASON];
	uint64_t size;
	int status, error = 0;

	if (qcow2_open(path, 0, &image, reason, sizeof(reason)))
		return bad(reason);
	status = check_resize(options, qcow2_size(image), &size);
	if (!status)
		error = qcow2_resize(image, size, reason, sizeof(reason));
	if (error)
		status = complain_with(exit_for(error, LODGE_BAD_INPUT), "disk %s: %s", path,
				       reason);
	error = qcow2_close(image);
	if (error && !status)
		status = complain_with(LODGE_HOST_LACKS, "disk %s: %s", path, strerror(-error));
	return status;
}

int image_resize(struct image_options *options)
{
	const char *path = options->words[0];
	struct file file;
	char reason[REASON];
	uint64_t size;
	int status = decide(options, path), error;

	if (status)
		return status;
	if (options->format == FORMAT_QCOW2)
		return resize_qcow2(options);
	if (file_open(&file, path, false, reason, sizeof(reason)))
		return bad(reason);
	status = check_resize(options, file.size, &size);
	if (!status && file.block_device)
		status =
			complain_with(LODGE_BAD_INPUT,
				      "disk %s: is a block device, whose size others decide", path);
	error = status ? 0 : file_resize(&file, size);
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "disk %s: %s", path, strerror(-error));
	file_close(&file);
	return status;
}

int image_convert(struct image_options *options)
{
	struct convert what = {.from = options->words[0],
			       .to = options->words[1],
			       .from_format = options->from,
			       .to_format = options->format,
			       .qcow2 = options->qcow2,
			       .compress = options->compress};
	char reason[REASON];
	int error;

	if (options->qcow2.version == 2 && (options->qcow2.zstd || options->qcow2.lazy_refcounts))
		return complain_with(LODGE_BAD_OPTION, "image convert: --version 2 has neither "
						       "zstd nor lazy refcounts");
	error = convert(&what, reason, sizeof(reason));
	return error ? complain_with(exit_for(error, LODGE_BAD_INPUT), "%s", reason) : LODGE_OK;
}
