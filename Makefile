# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# make            the tool, into $(BUILD)           make install    PREFIX=/usr/local, DESTDIR
# make demo       see it at work, on any machine    make check      the tests, on this kernel
# make bench      what it costs, as root            make check-vm   the live ones on Linux 6.1, in qemu
#
# V=1 shows the commands. CI=1 makes warnings errors. YES=1 installs packages without asking.
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(CI),-Werror)
BASE_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -MMD -MP -MF $@.d -MT $@
ALL_CFLAGS = $(BASE_CFLAGS) -DFP_VERSION='"$(VERSION)"' -DFP_PROVIDER_DIR='"$(PREFIX)/lib/faultprof"' \
	-Isrc -Iinclude -I$(BUILD)
LIBS := -lbpf -ldw -lelf -llzma -lz -larchive -ljansson -lcap -lstdc++ -lm -lpthread
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

SBINDIR := $(DESTDIR)$(PREFIX)/sbin
MAN8DIR := $(DESTDIR)$(PREFIX)/share/man/man8
BASHDIR := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR := $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISHDIR := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
DOCDIR := $(DESTDIR)$(PREFIX)/share/doc/faultprof/prometheus

SRC := $(wildcard src/*.c src/*/*.c)
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB := $(filter-out $(BUILD)/src/main.o,$(OBJ))
programs = $(filter-out $(1)/provider_%,$(wildcard $(1)/*.c)) # providers are shared objects
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/%,$(call programs,examples))
PROVIDERS := $(patsubst examples/%.c,$(BUILD)/%.so,$(wildcard examples/provider_*.c))
OWNERS := src/provider/owners.c src/provider/records.c
SKELETONS := $(patsubst bpf/%.bpf.c,$(BUILD)/%.skel.h,$(wildcard bpf/*.bpf.c))
PAGES := $(patsubst src/sink/%,$(BUILD)/%.h,$(wildcard src/sink/*.html))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))
LIVE := $(patsubst tests/live/%.c,$(BUILD)/tests/%,$(call programs,tests/live))
LIVE_PROVIDERS := $(patsubst tests/live/%.c,$(BUILD)/tests/%.so,$(wildcard tests/live/provider_*.c))
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(call programs,tests/bench))
BENCH_PROVIDERS := $(patsubst tests/bench/%.c,$(BUILD)/bench/%.so,$(wildcard tests/bench/provider_*.c))

C_FILES := $(SRC) $(wildcard src/*.h src/*/*.h bpf/*.[ch] include/*/*.h examples/*.c tests/*/*.c)
SHELL_FILES := .ci/run tests/run tests/packages tests/include_rule.sh tests/vm/run \
	tests/vm/init tests/vm/inside examples/demo.sh examples/ci/load-test.sh \
	src/completions/faultprof.bash

Q := $(if $(V),,@)
SUB := --no-print-directory $(if $(V),,-s)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

.PHONY: all check check-vm bench demo install uninstall clean format lint
.PHONY: deps units lives sanitized benches # for the targets above
.DELETE_ON_ERROR:

all: $(BUILD)/faultprof $(EXAMPLES) $(PROVIDERS)

$(BUILD)/faultprof: $(OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# clang for BPF does not look where Debian keeps <asm/types.h>.
$(BUILD)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h include/faultprof/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) -O2 -g -target bpf -D__TARGET_ARCH_x86 -mcpu=v3 \
		-idirafter /usr/include/$(shell $(CC) -print-multiarch) -Wall -Werror -Iinclude -Ibpf \
		-c -o $@ $<
	$(Q)$(BPFTOOL) gen object $@.linked $@ && mv $@.linked $@

.PRECIOUS: $(BUILD)/%.bpf.o
$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

$(filter $(BUILD)/src/collect/%,$(OBJ)): | $(SKELETONS)

# A page, as a string of C.
$(BUILD)/%.html.h: src/sink/%.html
	@mkdir -p $(@D)
	$(Q)sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $< > $@

$(BUILD)/src/sink/flamegraph.o: | $(PAGES)

$(BUILD)/%: examples/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -o $@ $< -lpthread

$(BUILD)/tests/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS) -lcmocka

$(BUILD)/provider_%.so: examples/provider_%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -shared -fPIC -Iinclude $(LDFLAGS) -o $@ $<

# These are made as the tool's own are, on its index of owners. Of several sources gcc tells the
# dependencies of the last one only.
$(BUILD)/tests/provider_%.so: tests/live/provider_%.c $(OWNERS) \
		$(wildcard tests/live/*.h src/provider/*.h include/*/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -shared -fPIC -Isrc -Iinclude $(LDFLAGS) -o $@ $(filter %.c,$^)

$(BUILD)/tests/provider_nginx.so: src/provider/nginx.c src/provider/nginx_visit.c src/base/peer.c

# Programs to be profiled: always optimized, without frame pointers, as distributions build theirs.
$(LIVE): $(BUILD)/tests/%: tests/live/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -O2 -g -fomit-frame-pointer -o $@ $< -lpthread -lm

$(BUILD)/tests/alloc-static: tests/live/alloc.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE_CFLAGS) -O2 -g -static -DALLOC_STATIC -o $@ $< -lpthread

$(BUILD)/bench/provider_%.so: tests/bench/provider_%.c $(OWNERS)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -shared -fPIC -Isrc -Iinclude $(LDFLAGS) -o $@ $^

$(BENCH): $(BUILD)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE_CFLAGS) -O2 -o $@ $< -lpthread

deps:
	@tests/packages build

units: $(UNIT)
lives: $(LIVE) $(LIVE_PROVIDERS) $(BUILD)/tests/alloc-static
benches: $(BENCH) $(BENCH_PROVIDERS)

# The unit tests again, and all that they run, with every read and write checked.
sanitized:
	$(Q)$(MAKE) $(SUB) BUILD=$(BUILD)/san CFLAGS='-O1 -g $(SANITIZE)' units

check:
	@tests/packages test
	$(Q)$(MAKE) $(SUB) all units lives sanitized
	@tests/run all

check-vm:
	@tests/packages test
	$(Q)$(MAKE) $(SUB) all lives
	@tests/vm/run

bench:
	@tests/packages test
	$(Q)$(MAKE) $(SUB) all benches
	@tests/bench/run

demo:
	@tests/packages demo
	$(Q)$(MAKE) $(SUB) all
	@examples/demo.sh $(BUILD)/faultprof $(BUILD)/coldproxy $(BUILD)/provider_coldproxy.so

install: $(BUILD)/faultprof
	install -d $(SBINDIR) $(MAN8DIR) $(BASHDIR) $(ZSHDIR) $(FISHDIR) $(DOCDIR)
	install -m 755 $(BUILD)/faultprof $(SBINDIR)/faultprof
	install -m 644 src/faultprof.8 $(MAN8DIR)/faultprof.8
	install -m 644 src/completions/faultprof.bash $(BASHDIR)/faultprof
	install -m 644 src/completions/_faultprof $(ZSHDIR)/_faultprof
	install -m 644 src/completions/faultprof.fish $(FISHDIR)/faultprof.fish
	install -m 644 examples/prometheus/alerts.yml examples/prometheus/dashboard.json $(DOCDIR)
	sed 's,/usr/local/sbin,$(PREFIX)/sbin,' examples/prometheus/faultprof.service > $(DOCDIR)/faultprof.service

uninstall:
	rm -f $(SBINDIR)/faultprof $(MAN8DIR)/faultprof.8 $(BASHDIR)/faultprof \
		$(ZSHDIR)/_faultprof $(FISHDIR)/faultprof.fish
	rm -rf $(DOCDIR)

clean:
	rm -rf $(BUILD)

format:
	clang-format-14 -i $(C_FILES)

# All of them run, also after a finding. .clang-tidy says what clang-tidy looks for; how many warnings
# it left out is not worth a line for each file.
lint:
	@tests/packages lint
	$(Q)$(MAKE) $(SUB) $(SKELETONS) $(PAGES)
	@rc=0; \
	clang-format-14 --dry-run --Werror $(C_FILES) || rc=1; \
	clang-tidy-14 --quiet --warnings-as-errors='*' $(SRC) $(wildcard examples/*.c) -- -std=gnu11 \
		-D_GNU_SOURCE -DFP_VERSION='""' -DFP_PROVIDER_DIR='""' -Isrc -Iinclude -I$(BUILD) 2>/dev/null || rc=1; \
	shellcheck -S warning -e SC2187 $(SHELL_FILES) || rc=1; \
	mandoc -T lint -W warning src/faultprof.8 || rc=1; \
	exit $$rc

-include $(patsubst %,%.d,$(OBJ) $(UNIT) $(LIVE) $(BENCH) $(EXAMPLES) $(PROVIDERS) $(LIVE_PROVIDERS) \
	$(BENCH_PROVIDERS))
