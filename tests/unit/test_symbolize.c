/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names and unwinding against the truth of others: nm and addr2line for names, libdw for unwind
 * rules, backtrace() for real stacks. Programs are compiled on the spot into a temporary
 * directory; a case whose tool is not there says so and is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <alloca.h>
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "symbolize/symbolize.h"

static char dir[] = "/tmp/test_symbolize.XXXXXX";
static struct symbolizer *symbolizer;

/* Runs a command in the temporary directory; its exit status. */
__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	char command[4096];
	va_list args;
	int n = snprintf(command, sizeof(command), "cd %s && { ", dir);

	va_start(args, format);
	n += vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
	va_end(args);
	snprintf(command + n, sizeof(command) - (size_t)n, "; } >/dev/null 2>&1");
	return system(command);
}

static bool have(const char *tool)
{
	if (!run("command -v %s", tool))
		return true;
	print_message("no %s here: skipped\n", tool);
	return false;
}

static void write_text(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static struct binary open_binary(const char *name)
{
	struct binary binary = { 0 };
	struct stat st;

	assert_true(asprintf(&binary.path, "%s/%s", dir, name) > 0);
	binary.name = strdup(name);
	binary.fd = open(binary.path, O_RDONLY | O_CLOEXEC);
	assert_true(binary.fd >= 0 && !fstat(binary.fd, &st));
	binary.device = st.st_dev;
	binary.inode = st.st_ino;
	return binary;
}

static void close_binary(struct binary *binary)
{
	close(binary->fd);
	free(binary->path);
	free(binary->name);
}

/* Address and size of a symbol, as nm tells. */
static uint64_t nm(const char *file, const char *symbol, uint64_t *size)
{
	char command[512], line[512];
	uint64_t found = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "nm -S %s/%s", dir, file);
	pipe = popen(command, "r");
	while (fgets(line, sizeof(line), pipe)) {
		unsigned long address, bytes = 0;
		char name[256];

		if (sscanf(line, "%lx %lx %*c %255s", &address, &bytes, name) != 3 &&
		    sscanf(line, "%lx %*c %255s", &address, name) != 2)
			continue;
		if (!strcmp(name, symbol)) {
			found = address;
			if (size)
				*size = bytes;
		}
	}
	pclose(pipe);
	assert_true(found);
	return found;
}

static uint64_t to_offset(const struct binary *binary, uint64_t address)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	assert_int_equal(pread(binary->fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	for (unsigned int i = 0; i < ehdr.e_phnum; i++) {
		pread(binary->fd, &phdr, sizeof(phdr), (off_t)(ehdr.e_phoff + i * sizeof(phdr)));
		if (phdr.p_type == PT_LOAD && address >= phdr.p_vaddr &&
		    address < phdr.p_vaddr + phdr.p_filesz)
			return address - phdr.p_vaddr + phdr.p_offset;
	}
	fail_msg("no segment for %#lx", address);
	return 0;
}

static unsigned int frames_at(const struct binary *binary, uint64_t address, struct frame *frames)
{
	return symbolizer_frames(symbolizer, binary, to_offset(binary, address), frames, 16);
}

static const char *name_at(const struct binary *binary, uint64_t address, uint64_t start)
{
	struct frame frames[16];
	unsigned int n = frames_at(binary, address, frames);

	assert_string_equal(frames[n - 1].module, binary->name);
	assert_int_equal(frames[n - 1].start, start);
	assert_int_equal(frames[n - 1].offset, address - start);
	assert_false(frames[n - 1].inlined);
	return frames[n - 1].function ? frames[n - 1].function : "-";
}

/* The name at @symbol, at its last byte, and its start, whatever has been stripped of it. */
static void expect(const struct binary *binary, const char *truth, const char *symbol,
		   const char *name)
{
	uint64_t size, start = nm(truth, symbol, &size);

	assert_true(size > 1);
	assert_string_equal(name_at(binary, start, start), name);
	assert_string_equal(name_at(binary, start + size - 1, start), name);
}

static const char library[] =
	"#include <stdlib.h>\n"
	"#include <string.h>\n"
	"extern int sink(const char *);\n"
	"static inline __attribute__((always_inline)) int inner(char *p, int n)\n"
	"{\n"
	"	p[n] = (char)(n * 7);\n"
	"	return sink(p) + n;\n"
	"}\n"
	"static inline __attribute__((always_inline)) int middle(char *p, int n)\n"
	"{\n"
	"	int r = inner(p, n + 1);\n"
	"	for (int i = 0; i < n; i++) { int k = r; r += inner(p + k, i); }\n"
	"	return r;\n"
	"}\n"
	"static __attribute__((noinline, noipa)) int hidden(char *p, int n)\n"
	"{\n"
	"	return sink(p + n) * 3 + middle(p, n);\n"
	"}\n"
	"__attribute__((cold, noinline)) void failing(const char *why);\n"
	"int exported_a(char *p) { return hidden(p, 3) + 1; }\n"
	"int exported_b(char *p, int n)\n"
	"{\n"
	"	if (__builtin_expect(n > 1000, 0)) { failing(p); failing(p + 1); abort(); }\n"
	"	return hidden(p, n) + middle(p, 2) + (int)strlen(p);\n"
	"}\n";

static void build_library(const char *name, const char *flags)
{
	write_text("library.c", library);
	assert_int_equal(run("gcc -O2 -shared -fPIC %s -o %s library.c", flags, name), 0);
}

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

/* hidden() is static: only debug information knows it, and only that has lines. */
static void expect_debug(const char *name, const char *truth, bool lines)
{
	struct binary binary = open_binary(name);
	struct frame frames[16];
	unsigned int n = frames_at(&binary, nm(truth, "hidden", NULL), frames);

	expect(&binary, truth, "hidden", lines ? "hidden" : "-");
	assert_int_equal(frames[n - 1].line != 0, lines);
	close_binary(&binary);
}

static void separate_debug_file(void **state)
{
	static const char split[] = "objcopy --only-keep-debug %s.so %s.debug && strip -o %s-s.so "
				    "--remove-section=.comment %s.so && objcopy "
				    "--add-gnu-debuglink=%s.debug %s-s.so";
	char command[512];

	(void)state;
	/* Proven by build ID, then by checksum. */
	build_library("id.so", "-g -Wl,--build-id=sha1");
	build_library("crc.so", "-g -Wl,--build-id=none");
	for (unsigned int i = 0; i < 2; i++) {
		const char *n = i ? "crc" : "id";

		snprintf(command, sizeof(command), split, n, n, n, n, n, n);
		assert_int_equal(run("%s", command), 0);
	}
	expect_debug("id-s.so", "id.so", true);
	expect_debug("crc-s.so", "crc.so", true);

	assert_int_equal(run("mkdir .debug && cp id-s.so id2-s.so && mv id.debug .debug"), 0);
	expect_debug("id2-s.so", "id.so", true);

	/* Of another build: refused. */
	assert_int_equal(run("rm .debug/id.debug; cp crc-s.so crc2-s.so; cp id-s.so id3-s.so"), 0);
	build_library("other.so", "-g -DOTHER -Wl,--build-id=0x0123456789abcdef");
	assert_int_equal(run("objcopy --only-keep-debug other.so id.debug && "
			     "objcopy --only-keep-debug inline.so crc.debug"),
			 0);
	expect_debug("id3-s.so", "id.so", false);
	expect_debug("crc2-s.so", "crc.so", false);

	/* A link to something that would block, or is not a file. */
	assert_int_equal(run("rm id.debug crc.debug && mkfifo id.debug && mkdir crc.debug && "
			     "cp crc-s.so crc4-s.so && cp id-s.so id4-s.so"),
			 0);
	expect_debug("id4-s.so", "id.so", false);
	expect_debug("crc4-s.so", "crc.so", false);
	assert_int_equal(run("rmdir crc.debug && rm id.debug"), 0);
}

static void compressed_debug_information(void **state)
{
	(void)state;
	build_library("packed.so", "-g -gz=zlib");
	expect_debug("packed.so", "packed.so", true);
}

static void mini_debug_information(void **state)
{
	(void)state;
	if (!have("xz"))
		skip();
	assert_int_equal(
		run("printf 'hidden\\n' > keep && objcopy -S --keep-symbols=keep full.so mini"
		    " && xz -k mini && strip -o mini.so full.so && "
		    "objcopy --add-section .gnu_debugdata=mini.xz mini.so"),
		0);
	struct binary binary = open_binary("mini.so");

	expect(&binary, "full.so", "hidden", "hidden");
	expect(&binary, "full.so", "exported_a", "exported_a");
	close_binary(&binary);

	/* Cut short, and not xz at all: as if it were not there. */
	assert_int_equal(run("head -c 200 mini.xz > cut.xz && strip -o cut.so full.so && "
			     "objcopy --add-section .gnu_debugdata=cut.xz cut.so && "
			     "strip -o bad.so full.so && "
			     "objcopy --add-section .gnu_debugdata=keep bad.so"),
			 0);
	for (unsigned int i = 0; i < 2; i++) {
		binary = open_binary(i ? "bad.so" : "cut.so");
		expect(&binary, "full.so", "hidden", "-");
		close_binary(&binary);
	}
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
	struct binary binary = open_binary("id.so");
	char command[512], id[128];
	FILE *pipe;

	(void)state;
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

/* All there is to ask, of a file that may be anything. */
static void ask_everything(const char *name, const uint64_t *offsets, unsigned int n)
{
	struct binary binary = open_binary(name);
	struct region region = {
		.start = 0x10000, .end = 0x90000, .exec = true, .binary = &binary
	};
	static struct fp_raw_stack raw;
	struct image *image = image_new(1, 1, "x");
	enum fp_stack_end end;
	struct fp_rule rules[16];
	uint64_t ips[16];
	struct frame frames[16];

	assert_int_equal(symbolizer_new(&symbolizer), 0);
	assert_int_equal(image_add_region(image, &region), 0);
	for (unsigned int i = 0; i < n; i++) {
		raw.reg[16] = region.start + offsets[i];
		raw.reg[7] = raw.reg[6] = 0x7ff0000;
		raw.bytes = sizeof(raw.data);
		for (unsigned int w = 0; w < raw.bytes / 8; w++)
			((uint64_t *)raw.data)[w] =
				w % 3 ? region.start + offsets[w % n] : raw.reg[7] + 8 * (w + 5);
		assert_in_range(symbolizer_unwind(symbolizer, image, 0, &raw, ips, rules, 16, &end),
				1, 16);
		assert_in_range(symbolizer_frames(symbolizer, &binary, offsets[i], frames, 16), 1,
				16);
	}
	symbolizer_build_id(symbolizer, &binary);
	symbolizer_free(symbolizer);
	image_free(image);
	close_binary(&binary);
}

static unsigned int random_below(unsigned int n)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 20) % n);
}

static size_t read_all(const char *name, unsigned char *data, size_t size)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	n = read(fd, data, size);
	close(fd);
	assert_true(n > 0 && (size_t)n < size);
	return (size_t)n;
}

static void write_all(const char *name, const unsigned char *data, size_t size)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_int_equal(fwrite(data, 1, size, file), size);
	fclose(file);
}

/* In a child, so that a crash is a failed test and not the end of all. */
static void mutate(const char *name, unsigned int mutations, const uint64_t *offsets,
		   unsigned int n)
{
	static unsigned char good[1 << 20], bad[1 << 20];
	size_t size = read_all(name, good, sizeof(good));
	int status;
	pid_t pid = fork();

	if (!pid) {
		for (unsigned int m = 0; m < mutations; m++) {
			size_t cut = m % 4 ? size : random_below((unsigned int)size);

			alarm(20);
			memcpy(bad, good, size);
			for (unsigned int i = random_below(64); i; i--) {
				unsigned int at = random_below((unsigned int)size);

				/* Headers at both ends decide most. */
				if (i % 4 == 0)
					at = random_below(1024);
				else if (i % 4 == 1)
					at = (unsigned int)size - 1 - random_below(2600);
				if (random_below(2))
					bad[at] ^= (unsigned char)(1u << random_below(8));
				else
					bad[at] = (unsigned char)random_below(256);
			}
			write_all("bad", bad, cut + 1 > size ? size : cut + 1);
			ask_everything("bad", offsets, n);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void corrupt_files_do_not_crash(void **state)
{
	static const char *const files[] = { "inline.so", "mini.so", "packed.so", "plus.so" };
	struct symbolizer *saved = symbolizer;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t offsets[24];
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		if (access(path, R_OK))
			continue;
		for (unsigned int o = 0; o < 24; o++)
			offsets[o] = 0x1000 + o * 29;
		mutate(files[i], 300, offsets, 24);
	}
	symbolizer = saved;
}

/* What /proc/self/maps says, as an image. */
static struct image *own_image(struct binary_table *table)
{
	struct image *image = image_new(1, (uint32_t)getpid(), "test");
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];

	while (fgets(line, sizeof(line), maps)) {
		struct region region = { 0 };
		unsigned long start, end, offset, inode;
		unsigned int major, minor;
		char mode[8], path[512] = "";

		assert_true(sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %511[^\n]", &start, &end, mode,
				   &offset, &major, &minor, &inode, path) >= 7);
		region.start = start;
		region.end = end;
		region.offset = offset;
		region.exec = mode[2] == 'x';
		if (inode || !strcmp(path, "[vdso]"))
			region.binary =
				binary_get(table, (uint64_t)major << 32 | minor, inode, path);
		if (region.binary && inode && region.binary->fd < 0)
			region.binary->fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(image_add_region(image, &region), 0);
		if (start <= (uintptr_t)own_image && end > (uintptr_t)own_image)
			image->own = region.binary;
	}
	fclose(maps);
	return image;
}

static struct fp_raw_stack captured;
static void *truth[FP_MAX_FRAMES];
static int nr_truth;

/* Copies registers and stack as they are in here: the first frame is this function itself. */
__attribute__((noipa, no_sanitize("address"))) static void capture(void)
{
	static const int order[FP_NR_REGS] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
					       REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
					       REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };
	ucontext_t context;
	const volatile unsigned char *from;

	nr_truth = backtrace(truth, FP_MAX_FRAMES);
	/* The address sanitizer puts its own backtrace() before ours. */
	while (nr_truth > 1 && truth[1] != __builtin_return_address(0))
		memmove(truth, truth + 1, (size_t)--nr_truth * sizeof(*truth));
	getcontext(&context);
	for (unsigned int i = 0; i < FP_NR_REGS; i++)
		captured.reg[i] = (uint64_t)context.uc_mcontext.gregs[order[i]];
	from = (const volatile unsigned char *)captured.reg[7];
	captured.bytes = FP_STACK_BYTES;
	for (unsigned int i = 0; i < captured.bytes; i++)
		captured.data[i] = from[i];
}

/*
 * The kernel puts vector state between the registers and the interrupted stack, more of it on some
 * machines than a raw stack can hold. Nothing reads it: take it out, as if it were small.
 */
__attribute__((no_sanitize("address"))) static void close_gap(const ucontext_t *context)
{
	const greg_t *saved = context->uc_mcontext.gregs;
	size_t keep = (size_t)((uintptr_t)(saved + NGREG) - captured.reg[7] + 15) & ~(size_t)15;
	uint64_t rsp = captured.reg[7] + keep;
	const volatile unsigned char *from = (const volatile unsigned char *)saved[REG_RSP];

	for (size_t i = keep; i < captured.bytes; i++)
		captured.data[i] = *from++;
	memcpy(captured.data + ((uintptr_t)&saved[REG_RSP] - captured.reg[7]), &rsp, 8);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	capture();
	close_gap(context);
}

static bool by_signal;

__attribute__((noipa)) static int chain_c(int n)
{
	if (by_signal)
		raise(SIGUSR1);
	else
		capture();
	return n + 1;
}

/* Needs rbp for its frame. */
__attribute__((noipa)) static int chain_b(int n)
{
	volatile char *room = alloca((size_t)n * 16);

	room[n] = (char)n;
	return chain_c(n) + room[n];
}

/* Realigns its stack: its caller is found through yet another register. */
__attribute__((noipa)) static int chain_realigned(int n)
{
	_Alignas(64) volatile char room[64];
	volatile char *more = alloca((size_t)n * 16);

	room[n & 63] = more[n] = (char)n;
	return chain_b(n) + room[n & 63] + more[n];
}

__attribute__((noipa)) static int chain_a(int n)
{
	switch (n) {
	case 1:
		return chain_b(n) + 1;
	case 2:
		return chain_realigned(n) + 2;
	default:
		return chain_c(n) + 3;
	}
}

/* The kernel's way to walk: three numbers a frame. */
static unsigned int walk_by_rules(const struct fp_rule *rules, unsigned int n, uint64_t *ips)
{
	uint64_t ip = captured.reg[16], sp = captured.reg[7], bp = captured.reg[6], base = sp;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t cfa;

		ips[i] = ip;
		if (rules[i].how != FP_RULE_RSP && rules[i].how != FP_RULE_RBP)
			return i + 1;
		cfa = (rules[i].how == FP_RULE_RSP ? sp : bp) +
		      (uint64_t)(int64_t)rules[i].cfa_offset;
		memcpy(&ip, captured.data + (cfa - 8 - base), 8);
		if (rules[i].rbp_offset != FP_RBP_SAME)
			memcpy(&bp,
			       captured.data +
				       (cfa + (uint64_t)(int64_t)rules[i].rbp_offset - base),
			       8);
		sp = cfa;
	}
	return n;
}

static const char *function_of(const struct image *image, uint64_t ip, bool back)
{
	const struct region *region = image_find(image, ip, 0);
	struct frame frames[16];
	unsigned int n;

	assert_non_null(region);
	n = symbolizer_frames(symbolizer, region->binary,
			      ip - back - region->start + region->offset, frames, 16);
	return frames[n - 1].function ? frames[n - 1].function : "-";
}

__attribute__((noipa)) static void unwind_and_compare(int n, const char *const *names,
						      unsigned int nr_names)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES], walked[FP_MAX_FRAMES];
	struct fp_rule rules[FP_MAX_FRAMES];
	enum fp_stack_end end;
	unsigned int found, steps;
	bool seen_main = false;

	assert_true(chain_a(n) != 0);
	found = symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end);
	assert_int_equal(end, FP_STACK_WHOLE);
	assert_int_equal(rules[found - 1].how, FP_RULE_END);
	assert_int_equal(rules[0].flags, FP_RULE_OWN);
	/* Frame 0 is capture() in both, though not at the same instruction. */
	assert_int_equal(found, nr_truth);
	for (unsigned int i = 1; i < found; i++)
		assert_int_equal(ips[i], (uint64_t)truth[i]);
	for (unsigned int i = 0, at = 0; i < nr_names; i++, at++) {
		while (by_signal && at < found &&
		       strcmp(function_of(image, ips[at], true), names[i]))
			at++; /* what raise() is made of */
		assert_true(at < found);
		assert_string_equal(function_of(image, ips[at], true), names[i]);
		assert_int_equal(rules[at].flags, FP_RULE_OWN);
	}
	for (unsigned int at = 0; !seen_main; at++) {
		assert_true(at < found);
		seen_main = !strcmp(function_of(image, ips[at], true), "main");
	}
	assert_string_equal(function_of(image, ips[found - 1], true), "_start");
	steps = walk_by_rules(rules, found, walked);
	assert_true(steps >= 2);
	assert_memory_equal(walked, ips, steps * sizeof(*ips));
	if (n & 1 && !by_signal)
		assert_int_equal(steps, found);

	/* Asked again, from the cache; and for fewer frames than there are. */
	assert_int_equal(symbolizer_unwind(symbolizer, image, 0, &captured, walked, rules,
					   FP_MAX_FRAMES, &end),
			 found);
	assert_memory_equal(walked, ips, found * sizeof(*ips));
	assert_int_equal(symbolizer_unwind(symbolizer, image, 0, &captured, walked, rules, 2, &end),
			 2);
	assert_int_equal(end, FP_STACK_DEEP);
	image_free(image);
	binary_table_release(&table);
}

static void own_stack(void **state)
{
	static const char *const names[] = { "capture", "chain_c", "chain_b", "chain_a",
					     "unwind_and_compare" };

	(void)state;
	by_signal = false;
	unwind_and_compare(1, names, 5);
}

static void through_a_realigned_frame(void **state)
{
	static const char *const names[] = { "capture",		"chain_c", "chain_b",
					     "chain_realigned", "chain_a", "unwind_and_compare" };

	(void)state;
	by_signal = false;
	unwind_and_compare(2, names, 6);
}

static void through_a_signal_frame(void **state)
{
	static const char *const names[] = { "capture", "on_signal", "chain_c", "chain_a",
					     "unwind_and_compare" };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	(void)state;
	by_signal = true;
	sigaction(SIGUSR1, &action, NULL);
	unwind_and_compare(3, names, 5);
	signal(SIGUSR1, SIG_DFL);
}

static void ends_say_why(void **state)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES];
	struct fp_rule rules[FP_MAX_FRAMES];
	enum fp_stack_end end;

	(void)state;
	by_signal = false;
	chain_a(1);
	captured.bytes = 40; /* capture() has a ucontext_t: larger */
	assert_int_equal(
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end),
		1);
	assert_int_equal(end, FP_STACK_DEEP);
	assert_int_equal(rules[0].how, FP_RULE_RSP);
	captured.reg[16] = (uintptr_t)&captured; /* no code */
	assert_int_equal(
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end),
		1);
	assert_int_equal(end, FP_STACK_NO_RULE);
	assert_int_equal(rules[0].how, FP_RULE_NONE);
	captured.reg[16] = 0;
	assert_int_equal(
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end),
		1);
	assert_int_equal(rules[0].how, FP_RULE_NONE);
	image_free(image);
	binary_table_release(&table);
}

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

/* The rules for a few hundred thousand instructions of the C library, and what they cost. */
static void rules_like_libdw(void **state)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	/* A function that no sanitizer replaces. */
	const struct region *region = image_find(image, (uintptr_t)&getsubopt, 0);
	int fd = open(region->binary->path, O_RDONLY);
	Elf *elf = (elf_version(EV_CURRENT), elf_begin(fd, ELF_C_READ, NULL));
	Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);
	unsigned int kinds[5] = { 0 };
	enum fp_stack_end end;
	uint64_t ips[1];

	(void)state;
	memset(&captured, 0, sizeof(captured));
	for (uint64_t at = region->start; at < region->end; at += 1 + random_below(12)) {
		struct fp_rule rule, other = libdw_rule(cfi, at - region->start + region->offset);

		captured.reg[16] = at;
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, &rule, 1, &end);
		if (rule.how != other.how)
			fail_msg("%#lx: %d, libdw %d", at - region->start + region->offset,
				 rule.how, other.how);
		if (rule.how == FP_RULE_RSP || rule.how == FP_RULE_RBP) {
			assert_int_equal(rule.cfa_offset, other.cfa_offset);
			assert_int_equal(rule.rbp_offset, other.rbp_offset);
		}
		kinds[rule.how]++;
	}
	print_message("end %u, rsp %u, rbp %u, raw %u, none %u\n", kinds[0], kinds[1], kinds[2],
		      kinds[3], kinds[4]);
	assert_true(kinds[FP_RULE_RSP] > 50000 && kinds[FP_RULE_RBP] > 500);
	assert_true(kinds[FP_RULE_END] && kinds[FP_RULE_RAW]);
	dwarf_cfi_end(cfi);
	elf_end(elf);
	close(fd);
	image_free(image);
	binary_table_release(&table);
}

static void quick_once_warm(void **state)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES], frames = 0;
	struct fp_rule rules[FP_MAX_FRAMES];
	struct timespec a, b;
	enum fp_stack_end end;

	(void)state;
	by_signal = false;
	chain_a(1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned int i = 0; i < 10000; i++)
		frames += symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules,
					    FP_MAX_FRAMES, &end);
	clock_gettime(CLOCK_MONOTONIC, &b);
	print_message("%.0f ns a frame\n",
		      ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
			      (double)frames);
	assert_true(((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
			    (double)frames <
		    20000);
	image_free(image);
	binary_table_release(&table);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? symbolizer_new(&symbolizer) : -1;
}

static int teardown(void **state)
{
	(void)state;
	symbolizer_free(symbolizer);
	return run("rm -rf %s", dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inline_chain_like_addr2line),
		cmocka_unit_test(physical_function_survives_a_cut),
		cmocka_unit_test(stripped_is_never_the_nearest_export),
		cmocka_unit_test(symtab_only),
		cmocka_unit_test(separate_debug_file),
		cmocka_unit_test(compressed_debug_information),
		cmocka_unit_test(mini_debug_information),
		cmocka_unit_test(the_name_that_callers_write),
		cmocka_unit_test(system_calls_of_the_c_library),
		cmocka_unit_test(mangled_names),
		cmocka_unit_test(cplusplus_by_debug_information),
		cmocka_unit_test(rust_by_its_compiler),
		cmocka_unit_test(assembly_without_sizes),
		cmocka_unit_test(linkage_table),
		cmocka_unit_test(vdso),
		cmocka_unit_test(nothing_to_know),
		cmocka_unit_test(build_id_like_readelf),
		cmocka_unit_test(corrupt_files_do_not_crash),
		cmocka_unit_test(own_stack),
		cmocka_unit_test(through_a_realigned_frame),
		cmocka_unit_test(through_a_signal_frame),
		cmocka_unit_test(ends_say_why),
		cmocka_unit_test(rules_like_libdw),
		cmocka_unit_test(quick_once_warm),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
