# SPDX-License-Identifier: BSD-2-Clause
# Bare metal: the kernel with its two programs inside, and the bootable image.
#
#   build/metal/manager.elf  the manager: ring 3, starts machines, owns the serial line
#   build/metal/machine.elf  a machine: ring 3, the same core, devices and machine as everywhere
#   build/metal/kernel.elf   the kernel, which has both in it
#
# Everything here is freestanding and uses general registers only: vector registers hold guests' values.

metal_world := $(freestanding) $(quiet) -fno-pic -fno-pie -fcf-protection=none -fno-asynchronous-unwind-tables
program_world := $(metal_world) -ffunction-sections -fdata-sections

metal_shared := $(wildcard src/lib/*.c)
metal_x86    := $(wildcard src/x86/*.c)
kernel_sources  := $(sort $(wildcard src/kernel/*.[cS] src/kernel/*/*.[cS]))
kernel_all      := $(kernel_sources) $(metal_shared) \
                   $(filter-out src/x86/segments.c src/x86/cpuid.c src/x86/cpuid_entries.c src/x86/encode.c src/x86/state.c,$(metal_x86))
machine_sources := $(sort $(wildcard src/hosts/metal/*.[cS] src/engines/metal/*.[cS]) $(metal_shared) $(metal_x86) \
                   $(wildcard src/core/*.c src/devices/*.c src/devices/virtio/*.c src/machines/*.c))
manager_sources := $(sort $(wildcard src/manager/*.[cS]) $(wildcard $(addprefix src/hosts/metal/, \
                     start.S channel.c common.c clock.c lock.c pages.c random.c)) \
                   $(metal_shared) $(wildcard src/machines/machine_*.c))

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
	$(Q)$(CC) $(common) $(OPTIMIZE) $(program_world) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
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

# Only the one object that prints the version is built anew for a new commit.
$O/metal/program/src/manager/version.o: CPPFLAGS += -DLODGE_VERSION='"$(version)"'
$O/metal/program/src/manager/version.o: $O/obj/version

# The kernel is linked twice: the first link finds the addresses of its functions, the second has the
# table of them for back-traces. src/kernel/kernel.ld keeps text where it was.
kernel_link = ld -nostdlib -static -z noexecstack -z max-page-size=4096 --build-id=none -T src/kernel/kernel.ld
programs_object := $O/metal/kernel/src/kernel/programs.o

# The programs inside of it are without their symbols and debugging information.
$O/metal/stripped/%.elf: $O/metal/%.elf
	$(Q)mkdir -p $(@D)
	$(Q)strip -s -o $@ $<
%.segments: %.elf tools/list-segments
	$(Q)tools/list-segments $< > $@
$(programs_object): $(foreach p,manager machine,$O/metal/stripped/$p.elf $O/metal/stripped/$p.segments)
$(programs_object): private CPPFLAGS += -Wa,-I$O/metal/stripped
$O/metal/symbols-%.o: $O/metal/symbols-%.S
	$(Q)$(CC) -c -o $@ $<
$O/metal/symbols-none.S: tools/list-symbols
	$(Q)mkdir -p $(@D)
	$(Q)tools/list-symbols > $@
$O/metal/symbols-all.S: $O/metal/kernel-unnamed.elf tools/list-symbols
	$(Q)tools/list-symbols $< > $@
$O/metal/kernel-unnamed.elf: $(kernel_objects) $(programs_object) $O/metal/symbols-none.o src/kernel/kernel.ld
	$(Q)$(kernel_link) -o $@ $(filter %.o,$^)
$O/metal/kernel.elf: $(kernel_objects) $(programs_object) $O/metal/symbols-all.o src/kernel/kernel.ld
	$(say) LINK $@
	$(Q)$(kernel_link) -o $@ $(filter %.o,$^)

.PHONY: metal
metal: $O/metal/kernel.elf

-include $(patsubst %.o,%.d,$(kernel_objects) $(call metal_objects,program,$(machine_sources) $(manager_sources)))

# The kernel that tests itself: the same with one object more, behind the others, so the names are right.
kernel_test := $(call metal_objects,kernel,tests/metal/kernel_test.c)
$O/metal/selftest/kernel.elf: $(kernel_objects) $(programs_object) $(kernel_test) $O/metal/symbols-all.o src/kernel/kernel.ld
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(kernel_link) -o $@ $(filter %.o,$^)
-include $(patsubst %.o,%.d,$(kernel_test))

# Processes under attack (tests/metal): the kernel with two other programs inside.
calls_common  := src/hosts/metal/start.S $(metal_shared)
calls_manager := $(call metal_objects,program,tests/metal/calls_manager.c $(calls_common))
calls_machine := $(call metal_objects,program,tests/metal/fuzz_calls.c $(calls_common))
$(calls_manager) $(calls_machine): program_world += -I.

$O/metal/calls/manager.elf: $(calls_manager)
	$(Q)mkdir -p $(@D)
	$(Q)$(metal_link) -o $@ $^
$O/metal/calls/machine.elf: $(calls_machine)
	$(Q)mkdir -p $(@D)
	$(Q)$(metal_link) -o $@ $^
$O/metal/calls/programs.o: src/kernel/programs.S $(foreach p,manager machine,$O/metal/calls/$p.elf $O/metal/calls/$p.segments)
	$(Q)$(CC) -Wa,-I$O/metal/calls -c -o $@ $<
$O/metal/calls/kernel.elf: $(kernel_objects) $O/metal/calls/programs.o $O/metal/symbols-none.o src/kernel/kernel.ld
	$(say) LINK $@
	$(Q)$(kernel_link) -o $@ $(filter %.o,$^)
-include $(patsubst %.o,%.d,$(calls_manager) $(calls_machine))
