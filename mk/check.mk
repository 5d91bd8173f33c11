# SPDX-License-Identifier: BSD-2-Clause
# `make check`: everything that can be said of the sources without running them.

all_headers := $(sort $(shell find src -name '*.h' 2>/dev/null))
test_sources := $(sort $(wildcard tests/unit/*_test.c tests/unit/linux/*_test.c tests/fuzz/*.c) tests/unit/main.c)
# The analyzer of gcc is slow: it looks at what reads bytes of guests, images and peers.
analyzed := $(filter %.c,$(filter src/devices/% src/machines/% src/storage/% src/network/% \
                               src/manage/control_message.c src/manage/control_client.c src/manage/state.c \
                               src/manage/snapshots.c,$(program_sources)))

.PHONY: objects check-run check-headers check-tests check-analyzer check-cppcheck
objects: $(program_objects) $O/init $O/metal/kernel.elf

check:
	$(Q)tools/install-packages run check
	$(Q)$(MAKE) --no-print-directory check-run

again = MAKEFLAGS= $(MAKE) --no-print-directory -k -j$(shell nproc)
check-run:
	$(Q)tools/sum-results \
		"files:tools/check-files" \
		"layers:tools/check-layers" \
		"format:tools/check-format" \
		"headers compile alone:$(again) check-headers" \
		"gcc, warnings are errors:$(again) O=$O/check-gcc CC=gcc WERROR=-Werror objects guests guests-metal check-tests check-fuzz-link" \
		"clang, warnings are errors:$(again) O=$O/check-clang CC=clang WERROR=-Werror objects check-tests" \
		"cppcheck:$(again) check-cppcheck" \
		"gcc's analyzer:$(again) check-analyzer"

check-headers:
	$(Q)tools/check-headers $(CC) $(common) -Werror $(freestanding) -- \
		$(foreach h,$(all_headers),$(if $(filter $(hosted_patterns),$h),,$h))
	$(Q)tools/check-headers $(CC) $(common) -Werror $(hosted) -- \
		$(filter $(hosted_patterns),$(all_headers))

check-tests: $(test_sources:%=check-test-%)
$(test_sources:%=check-test-%): check-test-%: %
	$(Q)$(CC) $(common) -I. -Itests/unit $(call unit_world,$<) -fsyntax-only $<
.PHONY: $(test_sources:%=check-test-%)

# Suppressed: what doesn't know a function that never returns, and what the compilers say better.
cppcheck_suppressed := missingInclude unknownMacro ctuuninitvar zerodivcond arrayIndexOutOfBoundsCond \
                       invalidPrintfArgType_uint invalidPrintfArgType_sint
check-cppcheck:
	$(Q)mkdir -p $O/cppcheck
	$(Q)$(CPPCHECK) -q --enable=warning,portability --std=c11 --inline-suppr --error-exitcode=1 \
		--cppcheck-build-dir=$O/cppcheck $(cppcheck_suppressed:%=--suppress=%) \
		--template=gcc -Isrc -D__x86_64__ -D__GNUC__ -j2 src

check-analyzer: $(analyzed:%=check-analyzer-%)
$(analyzed:%=check-analyzer-%): check-analyzer-%: %
	$(Q)gcc $(common) -Werror -O1 $(call world,$<) -fanalyzer -c -o /dev/null $<
.PHONY: $(analyzed:%=check-analyzer-%)
