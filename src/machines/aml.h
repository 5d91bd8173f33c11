/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A builder of AML, the byte code of ACPI's DSDT (ACPI 6.5, chapter 20), and of resource templates
 * (chapter 6.4). Only what a static description of hardware needs: names, packages, devices,
 * integers, strings.
 */
#ifndef MACHINES_AML_H
#define MACHINES_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *bytes;
	size_t size;	 /* room */
	size_t position; /* goes on beyond size, where nothing is written: then the room was too
			    small */
};

/* A thing with a length in front, still open. */
struct aml_block {
	size_t start;
};

void aml_byte(struct aml *aml, uint8_t value);
void aml_bytes(struct aml *aml, const void *bytes, size_t size);
void aml_u16(struct aml *aml, uint16_t value);
void aml_u32(struct aml *aml, uint32_t value);
void aml_u64(struct aml *aml, uint64_t value);

/* A name of up to four characters, or \ and one: padded with _. */
void aml_name_string(struct aml *aml, const char *name);

/* Constants, as terms. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
/* "PNP0A08" as the integer that it is packed into (ACPI 19.3.4). */
void aml_eisa_id(struct aml *aml, const char *id);

/* Name(name, the term that comes next). */
void aml_name(struct aml *aml, const char *name);
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_eisa_id(struct aml *aml, const char *name, const char *id);

/* What is written between begin and end is inside. */
struct aml_block aml_scope_begin(struct aml *aml, const char *name);
struct aml_block aml_device_begin(struct aml *aml, const char *name);
struct aml_block aml_package_begin(struct aml *aml, uint8_t elements);
void aml_end(struct aml *aml, struct aml_block block);

/* Name(_CRS, ResourceTemplate{...}), with the descriptors between. */
struct aml_resources {
	struct aml_block buffer;
	size_t size_at, start;
};
struct aml_resources aml_resources_begin(struct aml *aml);
void aml_resources_end(struct aml *aml, struct aml_resources resources);

void aml_io(struct aml *aml, uint16_t base, uint8_t length);
void aml_irq(struct aml *aml, unsigned irq); /* 0..15: edge, active high */
void aml_memory32_fixed(struct aml *aml, uint32_t base, uint32_t length);
/* Windows that a bridge passes on: first to last, inclusive. */
void aml_word_bus(struct aml *aml, uint16_t first, uint16_t last);
void aml_word_io(struct aml *aml, uint16_t first, uint16_t last);
void aml_dword_memory(struct aml *aml, uint32_t first, uint32_t last);
void aml_qword_memory(struct aml *aml, uint64_t first, uint64_t last);

#endif
