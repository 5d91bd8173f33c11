/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux bzImage, by Documentation/arch/x86/boot.rst of the kernel's sources: the 64-bit entry, or
 * the 32-bit one for kernels that have no other. The setup code for real mode isn't run: what it
 * would find out is in the zero page.
 */
#include "machines/boot.h"

#include "core/vm.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/error.h"
#include "lib/string.h"

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)

/* Offsets in the file, and in the zero page. */
enum {
	ACPI_RSDP_ADDR = 0x070,
	EXT_RAMDISK_IMAGE = 0x0c0,
	EXT_RAMDISK_SIZE = 0x0c4,
	E820_ENTRIES = 0x1e8,
	SETUP_SECTS = 0x1f1,
	SYSSIZE = 0x1f4, /* in units of 16 bytes */
	VID_MODE = 0x1fa,
	BOOT_FLAG = 0x1fe,
	JUMP_LENGTH = 0x201, /* where the header ends: this byte and 0x202 */
	HEADER_MAGIC = 0x202,
	VERSION = 0x206,
	TYPE_OF_LOADER = 0x210,
	LOADFLAGS = 0x211,
	CODE32_START = 0x214,
	RAMDISK_IMAGE = 0x218,
	RAMDISK_SIZE = 0x21c,
	CMD_LINE_PTR = 0x228,
	INITRD_ADDR_MAX = 0x22c,
	KERNEL_ALIGNMENT = 0x230,
	RELOCATABLE_KERNEL = 0x234,
	XLOADFLAGS = 0x236,
	CMDLINE_SIZE = 0x238,
	SETUP_DATA = 0x250,
	PREF_ADDRESS = 0x258,
	INIT_SIZE = 0x260,
	HEADER_END = 0x268, /* of the fields read here */
	E820_TABLE = 0x2d0,
};

#define E820_ENTRY_SIZE		   20
#define HEADER_END_MAX		   0x290 /* where the zero page has other things */
#define VERSION_MIN		   0x20a /* init_size and pref_address */
#define VERSION_XLOADFLAGS	   0x20c
#define LOADED_HIGH		   0x01
#define XLF_KERNEL_64		   0x0001
#define XLF_CAN_BE_LOADED_ABOVE_4G 0x0002
#define VGA_NORMAL		   0xffff
#define LOADER_UNDEFINED	   0xff
#define ENTRY_64		   0x200

/* Low memory: what the kernel reads before it has its own. Conventional memory ends at 0x9fc00 at
 * the least. */
#define LOW_MEMORY_MIN 0x1000
#define LOW_MEMORY_MAX 0x90000

/* The page tables: one PML4, one PDPT, four directories of 2 MiB pages: the first 4 GiB are mapped
 * to themselves. */
#define TABLES_SIZE (6 * PAGE)
#define PTE_TABLE   0x03 /* present, writable */
#define PTE_LARGE   0x83

struct linux_kernel {
	const struct boot_config *config;
	const uint8_t *header; /* of the file: at least HEADER_END bytes are there */
	unsigned version, xloadflags;
	uint64_t setup_size, code_size; /* of the file's two parts */
	uint64_t init_size;
	uint64_t base; /* where it goes */
	uint64_t zero_page, command_line, initrd, initrd_size;
};

bool boot_is_linux(const struct image *image)
{
	return image->size >= HEADER_MAGIC + 4 &&
	       bytes_equal(image->bytes + HEADER_MAGIC, "HdrS", 4) &&
	       bytes_load16(image->bytes + BOOT_FLAG) == 0xaa55;
}

/* Checks the file against itself, and fills in what it says. */
static int check(struct linux_kernel *kernel, struct boot_result *result)
{
	const struct boot_file *file = &kernel->config->kernel;
	const uint8_t *header = file->image.bytes;
	uint64_t size = file->image.size, sectors;

	if (size < HEADER_END)
		return boot_fail(result, -ENOEXEC,
				 "%s is truncated: it ends within its Linux setup header",
				 file->name);
	kernel->header = header;
	kernel->version = bytes_load16(header + VERSION);
	if (kernel->version < VERSION_MIN)
		return boot_fail(result, -ENOEXEC,
				 "%s is too old a Linux kernel: boot protocol %u.%02u, but 2.10 or "
				 "later is needed",
				 file->name, kernel->version >> 8, kernel->version & 0xff);
	if (!(header[LOADFLAGS] & LOADED_HIGH))
		return boot_fail(result, -ENOEXEC,
				 "%s is a Linux zImage: only a bzImage can be started", file->name);
	kernel->xloadflags =
		kernel->version >= VERSION_XLOADFLAGS ? bytes_load16(header + XLOADFLAGS) : 0;
	sectors = header[SETUP_SECTS] ? header[SETUP_SECTS] : 4;
	kernel->setup_size = (sectors + 1) * 512;
	kernel->code_size = (uint64_t)bytes_load32(header + SYSSIZE) * 16;
	if (!kernel->code_size)
		return boot_fail(result, -ENOEXEC,
				 "%s is damaged: its Linux setup header tells of no kernel",
				 file->name);
	/* The last 16 bytes needn't be there in full. */
	if (size < kernel->setup_size || size - kernel->setup_size + 15 < kernel->code_size)
		return boot_fail(result, -ENOEXEC, "%s is truncated: %llu of %llu bytes are there",
				 file->name, (unsigned long long)size,
				 (unsigned long long)(kernel->setup_size + kernel->code_size));
	if (size - kernel->setup_size < kernel->code_size)
		kernel->code_size = size - kernel->setup_size;
	kernel->init_size = bytes_load32(header + INIT_SIZE);
	if (kernel->init_size < kernel->code_size)
		kernel->init_size = kernel->code_size;
	return 0;
}

/*
 * Finds the kernel's place: where it prefers to be, or where it can be. That is never below: what
 * is loaded there moves itself up to the preferred address (boot.rst, init_size), into whatever is
 * there.
 */
static int place_kernel(struct linux_kernel *kernel, struct boot_placer *placer,
			struct boot_result *result)
{
	const struct boot_file *file = &kernel->config->kernel;
	const uint64_t preferred = bytes_load64(kernel->header + PREF_ADDRESS);
	const uint64_t alignment = bytes_load32(kernel->header + KERNEL_ALIGNMENT);
	const bool relocatable = kernel->header[RELOCATABLE_KERNEL] != 0;
	const struct boot_map *map = placer->map;

	if (relocatable && (!is_power_of_two(alignment) || alignment < PAGE || alignment > GIB))
		return boot_fail(result, -ENOEXEC,
				 "%s is damaged: its alignment of 0x%llx makes no sense",
				 file->name, (unsigned long long)alignment);
	if (preferred < MIB || preferred >= map->hole_base ||
	    kernel->init_size > map->hole_base - preferred)
		return boot_fail(result, -ENOEXEC, "%s is damaged: it wants %llu MiB at 0x%llx",
				 file->name, (unsigned long long)(kernel->init_size / MIB),
				 (unsigned long long)preferred);
	kernel->base = preferred;
	if (boot_place_at(placer, preferred, kernel->init_size))
		return 0;
	if (!relocatable)
		return boot_fail_memory(result, kernel->config, preferred + kernel->init_size);
	kernel->base =
		boot_place_low(placer, kernel->init_size, alignment, preferred, map->hole_base);
	if (kernel->base == BOOT_NOWHERE)
		return boot_fail_memory(result, kernel->config, preferred + kernel->init_size);
	return 0;
}

static int load_kernel(struct linux_kernel *kernel, struct vm *vm, struct boot_placer *placer,
		       struct boot_result *result)
{
	const struct boot_file *file = &kernel->config->kernel;
	int error = place_kernel(kernel, placer, result);

	if (error)
		return error;
	if (vm_write(vm, gpa(kernel->base), file->image.bytes + kernel->setup_size,
		     kernel->code_size))
		return boot_fail(result, -EINVAL, "%s can't be put into memory", file->name);
	return 0;
}

static int load_initrd(struct linux_kernel *kernel, struct vm *vm, struct boot_placer *placer,
		       struct boot_result *result)
{
	const struct boot_config *config = kernel->config;
	/* The last byte may be at initrd_addr_max. */
	uint64_t max = (uint64_t)bytes_load32(kernel->header + INITRD_ADDR_MAX) + 1;

	if (!config->module_count)
		return 0;
	if (config->module_count > 1)
		return boot_fail(result, -EINVAL,
				 "Linux takes one initrd, not %u: %s is one too many",
				 config->module_count, config->modules[1].name);
	kernel->initrd_size = config->modules[0].image.size;
	if (kernel->initrd_size > UINT32_MAX)
		return boot_fail(result, -EINVAL, "%s is too large for an initrd (%llu MiB)",
				 config->modules[0].name,
				 (unsigned long long)(kernel->initrd_size / MIB));
	if (max > placer->map->hole_base)
		max = placer->map->hole_base;
	/* High memory only for what doesn't fit below: everything can reach the lower places. */
	if ((kernel->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) && kernel->initrd_size) {
		struct boot_placer trial = *placer;

		if (boot_place_high(&trial, kernel->initrd_size, PAGE, MIB, max) == BOOT_NOWHERE &&
		    boot_map_ram_end(placer->map, UINT64_MAX) > 4 * GIB)
			max = UINT64_MAX;
	}
	return boot_modules(vm, config, placer, MIB, max, &kernel->initrd, result);
}

static int load_command_line(struct linux_kernel *kernel, struct vm *vm, struct boot_placer *placer,
			     struct boot_result *result)
{
	const char *text = kernel->config->command_line;
	const uint64_t length = string_length(text),
		       limit = bytes_load32(kernel->header + CMDLINE_SIZE);

	if (length > limit)
		return boot_fail(
			result, -E2BIG,
			"the kernel's command line has %llu bytes, but %s takes at most %llu",
			(unsigned long long)length, kernel->config->kernel.name,
			(unsigned long long)limit);
	kernel->command_line =
		boot_place_low(placer, length + 1, 16, LOW_MEMORY_MIN, LOW_MEMORY_MAX);
	if (kernel->command_line == BOOT_NOWHERE ||
	    vm_write(vm, gpa(kernel->command_line), text, length + 1))
		return boot_fail(result, -E2BIG,
				 "the kernel's command line has no place in low memory");
	return 0;
}

static void write_e820(uint8_t *page, const struct boot_map *map)
{
	page[E820_ENTRIES] = (uint8_t)map->count;
	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *entry = page + E820_TABLE + i * E820_ENTRY_SIZE;

		bytes_store64(entry, map->range[i].base);
		bytes_store64(entry + 8, map->range[i].size);
		bytes_store32(entry + 16, map->range[i].type);
	}
}

/* The zero page (struct boot_params): zeroes, the file's setup header, and our answers. */
static int write_zero_page(struct linux_kernel *kernel, struct vm *vm, struct boot_placer *placer,
			   struct boot_result *result)
{
	uint64_t end = HEADER_MAGIC + (uint64_t)kernel->header[JUMP_LENGTH];
	uint8_t page[PAGE] = {0};

	if (end > HEADER_END_MAX)
		end = HEADER_END_MAX;
	if (end > kernel->setup_size)
		end = kernel->setup_size;
	if (end > SETUP_SECTS)
		bytes_copy(page + SETUP_SECTS, kernel->header + SETUP_SECTS, end - SETUP_SECTS);
	bytes_store64(page + ACPI_RSDP_ADDR, kernel->config->rsdp);
	bytes_store16(page + VID_MODE, VGA_NORMAL);
	page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
	bytes_store32(page + CODE32_START, (uint32_t)kernel->base);
	bytes_store32(page + CMD_LINE_PTR, (uint32_t)kernel->command_line);
	bytes_store32(page + RAMDISK_IMAGE, (uint32_t)kernel->initrd);
	bytes_store32(page + EXT_RAMDISK_IMAGE, (uint32_t)(kernel->initrd >> 32));
	bytes_store32(page + RAMDISK_SIZE, (uint32_t)kernel->initrd_size);
	bytes_store32(page + EXT_RAMDISK_SIZE, (uint32_t)(kernel->initrd_size >> 32));
	bytes_store64(page + SETUP_DATA, 0);
	write_e820(page, &kernel->config->map);
	kernel->zero_page = boot_place_low(placer, PAGE, PAGE, LOW_MEMORY_MIN, LOW_MEMORY_MAX);
	if (kernel->zero_page == BOOT_NOWHERE || vm_write(vm, gpa(kernel->zero_page), page, PAGE))
		return boot_fail(result, -ENOMEM,
				 "there is no low memory for Linux's boot parameters");
	return 0;
}

/* Identity-mapped page tables at `at`, one page at a time. */
static int write_tables(struct vm *vm, uint64_t at)
{
	for (unsigned page = 0; page < TABLES_SIZE / PAGE; page++) {
		uint64_t table[PAGE / 8] = {0};

		if (page == 0)
			table[0] = (at + PAGE) | PTE_TABLE;
		for (uint64_t i = 0; page == 1 && i < 4; i++)
			table[i] = (at + (2 + i) * PAGE) | PTE_TABLE;
		for (uint64_t i = 0; page > 1 && i < PAGE / 8; i++)
			table[i] = ((page - 2) * GIB + i * 2 * MIB) | PTE_LARGE;
		if (vm_write(vm, gpa(at + page * PAGE), table, PAGE))
			return -EFAULT;
	}
	return 0;
}

/* Entry at the kernel's base plus 0x200, with paging on and RSI at the zero page. */
static int enter_64(struct linux_kernel *kernel, struct vm *vm, struct boot_placer *placer,
		    struct boot_result *result)
{
	uint64_t tables = boot_place_low(placer, TABLES_SIZE, PAGE, LOW_MEMORY_MIN, LOW_MEMORY_MAX);
	uint64_t gdt = boot_place_low(placer, BOOT_GDT_SIZE, 16, LOW_MEMORY_MIN, LOW_MEMORY_MAX);

	if (tables == BOOT_NOWHERE || gdt == BOOT_NOWHERE || write_tables(vm, tables) ||
	    vm_write(vm, gpa(gdt), boot_gdt_long, BOOT_GDT_SIZE))
		return boot_fail(result, -ENOMEM,
				 "there is no low memory for Linux's first page tables");
	boot_state_long(vm, kernel->base + ENTRY_64, tables, gdt, kernel->zero_page);
	return 0;
}

/* The 32-bit entry: flat segments, no paging, ESI at the zero page; selectors 0x10 and 0x18 from a
 * GDT in memory. */
static int enter_32(struct linux_kernel *kernel, struct vm *vm, struct boot_placer *placer,
		    struct boot_result *result)
{
	static const uint64_t gdt_32[4] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	uint64_t gdt = boot_place_low(placer, sizeof(gdt_32), 16, LOW_MEMORY_MIN, LOW_MEMORY_MAX);
	struct vcpu_state *state = &vm->vcpus[0]->state;

	if (gdt == BOOT_NOWHERE || vm_write(vm, gpa(gdt), gdt_32, sizeof(gdt_32)))
		return boot_fail(result, -ENOMEM, "there is no low memory for Linux's first GDT");
	boot_state_protected(vm, (uint32_t)kernel->base, 0, 0);
	state->gdtr = (struct table_register){.base = gdt, .limit = sizeof(gdt_32) - 1};
	for (int i = 0; i < 6; i++)
		state->segment[i].selector = i == 1 ? 0x10 : 0x18;
	state->gpr[6] = kernel->zero_page;
	return 0;
}

int boot_linux(struct vm *vm, const struct boot_config *config, struct boot_result *result)
{
	struct linux_kernel kernel = {.config = config};
	struct boot_placer placer;
	int error = check(&kernel, result);

	boot_placer_init(&placer, &config->map);
	if (!error)
		error = load_kernel(&kernel, vm, &placer, result);
	if (!error)
		error = load_initrd(&kernel, vm, &placer, result);
	if (!error)
		error = load_command_line(&kernel, vm, &placer, result);
	if (!error)
		error = write_zero_page(&kernel, vm, &placer, result);
	if (error)
		return error;
	if (kernel.xloadflags & XLF_KERNEL_64)
		return enter_64(&kernel, vm, &placer, result);
	return enter_32(&kernel, vm, &placer, result);
}
