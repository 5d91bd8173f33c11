# SPDX-License-Identifier: BSD-2-Clause
# The bootable image of the bare-metal form, and what boots it. mk/metal.mk has the kernel's own rules.

metal_guests := $(or $(LODGE_METAL_DIR),$O/guest-metal)

.PHONY: guest-metal iso iso-build run-metal test-metal test-metal-run test-metal-bochs bench-metal
guest-metal: $O/init
	$(Q)LODGE_GUEST_DIR=$(guest) tools/prepare-guest $O/init
	$(Q)LODGE_METAL_DIR=$(metal_guests) tools/prepare-guest-metal $(guest) $O/init

# The image holds what the machine file names. $(MACHINES) takes another machine file.
MACHINES ?= $(metal_guests)/machines
iso-build: $O/metal/kernel.elf guest-metal
	$(say) ISO $O/lodge.iso
	$(Q)tools/make-iso -m $(MACHINES) $O/lodge.iso $O/metal/kernel.elf

iso:
	$(Q)tools/install-packages run metal
	$(Q)$(MAKE) --no-print-directory $(parallel) iso-build

run-metal: iso
	$(Q)tools/install-packages metal-run
	$(Q)tools/run-metal $O/lodge.iso

# Tiny guests for this form alone, built as those in tests/guests are.
metal_guest_tests := $(sort $(wildcard tests/metal/guests/*.c))
metal_bench_tests := $(sort $(wildcard bench/metal/*.c))
metal_guest_elfs  := $(patsubst %.c,$O/metal/guests/%.elf,$(notdir $(metal_guest_tests) $(metal_bench_tests)))
$O/metal/guests/%.elf: $O/guests/obj/64/tests/metal/guests/%.o $O/guests/lib64.a tests/guests/lib/guest.ld
	$(Q)mkdir -p $(@D)
	$(Q)$(guest_link) -m elf_x86_64 -o $@.64 $(filter %.o %.a,$^)
	$(Q)objcopy -O elf32-i386 $@.64 $@
$O/metal/guests/%.elf: $O/guests/obj/64/bench/metal/%.o $O/guests/lib64.a tests/guests/lib/guest.ld
	$(Q)mkdir -p $(@D)
	$(Q)$(guest_link) -m elf_x86_64 -o $@.64 $(filter %.o %.a,$^)
	$(Q)objcopy -O elf32-i386 $@.64 $@
-include $(wildcard $O/guests/obj/64/tests/metal/guests/*.d $O/guests/obj/64/bench/metal/*.d)

.PHONY: guests-metal
guests-metal: $(metal_guest_elfs)

metal_world_of = O=$O LODGE_GUEST_DIR=$(guest) LODGE_METAL_DIR=$(metal_guests)
test-metal:
	$(Q)tools/install-packages run metal metal-run
	$(Q)$(MAKE) --no-print-directory $(parallel) $O/metal/kernel.elf $O/metal/calls/kernel.elf \
		$O/metal/selftest/kernel.elf guest guests guests-metal iso-build
	$(Q)$(metal_world_of) tests/metal/run

# Minutes: another processor, as Bochs has it.
test-metal-bochs:
	$(Q)tools/install-packages run metal metal-bochs
	$(Q)$(MAKE) --no-print-directory $(parallel) $O/metal/kernel.elf $O/metal/selftest/kernel.elf guests
	$(Q)$(metal_world_of) tests/metal/bochs

bench-metal:
	$(Q)tools/install-packages run metal metal-run
	$(Q)$(MAKE) --no-print-directory $(parallel) $O/metal/kernel.elf guest guests-metal
	$(Q)$(metal_world_of) bench/metal/run
