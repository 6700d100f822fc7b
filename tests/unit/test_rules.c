/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The rules that the kernel is taught, against libdw's reading of the same call frame information:
 * one in a few bytes of whole programs and libraries, also where no instruction begins. What the
 * one cannot put into three numbers, the other must not either.
 */
#include "elflab.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

struct kinds {
	unsigned int of[5]; /* by enum fp_rule_how */
};

/* libdw's opinion of one address, in the kernel's form. */
static struct fp_rule libdw_rule(Dwarf_CFI *cfi, uint64_t address)
{
	struct fp_rule rule = { .how = FP_RULE_NONE };
	Dwarf_Op memory[3], *ops;
	Dwarf_Frame *frame;
	bool signal_frame;
	size_t n;

	if (dwarf_cfi_addrframe(cfi, address, &frame))
		return rule;
	rule.how = FP_RULE_RAW;
	dwarf_frame_info(frame, NULL, NULL, &signal_frame);
	dwarf_frame_register(frame, 16, memory, &ops, &n);
	if (!n && ops) {
		rule.how = FP_RULE_END;
		goto out;
	}
	if (signal_frame || n != 2 || ops[0].atom != DW_OP_call_frame_cfa ||
	    ops[1].atom != DW_OP_plus_uconst || ops[1].number != (Dwarf_Word)-8)
		goto out;
	dwarf_frame_register(frame, 6, memory, &ops, &n);
	if (!n && !ops)
		rule.rbp_offset = FP_RBP_SAME;
	else if (n == 2 && ops[0].atom == DW_OP_call_frame_cfa && ops[1].atom == DW_OP_plus_uconst)
		rule.rbp_offset = (fp_s32)ops[1].number;
	else
		goto out;
	if (dwarf_frame_cfa(frame, &ops, &n) || n != 1 ||
	    (ops[0].atom != DW_OP_breg7 && ops[0].atom != DW_OP_breg6 &&
	     ops[0].atom != DW_OP_bregx))
		goto out;
	if (ops[0].atom == DW_OP_breg7 || (ops[0].atom == DW_OP_bregx && ops[0].number == 7))
		rule.how = FP_RULE_RSP;
	else if (ops[0].atom == DW_OP_breg6 || (ops[0].atom == DW_OP_bregx && ops[0].number == 6))
		rule.how = FP_RULE_RBP;
	rule.cfa_offset = (fp_s32)(ops[0].atom == DW_OP_bregx ? ops[0].number2 : ops[0].number);
out:
	free(frame);
	return rule;
}

static void compare_rules(const struct image *image, const struct region *code, Dwarf_CFI *cfi,
			  uint64_t bias, struct kinds *kinds)
{
	static struct fp_raw_stack raw;
	enum fp_stack_end end;
	uint64_t ips[1];

	for (uint64_t at = code->start; at < code->end; at += 1 + random_below(10)) {
		struct fp_rule rule, other = libdw_rule(cfi, at - bias);

		raw.reg[16] = at;
		symbolizer_unwind(symbolizer, image, 0, &raw, ips, &rule, 1, &end);
		if (rule.how != other.how)
			fail_msg("%#lx: %d, libdw %d", at - bias, rule.how, other.how);
		if (rule.how == FP_RULE_RSP || rule.how == FP_RULE_RBP) {
			assert_int_equal(rule.cfa_offset, other.cfa_offset);
			assert_int_equal(rule.rbp_offset, other.rbp_offset);
		}
		kinds->of[rule.how]++;
	}
}

/* All code of @path; false: there is no such file. */
static bool compare_file(const char *path, struct kinds *kinds)
{
	enum { BASE = 0x10000000 };
	struct binary binary = { .path = (char *)path, .name = (char *)path, .fd = -1 };
	struct region region = { .exec = true, .binary = &binary };
	struct image *image = image_new(1, 1, "x");
	size_t n = 0;
	Dwarf *dwarf;
	Elf *elf;

	*kinds = (struct kinds){ { 0 } };
	binary.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (binary.fd < 0) {
		image_free(image);
		return false;
	}
	binary.device = (uint64_t)binary.fd;
	binary.inode = (uintptr_t)path;
	elf_version(EV_CURRENT);
	elf = elf_begin(binary.fd, ELF_C_READ, NULL);
	dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr phdr;

		gelf_getphdr(elf, (int)i, &phdr);
		if (phdr.p_type != PT_LOAD || !(phdr.p_flags & PF_X))
			continue;
		region.start = BASE + phdr.p_vaddr;
		region.end = region.start + phdr.p_filesz;
		region.offset = phdr.p_offset;
		assert_int_equal(image_add_region(image, &region), 0);
		Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);

		compare_rules(image, &region, cfi ? cfi : dwarf_getcfi(dwarf), BASE, kinds);
		if (cfi)
			dwarf_cfi_end(cfi);
	}
	dwarf_end(dwarf);
	elf_end(elf);
	close(binary.fd);
	image_free(image);
	print_message("%s: end %u, rsp %u, rbp %u, raw %u, none %u\n", path, kinds->of[0],
		      kinds->of[1], kinds->of[2], kinds->of[3], kinds->of[4]);
	return true;
}

static void of_the_c_library(void **state)
{
	struct kinds kinds;

	(void)state;
	assert_true(compare_file("/lib/x86_64-linux-gnu/libc.so.6", &kinds) ||
		    compare_file("/lib64/libc.so.6", &kinds));
	assert_true(kinds.of[FP_RULE_RSP] > 50000 && kinds.of[FP_RULE_RBP] > 500);
	assert_true(kinds.of[FP_RULE_END] && kinds.of[FP_RULE_RAW]);
}

/* Assembly with rules of its own, exceptions, and what it is all about. */
static void of_real_programs(void **state)
{
	static const char *const files[] = { "/lib/x86_64-linux-gnu/libcrypto.so.3",
					     "/lib/x86_64-linux-gnu/libstdc++.so.6",
					     "/usr/sbin/haproxy", "/usr/sbin/nginx",
					     "/proc/self/exe" };
	struct kinds kinds;

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!compare_file(files[i], &kinds))
			print_message("no %s here: skipped\n", files[i]);
		else
			assert_true(kinds.of[FP_RULE_RSP] > 1000);
}

/* Where there is no .eh_frame. */
static void of_debug_frame(void **state)
{
	struct kinds kinds;
	char path[256];

	(void)state;
	build_library("frame.so", "-g -fno-asynchronous-unwind-tables -nostartfiles");
	snprintf(path, sizeof(path), "%s/frame.so", dir);
	assert_true(compare_file(path, &kinds));
	assert_true(kinds.of[FP_RULE_RSP] > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_the_c_library),
		cmocka_unit_test(of_real_programs),
		cmocka_unit_test(of_debug_frame),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
