/* SPDX-License-Identifier: BSD-2-Clause */
#include "machines/aml.h"

#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/string.h"

/* Opcodes (ACPI 6.5, section 20.3). */
enum {
	ZERO_OP = 0x00,
	ONE_OP = 0x01,
	NAME_OP = 0x08,
	BYTE_PREFIX = 0x0a,
	WORD_PREFIX = 0x0b,
	DWORD_PREFIX = 0x0c,
	STRING_PREFIX = 0x0d,
	QWORD_PREFIX = 0x0e,
	SCOPE_OP = 0x10,
	BUFFER_OP = 0x11,
	PACKAGE_OP = 0x12,
	EXTENDED_PREFIX = 0x5b,
	DEVICE_OP = 0x82,
};

/* Descriptors' first bytes and fields (section 6.4). */
enum {
	IRQ_DESCRIPTOR = 0x22,
	IO_DESCRIPTOR = 0x47,
	END_DESCRIPTOR = 0x79,
	MEMORY32_FIXED = 0x86,
	DWORD_ADDRESS = 0x87,
	WORD_ADDRESS = 0x88,
	QWORD_ADDRESS = 0x8a,
	DECODE_16 = 0x01,
	READ_WRITE = 0x01,
	RANGE_MEMORY = 0,
	RANGE_IO = 1,
	RANGE_BUS = 2,
	BOTH_FIXED = 0x0c,
	ENTIRE_IO_RANGE = 0x03,
};

/* Lengths are always written in three bytes, so that they can be filled in afterwards. */
#define LENGTH_BYTES 3
#define LENGTH_MAX   0xfffffu

void aml_bytes(struct aml *aml, const void *bytes, size_t size)
{
	if (aml->position <= aml->size && size <= aml->size - aml->position)
		bytes_copy(aml->bytes + aml->position, bytes, size);
	aml->position += size;
}

void aml_byte(struct aml *aml, uint8_t value)
{
	aml_bytes(aml, &value, 1);
}

void aml_u16(struct aml *aml, uint16_t value)
{
	aml_bytes(aml, &value, 2);
}

void aml_u32(struct aml *aml, uint32_t value)
{
	aml_bytes(aml, &value, 4);
}

void aml_u64(struct aml *aml, uint64_t value)
{
	aml_bytes(aml, &value, 8);
}

void aml_name_string(struct aml *aml, const char *name)
{
	size_t length;

	if (*name == '\\') {
		aml_byte(aml, '\\');
		name++;
	}
	length = string_length(name);
	CHECK(length >= 1 && length <= 4);
	aml_bytes(aml, name, length);
	aml_bytes(aml, "___", 4 - length);
}

void aml_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		aml_byte(aml, value ? ONE_OP : ZERO_OP);
	} else if (value <= UINT8_MAX) {
		aml_byte(aml, BYTE_PREFIX);
		aml_byte(aml, (uint8_t)value);
	} else if (value <= UINT16_MAX) {
		aml_byte(aml, WORD_PREFIX);
		aml_u16(aml, (uint16_t)value);
	} else if (value <= UINT32_MAX) {
		aml_byte(aml, DWORD_PREFIX);
		aml_u32(aml, (uint32_t)value);
	} else {
		aml_byte(aml, QWORD_PREFIX);
		aml_u64(aml, value);
	}
}

void aml_string(struct aml *aml, const char *text)
{
	aml_byte(aml, STRING_PREFIX);
	aml_bytes(aml, text, string_length(text) + 1);
}

static unsigned hex_digit(char digit)
{
	return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'A' + 10);
}

void aml_eisa_id(struct aml *aml, const char *id)
{
	unsigned maker = 0, product = 0;

	CHECK(string_length(id) == 7);
	for (int i = 0; i < 3; i++)
		maker = maker << 5 | (unsigned)(id[i] - 'A' + 1);
	for (int i = 3; i < 7; i++)
		product = product << 4 | hex_digit(id[i]);
	/* Two big-endian halves, read as one little-endian integer. */
	aml_integer(aml, __builtin_bswap32(maker << 16 | product));
}

void aml_name(struct aml *aml, const char *name)
{
	aml_byte(aml, NAME_OP);
	aml_name_string(aml, name);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_name(aml, name);
	aml_integer(aml, value);
}

void aml_name_eisa_id(struct aml *aml, const char *name, const char *id)
{
	aml_name(aml, name);
	aml_eisa_id(aml, id);
}

static struct aml_block begin(struct aml *aml)
{
	struct aml_block block = {aml->position};

	aml_bytes(aml, "\0\0", LENGTH_BYTES);
	return block;
}

void aml_end(struct aml *aml, struct aml_block block)
{
	size_t length = aml->position - block.start; /* counts itself */
	uint8_t *at = aml->bytes + block.start;

	CHECK(length <= LENGTH_MAX);
	if (aml->position > aml->size)
		return;
	at[0] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (length & 0xf));
	at[1] = (uint8_t)(length >> 4);
	at[2] = (uint8_t)(length >> 12);
}

struct aml_block aml_scope_begin(struct aml *aml, const char *name)
{
	struct aml_block block;

	aml_byte(aml, SCOPE_OP);
	block = begin(aml);
	aml_name_string(aml, name);
	return block;
}

struct aml_block aml_device_begin(struct aml *aml, const char *name)
{
	struct aml_block block;

	aml_byte(aml, EXTENDED_PREFIX);
	aml_byte(aml, DEVICE_OP);
	block = begin(aml);
	aml_name_string(aml, name);
	return block;
}

struct aml_block aml_package_begin(struct aml *aml, uint8_t elements)
{
	struct aml_block block;

	aml_byte(aml, PACKAGE_OP);
	block = begin(aml);
	aml_byte(aml, elements);
	return block;
}

struct aml_resources aml_resources_begin(struct aml *aml)
{
	struct aml_resources resources;

	aml_name(aml, "_CRS");
	aml_byte(aml, BUFFER_OP);
	resources.buffer = begin(aml);
	aml_byte(aml, WORD_PREFIX);
	resources.size_at = aml->position;
	aml_u16(aml, 0);
	resources.start = aml->position;
	return resources;
}

void aml_resources_end(struct aml *aml, struct aml_resources resources)
{
	/* A checksum of 0 says that there is none. */
	aml_byte(aml, END_DESCRIPTOR);
	aml_byte(aml, 0);
	if (aml->position <= aml->size)
		bytes_store16(aml->bytes + resources.size_at,
			      (uint16_t)(aml->position - resources.start));
	aml_end(aml, resources.buffer);
}

void aml_io(struct aml *aml, uint16_t base, uint8_t length)
{
	aml_byte(aml, IO_DESCRIPTOR);
	aml_byte(aml, DECODE_16);
	aml_u16(aml, base);
	aml_u16(aml, base);
	aml_byte(aml, 1); /* alignment */
	aml_byte(aml, length);
}

void aml_irq(struct aml *aml, unsigned irq)
{
	CHECK(irq < 16);
	aml_byte(aml, IRQ_DESCRIPTOR);
	aml_u16(aml, (uint16_t)(1u << irq));
}

void aml_memory32_fixed(struct aml *aml, uint32_t base, uint32_t length)
{
	aml_byte(aml, MEMORY32_FIXED);
	aml_u16(aml, 9);
	aml_byte(aml, READ_WRITE);
	aml_u32(aml, base);
	aml_u32(aml, length);
}

static void address_header(struct aml *aml, uint8_t descriptor, uint16_t length, uint8_t type,
			   uint8_t specific)
{
	aml_byte(aml, descriptor);
	aml_u16(aml, length);
	aml_byte(aml, type);
	aml_byte(aml, BOTH_FIXED);
	aml_byte(aml, specific);
}

static void word_window(struct aml *aml, uint8_t type, uint8_t specific, uint16_t first,
			uint16_t last)
{
	address_header(aml, WORD_ADDRESS, 13, type, specific);
	aml_u16(aml, 0); /* granularity */
	aml_u16(aml, first);
	aml_u16(aml, last);
	aml_u16(aml, 0); /* translation */
	aml_u16(aml, (uint16_t)(last - first + 1));
}

void aml_word_bus(struct aml *aml, uint16_t first, uint16_t last)
{
	word_window(aml, RANGE_BUS, 0, first, last);
}

void aml_word_io(struct aml *aml, uint16_t first, uint16_t last)
{
	word_window(aml, RANGE_IO, ENTIRE_IO_RANGE, first, last);
}

void aml_dword_memory(struct aml *aml, uint32_t first, uint32_t last)
{
	address_header(aml, DWORD_ADDRESS, 23, RANGE_MEMORY, READ_WRITE);
	aml_u32(aml, 0);
	aml_u32(aml, first);
	aml_u32(aml, last);
	aml_u32(aml, 0);
	aml_u32(aml, last - first + 1);
}

void aml_qword_memory(struct aml *aml, uint64_t first, uint64_t last)
{
	address_header(aml, QWORD_ADDRESS, 43, RANGE_MEMORY, READ_WRITE);
	aml_u64(aml, 0);
	aml_u64(aml, first);
	aml_u64(aml, last);
	aml_u64(aml, 0);
	aml_u64(aml, last - first + 1);
}
