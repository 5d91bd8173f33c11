# SPDX-License-Identifier: BSD-2-Clause
# The tiny guests: tests/guests/NAME.c or NAME.S becomes build/guests/NAME.elf, a multiboot kernel.
# They are 64-bit, but for NAME_32: multiboot wants a 32-bit file either way, so the 64-bit ones
# are renamed into one, with all addresses below 4 GiB.

guest_tests := $(sort $(wildcard tests/guests/*.c tests/guests/*.S))
guest_names := $(basename $(notdir $(guest_tests)))
guest_elfs  := $(guest_names:%=$O/guests/%.elf)
guest_lib   := tests/guests/lib/guest.c tests/guests/lib/start.S
guest_lib64 := tests/guests/lib/system.c tests/guests/lib/system_entry.S tests/guests/lib/model.c

guest_flags := -std=gnu17 -O1 -g -Itests/guests/lib -Itests/guests -ffreestanding -nostdinc \
               -isystem $(freestanding_include) $(warnings) $(WERROR) -fno-pic -fno-pie -fno-common \
               -fno-strict-aliasing -fno-stack-protector -fno-asynchronous-unwind-tables \
               -mno-red-zone -mgeneral-regs-only -fcf-protection=none
guest_mode   = $(if $(filter %_32,$(basename $(notdir $1))),-m32,-m64)

$O/guests/obj/64/%.o: %.c
	$(say) GUEST $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(guest_flags) -m64 -MMD -MP -c -o $@ $<
$O/guests/obj/64/%.o: %.S
	$(say) GUEST $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -g -m64 -Itests/guests/lib -MMD -MP -c -o $@ $<
$O/guests/obj/32/%.o: %.c
	$(say) GUEST $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(guest_flags) -m32 -MMD -MP -c -o $@ $<
$O/guests/obj/32/%.o: %.S
	$(say) GUEST $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -g -m32 -Itests/guests/lib -MMD -MP -c -o $@ $<

guest_lib_objects = $(patsubst %,$O/guests/obj/$1/%.o,$(basename $(guest_lib) $(guest_lib$1)))
$O/guests/lib64.a: $(call guest_lib_objects,64)
	$(Q)rm -f $@ && ar rcs $@ $^
$O/guests/lib32.a: $(call guest_lib_objects,32)
	$(Q)rm -f $@ && ar rcs $@ $^

# -u start: a test that brings its own start isn't given ours.
guest_link = ld -nostdlib -static -z noexecstack -z max-page-size=4096 --build-id=none \
             --no-warn-rwx-segments -u start -T tests/guests/lib/guest.ld
$O/guests/%_32.elf: $O/guests/obj/32/tests/guests/%_32.o $O/guests/lib32.a tests/guests/lib/guest.ld
	$(Q)$(guest_link) -m elf_i386 -o $@ $(filter %.o %.a,$^)
$O/guests/%.elf: $O/guests/obj/64/tests/guests/%.o $O/guests/lib64.a tests/guests/lib/guest.ld
	$(Q)$(guest_link) -m elf_x86_64 -o $@.64 $(filter %.o %.a,$^)
	$(Q)objcopy -O elf32-i386 $@.64 $@

-include $(wildcard $O/guests/obj/*/tests/guests/*.d $O/guests/obj/*/tests/guests/lib/*.d)
.SECONDARY:

.PHONY: guests test-guests
guests: $(guest_elfs)
test-guests: $O/lodge guests
	$(Q)LODGE=$O/lodge tests/run-guests $O/guests
