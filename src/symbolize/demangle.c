/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Mangled names. libstdc++ knows C++'s; Rust's older scheme dresses up as C++, with a hash at the
 * end and escapes inside, which are undone here; Rust's newer one is rustv0.c. A C++ name may
 * refer back to parts of itself, which makes it double with every few letters, and libstdc++ prints
 * it all, if it takes forever. So its plain length is estimated first, from above: of 209,000 names
 * of LLVM, clang and boost 200 are over the limit, and stay as they are.
 */
#include "symbolize/module.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MANGLED 4096
#define MAX_PLAIN (1u << 22)
#define MAX_REFERENCES MAX_MANGLED
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
	static const struct {
		const char *text;
		char c;
	} table[] = {
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

/* The number in "S_" (0), "S0_" (1), "SA_" (11) or "T_": how far *@at goes on if it is one. */
static size_t reference(const char *at, unsigned int *ret)
{
	unsigned int number = 0;
	size_t n = 1;

	if (*at != 'S' && *at != 'T')
		return 0;
	for (; isdigit((unsigned char)at[n]) || isupper((unsigned char)at[n]); n++) {
		number = number * 36 + (unsigned int)(isdigit((unsigned char)at[n])
							      ? at[n] - '0'
							      : at[n] - 'A' + 10);
		if (number > MAX_REFERENCES)
			number = MAX_REFERENCES;
	}
	/* More parts than that no name has: these are letters of a word. */
	if (at[n] != '_' || number >= MAX_REFERENCES)
		return 0;
	*ret = n > 1 ? number + 1 : 0;
	return n + 1;
}

/* Is what @name comes to bounded? Whatever part a reference means stood before the first reference
 * to it or to a later part, so it is no longer than all that was there by then. The arguments of a
 * template (T) stood before the first T of the function ("Z" begins another one), but for those of
 * a conversion operator ("cv"), which follow. */
static bool is_bounded(const char *name)
{
	uint64_t seen[MAX_REFERENCES + 1], total = 0, arguments = 0;
	unsigned int nr_seen = 0, number;

	while (*name && total < MAX_PLAIN) {
		size_t n = reference(name, &number);

		if (!n) {
			if (*name == 'Z')
				arguments = 0;
			else if (!strncmp(name, "cvT", 3))
				total *= 2;
			/* "St" and the like are short, but not as short as they are written. */
			total += *name++ == 'S' ? 16 : 1;
			continue;
		}
		if (*name == 'T') {
			if (!arguments)
				arguments = total + 1;
			total += arguments;
		} else {
			while (nr_seen <= number)
				seen[nr_seen++] = total;
			total += seen[number] + 1;
		}
		name += n;
	}
	return total < MAX_PLAIN;
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
	if (strncmp(name, "_Z", 2) || !is_bounded(name))
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
