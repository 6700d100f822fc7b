/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/intern.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct interned {
	UT_hash_handle hh;
	char text[];
};

const char *strings_intern(struct strings *strings, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	struct interned *string;

	if (!text)
		return NULL;
	HASH_FIND(hh, strings->first, text, length, string);
	if (string)
		return string->text;
	string = malloc(sizeof(*string) + length + 1);
	if (!string)
		return NULL;
	memcpy(string->text, text, length + 1);
	HASH_ADD_KEYPTR(hh, strings->first, string->text, length, string);
	if (!string->hh.tbl) {
		free(string);
		return NULL;
	}
	return string->text;
}

void strings_release(struct strings *strings)
{
	struct interned *string, *next;

	HASH_ITER (hh, strings->first, string, next) {
		HASH_DEL(strings->first, string);
		free(string);
	}
}
