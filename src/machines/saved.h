/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a saved machine's file consists of, but for reading and writing it: header, description of
 * the machine, table of memory. docs/snapshot-format.md is the reference. The description is also
 * what a machine that migrates sends first.
 *
 * Every byte that is read is hostile. Pure: no allocation, no state.
 */
#ifndef MACHINES_SAVED_H
#define MACHINES_SAVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "x86/features.h"

#define SAVED_VERSION	   1
#define SAVED_PAGE	   4096u
#define SAVED_CHUNK	   65536u /* bytes of memory that have one entry in the table */
#define SAVED_CHUNK_PAGES  (SAVED_CHUNK / SAVED_PAGE)
#define SAVED_HEADER_BYTES 4096u
#define SAVED_ENTRY_BYTES  16u
#define SAVED_REASON	   512

#define SAVED_PATH_MAX	   4096 /* with the NUL, as all that follow */
#define SAVED_NAME_MAX	   32
#define SAVED_APPEND_MAX   65536
#define SAVED_FORWARD_MAX  64
#define SAVED_DISKS_MAX	   16
#define SAVED_FORWARDS_MAX 32
#define SAVED_SHARE_MAX	   8192
#define SAVED_SHARES_MAX   8

/* Room for a description, whatever it says. */
#define SAVED_CONFIG_MAX ((size_t)512 << 10)

/* What may pass in a second (storage/hold.h); 0: any. Each is below 1 << 63. */
struct saved_limits {
	uint64_t rate, burst, operations, operations_burst;
	bool fails_when_full; /* a write ends with an error if the host has no room, and doesn't
				 wait */
};

struct saved_disk {
	char path[SAVED_PATH_MAX];
	char format[SAVED_NAME_MAX]; /* "raw", "qcow2" */
	bool read_only;
	uint64_t size;	     /* bytes, as the guest sees it */
	uint32_t block_size; /* 512 or 4096 */
	uint64_t modified;   /* when the file was last changed, ns since 1970; 0: not known */
	struct saved_limits limits;
};

/* What its network card leads to. */
enum saved_network { SAVED_NO_NETWORK, SAVED_USER, SAVED_LAN, SAVED_TAP };

struct saved_config {
	char engine[SAVED_NAME_MAX]; /* that it ran on: for a person only */
	uint32_t cpus;
	uint64_t memory; /* bytes */
	/* The processors, as the guest was told. */
	char cpu_model[SAVED_NAME_MAX];
	uint64_t tsc_frequency;
	uint8_t physical_bits;
	bool flawed;
	uint64_t flawless;
	bool feature[FEATURE_COUNT];
	/* What it boots from when it is reset. */
	char kernel[SAVED_PATH_MAX], initrd[SAVED_PATH_MAX];
	char append[SAVED_APPEND_MAX];
	uint32_t disk_count;
	struct saved_disk disks[SAVED_DISKS_MAX];
	uint8_t network; /* enum saved_network */
	uint8_t mac[6];
	uint32_t forward_count;
	char forwards[SAVED_FORWARDS_MAX][SAVED_FORWARD_MAX];
	bool test_devices;
	bool sockets; /* it has a virtio socket device */
	uint32_t share_count;
	char shares[SAVED_SHARES_MAX][SAVED_SHARE_MAX]; /* as -v takes them: for a person only */
	uint64_t seal;					/* manage/seal.h; 0: none */
	uint64_t rate; /* bytes a second of its network, each way; 0: any; below 1 << 63 */
};

/* Its bytes. 0 with *length; -ENOSPC. */
int saved_config_write(const struct saved_config *config, uint8_t *bytes, size_t size,
		       size_t *length);

/* 0 with every member within its range; -EINVAL with a line in reason (SAVED_REASON bytes). */
int saved_config_read(struct saved_config *config, const uint8_t *bytes, size_t length,
		      char *reason);

/*
 * Whether `here` is a machine that can go on as `saved`: same processors, memory, devices. Paths,
 * engines, times, ports of the host may differ. 0; -EINVAL with a line.
 */
int saved_config_match(const struct saved_config *saved, const struct saved_config *here,
		       char *reason);

/* Where a part of the file is, and what it is to be. */
struct saved_part {
	uint64_t offset, length;
	uint32_t checksum;
};

struct saved_header {
	uint64_t file_length;
	struct saved_part config, state, table;
};

void saved_header_write(const struct saved_header *header, uint8_t bytes[SAVED_HEADER_BYTES]);

/*
 * length: of the whole file; bytes: its first SAVED_HEADER_BYTES, or as many as there are. 0;
 * -EINVAL with a line. Then all parts lie within the file, and none is longer than it may be.
 */
int saved_header_read(struct saved_header *header, const uint8_t *bytes, uint64_t length,
		      char *reason);

/* SAVED_CHUNK bytes of memory. */
struct saved_entry {
	uint64_t offset; /* in the file, a multiple of SAVED_PAGE */
	uint32_t checksum;
	uint16_t pages; /* which are there, one after the other; the others are zero */
};

void saved_entry_write(const struct saved_entry *entry, uint8_t bytes[SAVED_ENTRY_BYTES]);

/* 0; -EINVAL with a line if it isn't within a file of that length. */
int saved_entry_read(struct saved_entry *entry, const uint8_t bytes[SAVED_ENTRY_BYTES],
		     uint64_t file_length, char *reason);

/* Bytes of memory that the entry has in the file. */
static inline uint32_t saved_entry_length(const struct saved_entry *entry)
{
	return (uint32_t)__builtin_popcount(entry->pages) * SAVED_PAGE;
}

/* How long the table of a machine is. */
static inline uint64_t saved_table_length(uint64_t memory)
{
	return memory / SAVED_CHUNK * SAVED_ENTRY_BYTES;
}

#endif
