/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each disk has an index with a word for each of its blocks: unchanged (what the module has), zero,
 * or the number of the pool's block that holds it. Pool and indices are large sparse tables: what
 * was never touched costs nothing. Requests are done when submit returns: they are copies.
 */
#include "hosts/metal/disk.h"

#include "hosts/metal/pages.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/error.h"

#define SECTOR	      512
#define POOL_NONE     UINT32_MAX
#define DISK_SIZE_MAX (UINT64_C(1) << 44)

/* Words of the index; from ENTRY_FIRST on a block's number is added. */
enum { ENTRY_UNCHANGED, ENTRY_ZERO, ENTRY_FIRST };
#define POOL_BLOCKS_MAX (UINT32_MAX - ENTRY_FIRST)

struct module_disk {
	struct disk disk; /* first */
	const uint8_t *bytes;
	uint32_t *index; /* NULL if read-only */
	struct disk_pool *pool;
};

/* The pool */

int disk_pool_init(struct disk_pool *pool, uint64_t bytes)
{
	uint64_t blocks = bytes / DISK_BLOCK;

	*pool = (struct disk_pool){.free = POOL_NONE};
	host_lock_init(&pool->lock);
	pool->limit = blocks > POOL_BLOCKS_MAX ? POOL_BLOCKS_MAX : (uint32_t)blocks;
	if (!pool->limit)
		return 0;
	pool->blocks = host_pages((size_t)pool->limit * DISK_BLOCK);
	return pool->blocks ? 0 : -ENOMEM;
}

static uint8_t *pool_block(const struct disk_pool *pool, uint32_t number)
{
	return pool->blocks + (size_t)number * DISK_BLOCK;
}

static bool pool_take(struct disk_pool *pool, uint32_t *number)
{
	if (pool->free != POOL_NONE) {
		*number = pool->free;
		pool->free = bytes_load32(pool_block(pool, *number));
	} else if (pool->made < pool->limit && pages_touch(pool_block(pool, pool->made))) {
		*number = pool->made++;
	} else {
		return false;
	}
	pool->used++;
	return true;
}

static void pool_give_back(struct disk_pool *pool, uint32_t number)
{
	bytes_store32(pool_block(pool, number), pool->free);
	pool->free = number;
	pool->used--;
}

/* Blocks of a disk */

/* How much of a block the disk has: the last may be a part. */
static size_t block_size(const struct module_disk *own, uint64_t block)
{
	uint64_t left = own->disk.size - block * DISK_BLOCK;

	return left < DISK_BLOCK ? (size_t)left : DISK_BLOCK;
}

static uint32_t entry_of(const struct module_disk *own, uint64_t block)
{
	return own->index ? own->index[block] : ENTRY_UNCHANGED;
}

/* The bytes of a block as it is; NULL: zeroes. */
static const uint8_t *block_bytes(const struct module_disk *own, uint64_t block)
{
	uint32_t entry = entry_of(own, block);

	if (entry == ENTRY_UNCHANGED)
		return own->bytes + block * DISK_BLOCK;
	return entry == ENTRY_ZERO ? NULL : pool_block(own->pool, entry - ENTRY_FIRST);
}

/* The block's place in the pool, to be written to. whole: all of it will be. NULL: none is left. */
static uint8_t *block_change(struct module_disk *own, uint64_t block, bool whole)
{
	uint32_t entry = own->index[block], number;
	const uint8_t *before = block_bytes(own, block);
	size_t size = block_size(own, block);
	uint8_t *bytes;

	if (entry >= ENTRY_FIRST)
		return pool_block(own->pool, entry - ENTRY_FIRST);
	if (!pages_touch(&own->index[block]) || !pool_take(own->pool, &number))
		return NULL;
	bytes = pool_block(own->pool, number);
	if (!whole && before)
		bytes_copy(bytes, before, size);
	else if (!whole)
		bytes_fill(bytes, 0, size);
	own->index[block] = number + ENTRY_FIRST;
	return bytes;
}

static int block_clear(struct module_disk *own, uint64_t block)
{
	uint32_t entry = own->index[block];

	if (entry >= ENTRY_FIRST)
		pool_give_back(own->pool, entry - ENTRY_FIRST);
	else if (!pages_touch(&own->index[block]))
		return -ENOSPC;
	own->index[block] = ENTRY_ZERO;
	return 0;
}

/* Requests, piece by piece; none crosses a block's edge */

static int read_piece(struct module_disk *own, uint64_t offset, void *to, size_t length)
{
	const uint8_t *bytes = block_bytes(own, offset / DISK_BLOCK);

	if (bytes)
		bytes_copy(to, bytes + offset % DISK_BLOCK, length);
	else
		bytes_fill(to, 0, length);
	return 0;
}

static int write_piece(struct module_disk *own, uint64_t offset, const void *from, size_t length)
{
	uint64_t block = offset / DISK_BLOCK;
	uint8_t *bytes = block_change(own, block, length == block_size(own, block));

	if (!bytes)
		return -ENOSPC;
	bytes_copy(bytes + offset % DISK_BLOCK, from, length);
	return 0;
}

/* discard: parts of blocks may stay as they are. */
static int clear_piece(struct module_disk *own, uint64_t offset, size_t length, bool discard)
{
	uint64_t block = offset / DISK_BLOCK;
	uint8_t *bytes;

	if (length == block_size(own, block))
		return block_clear(own, block);
	if (discard || own->index[block] == ENTRY_ZERO)
		return 0;
	bytes = block_change(own, block, false);
	if (!bytes)
		return -ENOSPC;
	bytes_fill(bytes + offset % DISK_BLOCK, 0, length);
	return 0;
}

/* Bytes from offset to the block's end, `length` at most. */
static size_t piece_at(uint64_t offset, uint64_t length)
{
	size_t left = DISK_BLOCK - offset % DISK_BLOCK;

	return length < left ? (size_t)length : left;
}

static int clear(struct module_disk *own, const struct disk_request *request)
{
	uint64_t offset = request->offset, left = request->length;
	int error = 0;

	while (left > 0 && !error) {
		size_t piece = piece_at(offset, left);

		error = clear_piece(own, offset, piece, request->operation == DISK_DISCARD);
		offset += piece;
		left -= piece;
	}
	return error;
}

static int transfer_slice(struct module_disk *own, bool write, uint64_t offset, uint8_t *memory,
			  size_t length)
{
	int error = 0;

	while (length > 0 && !error) {
		size_t piece = piece_at(offset, length);

		error = write ? write_piece(own, offset, memory, piece)
			      : read_piece(own, offset, memory, piece);
		offset += piece;
		memory += piece;
		length -= piece;
	}
	return error;
}

static int transfer(struct module_disk *own, const struct disk_request *request)
{
	uint64_t offset = request->offset, end = offset + request->length;
	int error = 0;

	for (unsigned i = 0; i < request->slice_count && !error; i++) {
		const struct slice *slice = &request->slices[i];

		if (slice->length > end - offset)
			return -EINVAL;
		error = transfer_slice(own, request->operation == DISK_WRITE, offset, slice->base,
				       slice->length);
		offset += slice->length;
	}
	return error;
}

static int carry_out(struct module_disk *own, const struct disk_request *request)
{
	bool changes = request->operation != DISK_READ && request->operation != DISK_FLUSH;

	if (request->operation == DISK_FLUSH)
		return 0;
	if (!range_within(request->offset, request->length, own->disk.size))
		return -EINVAL;
	if (changes && own->disk.read_only)
		return -EROFS;
	return request->operation == DISK_READ || request->operation == DISK_WRITE
		       ? transfer(own, request)
		       : clear(own, request);
}

static int module_submit(struct disk *disk, struct disk_request *request)
{
	struct module_disk *own = (struct module_disk *)disk;
	int result;

	if (own->pool)
		host_lock(&own->pool->lock);
	result = carry_out(own, request);
	if (own->pool)
		host_unlock(&own->pool->lock);
	return result;
}

static void module_drain(struct disk *disk)
{
}

static size_t index_size(uint64_t size)
{
	return (size_t)((size + DISK_BLOCK - 1) / DISK_BLOCK) * sizeof(uint32_t);
}

static void module_close(struct disk *disk)
{
	struct module_disk *own = (struct module_disk *)disk;

	host_pages_free(own->index, index_size(disk->size));
	host_pages_free(own, sizeof(*own));
}

static const struct disk_ops ops = {
	.submit = module_submit, .drain = module_drain, .close = module_close};

int disk_module_open(struct disk **disk, const void *bytes, uint64_t size, bool read_only,
		     struct disk_pool *pool)
{
	struct module_disk *own;

	if (!size || size % SECTOR)
		return -EINVAL;
	if (size > DISK_SIZE_MAX)
		return -EFBIG;
	own = host_pages(sizeof(*own));
	if (!own)
		return -ENOMEM;
	own->disk = (struct disk){.ops = &ops,
				  .size = size,
				  .block_size = size % DISK_BLOCK ? SECTOR : DISK_BLOCK,
				  .read_only = read_only,
				  .can_discard = !read_only};
	own->bytes = bytes;
	if (!read_only) {
		own->pool = pool;
		own->index = host_pages(index_size(size));
		if (!own->index) {
			host_pages_free(own, sizeof(*own));
			return -ENOMEM;
		}
	}
	*disk = &own->disk;
	return 0;
}
