# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(CI),-Werror)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DFP_VERSION='"$(VERSION)"' -Isrc -Iinclude -I$(BUILD) \
	$(WARN) $(CFLAGS) -MMD -MP
LIBS := -lbpf -ldw -lelf -llzma -ljansson -lcap -lstdc++

SRC := $(wildcard src/*.c src/*/*.c)
OBJ := $(SRC:%.c=$(BUILD)/%.o)
LIB := $(filter-out $(BUILD)/src/main.o,$(OBJ))
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/%,$(wildcard examples/*.c))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))
LIVE := $(patsubst tests/live/%.c,$(BUILD)/tests/%,$(wildcard tests/live/*.c))

.PHONY: all check check-unit check-all check-vm units lives clean format deps
.DELETE_ON_ERROR:

# The tool itself links as soon as its main file stands; until then, all its parts.
all: $(BUILD)/faults.skel.h $(LIB) $(if $(wildcard src/main.c),$(BUILD)/faultprof) $(EXAMPLES)

$(BUILD)/faultprof: $(OBJ)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/faults.bpf.o: $(wildcard bpf/*) include/faultprof/event.h
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -target bpf -D__TARGET_ARCH_x86 -mcpu=v3 \
		-idirafter /usr/include/$(shell $(CC) -print-multiarch) -Wall -Werror -Iinclude -Ibpf \
		-c -o $@ bpf/faults.bpf.c
	$(BPFTOOL) gen object $@.linked $@ && mv $@.linked $@

$(BUILD)/faults.skel.h: $(BUILD)/faults.bpf.o
	$(BPFTOOL) gen skeleton $< name faults > $@

$(filter $(BUILD)/src/collect/%,$(OBJ)): | $(BUILD)/faults.skel.h

$(BUILD)/%: examples/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -o $@ $< -lpthread

$(BUILD)/tests/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS) -lcmocka

$(BUILD)/tests/%: tests/live/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O2 -g -fomit-frame-pointer -o $@ $< -lpthread

deps:
	tests/packages build

check: $(if $(wildcard src/main.c),check-all,check-unit)

check-unit:
	tests/packages test
	$(MAKE) all units
	tests/run unit

check-all:
	tests/packages test
	$(MAKE) all units lives
	tests/run all

# The live tests on Debian's 6.1 kernel, in an emulated machine.
check-vm:
	tests/packages test
	$(MAKE) all lives
	tests/vm/run

units: $(UNIT)
lives: $(LIVE)

clean:
	rm -rf $(BUILD)

format:
	clang-format-14 -i $(wildcard src/*.[ch] src/*/*.[ch] bpf/*.[ch] include/*/*.h examples/*.c tests/*/*.c)

-include $(OBJ:.o=.d)
