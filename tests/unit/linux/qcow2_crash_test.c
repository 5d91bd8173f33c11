/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random operations on qcow2 images against a model in memory, and crashes at every point of them.
 *
 * All that changes the file is recorded: writes, changes of length, holes, and barriers. From the
 * record, files are made as they would be after a kill (everything up to some write) and after a
 * loss of power (everything up to the last barrier, and of what follows any sectors). Each must be
 * sound but for leaked clusters, and each sector of the disk must have what it had at the last
 * flush, or something that was written since.
 */
#include "qcow2_fixture.h"

#include <fcntl.h>

#include "storage_hooks.h"

enum { SECTOR = 512, SECTORS = 2048, DISK = SECTORS * SECTOR, VERSIONS = 24 };

static unsigned random_state = 1;

static unsigned any(unsigned below)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 8) % below;
}

/* What a sector may read as after a crash: a stamp that fills it; 0 is zeroes. */
struct sector {
	unsigned count;
	uint32_t stamps[VERSIONS]; /* the last is what it reads as now */
};

static struct sector model[SECTORS];
static uint32_t stamp;

static void allow(struct sector *sector, uint32_t what)
{
	if (sector->count == VERSIONS) {
		memmove(sector->stamps + 1, sector->stamps + 2,
			(VERSIONS - 2) * sizeof(sector->stamps[0]));
		sector->count--;
	}
	sector->stamps[sector->count++] = what;
}

static void settle(struct sector *sectors)
{
	for (unsigned i = 0; i < SECTORS; i++) {
		sectors[i].stamps[0] = sectors[i].stamps[sectors[i].count - 1];
		sectors[i].count = 1;
	}
}

/* The record */

enum kind { WRITE, LENGTH, HOLE, ZERO, BARRIER, BEGUN, FLUSHED };

struct event {
	enum kind kind;
	uint64_t offset, length;
	uint8_t *bytes; /* WRITE; the stamps of BEGUN */
};

static struct event events[20000];
static unsigned event_count;
static bool recording;

static void note(enum kind kind, uint64_t offset, uint64_t length, uint8_t *bytes)
{
	REQUIRE(event_count < sizeof(events) / sizeof(events[0]));
	events[event_count++] = (struct event){kind, offset, length, bytes};
}

static bool note_sync(int file, int *result)
{
	if (recording)
		note(BARRIER, 0, 0, NULL);
	*result = 0;
	return recording; /* nothing needs to reach a disk here */
}

static bool note_write(int file, const struct iovec *vector, int count, off_t offset,
		       ssize_t *result)
{
	uint8_t *bytes;
	size_t length = 0;

	for (int i = 0; i < count; i++)
		length += vector[i].iov_len;
	if (!recording)
		return false;
	bytes = malloc(length + 1);
	for (int i = 0, at = 0; i < count; at += (int)vector[i++].iov_len)
		memcpy(bytes + at, vector[i].iov_base, vector[i].iov_len);
	note(WRITE, (uint64_t)offset, length, bytes);
	return false;
}

static bool note_resize(int file, off_t size, int *result)
{
	if (recording)
		note(LENGTH, (uint64_t)size, 0, NULL);
	return false;
}

static bool note_allocate(int file, int mode, off_t offset, off_t length, int *result)
{
	if (recording)
		note(mode & FALLOC_FL_PUNCH_HOLE ? HOLE : ZERO, (uint64_t)offset, (uint64_t)length,
		     NULL);
	return false;
}

/* Operations */

static uint8_t bytes[DISK];

static void stamp_range(unsigned first, unsigned count, bool zero)
{
	uint32_t *stamps = malloc((count + 1) * sizeof(*stamps));

	for (unsigned i = 0; i < count; i++) {
		stamps[i] = zero ? 0 : ++stamp;
		for (unsigned j = 0; j < SECTOR / 4; j++)
			memcpy(bytes + (first + i) * SECTOR + j * 4, &stamps[i], 4);
		allow(&model[first + i], stamps[i]);
	}
	if (recording)
		note(BEGUN, first, count, (uint8_t *)stamps);
	else
		free(stamps);
}

static uint32_t stamp_of(const uint8_t *sector)
{
	uint32_t first, next;

	memcpy(&first, sector, 4);
	for (unsigned j = 1; j < SECTOR / 4; j++) {
		memcpy(&next, sector + j * 4, 4);
		if (next != first)
			return UINT32_MAX;
	}
	return first;
}

static bool allowed(const struct sector *sector, uint32_t what)
{
	for (unsigned i = 0; i < sector->count; i++)
		if (sector->stamps[i] == what)
			return true;
	return false;
}

/* Discarded sectors read as before or as zeroes; from then on as they do now. */
static void discard(unsigned first, unsigned count)
{
	uint32_t *stamps = calloc(count + 1, sizeof(*stamps));

	for (unsigned i = 0; i < count; i++) {
		uint32_t old = model[first + i].stamps[model[first + i].count - 1];

		allow(&model[first + i], 0);
		allow(&model[first + i], old);
	}
	if (recording)
		note(BEGUN, first, count, (uint8_t *)stamps);
	EXPECT_EQ(request(DISK_DISCARD, (uint64_t)first * SECTOR, NULL, (uint64_t)count * SECTOR),
		  0);
	EXPECT_EQ(request(DISK_READ, (uint64_t)first * SECTOR, bytes, (uint64_t)count * SECTOR), 0);
	stamps = calloc(count + 1, sizeof(*stamps));
	for (unsigned i = 0; i < count; i++) {
		struct sector *sector = &model[first + i];

		stamps[i] = stamp_of(bytes + i * SECTOR);
		EXPECT(stamps[i] == 0 || stamps[i] == sector->stamps[sector->count - 1]);
		allow(sector, stamps[i]);
	}
	if (recording)
		note(BEGUN, first, count, (uint8_t *)stamps);
}

static void read_all(const char *when)
{
	EXPECT_EQ(request(DISK_READ, 0, bytes, DISK), 0);
	for (unsigned i = 0; i < SECTORS; i++) {
		uint32_t is = stamp_of(bytes + i * SECTOR);

		if (is != model[i].stamps[model[i].count - 1]) {
			FAIL("%s: sector %u reads as %u, not as %u", when, i, is,
			     model[i].stamps[model[i].count - 1]);
			test_stop();
		}
	}
}

static void do_flush(void)
{
	EXPECT_EQ(flush(), 0);
	if (recording)
		note(FLUSHED, 0, 0, NULL);
	settle(model);
}

static void any_operation(void)
{
	unsigned what = any(20), first = any(SECTORS);
	unsigned count = 1 + any(any(4) ? 40 : 400);

	if (first + count > SECTORS)
		count = SECTORS - first;
	if (what < 11) {
		stamp_range(first, count, false);
		EXPECT_EQ(request(DISK_WRITE, (uint64_t)first * SECTOR, bytes + first * SECTOR,
				  (uint64_t)count * SECTOR),
			  0);
	} else if (what < 14) {
		struct disk_request zeroes = {.operation = DISK_WRITE_ZEROES,
					      .offset = (uint64_t)first * SECTOR,
					      .length = (uint64_t)count * SECTOR,
					      .unmap = any(2)};

		stamp_range(first, count, true);
		EXPECT_EQ(qcow2_carry_out(image, &zeroes), 0);
	} else if (what < 17) {
		discard(first, count);
	} else if (what < 19) {
		do_flush();
	} else if (!recording) {
		read_all("while running");
	}
}

/* The disk before anything is written, as the model knows it. */
static void make_disk(unsigned version, unsigned bits, bool overlay)
{
	struct qcow2_options options = {.size = DISK, .version = version, .cluster_bits = bits};

	in_folder(path, "base.qcow2");
	unlink(path);
	for (unsigned i = 0; i < SECTORS; i++)
		model[i] = (struct sector){.count = 1};
	if (overlay) {
		options.size = DISK / 2;
		REQUIRE(qcow2_create(path, &options, reason, sizeof(reason)) == 0);
		reopen();
		stamp_range(0, SECTORS / 4, false);
		EXPECT_EQ(request(DISK_WRITE, 0, bytes, DISK / 4), 0);
		shut();
		options.size = DISK;
		options.backing = "base.qcow2";
		options.backing_format = "qcow2";
	}
	settle(model);
	in_folder(path, "disk.qcow2");
	unlink(path);
	REQUIRE(qcow2_create(path, &options, reason, sizeof(reason)) == 0);
}

static const struct {
	unsigned version, bits;
	bool overlay;
} shapes[] = {
	{3, 9, false}, {3, 12, true}, {2, 12, false}, {2, 10, true}, {3, 16, true}, {3, 16, false},
};

TEST(random_operations_are_as_in_the_model)
{
	name_image();
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		random_state = i + 1;
		make_disk(shapes[i].version, shapes[i].bits, shapes[i].overlay);
		for (unsigned round = 0; round < 6; round++) {
			reopen();
			for (unsigned j = 0; j < 60; j++)
				any_operation();
			read_all("before closing");
			shut();
			expect_sound();
			reopen();
			read_all("after closing");
			shut();
			settle(model);
		}
	}
}

/* Crashes */

static int made_file;
static uint64_t made_size;

static void apply_zero(uint64_t offset, uint64_t length)
{
	static const uint8_t zeroes[SECTOR];

	for (; length; offset += SECTOR, length -= SECTOR)
		if (offset < made_size)
			EXPECT_EQ(pwrite(made_file, zeroes, SECTOR, (off_t)offset), SECTOR);
}

/* All of an event, or any sectors of it. */
static void apply(const struct event *event, bool in_part)
{
	switch (event->kind) {
	case WRITE:
		for (uint64_t at = 0, part; at < event->length; at += part) {
			uint64_t place = event->offset + at;

			part = SECTOR - place % SECTOR;
			if (part > event->length - at)
				part = event->length - at;
			if (in_part && any(2))
				continue;
			EXPECT_EQ(pwrite(made_file, event->bytes + at, part, (off_t)place),
				  (ssize_t)part);
			if (place + part > made_size)
				made_size = place + part;
		}
		return;
	case LENGTH:
		if (in_part && any(2))
			return;
		made_size = event->offset;
		EXPECT_EQ(ftruncate(made_file, (off_t)made_size), 0);
		return;
	case HOLE:
	case ZERO:
		if (!in_part || any(2))
			apply_zero(event->offset, event->length);
		return;
	default:
		return;
	}
}

/* What the disk may read as after a crash in front of event `end`. */
static void expect_model(const struct sector *before, unsigned end)
{
	static struct sector sectors[SECTORS];

	memcpy(sectors, before, sizeof(sectors));
	for (unsigned i = 0; i < end; i++) {
		const struct event *event = &events[i];

		if (event->kind == FLUSHED)
			settle(sectors);
		for (uint64_t j = 0; event->kind == BEGUN && j < event->length; j++) {
			uint32_t what;

			memcpy(&what, event->bytes + j * 4, 4);
			allow(&sectors[event->offset + j], what);
		}
	}
	EXPECT_EQ(request(DISK_READ, 0, bytes, DISK), 0);
	for (unsigned i = 0; i < SECTORS; i++) {
		uint32_t is = stamp_of(bytes + i * SECTOR);

		if (!allowed(&sectors[i], is)) {
			FAIL("crash at %u: sector %u reads as %u, which it was not (last %u of %u)",
			     end, i, is, sectors[i].stamps[sectors[i].count - 1], sectors[i].count);
			test_stop();
		}
	}
}

/* Makes the file as it is after a crash in front of event `end`, and looks at it. */
static void make_crashed(unsigned end, bool power)
{
	char made[64];
	unsigned barrier = 0;

	in_folder(made, "crash.qcow2");
	EXPECT_EQ(command("cp %s/before.qcow2 %s", test_folder(), made), 0);
	made_file = open(made, O_RDWR);
	made_size = (uint64_t)lseek(made_file, 0, SEEK_END);
	for (unsigned i = 0; i < end; i++)
		if (events[i].kind == BARRIER)
			barrier = i;
	for (unsigned i = 0; i < end; i++)
		apply(&events[i], power && i > barrier);
	close(made_file);
	in_folder(path, "crash.qcow2");
	look(false);
	if (!EXPECT_EQ(findings.corruptions, 0)) {
		FAIL("crash at event %u, %s", end, power ? "power" : "kill");
		test_stop();
	}
}

static void crash_at(const struct sector *before, unsigned end, bool power, bool qemu)
{
	make_crashed(end, power);
	/* 3 is qemu-img's status for leaks only. */
	if (qemu)
		EXPECT_EQ(command("qemu-img check -q -f qcow2 %s >/dev/null 2>&1; test $? = 0 -o "
				  "$? = 3",
				  path),
			  0);
	reopen();
	expect_model(before, end);
	/* And it goes on from there. */
	EXPECT_EQ(request(DISK_WRITE, 0, bytes, DISK / 8), 0);
	shut();
	look(false);
	EXPECT_EQ(findings.corruptions, 0);
	look(true);
	expect_sound();
}

static void start_recording(void)
{
	EXPECT_EQ(command("cp %s %s/before.qcow2", path, test_folder()), 0);
	storage_hooks = (struct storage_hooks){note_sync, note_write, note_resize, note_allocate};
	recording = true;
}

static void stop_recording(void)
{
	recording = false;
	storage_hooks = (struct storage_hooks){0};
}

/* Where to crash: anywhere by a kill, just in front of a barrier by a loss of power, for then most
 * of what was written may be missing. */
static unsigned any_end(bool power)
{
	unsigned end = 1 + any(event_count);

	while (power && end < event_count && events[end].kind != BARRIER)
		end++;
	return end;
}

static void crash_everywhere(unsigned shape, unsigned crashes, bool qemu)
{
	static struct sector before[SECTORS];

	name_image();
	random_state = shape * 7 + 3;
	make_disk(shapes[shape].version, shapes[shape].bits, shapes[shape].overlay);
	reopen();
	/* From a disk that has all of its tables, or hardly any. */
	for (unsigned i = 0; i < (shape % 2 ? 30 : 1); i++)
		any_operation();
	do_flush();
	shut();
	memcpy(before, model, sizeof(before));
	start_recording();
	reopen();
	for (unsigned i = 0; i < 60; i++)
		any_operation();
	do_flush();
	shut();
	stop_recording();
	for (unsigned i = 0; i < crashes; i++)
		crash_at(before, any_end(i % 2), i % 2, qemu);
}

TEST(crashes_with_small_clusters)
{
	crash_everywhere(0, 60, false);
}

TEST(crashes_of_an_overlay)
{
	crash_everywhere(1, 60, false);
}

TEST(crashes_of_version_2)
{
	crash_everywhere(2, 60, false);
}

TEST(crashes_of_an_overlay_of_version_2)
{
	crash_everywhere(3, 60, false);
}

TEST(crashes_with_usual_clusters)
{
	crash_everywhere(4, 60, false);
}

/* The refcount table of clusters of 512 bytes has to move when the file has 8 MiB. */
TEST(crashes_while_the_refcount_table_grows)
{
	start((struct qcow2_options){.size = 64 * MIB, .cluster_bits = 9});
	write_seed(0, 7 * MIB, 1);
	EXPECT_EQ(flush(), 0);
	EXPECT_EQ(peek(56, 4), 1);
	shut();
	start_recording();
	reopen();
	write_seed(8 * MIB, 2 * MIB, 2);
	EXPECT_EQ(flush(), 0);
	shut();
	stop_recording();
	EXPECT(peek(56, 4) > 1);
	for (unsigned i = 0; i < 60; i++) {
		make_crashed(any_end(i % 2), i % 2);
		reopen();
		expect_seed(0, 7 * MIB, 1);
		write_seed(7 * MIB, MIB, 3);
		shut();
		look(false);
		EXPECT_EQ(findings.corruptions, 0);
	}
}

TEST(crashes_while_the_disk_grows)
{
	start((struct qcow2_options){.size = MIB, .cluster_bits = 9});
	write_seed(0, MIB, 1);
	shut();
	start_recording();
	reopen();
	EXPECT_EQ(qcow2_resize(image, 128 * MIB, reason, sizeof(reason)), 0);
	write_seed(127 * MIB, MIB, 2);
	shut();
	stop_recording();
	for (unsigned i = 0; i < 60; i++) {
		make_crashed(any_end(i % 2), i % 2);
		reopen();
		EXPECT(qcow2_size(image) == MIB || qcow2_size(image) == 128 * MIB);
		expect_seed(0, MIB, 1);
		shut();
	}
}

TEST(qemu_img_calls_crashed_images_sound)
{
	need_qemu_img();
	crash_everywhere(1, 16, true);
}
