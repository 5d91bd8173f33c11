/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the boot loader to the first process. boot/entry.S calls kernel_main on the first processor,
 * in long mode, with page tables that do not last; smp.c's processors come to smp_processor_init
 * and then schedule_start.
 */
#include <stddef.h>

#include "kernel/acpi.h"
#include "kernel/boot.h"
#include "kernel/boot/boot_layout.h"
#include "kernel/call.h"
#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/guest.h"
#include "kernel/ioapic.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/process.h"
#include "kernel/schedule.h"
#include "kernel/serial.h"
#include "kernel/smp.h"
#include "lib/check.h"

extern const uint8_t image_end[];

_Noreturn void kernel_main(uint64_t information, uint64_t image);
void selftest(void);

/* The kernel that tests itself has another (tests/metal/kernel_test.c). */
__attribute__((weak)) void selftest(void)
{
}

/* Memory: whose it is, and the kernel's own address space. */
static void start_memory(uint64_t information, pa_t image)
{
	uint64_t size = (uint64_t)image_end - IMAGE_BASE;

	CHECK(size <= BOOT_IMAGE_MAX);
	boot_init(information, image, size);
	acpi_init();
	frames_init(image, size);
	page_init(image);
	if (cpu_create_stacks(cpu_this()))
		panic(NULL, "no memory for the first processor's stacks");
	cpu_processor_init(cpu_this());
	if (boot_information.modules_refused)
		log_line("%u boot modules are left out: they are empty, lie where no memory is "
			 "or over something else, or are too many",
			 boot_information.modules_refused);
}

static void start_devices(void)
{
	/* The 8259s first: what they ask for now must not reach the APIC when it has no place for
	 * it. */
	ioapic_init();
	local_apic_init(acpi_information.local_apic);
	local_apic_processor_init();
	smp_init();
	timer_processor_create(cpu_this());
	clock_init();
	local_apic_calibrate();
	serial_interrupts_on();
}

void smp_processor_init(void)
{
	schedule_prepare();
	call_processor_init();
	/* Any vcpu may come here. */
	if (guest_processor_init())
		panic(NULL, "no memory for guests on processor %u", cpu_this()->id);
}

void kernel_main(uint64_t information, uint64_t image)
{
	serial_init();
	cpu_init_first();
	start_memory(information, pa(image));
	start_devices();
	guest_probe();
	smp_processor_init();
	smp_start();
	log_line("Lodge: %u processor%s, %llu MiB of memory, of which it has %llu KiB", cpu_count(),
		 cpu_count() == 1 ? "" : "s", (unsigned long long)(frames_total() >> 20),
		 (unsigned long long)(frame_owned(OWNER_KERNEL) >> 10));
	selftest();
	process_start_manager();
	schedule_start();
}
