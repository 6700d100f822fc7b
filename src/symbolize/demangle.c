/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Mangled names. libstdc++ knows C++'s; Rust's older scheme dresses up as C++, with a hash at the
 * end and escapes inside, which are undone here; Rust's newer one is rustv0.c. Very long names
 * stay as they are: what a few substitutions can blow up to has no bound.
 */
#include "symbolize/module.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MANGLED 4096
#define RUST_HASH 19 /* "::h" and 16 hex digits */

extern char *__cxa_demangle(const char *name, char *buffer, size_t *length, int *status);

static bool has_rust_hash(const char *name, size_t length)
{
	if (length < RUST_HASH || memcmp(name + length - RUST_HASH, "::h", 3))
		return false;
	for (size_t i = length - RUST_HASH + 3; i < length; i++)
		if (!isdigit((unsigned char)name[i]) && (name[i] < 'a' || name[i] > 'f'))
			return false;
	return true;
}

/* Length of the escape at @at, 0: none; its character in @ret. */
static size_t unescape(const char *at, char *ret)
{
	static const struct { const char *text; char c; } table[] = {
		{ "$SP$", '@' }, { "$BP$", '*' }, { "$RF$", '&' }, { "$LT$", '<' },
		{ "$GT$", '>' }, { "$LP$", '(' }, { "$RP$", ')' }, { "$C$", ',' },
	};
	unsigned long code;
	char *end;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t n = strlen(table[i].text);

		if (!strncmp(at, table[i].text, n)) {
			*ret = table[i].c;
			return n;
		}
	}
	if (strncmp(at, "$u", 2) || !isxdigit((unsigned char)at[2]))
		return 0;
	code = strtoul(at + 2, &end, 16);
	if (*end != '$' || code < 0x20 || code > 0x7e)
		return 0;
	*ret = (char)code;
	return (size_t)(end - at) + 1;
}

/* In place: every escape is longer than what it stands for. */
static void plain_rust(char *name, size_t length)
{
	char *out = name;
	bool segment = true;

	name[length - RUST_HASH] = 0;
	for (char *in = name; *in;) {
		size_t n;

		if (segment && in[0] == '_' && in[1] == '$')
			in++;
		segment = false;
		n = unescape(in, out);
		if (n) {
			in += n;
			out++;
		} else if (in[0] == '.' && in[1] == '.') {
			in += 2;
			*out++ = ':';
			*out++ = ':';
		} else {
			segment = in[0] == ':' && in[1] != ':';
			*out++ = *in++;
		}
	}
	*out = 0;
}

char *demangle(const char *name)
{
	char *result, *copy, *suffix;
	size_t length = strlen(name);
	int status;

	if (length > MAX_MANGLED)
		return NULL;
	if (!strncmp(name, "_R", 2))
		return demangle_rust_v0(name);
	if (strncmp(name, "_Z", 2))
		return NULL;
	copy = strdup(name);
	if (!copy)
		return NULL;
	suffix = strstr(copy, ".llvm.");
	if (suffix)
		*suffix = 0;
	result = __cxa_demangle(copy, NULL, NULL, &status);
	free(copy);
	if (!result)
		return NULL;
	length = strlen(result);
	if (has_rust_hash(result, length))
		plain_rust(result, length);
	return result;
}
