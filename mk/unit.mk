# SPDX-License-Identifier: BSD-2-Clause
# Two programs, both with AddressSanitizer and UBSan:
#   unit-tests        tests/unit/*_test.c with everything freestanding, on the host `fake`
#   unit-tests-linux  tests/unit/linux/*_test.c with everything hosted, on the host `linux`
# The sources are linked out of archives, so a test pulls in only what it reaches.
# While parts of the tree don't compile: make unit-one NAME=uart SRC='src/devices/uart.c src/core/*.c'

unit_sources  := $(sort $(wildcard tests/unit/*_test.c))
unit_sources_linux := $(sort $(wildcard tests/unit/linux/*_test.c))
fake_sources  := $(sort $(wildcard src/hosts/fake/*.c src/engines/scripted/*.c src/engines/metal/*.c) \
                        $(wildcard $(addprefix src/hosts/metal/,channel.c console.c disk.c netport.c)) \
                        $(foreach s,$(program_sources),$(if $(call is_hosted,$s),,$s)))
# The manager of bare metal, whose tests play the kernel below it.
fake_sources  += $(filter-out %/main.c %/system.c,$(wildcard src/manager/*.c))
# What of the bare-metal kernel is pure.
fake_sources  += src/kernel/queue.c src/kernel/switch.c
fake_sources  += src/kernel/boot/multiboot.c src/kernel/acpi_tables.c src/kernel/frame_pool.c
fake_sources  += src/kernel/vcpu_cpuid.c src/kernel/vcpu_registers.c src/kernel/svm/registers.c
linux_sources := $(filter-out %/main.c,$(program_sources)) $(wildcard src/engines/scripted/*.c)
# What of the guest's init can be run here.
linux_sources += src/guest/boot_options.c src/guest/dhcp.c
linux_sources := $(sort $(linux_sources))

sanitize   := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
unit_flags := -O1 $(sanitize) -I. -Itests/unit
# The sanitizers need no vector registers kept for a guest, and the shadow checks may use them.
unit_world  = $(filter-out -mgeneral-regs-only,$(call world,$1))

$O/unit/obj/%.o: %.c $O/unit/obj/flags
	$(say) UNIT-CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) $(unit_flags) $(call unit_world,$<) -DTEST_NOUN=$(patsubst %_test,%,$(basename $(<F))) \
		$(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$O/unit/obj/%.o: %.S $O/unit/obj/flags
	$(say) UNIT-AS $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -g -Isrc $(CPPFLAGS) -MMD -MP -c -o $@ $<

$O/unit/obj/flags: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(CC) $(common) $(unit_flags) $(CFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(common) $(unit_flags) $(CFLAGS)' > $@

unit_objects = $(call objects_in,$O/unit/obj,$1)

$O/unit/fake.a: $(call unit_objects,$(fake_sources))
	$(Q)rm -f $@ && ar rcs $@ $^
# Here the software engine runs guests, whose vector registers are live in quiet code; a sanitizer's
# calls would use them. So quiet objects are the program's own, and so are the functions that the
# compiler calls in them: by their names memcpy and so on, the sanitizer's would be linked.
linux_objects := $(foreach s,$(linux_sources),$(call objects_in,$(if $(call is_quiet,$s),$O/unit/quiet,$O/unit/obj),$s))
own_calls := memcpy memmove memset memcmp
$O/unit/quiet/%.o: $O/obj/%.o
	$(Q)mkdir -p $(@D)
	$(Q)objcopy $(foreach c,$(own_calls),--redefine-sym $c=bytes_$c) $< $@
$O/unit/quiet/src/lib/bytes.o: $O/obj/src/lib/bytes.o
	$(Q)mkdir -p $(@D)
	$(Q)objcopy $(foreach c,$(own_calls),--strip-symbol $c) $< $@
$O/unit/linux.a: $(linux_objects)
	$(Q)rm -f $@ && ar rcs $@ $^

# The list changes with the files that there are, as well as with what is in them.
$O/unit/list.c: FORCE $(unit_sources) tools/list-tests
	$(Q)mkdir -p $(@D)
	$(Q)tools/list-tests $(unit_sources) > $@.new && { cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }
$O/unit/list-linux.c: FORCE $(unit_sources_linux) tools/list-tests
	$(Q)mkdir -p $(@D)
	$(Q)tools/list-tests $(unit_sources_linux) > $@.new && { cmp -s $@.new $@ && rm $@.new || mv $@.new $@; }

unit_link = $(CC) -g $(sanitize) -pthread -I. $(LDFLAGS) -o $@

$O/unit-tests: $(call unit_objects,$(unit_sources) tests/unit/main.c) $O/unit/list.c $O/unit/fake.a
	$(say) LINK $@
	$(Q)$(unit_link) $^
$O/unit-tests-linux: $(call unit_objects,$(unit_sources_linux) tests/unit/main.c) $O/unit/list-linux.c $O/unit/linux.a
	$(say) LINK $@
	$(Q)$(unit_link) $^ $(storage_libs) $(manage_libs) -lZydis

# The program, with the sanitizers in all that is theirs: LODGE=build/unit/lodge tests/boot/boot-senders
$O/unit/lodge: $(call unit_objects,src/manage/main.c) $O/unit/linux.a
	$(say) LINK $@
	$(Q)$(unit_link) $^ $(slirp_libs) $(storage_libs) $(manage_libs)

-include $(patsubst %.o,%.d,$(call unit_objects,$(sort $(fake_sources) $(linux_sources) $(unit_sources) \
	$(unit_sources_linux) tests/unit/main.c)))

.PHONY: unit unit-one
UNIT ?=
unit: $O/unit-tests $O/unit-tests-linux
	$(Q)tools/sum-results "unit tests:$O/unit-tests $(UNIT)" "unit tests on Linux:$O/unit-tests-linux $(UNIT)"

one_folder = $(if $(wildcard tests/unit/linux/$(NAME)_test.c),tests/unit/linux,tests/unit)
one_source = $(one_folder)/$(NAME)_test.c
unit-one: $(call unit_objects,$(one_source) tests/unit/main.c $(wildcard $(SRC)))
	$(Q)tools/list-tests $(one_source) > $O/unit/list-$(NAME).c
	$(Q)$(CC) -g $(sanitize) -pthread -I. -o $O/unit/$(NAME)_test $O/unit/list-$(NAME).c $^ \
		$(if $(findstring linux,$(one_folder)),$(storage_libs) $(manage_libs) -lZydis)
	$(Q)$O/unit/$(NAME)_test $(UNIT)
