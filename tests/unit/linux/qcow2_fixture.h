/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of qcow2 images share: one image in the test's folder, requests, and qemu-img
 * where it is installed. */
#ifndef TESTS_UNIT_LINUX_QCOW2_FIXTURE_H
#define TESTS_UNIT_LINUX_QCOW2_FIXTURE_H

#include "test.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/qcow2.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static char path[64];
static char reason[2048];
static struct qcow2 *image;

static int __attribute__((format(printf, 1, 2), unused)) command(const char *format, ...)
{
	char line[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	return system(line);
}

static void __attribute__((unused)) in_folder(char *to, const char *name)
{
	snprintf(to, 64, "%s", test_path(name));
}

static void __attribute__((unused)) name_image(void)
{
	in_folder(path, "disk.qcow2");
}

static void __attribute__((unused)) need_qemu_img(void)
{
	if (system("command -v qemu-img >/dev/null && command -v qemu-io >/dev/null"))
		SKIP("there is no qemu-img (qemu-utils)");
}

static void __attribute__((unused)) reopen(void)
{
	int error = qcow2_open(path, 0, &image, reason, sizeof(reason));

	if (error)
		FAIL("%s", reason);
	REQUIRE(!error);
}

static void __attribute__((unused)) shut(void)
{
	EXPECT_EQ(qcow2_close(image), 0);
	image = NULL;
}

static void __attribute__((unused)) start(struct qcow2_options options)
{
	name_image();
	if (!options.version)
		options.version = 3;
	if (!options.cluster_bits)
		options.cluster_bits = 16;
	if (qcow2_create(path, &options, reason, sizeof(reason)))
		FAIL("%s", reason);
	reopen();
}

/* The bytes are cut in three slices, at odd places. */
static int __attribute__((unused))
request(enum disk_operation operation, uint64_t offset, void *bytes, uint64_t length)
{
	struct slice slices[3] = {
		{bytes, 100}, {(char *)bytes + 100, 1}, {(char *)bytes + 101, length - 101}};
	struct disk_request request = {.operation = operation,
				       .offset = offset,
				       .length = length,
				       .unmap = true,
				       .slices = slices,
				       .slice_count = 3};

	return qcow2_carry_out(image, &request);
}

static int __attribute__((unused)) flush(void)
{
	return request(DISK_FLUSH, 0, NULL, 512);
}

static void __attribute__((unused)) fill(uint8_t *bytes, size_t length, uint8_t seed)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 13 + i / 512 * 7 + seed);
}

static void __attribute__((unused)) write_seed(uint64_t offset, size_t length, uint8_t seed)
{
	uint8_t *bytes = malloc(length);

	fill(bytes, length, seed);
	EXPECT_EQ(request(DISK_WRITE, offset, bytes, length), 0);
	free(bytes);
}

static void __attribute__((unused)) expect_seed(uint64_t offset, size_t length, uint8_t seed)
{
	uint8_t *bytes = malloc(length), *is = malloc(length);

	fill(bytes, length, seed);
	EXPECT_EQ(request(DISK_READ, offset, is, length), 0);
	EXPECT_MEM(is, bytes, length);
	free(bytes);
	free(is);
}

static void __attribute__((unused)) expect_zero(uint64_t offset, size_t length)
{
	uint8_t *bytes = calloc(1, length), *is = malloc(length);

	memset(is, 0xaa, length);
	EXPECT_EQ(request(DISK_READ, offset, is, length), 0);
	EXPECT_MEM(is, bytes, length);
	free(bytes);
	free(is);
}

static struct qcow2_findings findings;

/* Our own check of the file, which nobody has open. */
static void __attribute__((unused)) look(bool repair)
{
	unsigned flags = QCOW2_ALONE | QCOW2_AS_IT_IS | (repair ? 0 : QCOW2_READ_ONLY);
	struct qcow2 *other;

	REQUIRE(qcow2_open(path, flags, &other, reason, sizeof(reason)) == 0);
	EXPECT_EQ(qcow2_check(other, repair, &findings), 0);
	qcow2_close(other);
}

static void __attribute__((unused)) expect_sound(void)
{
	look(false);
	EXPECT_EQ(findings.corruptions, 0);
	EXPECT_EQ(findings.leaks, 0);
}

/* Theirs. */
static void __attribute__((unused)) expect_sound_to_qemu(void)
{
	EXPECT_EQ(command("qemu-img check -q -f qcow2 %s >/dev/null 2>&1", path), 0);
}

/* Changes bytes of the file: a big-endian number of `size` bytes. */
static void __attribute__((unused)) poke(uint64_t offset, uint64_t value, unsigned size)
{
	FILE *file = fopen(path, "r+");

	REQUIRE(file);
	fseek(file, (long)offset, SEEK_SET);
	while (size--)
		fputc((int)(value >> size * 8 & 0xff), file);
	fclose(file);
}

static uint64_t __attribute__((unused)) peek(uint64_t offset, unsigned size)
{
	FILE *file = fopen(path, "r");
	uint64_t value = 0;

	REQUIRE(file);
	fseek(file, (long)offset, SEEK_SET);
	while (size--)
		value = value << 8 | (uint64_t)(fgetc(file) & 0xff);
	fclose(file);
	return value;
}

#endif
