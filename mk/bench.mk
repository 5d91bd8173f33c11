# SPDX-License-Identifier: BSD-2-Clause
# `make bench`, and what it runs in the guests and natively beside them.

bench_sources := $(wildcard bench/guest/*.c)

$O/bench/bench: $(bench_sources) $(wildcard bench/guest/*.h) $O/obj/flags
	$(say) BENCH $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) -O2 -D_GNU_SOURCE -static -s -o $@ $(bench_sources)

$O/bench/%.elf: bench/guest/%.S
	$(say) BENCH $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -c -o $@.o $<
	$(Q)ld -m elf_i386 -nostdlib -static -n -e start -Ttext 0x100000 --build-id=none -o $@ $@.o

# What gcc compiles there: one of these sources, in one piece.
$O/bench/source.c: bench/guest/compute.c bench/guest/bench.h
	$(Q)mkdir -p $(@D)
	$(Q)sed -e '/^#include "bench.h"/{r bench/guest/bench.h' -e 'd}' $< >$@

# The root file system whose programs are measured.
guest_bench := $(or $(LODGE_BENCH_DIR),$O/guest-bench)
bench_wants_programs := $(filter programs aged,$(or $(BENCH_ONLY),programs))

.PHONY: bench-build guest-bench
bench-build: $O/bench/bench $O/bench/first.elf $O/bench/full.elf $O/bench/source.c
guest-bench:
	$(Q)LODGE_BENCH_DIR=$(guest_bench) tools/prepare-bench

bench:
	$(Q)tools/install-packages run bench
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest bench-build $(if $(bench_wants_programs),guest-bench)
	$(Q)LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) LODGE_BENCH_DIR=$(guest_bench) BENCH_BUILD=$O/bench bench/run
