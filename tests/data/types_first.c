/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The first unit of the program in types.c: of most types it knows but the name. */
struct wide;
typedef struct later later_t;
enum conflict_here { CONFLICT = 1 };
enum agreed_here { AGREED = 11 };

/* Others in types.c. The third is the same, from another line. */
struct other_size {
	int i;
} other_size_here;
struct other_order {
	int i, j;
} other_order_here;
struct copied {
	int i, j;
} copied_here;

enum conflict_here conflict_here = CONFLICT;
enum agreed_here agreed_here = AGREED;
static int twin = 1;
static int one_is_global = 5;
static int one_is_a_function = 6;

later_t *first(later_t *later, struct wide *wide, int **ret)
{
	static int calls;

	*ret = calls++ % 2 ? &twin : calls % 3 ? &one_is_global : &one_is_a_function;
	return wide ? later : (later_t *)0;
}
