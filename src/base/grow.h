/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Arrays that grow by doubling. The capacity is not stored: it is always the number of elements
 * rounded up to a power of two, so an owner keeps a pointer and a count, and nothing else. */
#ifndef BASE_GROW_H
#define BASE_GROW_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more element of @size bytes in an array of @nr, none of which was ever
 * removed. @array is the address of the pointer; the pointer is NULL when @nr is 0.
 * Returns 0 or -ENOMEM, then the array is as before. */
static inline int grow(void *array, size_t nr, size_t size)
{
	void *old, *fresh;

	if (nr & (nr - 1))
		return 0;
	memcpy(&old, array, sizeof(old));
	fresh = reallocarray(old, nr ? 2 * nr : 1, size);
	if (!fresh)
		return -ENOMEM;
	memcpy(array, &fresh, sizeof(fresh));
	return 0;
}

#endif
