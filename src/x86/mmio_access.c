/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Emulation of device accesses: from an offset in a segment to RAM or a device, and the accesses
 * themselves. Sources: Intel SDM volume 3, section 5.3 (limits); volume 1, 3.3.7.1 (canonical
 * addresses).
 */
#include "lib/bytes.h"
#include "x86/mmio_attempt.h"
#include "x86/paging.h"
#include "x86/registers.h"

#define PAGE_SIZE 4096u

enum mmio_result attempt_fault(struct attempt *attempt, uint8_t vector, uint32_t error)
{
	struct mmio *mmio = attempt->mmio;

	mmio->vector = vector;
	mmio->has_error = true;
	mmio->error = error;
	mmio->address = 0;
	return MMIO_FAULT;
}

static bool is_canonical(uint64_t address)
{
	return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

static bool within_segment(const struct mmio *mmio, unsigned segment, uint64_t offset,
			   unsigned size, unsigned access)
{
	uint64_t last = offset + size - 1, limit = mmio->segment_limit[segment];
	uint8_t bit = (uint8_t)(1u << segment);

	if ((access & PAGING_WRITE ? mmio->unwritable : mmio->unreadable) & bit)
		return false;
	if (mmio->expand_down & bit)
		return offset > limit && last <= UINT32_MAX;
	return last <= limit;
}

static enum mmio_result part_find(struct attempt *attempt, struct place *place, uint64_t linear,
				  unsigned size, unsigned access)
{
	struct mmio *mmio = attempt->mmio;
	unsigned number = place->parts++;
	uint64_t physical = 0;
	void *ram = NULL;
	enum mmio_result result;

	if (mmio->code_size != CODE_64)
		linear = (uint32_t)linear;
	result = mmio->ops->find(mmio, linear, size, access, &ram, &physical);
	if (result == MMIO_FAULT)
		mmio->has_error = true;
	place->part[number].ram = ram;
	place->part[number].physical = physical;
	place->part[number].size = size;
	if (result == MMIO_DONE && !ram)
		mmio->touched_device = true;
	return result;
}

enum mmio_result place_find(struct attempt *attempt, struct place *place, unsigned segment,
			    uint64_t offset, unsigned size, unsigned access)
{
	struct mmio *mmio = attempt->mmio;
	uint64_t linear = mmio->segment_base[segment] + offset;
	unsigned first = PAGE_SIZE - (unsigned)(linear % PAGE_SIZE);
	enum mmio_result result;

	place->size = size;
	place->parts = 0;
	if (mmio->code_size == CODE_64 ? !is_canonical(linear) || !is_canonical(linear + size - 1)
				       : !within_segment(mmio, segment, offset, size, access))
		return attempt_fault(attempt, segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP, 0);
	if (mmio->cpl == 3)
		access |= PAGING_USER;
	else if (mmio->rflags & FLAG_AC)
		access |= PAGING_AC;
	if (size <= first)
		return part_find(attempt, place, linear, size, access);
	result = part_find(attempt, place, linear, first, access);
	if (result)
		return result;
	return part_find(attempt, place, linear + first, size - first, access);
}

/* An access that has its answer already, or ends the attempt. */
static enum mmio_result device_access(struct mmio *mmio, const struct mmio_access *access,
				      uint64_t *value)
{
	if (mmio->asked >= MMIO_ANSWERS_MAX)
		return MMIO_UNKNOWN;
	if (mmio->asked == mmio->answers) {
		mmio->access = *access;
		return MMIO_ACCESS;
	}
	*value = value_cut(mmio->answer[mmio->asked++], access->size);
	return MMIO_DONE;
}

enum mmio_result port_access(struct attempt *attempt, bool write, uint64_t port, unsigned size,
			     uint64_t *value)
{
	const struct mmio_access access = {.port = true,
					   .write = write,
					   .size = (uint8_t)size,
					   .address = port,
					   .value = write ? *value : 0};

	attempt->mmio->touched_device = true;
	return device_access(attempt->mmio, &access, value);
}

/* The largest access that so many bytes have room for. */
static unsigned piece_size(unsigned size)
{
	return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

/* Reads into bytes, or writes from them; piece by piece. */
static enum mmio_result device_transfer(struct mmio *mmio, uint64_t physical, unsigned size,
					uint8_t *read, const uint8_t *written)
{
	for (unsigned done = 0, piece; done < size; done += piece) {
		struct mmio_access access = {.write = written, .address = physical + done};
		enum mmio_result result;
		uint64_t value;

		piece = piece_size(size - done);
		access.size = (uint8_t)piece;
		if (written)
			access.value = bytes_load(written + done, piece);
		result = device_access(mmio, &access, &value);
		if (result)
			return result;
		if (read)
			bytes_store(read + done, value, piece);
	}
	return MMIO_DONE;
}

/* Other processors must see each of the sizes that an access can have as one. */
static void ram_copy(void *to, const void *from, unsigned size)
{
	switch (size) {
	case 2:
		bytes_store16(to, bytes_load16(from));
		break;
	case 4:
		bytes_store32(to, bytes_load32(from));
		break;
	case 8:
		bytes_store64(to, bytes_load64(from));
		break;
	default:
		bytes_copy(to, from, size);
		break;
	}
}

enum mmio_result place_read(struct attempt *attempt, const struct place *place, uint8_t *bytes)
{
	for (unsigned i = 0; i < place->parts; i++) {
		enum mmio_result result = MMIO_DONE;

		if (place->part[i].ram)
			ram_copy(bytes, place->part[i].ram, place->part[i].size);
		else
			result = device_transfer(attempt->mmio, place->part[i].physical,
						 place->part[i].size, bytes, NULL);
		if (result)
			return result;
		bytes += place->part[i].size;
	}
	return MMIO_DONE;
}

enum mmio_result place_write(struct attempt *attempt, const struct place *place,
			     const uint8_t *bytes)
{
	attempt->store = *place;
	bytes_copy(attempt->store_bytes, bytes, place->size);
	for (unsigned i = 0; i < place->parts; i++) {
		enum mmio_result result = MMIO_DONE;

		if (!place->part[i].ram)
			result = device_transfer(attempt->mmio, place->part[i].physical,
						 place->part[i].size, NULL, bytes);
		if (result)
			return result;
		bytes += place->part[i].size;
	}
	return MMIO_DONE;
}

enum mmio_result place_get(struct attempt *attempt, const struct place *place, uint64_t *value)
{
	uint8_t bytes[8];
	enum mmio_result result = place_read(attempt, place, bytes);

	*value = result ? 0 : bytes_load(bytes, place->size);
	return result;
}

enum mmio_result place_put(struct attempt *attempt, const struct place *place, uint64_t value)
{
	uint8_t bytes[8];

	bytes_store64(bytes, value);
	return place_write(attempt, place, bytes);
}

enum mmio_result attempt_finish(struct attempt *attempt)
{
	struct mmio *mmio = attempt->mmio;
	const uint8_t *bytes = attempt->store_bytes;

	/* After an access has been made it is ours to finish, whatever became of the mappings. */
	if (!mmio->touched_device && !mmio->answers)
		return MMIO_RETRY;
	if (attempt->store.size)
		for (unsigned i = 0; i < attempt->store.parts; i++) {
			if (attempt->store.part[i].ram)
				ram_copy(attempt->store.part[i].ram, bytes,
					 attempt->store.part[i].size);
			bytes += attempt->store.part[i].size;
		}
	if (attempt->vector_written)
		mmio->ops->vector_set(mmio, attempt->vector_number, attempt->vector_size,
				      attempt->vector_bytes, attempt->vector_zero_above);
	bytes_copy(mmio->gpr, attempt->gpr, sizeof(mmio->gpr));
	mmio->rip = attempt->rip;
	mmio->rflags = attempt->rflags;
	return MMIO_DONE;
}
