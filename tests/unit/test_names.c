/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names against the truth of others: nm, addr2line, readelf, objdump and compilers.
 */
#include "elflab.h"

#include <dlfcn.h>
#include <sys/auxv.h>

#include "symbolize/module.h"

/* One line of addr2line -f; "??" and unknown lines count as the same. */
static void compare_frame(const struct frame *frame, const char *function, char *place)
{
	char *colon = strrchr(place, ':');
	unsigned int line = (unsigned int)strtoul(colon + 1, NULL, 10);

	*colon = 0;
	assert_string_equal(frame->function, function);
	assert_int_equal(frame->line, line);
	if (strcmp(place, "??"))
		assert_string_equal(frame->file, place);
}

static void inline_chain_like_addr2line(void **state)
{
	static const char *const functions[] = { "hidden", "exported_b", "exported_a" };
	unsigned int deepest = 0;
	struct binary binary;

	(void)state;
	build_library("inline.so", "-g");
	binary = open_binary("inline.so");
	for (unsigned int f = 0; f < 3; f++) {
		uint64_t size, start = nm("inline.so", functions[f], &size);

		for (uint64_t at = start; at < start + size; at++) {
			char command[512], function[256], place[512];
			struct frame frames[16];
			unsigned int n = frames_at(&binary, at, frames), i = 0;
			FILE *pipe;

			snprintf(command, sizeof(command), "addr2line -i -f -e %s %#lx",
				 binary.path, at);
			pipe = popen(command, "r");
			while (fscanf(pipe, "%255s %511[^\n]", function, place) == 2) {
				place[strcspn(place, " ")] = 0;
				assert_true(i < n);
				assert_int_equal(frames[i].inlined, i < n - 1);
				assert_int_equal(frames[i].start, start);
				compare_frame(&frames[i++], function, place);
			}
			pclose(pipe);
			assert_int_equal(i, n);
			deepest = n > deepest ? n : deepest;
		}
	}
	assert_int_equal(deepest, 3);
	close_binary(&binary);
}

static void physical_function_survives_a_cut(void **state)
{
	struct binary binary = open_binary("inline.so");
	uint64_t size, start = nm("inline.so", "hidden", &size);
	struct frame all[16], two[2];
	bool seen = false;

	(void)state;
	for (uint64_t at = start; at < start + size; at++) {
		if (frames_at(&binary, at, all) != 3)
			continue;
		seen = true;
		assert_int_equal(
			symbolizer_frames(symbolizer, &binary, to_offset(&binary, at), two, 2), 2);
		assert_string_equal(two[0].function, "inner");
		assert_string_equal(two[1].function, "hidden");
		assert_false(two[1].inlined);
	}
	assert_true(seen);
	close_binary(&binary);
}

static void stripped_is_never_the_nearest_export(void **state)
{
	struct binary binary;
	uint64_t size, start;

	(void)state;
	build_library("full.so", "");
	assert_int_equal(run("strip -o stripped.so full.so"), 0);
	binary = open_binary("stripped.so");
	expect(&binary, "full.so", "hidden", "-");
	expect(&binary, "full.so", "exported_a", "exported_a");
	expect(&binary, "full.so", "exported_b", "exported_b");
	start = nm("full.so", "exported_b.cold", &size);
	assert_string_equal(name_at(&binary, start, start), "-");
	close_binary(&binary);
}

static void symtab_only(void **state)
{
	struct binary binary;
	struct frame frames[16];
	uint64_t size, start = nm("full.so", "exported_b.cold", &size);

	(void)state;
	binary = open_binary("full.so");
	expect(&binary, "full.so", "hidden", "hidden");
	expect(&binary, "full.so", "exported_a", "exported_a");
	expect(&binary, "full.so", "exported_b.cold", "exported_b.cold");
	assert_int_equal(frames_at(&binary, start, frames), 1);
	assert_null(frames[0].file);
	assert_int_equal(frames[0].line, 0);
	close_binary(&binary);

	/* With DWARF too, where the part has the name of the whole. */
	binary = open_binary("inline.so");
	expect(&binary, "inline.so", "exported_b.cold", "exported_b.cold");
	close_binary(&binary);
}

/* Aliases as a C library has them. */
static const char aliased[] =
	"#define ALIAS(name, of) extern int name(char *) __attribute__((weak, alias(of)))\n"
	"extern int sink(const char *);\n"
	"int __libc_take(char *p) __asm__(\"__GI___libc_take\");\n"
	"__attribute__((noinline)) int __libc_take(char *p) { return sink(p) + 1; }\n"
	"ALIAS(__take, \"__GI___libc_take\"); ALIAS(take, \"__GI___libc_take\");\n"
	"ALIAS(a_private_alias, \"__GI___libc_take\");\n"
	"__attribute__((noinline)) int __give_impl(char *p) { return sink(p) + 2; }\n"
	"__asm__(\".symver __give_impl, give@V1\");\n"
	"__attribute__((noinline)) int __hold(char *p) { return sink(p) + 3; }\n"
	"ALIAS(hold_it, \"__hold\");\n"
	"__asm__(\".symver __hold, x@V1\\n.symver hold_it, hold@@V2\");\n"
	"__attribute__((noinline)) int _exit_like(char *p) { return sink(p) + 4; }\n"
	"static __attribute__((noinline, noipa)) int __only_here(char *p) { return sink(p); }\n"
	"__attribute__((noinline)) int own(char *p) { return __only_here(p) + 5; }\n"
	"ALIAS(o, \"own\");\n";

static const char aliased_versions[] = "V1 { global: give; x; };\nV2 { global: take; __take; hold; "
				       "_exit_like; own; o; local: *; } V1;\n";

static void the_name_that_callers_write(void **state)
{
	static const char *const files[] = { "alias.so", "alias-t.so", "alias-d.so", "alias-s.so" };

	(void)state;
	write_text("alias.c", aliased);
	write_text("alias.map", aliased_versions);
	assert_int_equal(run("gcc -g -O2 -shared -fPIC -Wl,--version-script=alias.map -o alias.so "
			     "alias.c && objcopy -g alias.so alias-t.so && "
			     "objcopy --only-keep-debug alias.so alias.debug && "
			     "strip -o alias-s.so alias.so && objcopy --remove-section=.comment "
			     "--add-gnu-debuglink=alias.debug alias-s.so alias-d.so"),
			 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct binary binary = open_binary(files[i]);

		expect(&binary, "alias.so", "__GI___libc_take", "take");
		expect(&binary, "alias.so", "__give_impl", "give");
		expect(&binary, "alias.so", "__hold", "hold");
		expect(&binary, "alias.so", "_exit_like", "_exit_like");
		expect(&binary, "alias.so", "__only_here", i < 3 ? "__only_here" : "-");
		if (i % 2 == 0) /* with debug information */
			expect(&binary, "alias.so", "own", "own");
		close_binary(&binary);
	}
}

/* With its debug file, if one is installed, and without. */
static void system_calls_of_the_c_library(void **state)
{
	static const char *const calls[] = { "read",  "write",	"recv", "send",	  "recvfrom",
					     "readv", "writev", "poll", "accept", "getdents64" };
	/* Not RTLD_DEFAULT: a sanitizer has functions of the same names. */
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	Dl_info info;

	(void)state;
	assert_true(dladdr(dlsym(libc, "read"), &info));
	assert_int_equal(run("cp %s libc.so && objcopy -R .note.gnu.build-id -R .gnu_debuglink "
			     "-R .gnu_debugdata -R .symtab libc.so libc-s.so",
			     info.dli_fname),
			 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct binary binary = open_binary(i ? "libc-s.so" : "libc.so");

		for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
			const char *at = dlsym(libc, calls[c]);
			uint64_t address = (uint64_t)(at - (const char *)info.dli_fbase);

			assert_string_equal(name_at(&binary, address + 1, address), calls[c]);
		}
		close_binary(&binary);
	}
	dlclose(libc);
}

static void mangled_names(void **state)
{
	static const struct {
		const char *mangled, *plain;
	} names[] = {
		{ "_ZN2ns3Foo3barEiPKc", "ns::Foo::bar(int, char const*)" },
		{ "_ZN2ns3Foo3bazEv.cold", "ns::Foo::baz() [clone .cold]" },
		{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad" },
		{ "_ZN61_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..fmt..Debug$GT$3fmt"
		  "17h0123456789abcdefE",
		  "<alloc::vec::Vec<T> as core::fmt::Debug>::fmt" },
		{ "_RNvCsdcKRmEcX3Yu_5crate4main", "crate::main" },
		{ "_RNvMs_NtC5crate3modNtB4_4Type6method", "<crate::mod::Type>::method" },
		{ "_RINvC5crate7genericmReE", "crate::generic::<u32, &str>" },
		{ "_RNvXC5crateNtB2_1ANtNtC4core3fmt5Debug3fmt",
		  "<crate::A as core::fmt::Debug>::fmt" },
		{ "_RNCNvC5crate3run0B3_", "crate::run::{closure#0}" },
		{ "_RINvC1c1fKj10_E", "c::f::<16>" },
		{ "_ZNbroken", "_ZNbroken" },
		{ "_Rbroken", "_Rbroken" },
	};
	char source[8192] = "";
	struct binary binary;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		sprintf(source + strlen(source),
			"__attribute__((noinline)) int f%zu(int a) __asm__(\"\\\"%s\\\"\");\n"
			"int f%zu(int a) { return a * %zu; }\n",
			i, names[i].mangled, i, i + 3);
	write_text("mangled.c", source);
	assert_int_equal(run("gcc -O2 -shared -fPIC -o mangled.so mangled.c"), 0);
	binary = open_binary("mangled.so");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect(&binary, "mangled.so", names[i].mangled, names[i].plain);
	close_binary(&binary);
}

/* pair<X, X> of pair<X, X> of ...: 2^@depth words. */
static void doubling_name(char *name, unsigned int depth)
{
	strcpy(name, "_Z1fSt4pairIiiE");
	for (unsigned int i = 0; i < depth; i++)
		sprintf(name + strlen(name), "S_IS%c_S%c_E",
			"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i],
			"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i]);
}

static void names_that_never_end(void **state)
{
	struct timespec begin;
	char name[512], *plain;

	(void)state;
	doubling_name(name, 3);
	plain = demangle(name);
	assert_non_null(plain);
	assert_non_null(strstr(plain, "std::pair<std::pair<std::pair<std::pair<int, int>"));
	free(plain);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	doubling_name(name, 30);
	assert_null(demangle(name));
	assert_true(seconds_since(&begin) < 1);
}

static void cplusplus_by_debug_information(void **state)
{
	struct binary binary;
	struct frame frames[16];
	unsigned int n;

	(void)state;
	if (!have("g++"))
		skip();
	write_text("plus.cc",
		   "extern int sink(int);\nnamespace outer { template <class T> struct Box {\n"
		   "	inline __attribute__((always_inline)) T get(T a) { return sink(a) + 1; }\n"
		   "	static __attribute__((noinline, noipa)) T put(T a) { Box b; return "
		   "b.get(a); }\n"
		   "}; }\nint use(int a) { return outer::Box<int>::put(a) + 2; }\n");
	assert_int_equal(run("g++ -g -O2 -shared -fPIC -o plus.so plus.cc"), 0);
	binary = open_binary("plus.so");
	expect(&binary, "plus.so", "_Z3usei", "use(int)");
	n = frames_at(&binary, nm("plus.so", "_ZN5outer3BoxIiE3putEi", NULL) + 4, frames);
	assert_string_equal(frames[n - 1].function, "outer::Box<int>::put(int)");
	if (n > 1)
		assert_string_equal(frames[0].function, "outer::Box<int>::get(int)");
	close_binary(&binary);
}

static void rust_by_its_compiler(void **state)
{
	static const char *const schemes[] = { "legacy", "v0" };
	struct binary binary;

	(void)state;
	if (!have("rustc"))
		skip();
	write_text("lib.rs", "pub mod inner { pub struct Pool; impl Pool {\n"
			     "#[inline(never)] pub fn grab(&self, n: usize) -> usize "
			     "{ std::hint::black_box(n * 3) } } }\n");
	for (unsigned int i = 0; i < 2; i++) {
		char command[512], symbol[256];
		FILE *pipe;

		if (run("RUSTC_BOOTSTRAP=1 rustc -O -Cdebuginfo=0 --crate-type=dylib "
			"--crate-name=krate -Z unstable-options -C symbol-mangling-version=%s "
			"-o rust.so lib.rs",
			schemes[i])) {
			print_message("rustc cannot do %s: skipped\n", schemes[i]);
			continue;
		}
		snprintf(command, sizeof(command), "nm %s/rust.so | grep Pool4grab", dir);
		pipe = popen(command, "r");
		assert_int_equal(fscanf(pipe, "%*x %*c %255s", symbol), 1);
		pclose(pipe);
		binary = open_binary("rust.so");
		expect(&binary, "rust.so", symbol,
		       i ? "<krate::inner::Pool>::grab" : "krate::inner::Pool::grab");
		close_binary(&binary);
		run("mv rust.so rust%u.so", i);
	}
}

static void assembly_without_sizes(void **state)
{
	struct binary binary;
	uint64_t first;

	(void)state;
	write_text("bare.s",
		   ".text\n.globl bare_a\nbare_a: .fill 16, 1, 0x90\n ret\n"
		   ".globl bare_b\nbare_b: .fill 8, 1, 0x90\n ret\n"
		   ".type local_c, @function\nlocal_c: .cfi_startproc\n .fill 8, 1, 0x90\n"
		   " ret\n.cfi_endproc\n.section .note.GNU-stack\n");
	assert_int_equal(run("gcc -shared -nostdlib -o bare.so bare.s && "
			     "strip -o bare-s.so bare.so"),
			 0);
	first = nm("bare.so", "bare_a", NULL);
	binary = open_binary("bare.so");
	assert_string_equal(name_at(&binary, first + 16, first), "bare_a");
	assert_string_equal(name_at(&binary, first + 17, first + 17), "bare_b");
	assert_string_equal(name_at(&binary, first + 25, first + 17), "bare_b");
	assert_string_equal(name_at(&binary, first + 26, first + 26), "local_c");
	close_binary(&binary);

	/* Without .symtab bare_b is the nearest export to local_c, and not its name. */
	binary = open_binary("bare-s.so");
	assert_string_equal(name_at(&binary, first + 17, 0), "-");
	assert_string_equal(name_at(&binary, first + 26, first + 26), "-");
	assert_string_equal(name_at(&binary, first + 34, first + 26), "-");
	close_binary(&binary);
}

static void linkage_table(void **state)
{
	static const char *const flags[] = { "-fcf-protection=none -Wl,-z,lazy",
					     "-fcf-protection=full -Wl,-z,lazy,-z,ibtplt",
					     "-fcf-protection=none -Wl,-z,now" };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		char name[16], command[512];
		unsigned long address, seen = 0;
		char symbol[128];
		struct binary binary;
		FILE *pipe;

		snprintf(name, sizeof(name), "plt%u.so", i);
		build_library(name, flags[i]);
		assert_int_equal(run("strip %s", name), 0);
		binary = open_binary(name);
		snprintf(command, sizeof(command),
			 "objdump -d -j .plt -j .plt.sec -j .plt.got %s | "
			 "sed -n 's/^\\([0-9a-f]*\\) <\\(.*@plt\\)>:/\\1 \\2/p'",
			 binary.path);
		pipe = popen(command, "r");
		while (fscanf(pipe, "%lx %127s", &address, symbol) == 2) {
			assert_string_equal(name_at(&binary, address, address), symbol);
			seen += !strcmp(symbol, "sink@plt");
		}
		pclose(pipe);
		assert_int_equal(seen, 1);
		close_binary(&binary);
	}
}

static void vdso(void **state)
{
	struct binary binary = { .path = (char *)"[vdso]", .name = (char *)"[vdso]", .fd = -1 };
	void *handle = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	const char *function = handle ? dlsym(handle, "__vdso_getcpu") : NULL;
	struct frame frame;

	(void)state;
	if (!function)
		skip();
	assert_int_equal(symbolizer_frames(symbolizer, &binary,
					   (uint64_t)function - getauxval(AT_SYSINFO_EHDR), &frame,
					   1),
			 1);
	assert_non_null(frame.function);
	assert_non_null(strstr(frame.function, "getcpu"));
	assert_string_equal(frame.module, "[vdso]");
	dlclose(handle);
}

/* Of one build in several places, one is read. */
static void copies_of_one_file(void **state)
{
	struct binary first, second, other;

	(void)state;
	build_library("copy.so", "-g -Wl,--build-id=sha1");
	build_library("none.so", "-g -Wl,--build-id=none");
	assert_int_equal(run("mkdir layer && cp copy.so layer && cp none.so layer"), 0);
	first = open_binary("copy.so");
	second = open_binary("layer/copy.so");
	free(second.name);
	second.name = strdup("copy.so");
	expect(&first, "copy.so", "hidden", "hidden");
	expect(&second, "copy.so", "hidden", "hidden");
	assert_ptr_equal(symbolizer_module(symbolizer, &first),
			 symbolizer_module(symbolizer, &second));
	assert_string_equal(symbolizer_build_id(symbolizer, &first),
			    symbolizer_build_id(symbolizer, &second));
	close_binary(&second);
	other = open_binary("none.so");
	second = open_binary("layer/none.so");
	free(second.name);
	second.name = strdup("none.so");
	assert_ptr_not_equal(symbolizer_module(symbolizer, &other),
			     symbolizer_module(symbolizer, &second));
	close_binary(&second);
	close_binary(&other);
	close_binary(&first);
}

static void nothing_to_know(void **state)
{
	struct binary none = {
		.inode = 12345, .path = (char *)"/x/y", .name = (char *)"y", .fd = -1
	};
	struct binary text;
	struct frame frame;

	(void)state;
	assert_int_equal(symbolizer_frames(symbolizer, NULL, 0x1234, &frame, 1), 1);
	assert_null(frame.function);
	assert_string_equal(frame.module, "[unknown]");
	assert_null(symbolizer_build_id(symbolizer, NULL));
	assert_int_equal(symbolizer_frames(symbolizer, &none, 0x1234, &frame, 1), 1);
	assert_null(frame.function);
	assert_string_equal(frame.module, "y");
	assert_int_equal(frame.start, 0);
	assert_null(symbolizer_build_id(symbolizer, &none));
	text = open_binary("library.c");
	assert_int_equal(symbolizer_frames(symbolizer, &text, 10, &frame, 1), 1);
	assert_null(frame.function);
	close_binary(&text);
}

static void build_id_like_readelf(void **state)
{
	char command[512], id[128];
	struct binary binary;
	FILE *pipe;

	(void)state;
	build_library("id.so", "-Wl,--build-id=sha1");
	build_library("crc.so", "-Wl,--build-id=none");
	binary = open_binary("id.so");
	snprintf(command, sizeof(command), "readelf -n %s | sed -n 's/.*Build ID: //p'",
		 binary.path);
	pipe = popen(command, "r");
	assert_int_equal(fscanf(pipe, "%127s", id), 1);
	pclose(pipe);
	assert_string_equal(symbolizer_build_id(symbolizer, &binary), id);
	close_binary(&binary);
	binary = open_binary("crc.so");
	assert_null(symbolizer_build_id(symbolizer, &binary));
	close_binary(&binary);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inline_chain_like_addr2line),
		cmocka_unit_test(physical_function_survives_a_cut),
		cmocka_unit_test(stripped_is_never_the_nearest_export),
		cmocka_unit_test(symtab_only),
		cmocka_unit_test(the_name_that_callers_write),
		cmocka_unit_test(system_calls_of_the_c_library),
		cmocka_unit_test(mangled_names),
		cmocka_unit_test(names_that_never_end),
		cmocka_unit_test(cplusplus_by_debug_information),
		cmocka_unit_test(rust_by_its_compiler),
		cmocka_unit_test(assembly_without_sizes),
		cmocka_unit_test(linkage_table),
		cmocka_unit_test(vdso),
		cmocka_unit_test(copies_of_one_file),
		cmocka_unit_test(nothing_to_know),
		cmocka_unit_test(build_id_like_readelf),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
