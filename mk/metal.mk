# SPDX-License-Identifier: BSD-2-Clause
# Bare metal: the kernel with its two programs inside, and the bootable image.
#
#   build/metal/manager.elf  the manager: ring 3, starts machines, owns the serial line
#   build/metal/machine.elf  a machine: ring 3, the same core, devices and machine as everywhere
#   build/metal/kernel.elf   the kernel, which has both in it
#
# Everything here is freestanding and uses general registers only: vector registers hold guests' values.

metal_world := $(freestanding) $(quiet) -fno-pic -fno-pie -fcf-protection=none -fno-asynchronous-unwind-tables

metal_shared := $(wildcard src/lib/*.c)
metal_x86    := $(wildcard src/x86/*.c)
kernel_sources  := $(sort $(wildcard src/kernel/*.[cS] src/kernel/*/*.[cS]))
kernel_all      := $(kernel_sources) $(metal_shared) \
                   $(filter-out src/x86/segments.c src/x86/cpuid.c src/x86/encode.c,$(metal_x86))
machine_sources := $(sort $(wildcard src/hosts/metal/*.[cS] src/engines/metal/*.[cS]) $(metal_shared) $(metal_x86) \
                   $(wildcard src/core/*.c src/devices/*.c src/devices/virtio/*.c src/machines/*.c))
manager_sources := $(sort $(wildcard src/manager/*.[cS]) $(wildcard $(addprefix src/hosts/metal/,start.S channel.c common.c)) \
                   $(metal_shared) src/machines/machine_file.c)

metal_objects = $(call objects_in,$O/metal/$1,$2)
kernel_objects := $(filter-out %/programs.o,$(call metal_objects,kernel,$(kernel_all)))

$O/metal/kernel/%.o: %.c $O/obj/flags
	$(say) KERNEL $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) $(OPTIMIZE) $(metal_world) -mcmodel=kernel -mno-red-zone -fno-omit-frame-pointer \
		$(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$O/metal/kernel/%.o: %.S $O/obj/flags
	$(say) KERNEL $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -g -Isrc $(CPPFLAGS) -MMD -MP -c -o $@ $<
$O/metal/program/%.o: %.c $O/obj/flags
	$(say) METAL $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) $(OPTIMIZE) $(metal_world) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$O/metal/program/%.o: %.S $O/obj/flags
	$(say) METAL $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -g -Isrc $(CPPFLAGS) -MMD -MP -c -o $@ $<

# Programs: text, constants and data in pages of their own.
metal_link = ld -nostdlib -static -z noexecstack -z max-page-size=4096 -z separate-code --build-id=none \
             --gc-sections -Ttext-segment=0x400000 -e metal_entry
$O/metal/machine.elf: $(call metal_objects,program,$(machine_sources))
	$(say) LINK $@
	$(Q)$(metal_link) -o $@ $^
$O/metal/manager.elf: $(call metal_objects,program,$(manager_sources))
	$(say) LINK $@
	$(Q)$(metal_link) -o $@ $^
