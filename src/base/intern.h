/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Equal strings are one string, so that they can be compared, and hashed, as pointers. */
#ifndef BASE_INTERN_H
#define BASE_INTERN_H

struct interned;

struct strings { /* all zeros: none */
	struct interned *first;
};

/* The one copy of @text, which lives until strings_release(). NULL for NULL and when out of memory.
 */
const char *strings_intern(struct strings *strings, const char *text);
void strings_release(struct strings *strings);

#endif
