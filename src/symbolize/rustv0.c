/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Rust's v0 mangling (RFC 2603): a recursive-descent printer. Hashes and lifetimes are left out;
 * generic arguments, closures and impl paths are shown. What it does not understand makes it
 * give up, and the mangled name stays. Back references can repeat whole subtrees, so depth,
 * output and steps are bounded.
 */
#include "symbolize/module.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 128
#define MAX_OUTPUT 2048
#define MAX_STEPS 20000

struct rust {
	const char *start, *at; /* NUL-terminated; start is behind "_R" */
	char *out;
	size_t length;
	unsigned int depth, steps, quiet; /* quiet: parse, print nothing */
	bool bad;
};

static void path(struct rust *rust, bool value);
static void type(struct rust *rust);
static void constant(struct rust *rust);

__attribute__((format(printf, 2, 3))) static void print(struct rust *rust, const char *format, ...)
{
	size_t room = MAX_OUTPUT - rust->length;
	va_list args;
	int n;

	if (rust->quiet || rust->bad)
		return;
	va_start(args, format);
	n = vsnprintf(rust->out + rust->length, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		rust->bad = true;
	else
		rust->length += (size_t)n;
}

static bool eat(struct rust *rust, char c)
{
	if (rust->bad || *rust->at != c)
		return false;
	rust->at++;
	return true;
}

static char next(struct rust *rust)
{
	if (rust->bad || !*rust->at) {
		rust->bad = true;
		return 0;
	}
	return *rust->at++;
}

static bool enter(struct rust *rust)
{
	if (rust->depth == MAX_DEPTH || ++rust->steps > MAX_STEPS)
		rust->bad = true;
	if (rust->bad)
		return false;
	rust->depth++;
	return true;
}

static uint64_t base62(struct rust *rust)
{
	uint64_t n = 0;

	if (eat(rust, '_'))
		return 0;
	for (;;) {
		char c = next(rust);

		if (c == '_')
			return n + 1;
		if (c >= '0' && c <= '9')
			n = n * 62 + (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'z')
			n = n * 62 + (uint64_t)(c - 'a') + 10;
		else if (c >= 'A' && c <= 'Z')
			n = n * 62 + (uint64_t)(c - 'A') + 36;
		else
			rust->bad = true;
		if (rust->bad)
			return 0;
	}
}

static uint64_t optional(struct rust *rust, char tag)
{
	return eat(rust, tag) ? base62(rust) + 1 : 0;
}

/* Returns the bytes, not NUL-terminated; punycode is shown as it is. */
static const char *identifier(struct rust *rust, int *length)
{
	const char *bytes;
	size_t n = 0;

	eat(rust, 'u');
	if (*rust->at < '0' || *rust->at > '9') {
		rust->bad = true;
		return "";
	}
	if (!eat(rust, '0'))
		while (*rust->at >= '0' && *rust->at <= '9' && n < MAX_OUTPUT)
			n = n * 10 + (size_t)(*rust->at++ - '0');
	eat(rust, '_');
	if (strnlen(rust->at, n) < n) {
		rust->bad = true;
		return "";
	}
	bytes = rust->at;
	rust->at += n;
	*length = (int)n;
	return bytes;
}

static void back(struct rust *rust, void (*what)(struct rust *rust))
{
	const char *tag = rust->at - 1, *return_to;
	uint64_t offset = base62(rust);

	if (rust->bad || offset >= (uint64_t)(tag - rust->start)) {
		rust->bad = true;
		return;
	}
	/* Printing nothing, there is nothing to find there. */
	if (rust->quiet)
		return;
	return_to = rust->at;
	rust->at = rust->start + offset;
	what(rust);
	rust->at = return_to;
}

static void path_of_value(struct rust *rust)
{
	path(rust, true);
}

static void path_of_type(struct rust *rust)
{
	path(rust, false);
}

static void generic_argument(struct rust *rust)
{
	if (eat(rust, 'L')) {
		base62(rust);
		print(rust, "'_");
	} else if (eat(rust, 'K')) {
		constant(rust);
	} else {
		type(rust);
	}
}

static void list(struct rust *rust, void (*item)(struct rust *rust))
{
	for (bool first = true; !rust->bad && !eat(rust, 'E'); first = false) {
		if (!first)
			print(rust, ", ");
		item(rust);
	}
}

static void nested(struct rust *rust, bool value)
{
	char space = next(rust);
	uint64_t number;
	const char *name;
	int n = 0;

	path(rust, value);
	number = optional(rust, 's');
	name = identifier(rust, &n);
	if (space == 'C')
		print(rust, "::{closure%s%.*s#%llu}", n ? ":" : "", n, name,
		      (unsigned long long)number);
	else if (space >= 'A' && space <= 'Z')
		print(rust, "::{%s%s%.*s#%llu}", space == 'S' ? "shim" : "special", n ? ":" : "", n,
		      name, (unsigned long long)number);
	else if (n)
		print(rust, "::%.*s", n, name);
}

/* Where an impl stands is not shown, only what it is for. */
static void impl_path(struct rust *rust)
{
	optional(rust, 's');
	rust->quiet++;
	path(rust, false);
	rust->quiet--;
}

static void path(struct rust *rust, bool value)
{
	const char *name;
	int n = 0;
	char tag;

	if (!enter(rust))
		return;
	tag = next(rust);
	switch (tag) {
	case 'C':
		optional(rust, 's');
		name = identifier(rust, &n);
		print(rust, "%.*s", n, name);
		break;
	case 'N':
		nested(rust, value);
		break;
	case 'M':
	case 'X':
		impl_path(rust);
		/* fallthrough */
	case 'Y':
		print(rust, "<");
		type(rust);
		if (tag != 'M') {
			print(rust, " as ");
			path(rust, false);
		}
		print(rust, ">");
		break;
	case 'I':
		path(rust, value);
		print(rust, value ? "::<" : "<");
		list(rust, generic_argument);
		print(rust, ">");
		break;
	case 'B':
		back(rust, value ? path_of_value : path_of_type);
		break;
	default:
		rust->bad = true;
	}
	rust->depth--;
}

static const char *basic(char tag)
{
	static const char *const names[26] = {
		['a' - 'a'] = "i8",   ['b' - 'a'] = "bool",  ['c' - 'a'] = "char",
		['d' - 'a'] = "f64",  ['e' - 'a'] = "str",   ['f' - 'a'] = "f32",
		['h' - 'a'] = "u8",   ['i' - 'a'] = "isize", ['j' - 'a'] = "usize",
		['l' - 'a'] = "i32",  ['m' - 'a'] = "u32",   ['n' - 'a'] = "i128",
		['o' - 'a'] = "u128", ['p' - 'a'] = "_",     ['s' - 'a'] = "i16",
		['t' - 'a'] = "u16",  ['u' - 'a'] = "()",    ['v' - 'a'] = "...",
		['x' - 'a'] = "i64",  ['y' - 'a'] = "u64",   ['z' - 'a'] = "!",
	};

	return tag >= 'a' && tag <= 'z' ? names[tag - 'a'] : NULL;
}

static void function_type(struct rust *rust)
{
	const char *name;
	int n = 0;

	optional(rust, 'G');
	if (eat(rust, 'U'))
		print(rust, "unsafe ");
	if (eat(rust, 'K')) {
		if (eat(rust, 'C')) {
			print(rust, "extern \"C\" ");
		} else {
			name = identifier(rust, &n);
			print(rust, "extern \"%.*s\" ", n, name);
		}
	}
	print(rust, "fn(");
	list(rust, type);
	print(rust, ")");
	if (eat(rust, 'u'))
		return;
	print(rust, " -> ");
	type(rust);
}

static void bound(struct rust *rust)
{
	const char *name;
	int n = 0;

	path(rust, false);
	while (eat(rust, 'p')) {
		name = identifier(rust, &n);
		print(rust, "<%.*s = ", n, name);
		type(rust);
		print(rust, ">");
	}
}

static void dynamic_type(struct rust *rust)
{
	print(rust, "dyn ");
	optional(rust, 'G');
	for (bool first = true; !rust->bad && !eat(rust, 'E'); first = false) {
		if (!first)
			print(rust, " + ");
		bound(rust);
	}
	if (!eat(rust, 'L'))
		rust->bad = true;
	base62(rust);
}

static void sequence(struct rust *rust, char tag)
{
	if (tag == 'T') {
		print(rust, "(");
		list(rust, type);
		print(rust, ")");
		return;
	}
	print(rust, "[");
	type(rust);
	if (tag == 'A') {
		print(rust, "; ");
		constant(rust);
	}
	print(rust, "]");
}

static void type(struct rust *rust)
{
	const char *name;
	char tag;

	if (!enter(rust))
		return;
	tag = next(rust);
	name = basic(tag);
	if (name) {
		print(rust, "%s", name);
	} else if (tag == 'R' || tag == 'Q') {
		optional(rust, 'L');
		print(rust, tag == 'R' ? "&" : "&mut ");
		type(rust);
	} else if (tag == 'P' || tag == 'O') {
		print(rust, tag == 'P' ? "*const " : "*mut ");
		type(rust);
	} else if (tag == 'A' || tag == 'S' || tag == 'T') {
		sequence(rust, tag);
	} else if (tag == 'F') {
		function_type(rust);
	} else if (tag == 'D') {
		dynamic_type(rust);
	} else if (tag == 'B') {
		back(rust, type);
	} else if (tag) {
		rust->at--;
		path(rust, false);
	}
	rust->depth--;
}

static void constant(struct rust *rust)
{
	const char *digits;
	bool negative;
	char tag;

	if (!enter(rust))
		return;
	tag = next(rust);
	if (tag == 'p') {
		print(rust, "_");
	} else if (tag == 'B') {
		back(rust, constant);
	} else if (!tag || !strchr("abchijlmnostxy", tag)) {
		rust->bad = true;
	} else {
		negative = eat(rust, 'n');
		digits = rust->at;
		rust->at += strspn(rust->at, "0123456789abcdef");
		if (rust->at - digits > 16 || *rust->at != '_')
			rust->bad = true;
		else if (tag == 'b')
			print(rust, "%s", *digits == '1' ? "true" : "false");
		else
			print(rust, "%s%llu", negative ? "-" : "", strtoull(digits, NULL, 16));
		eat(rust, '_');
	}
	rust->depth--;
}

char *demangle_rust_v0(const char *name)
{
	struct rust rust = { .start = name + 2, .at = name + 2 };

	rust.out = malloc(MAX_OUTPUT);
	if (!rust.out)
		return NULL;
	path(&rust, true);
	/* The crate it was instantiated in. */
	if (!rust.bad && *rust.at >= 'A' && *rust.at <= 'Z') {
		rust.quiet++;
		path(&rust, true);
		rust.quiet--;
	}
	if (rust.bad || !rust.length || (*rust.at && *rust.at != '.' && *rust.at != '$')) {
		free(rust.out);
		return NULL;
	}
	rust.out[rust.length] = 0;
	return rust.out;
}
