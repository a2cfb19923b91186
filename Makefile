# SPDX-License-Identifier: GPL-2.0
#
# make help lists what there is. The kernel's own build reads Kbuild instead.

KERNEL ?= 6.12
PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
MAKEFLAGS += --no-print-directory

.PHONY: all help modules all-modules sparse userspace setup check check-full demo bench install clean

all: userspace modules

help:
	@echo 'make                       userspace, and modules for the lab kernel KERNEL'
	@echo 'make modules KERNEL=K      modules for K: 6.1, 6.12 (default), 7.2 or uml'
	@echo 'make all-modules           modules for all of them'
	@echo 'make sparse KERNEL=K       sparse over the modules: 6.1 or 6.12'
	@echo 'make userspace [SAN=1]     build/bin, or with sanitizers build/san/bin'
	@echo 'make setup                 install what building and testing need'
	@echo 'make check                 all tests, reduced counts'
	@echo 'make check-full            all tests, full counts'
	@echo 'make demo                  the whole thing at work'
	@echo 'make bench                 the benchmarks'
	@echo 'make install [PREFIX= DESTDIR=]   userspace, and the module source for DKMS'

modules:
	@tools/lab/build-modules $(KERNEL)

all-modules:
	@for kernel in 6.1 6.12 7.2 uml; do tools/lab/build-modules $$kernel || exit 1; done

sparse:
	@tools/lab/build-modules --sparse $(KERNEL)

userspace:
	@$(MAKE) -C userspace

setup:
	@tools/setup

check check-full: setup all-modules userspace
	@$(MAKE) -C userspace SAN=1
	@$(MAKE) -C tests/lab
	@tests/run -j2 $(if $(filter check-full,$@),--full)

demo:
	@tools/setup --demo
	@tools/demo

bench: setup
	@tools/bench/run

dkms-dir = $(DESTDIR)/usr/src/vaio-$(VERSION)
man-dir = $(DESTDIR)$(PREFIX)/share/man
unit-dir = $(DESTDIR)/usr/lib/systemd/system

install: userspace
	install -d $(DESTDIR)$(PREFIX)/sbin $(dkms-dir)
	install -m 755 build/bin/vaioctl $(DESTDIR)$(PREFIX)/sbin/
	set -e; for page in $(wildcard Documentation/man/*.[1-9]); do \
		install -D -m 644 -t $(man-dir)/man$${page##*.} $$page; done
	set -e; for file in $(wildcard userspace/completion/*); do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/bash-completion/completions $$file; done
	set -e; for file in $(wildcard userspace/udev/*.rules); do \
		install -D -m 644 -t $(DESTDIR)/usr/lib/udev/rules.d $$file; done
	set -e; for file in $(wildcard userspace/systemd/*.service); do \
		install -D -m 644 -t $(unit-dir) $$file; done
	find Kbuild dkms.conf LICENSE kmod dm-target include -type f \
		\( -name '*.[ch]' -o -name 'Kbuild' -o -name '*.mk' -o -name dkms.conf -o -name LICENSE \) \
		-exec install -D -m 644 -T {} $(dkms-dir)/{} \;
	@echo
	@echo 'The module source is in $(dkms-dir). For the running kernel, with its headers installed:'
	@echo '    dkms install vaio/$(VERSION)'

clean:
	rm -rf build
