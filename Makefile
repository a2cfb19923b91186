# SPDX-License-Identifier: GPL-2.0
#
# make help lists what there is. The kernel's own build reads Kbuild instead.

KERNEL ?= 6.12
PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
MAKEFLAGS += --no-print-directory

.PHONY: all help modules all-modules sparse userspace setup check check-full demo bench install uninstall clean

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
	@echo 'make demo [STAGE=...]      the whole thing at work: stack, replication or all'
	@echo 'make bench                 the benchmarks'
	@echo 'make install [PREFIX= DESTDIR=]   userspace, and the module source for DKMS'
	@echo 'make uninstall [PREFIX= DESTDIR=]  takes all of that away again, DKMS modules included'

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
	@tools/demo $(if $(STAGE),--stage $(STAGE))

bench: setup
	@tools/bench/run

dkms-dir = $(DESTDIR)/usr/src/vaio-$(VERSION)
man-dir = $(DESTDIR)$(PREFIX)/share/man
completion-dir = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
rules-dir = $(DESTDIR)/usr/lib/udev/rules.d
unit-dir = $(DESTDIR)/usr/lib/systemd/system
nbdkit-dir = $(or $(shell pkg-config --variable=plugindir nbdkit),/usr/lib/nbdkit/plugins)

man-pages = $(wildcard Documentation/man/*.[1-9])
rules = $(wildcard userspace/udev/*.rules)
completions = $(wildcard userspace/completion/*)
units = $(wildcard userspace/systemd/*.service)

install: userspace
	install -d $(DESTDIR)$(PREFIX)/sbin $(dkms-dir)
	install -m 755 build/bin/vaioctl build/bin/vaio-replicad build/bin/vaio-agent $(DESTDIR)$(PREFIX)/sbin/
	install -D -m 644 -t $(DESTDIR)$(nbdkit-dir) build/lib/nbdkit-vaio-plugin.so
	set -e; for page in $(man-pages); do \
		install -D -m 644 -t $(man-dir)/man$${page##*.} $$page; done
	set -e; for file in $(completions); do \
		install -D -m 644 -t $(completion-dir) $$file; done
	set -e; for file in $(rules); do \
		install -D -m 644 -t $(rules-dir) $$file; done
	set -e; for file in $(units); do \
		install -D -m 644 -t $(unit-dir) $$file; \
		sed -i 's|/usr/local/sbin/|$(PREFIX)/sbin/|' $(unit-dir)/$${file##*/}; done
	find Kbuild dkms.conf LICENSE kmod dm-target include -type f \
		\( -name '*.[ch]' -o -name 'Kbuild' -o -name '*.mk' -o -name dkms.conf -o -name LICENSE \) \
		-exec install -D -m 644 -T {} $(dkms-dir)/{} \;
	@echo
	@echo 'The module source is in $(dkms-dir). For the running kernel, with its headers installed:'
	@echo '    dkms install vaio/$(VERSION)'

uninstall:
ifeq ($(DESTDIR),)
	if dkms status vaio 2>/dev/null | grep -q '^vaio/$(VERSION)'; then dkms remove vaio/$(VERSION) --all; fi
endif
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,vaioctl vaio-replicad vaio-agent) \
		$(DESTDIR)$(nbdkit-dir)/nbdkit-vaio-plugin.so $(addprefix $(completion-dir)/,$(notdir $(completions))) \
		$(addprefix $(rules-dir)/,$(notdir $(rules))) $(addprefix $(unit-dir)/,$(notdir $(units)))
	set -e; for page in $(man-pages); do rm -f $(man-dir)/man$${page##*.}/$${page##*/}; done
	rm -rf $(dkms-dir)
ifeq ($(DESTDIR),)
	rmdir --ignore-fail-on-non-empty $(man-dir)/man1 $(man-dir)/man8 $(completion-dir) $(dir $(completion-dir))
else
	cd $(DESTDIR) && find . -depth -mindepth 1 -type d -empty -delete
endif

clean:
	rm -rf build
