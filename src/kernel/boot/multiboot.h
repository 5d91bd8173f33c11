/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads what a multiboot2 boot loader left. Pure; every byte is hostile. */
#ifndef KERNEL_BOOT_MULTIBOOT_H
#define KERNEL_BOOT_MULTIBOOT_H

#include <stdint.h>

#include "kernel/boot.h"

/* Of the whole information. */
#define MULTIBOOT_SIZE_MAX 0x100000

/*
 * bytes: the information, size bytes as its first word says (whoever calls has checked that they
 * are there). image: where the kernel is, which no module may touch. NULL, or why there is no
 * starting.
 */
const char *multiboot_parse(struct boot_information *information, const uint8_t *bytes,
			    uint32_t size, uint64_t image, uint64_t image_size);

#endif
