# SPDX-License-Identifier: BSD-2-Clause
# `make test` and what else runs the program: boot tests, conformance, fuzzers.

.PHONY: test-run test-boot
test:
	$(Q)tools/install-packages run test
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest guests $O/stress/stress $O/unit-tests $O/unit-tests-linux conformance-build
	$(Q)$(MAKE) --no-print-directory test-run

# A folder of tests with a program `run` in it needs no other rule than to be there.
other_runs := $(filter-out tests/boot/run tests/conformance/run tests/metal/run tests/rigs/run,$(wildcard tests/*/run)) $(wildcard tests/bad-input)

# Everything is built by now; the guest of the boot tests is the one of `make run`. Those of the verbs
# and the hosted unit tests wait for the most part, so they run beside all others.
test-run:
	$(Q)export LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) O=$O; tools/sum-results \
		"&manage:tests/manage/run" "&unit tests on Linux:$O/unit-tests-linux" \
		"unit tests:$O/unit-tests" \
		"guests:tests/run-guests $O/guests" \
		$(if $(wildcard tests/conformance/run),"conformance:tests/conformance/run") \
		$(foreach t,$(filter-out tests/manage/run,$(other_runs)),"$(patsubst tests/%/run,%,$t):$t") \
		"boot:tests/boot/run"

test-boot: $O/lodge guest
	$(Q)LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) tests/boot/run

# mk/conformance.mk, where it is there, says what is built for tests/conformance/run.
.PHONY: conformance-build
conformance-build:
conformance: all conformance-build
	$(Q)if [ -x tests/conformance/run ]; then LODGE=$O/lodge O=$O tests/conformance/run; \
		else echo "there is no tests/conformance/run" >&2; exit 1; fi

# Each tests/fuzz/NAME.c defines LLVMFuzzerTestOneInput and is linked with everything freestanding,
# storage and the host `fake`. What it finds stays in build/fuzz/.
FUZZ_SECONDS ?= 20
fuzz_names   := $(basename $(notdir $(wildcard tests/fuzz/*.c)))
fuzz_flags   := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -I.
clang_include = $(shell $(CLANG) -print-file-name=include)
fuzz_objects  = $(call objects_in,$O/fuzz/obj,$1)
# As fake_sources, which unit.mk sets only after this file has been read.
fuzz_sources := $(sort $(wildcard src/hosts/fake/*.c src/engines/scripted/*.c) \
                       $(foreach s,$(filter %.c,$(program_sources)),$(if $(call is_hosted,$s),,$s)))
fuzz_sources += src/kernel/boot/multiboot.c src/kernel/acpi_tables.c $(wildcard src/storage/*.c)
fuzz_sources += src/manage/control_message.c src/manage/agent_frames.c src/manage/migrate_wire.c src/manage/plain.c
fuzz_sources += src/network/lan.c src/network/lan_guard.c src/network/lan_service.c src/network/merge.c

$O/fuzz/obj/%.o: %.c
	$(say) FUZZ-CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(common) $(fuzz_flags) $(subst $(freestanding_include),$(clang_include),$(filter-out \
		-mgeneral-regs-only,$(call world,$<))) -MMD -MP -c -o $@ $<
$O/fuzz/fake.a: $(call fuzz_objects,$(fuzz_sources))
	$(Q)rm -f $@ && ar rcs $@ $^
$O/fuzz/%: $O/fuzz/obj/tests/fuzz/%.o $O/fuzz/fake.a
	$(Q)$(CLANG) -g -fsanitize=fuzzer,address,undefined -pthread -o $@ $^ $(storage_libs) $(manage_libs)
# Whether the fuzzers can be linked, for `make check`: to build them takes long. All in one, of the program's objects.
check-fuzz-link: $(call objects_in,$O/obj,$(fuzz_sources))
	$(Q)rm -f $O/fuzz-link.a && ar rcs $O/fuzz-link.a $^
	$(Q)$(CC) $(common) -O0 -I. -D_GNU_SOURCE -pthread -Wl,--defsym=main=0,--allow-multiple-definition -o $O/fuzz-link \
		$(fuzz_names:%=tests/fuzz/%.c) $O/fuzz-link.a $(storage_libs) $(manage_libs)
.PHONY: check-fuzz-link
-include $(wildcard $O/fuzz/obj/*/*.d $O/fuzz/obj/*/*/*.d $O/fuzz/obj/*/*/*/*.d)

fuzz:
	$(Q)tools/install-packages fuzz
	$(Q)$(MAKE) --no-print-directory $(parallel) $(fuzz_names:%=$O/fuzz/%)
	$(Q)tools/sum-results $(foreach f,$(fuzz_names),"fuzz $f:mkdir -p $O/fuzz/$f.corpus; $O/fuzz/$f \
		-max_total_time=$(FUZZ_SECONDS) -timeout=10 -verbosity=0 -print_final_stats=1 \
		-artifact_prefix=$O/fuzz/$f. $O/fuzz/$f.corpus $(wildcard tests/fuzz/$f.seeds)")
