# SPDX-License-Identifier: BSD-2-Clause
# What `make bench` (mk/test.mk) runs in the guests and natively beside them.

bench_sources := $(wildcard bench/guest/*.c)

$O/bench/bench: $(bench_sources) $(wildcard bench/guest/*.h) $O/obj/flags
	$(say) BENCH $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) -O2 -D_GNU_SOURCE -static -s -o $@ $(bench_sources)

$O/bench/first.elf: bench/guest/first.S
	$(say) BENCH $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 -c -o $@.o $<
	$(Q)ld -m elf_i386 -nostdlib -static -n -e start -Ttext 0x100000 --build-id=none -o $@ $@.o

# What gcc compiles there: one of these sources, in one piece.
$O/bench/source.c: bench/guest/compute.c bench/guest/bench.h
	$(Q)mkdir -p $(@D)
	$(Q)sed -e '/^#include "bench.h"/{r bench/guest/bench.h' -e 'd}' $< >$@

.PHONY: bench-build guest-bench
bench-build: $O/bench/bench $O/bench/first.elf $O/bench/source.c
guest_bench := $(or $(LODGE_BENCH_DIR),$O/guest-bench)
guest-bench:
	$(Q)LODGE_BENCH_DIR=$(guest_bench) tools/prepare-bench
bench: bench-build $(if $(filter programs,$(or $(BENCH_ONLY),programs)),guest-bench)
bench: export LODGE_BENCH_DIR := $(guest_bench)
bench: export BENCH_BUILD := $O/bench
