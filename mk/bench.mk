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

.PHONY: bench-build
bench-build: $O/bench/bench $O/bench/first.elf
bench: bench-build
bench: export BENCH_BUILD := $O/bench
