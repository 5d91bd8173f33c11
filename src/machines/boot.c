/* SPDX-License-Identifier: BSD-2-Clause */
#include "machines/boot.h"

#include <stdarg.h>

#include "core/vm.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "x86/registers.h"

#define PAGE 4096u
#define MIB  (1ull << 20)

#define RFLAGS_R1 0x2u

/* Descriptor types (Intel SDM volume 3, tables 3-1 and 3-2). */
#define TYPE_DATA_RW_ACCESSED 0x3u
#define TYPE_CODE_RX_ACCESSED 0xbu
#define TYPE_TSS_BUSY	      0xbu

enum { ES, CS, SS, DS, FS, GS };
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

int boot_fail(struct boot_result *result, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vformat(result->reason, sizeof(result->reason), format, arguments);
	va_end(arguments);
	result->error = error;
	return error;
}

int boot_fail_memory(struct boot_result *result, const struct boot_config *config, uint64_t end)
{
	const uint64_t need = align_up(end, 2 * MIB);

	boot_fail(result, -ENOMEM, "%s%s needs at least %llu MiB of memory", config->kernel.name,
		  config->module_count ? " with its initrd" : "", (unsigned long long)(need / MIB));
	result->memory_needed = need;
	return -ENOMEM;
}

/* Where the modules would end at the least, if they began at min and behind everything that has a
 * place. */
static uint64_t modules_end(const struct boot_config *config, const struct boot_placer *placer,
			    uint64_t min)
{
	uint64_t end = min;

	for (unsigned i = 0; i < placer->count; i++)
		if (placer->used[i].end > end)
			end = placer->used[i].end;
	for (unsigned i = 0; i < config->module_count; i++)
		end = align_up(end, PAGE) + config->modules[i].image.size;
	return end;
}

int boot_modules(struct vm *vm, const struct boot_config *config, struct boot_placer *placer,
		 uint64_t min, uint64_t max, uint64_t *addresses, struct boot_result *result)
{
	const uint64_t end = modules_end(config, placer, min);
	const uint64_t limit = max < config->map.hole_base ? max : config->map.hole_base;

	for (unsigned i = 0; i < config->module_count; i++) {
		const struct boot_file *module = &config->modules[i];
		const uint64_t size = module->image.size;

		/* A module of no bytes still has an address. */
		addresses[i] = boot_place_high(placer, size ? size : 1, PAGE, min, max);
		if (addresses[i] == BOOT_NOWHERE && end > boot_map_ram_end(&config->map, max) &&
		    end <= limit)
			return boot_fail_memory(result, config, end);
		if (addresses[i] == BOOT_NOWHERE)
			return boot_fail(result, -ENOMEM,
					 "%s is too large (%llu MiB) for this kernel's initrd area",
					 module->name, (unsigned long long)(size / MIB));
		if (size && vm_write(vm, gpa(addresses[i]), module->image.bytes, size))
			return boot_fail(result, -EINVAL, "%s can't be put into memory",
					 module->name);
	}
	return 0;
}

static struct segment flat(uint16_t selector, uint16_t attributes)
{
	return (struct segment){
		.selector = selector, .attributes = attributes, .limit = 0xffffffff};
}

static void set_segments(struct vcpu_state *state, struct segment code, struct segment data,
			 uint16_t tss)
{
	for (int i = 0; i < 6; i++)
		state->segment[i] = i == CS ? code : data;
	state->tr = (struct segment){
		.selector = tss, .attributes = TYPE_TSS_BUSY | SEGMENT_P, .limit = 0x67};
	state->ldtr = (struct segment){.attributes = SEGMENT_UNUSABLE};
}

void boot_state_protected(struct vm *vm, uint32_t entry, uint32_t eax, uint32_t ebx)
{
	struct vcpu_state *state = &vm->vcpus[0]->state;
	const uint16_t common = SEGMENT_S | SEGMENT_P | SEGMENT_DB | SEGMENT_G;

	vcpu_sync(vm->vcpus[0]);
	/* The selectors are ours to choose: both protocols tell the kernel to load a GDT of its
	 * own. */
	set_segments(state, flat(0x08, common | TYPE_CODE_RX_ACCESSED),
		     flat(0x10, common | TYPE_DATA_RW_ACCESSED), 0x18);
	state->gdtr = state->idtr = (struct table_register){0, 0};
	state->cr0 = CR0_PE | CR0_ET;
	state->cr4 = 0;
	state->efer = 0;
	state->rflags = RFLAGS_R1;
	bytes_fill(state->gpr, 0, sizeof(state->gpr));
	state->gpr[RAX] = eax;
	state->gpr[RBX] = ebx;
	state->rip = entry;
}

const uint64_t boot_gdt_long[BOOT_GDT_SIZE / 8] = {
	0,
	0,
	0x00af9b000000ffff, /* 0x10: 64-bit code */
	0x00cf93000000ffff, /* 0x18: data */
	0x00008b0000000067, /* 0x20: TSS, 16 bytes in 64-bit mode */
	0,
};

void boot_state_long(struct vm *vm, uint64_t entry, uint64_t cr3, uint64_t gdt, uint64_t rsi)
{
	struct vcpu_state *state = &vm->vcpus[0]->state;
	const uint16_t common = SEGMENT_S | SEGMENT_P | SEGMENT_G;

	vcpu_sync(vm->vcpus[0]);
	set_segments(state, flat(0x10, common | SEGMENT_L | TYPE_CODE_RX_ACCESSED),
		     flat(0x18, common | SEGMENT_DB | TYPE_DATA_RW_ACCESSED), 0x20);
	state->gdtr = (struct table_register){.base = gdt, .limit = BOOT_GDT_SIZE - 1};
	state->idtr = (struct table_register){0, 0};
	state->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	state->cr3 = cr3;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	state->rflags = RFLAGS_R1;
	bytes_fill(state->gpr, 0, sizeof(state->gpr));
	state->gpr[RSI] = rsi;
	state->rip = entry;
}

int boot_load(struct vm *vm, const struct boot_config *config, struct boot_result *result)
{
	const struct boot_file *kernel = &config->kernel;

	bytes_fill(result, 0, sizeof(*result));
	if (!kernel->image.size)
		return boot_fail(result, -ENOEXEC, "%s is empty, not a kernel", kernel->name);
	if (string_length(config->command_line) >= BOOT_COMMAND_LINE_MAX)
		return boot_fail(result, -E2BIG,
				 "the kernel's command line is longer than %u bytes",
				 BOOT_COMMAND_LINE_MAX - 1);
	if (boot_is_linux(&kernel->image)) {
		result->protocol = "linux";
		return boot_linux(vm, config, result);
	}
	if (boot_is_multiboot(&kernel->image)) {
		result->protocol = "multiboot";
		return boot_multiboot(vm, config, result);
	}
	if (boot_is_elf(&kernel->image)) {
		result->protocol = "pvh";
		return boot_elf(vm, config, result);
	}
	return boot_fail(result, -ENOEXEC,
			 "%s is not a kernel: neither a Linux bzImage, nor multiboot, nor ELF with "
			 "a PVH note",
			 kernel->name);
}
