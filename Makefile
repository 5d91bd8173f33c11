# SPDX-License-Identifier: BSD-2-Clause
# Lodge's build. `make help` lists the targets; mk/ holds the rules of the tests.
#
# Every object knows its world by the folder of its source:
#   hosted        may include system headers: hosts/linux, engines/kvm, the Linux half of
#                 engines/translate, storage, network, manage
#   freestanding  everything else: only the compiler's own headers can be found
#   quiet         freestanding code that runs while the guest's vector registers are live
#                 (lib, x86, engines/translate): only general registers may be used
# A single object builds by name: make build/obj/src/devices/uart.o

ifeq ($(origin CC),default)
CC := gcc
endif
O        ?= build
PREFIX   ?= /usr/local
CLANG    ?= clang
CPPCHECK ?= cppcheck
SHELL    := /bin/bash
V        ?= 0
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# Sources

program_folders := lib core x86 devices devices/virtio machines hosts/linux storage network manage
program_sources := $(sort $(foreach f,$(program_folders),$(wildcard src/$f/*.[cS])) \
                          $(filter-out src/engines/scripted/% src/engines/metal/%,$(wildcard src/engines/*/*.[cS])))
hosted_patterns := src/hosts/linux/% src/engines/kvm/% src/engines/translate/linux/% \
                   src/engines/translate/linux_% src/storage/% src/network/% src/manage/% src/guest/% src/confine/% \
                   tests/unit/linux/% tests/unit/main.c tests/fuzz/% tests/conformance/%
quiet_patterns  := src/lib/% src/x86/% src/engines/translate/%

is_hosted = $(filter $(hosted_patterns),$1)
is_quiet  = $(if $(call is_hosted,$1),,$(filter $(quiet_patterns),$1))

# Flags. pkg-config is asked when a command needs it, for `make run` may have to install it first.
# Debian's slirp.pc also wants the headers of glib, which libslirp.h doesn't include: hence the or.

warnings  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
             -Wno-unused-parameter
WERROR    ?=
OPTIMIZE  ?= -O2
common    := -std=gnu17 -g -Isrc $(warnings) $(WERROR) -fno-strict-aliasing -fno-common
freestanding_include := $(shell $(CC) -print-file-name=include)
freestanding := -ffreestanding -nostdinc -isystem $(freestanding_include)
quiet     := -mgeneral-regs-only -fno-stack-protector -fno-builtin-memcpy
hosted    = -D_GNU_SOURCE -pthread $(slirp_cflags)
slirp_cflags = $(shell pkg-config --cflags slirp 2>/dev/null || echo -I/usr/include/slirp)
# The program is mostly tables as far as the loader is concerned: 3 KiB tell it what to relocate, otherwise 130.
link      := -g -pthread -Wl,-z,pack-relative-relocs
storage_libs := -lz -lzstd
manage_libs  := -ljansson
# Version and date of a build come from git, where there is one.
version   := $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)

# $(call world,source): the flags that the source's folder asks for.
world = $(if $(call is_hosted,$1),$(hosted),$(freestanding) $(if $(call is_quiet,$1),$(quiet)))

objects_in = $(patsubst %,$1/%.o,$(basename $2))
program_objects := $(call objects_in,$O/obj,$(program_sources))
quiet_objects   := $(foreach s,$(program_sources),$(if $(call is_quiet,$s),$(call objects_in,$O/obj,$s)))

# The builds that run, test and check start use all processors, unless -j says otherwise.
parallel = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# Targets

.PHONY: all run test check bench clean help install fuzz conformance FORCE

all: $O/lodge $O/init $O/confine

$O/lodge: $(program_objects) tools/check-symbols
	$(Q)tools/check-symbols $(quiet_objects) -- $(program_objects)
	$(say) LINK $@
	$(Q)$(CC) $(link) $(LDFLAGS) -o $@ $(program_objects) $(storage_libs) $(manage_libs) $(LDLIBS)

# What `lodge image import` runs its readers in.
confine_sources := src/confine/main.c src/hosts/linux/sandbox.c src/hosts/linux/namespaces.c src/lib/format.c src/lib/bytes.c
confine_objects := $(call objects_in,$O/obj,$(confine_sources))
$O/confine: $(confine_objects)
	$(say) LINK $@
	$(Q)$(CC) -g -pthread $(LDFLAGS) -o $@ $(confine_objects) $(LDLIBS)

$O/obj/%.o: %.c $O/obj/flags
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) $(OPTIMIZE) $(call world,$<) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$O/obj/%.o: %.S $O/obj/flags
	$(say) AS $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -g -Isrc $(CPPFLAGS) -MMD -MP -c -o $@ $<

# Rebuild everything when the compiler or its flags change, and nothing when they don't.
$O/obj/flags: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(CC) $(common) $(OPTIMIZE) $(quiet) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(common) $(OPTIMIZE) $(quiet) $(CPPFLAGS) $(CFLAGS)' > $@

# Only the one object that prints the version is rebuilt for a new commit.
version_objects := $(call objects_in,$O/obj,$(wildcard src/manage/version.c))
$(version_objects): CPPFLAGS += -DLODGE_VERSION='"$(version)"'
$(version_objects): $O/obj/version
$O/obj/version: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(version)' | cmp -s - $@ || echo '$(version)' > $@

-include $(patsubst %.o,%.d,$(sort $(program_objects) $(confine_objects)))
-include $(wildcard mk/*.mk)

help:
	@echo 'make            build $O/lodge'
	@echo 'make run        install what is missing, build, prepare a Debian guest, boot it here'
	@echo 'make test       install what is missing, build, run unit, guest and boot tests'
	@echo 'make check      layers, headers, format, warnings with gcc and clang, static analysis'
	@echo 'make unit       the unit tests only        (UNIT=name: only tests whose name contains it)'
	@echo 'make guest      only prepare the Debian guest that make run boots'
	@echo 'make guests     build the tiny test guests'
	@echo 'make bench      compare with QEMU TCG; BENCH_JSON=, BENCH_SVG=: results and a chart in files'
	@echo 'make bench-manage  what verbs about machines take: ls of 50, create, 20 at once'
	@echo 'make fuzz       each fuzzer for FUZZ_SECONDS (20)'
	@echo 'make conformance  compare every engine with this processor'
	@echo 'make iso        build $O/lodge.iso: bare metal, for CD or USB, BIOS or UEFI'
	@echo 'make run-metal  boot it in QEMU with two Debian guests'
	@echo 'make test-metal the tests of the bare-metal form, in QEMU (test-metal-bochs: in Bochs)'
	@echo 'make test-rigs  the tests of the engine kvm, on a computer in QEMU whose KVM works'
	@echo 'make test-debian a cloud image with cloud-init, and the Debian package under systemd; minutes'
	@echo 'make bench-rig  the engine kvm beside QEMU with KVM, there'
	@echo 'make bench-metal  its measurements, in instructions; beside QEMU with KVM, and Xen'
	@echo 'make install    into PREFIX ($(PREFIX)), below DESTDIR'
	@echo 'make deb        $O/lodge_VERSION_amd64.deb, a Debian package'
	@echo 'make clean      remove what was built; prepared guests are kept (make clean-guest)'
	@echo 'Variables: V=1 shows commands, CC=clang, O=folder, WERROR=-Werror'

install: all
	install -D -m 755 $O/lodge $(DESTDIR)$(PREFIX)/bin/lodge
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib/lodge $O/init $O/confine tools/build-image tools/import-image \
		tools/unpack-packages
	install -m 644 -t $(DESTDIR)$(PREFIX)/lib/lodge tools/guest.sh tools/disk.sh tools/kernel.sh \
		tools/newest.awk
	$(Q)for page in $(wildcard docs/man/*.1 docs/*.1); do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man1/$${page##*/}; done
	$(Q)for page in $(wildcard docs/man/*.5 docs/*.5); do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man5/$${page##*/}; done
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/lib/systemd/user
	$(Q)$O/lodge completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/lodge
	$(Q)$O/lodge completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lodge
	$(Q)sed 's|/usr/bin/|$(PREFIX)/bin/|' tools/deb/lodge@.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/user/lodge@.service

# A Debian package of what is built; as an ordinary user.
.PHONY: deb
deb: all
	$(Q)tools/install-packages deb
	$(Q)tools/make-deb $O/lodge $O

clean:
	$(Q)find $O -mindepth 1 -maxdepth 1 ! -name guest ! -name guest-metal ! -name guest-bench -exec rm -rf {} + 2>/dev/null || true
.PHONY: clean-guest
clean-guest:
	$(Q)rm -rf $O/guest $O/guest-metal $O/guest-bench
