/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Types of all shapes, for test_types.c; prints what offsetof, sizeof and & make of them. */
#include "types.h"

struct opaque;
typedef struct later later_t;
extern struct wide declared_first;

struct list {
	struct list *n, *p;
};

struct buffer {
	size_t size;
	char *area;
	size_t data, head;
};

typedef const volatile struct buffer twisted_t;
typedef twisted_t twice_t;

enum colour { RED, GREEN = 7, BLUE = -3, HIGH = 200, LARGE = 0x7fffffff };
enum { LONELY = 40000, BELOW = -100000 };
enum huge { HUGE_VALUE = 0x123456789abcdefL, LEAST = -0x7000000000000000L };
enum positive { SMALL_POSITIVE = 0x80, LARGE_POSITIVE = 0xfffffff0u };
enum conflict_there { CONFLICT = 2 };
enum agreed_there { AGREED = 11 };

union either {
	char c;
	long l[3];
	struct {
		short s;
		union {
			int deep;
			float f;
		};
	} in;
};

struct wide {
	char c;
	struct opaque *opaque;
	union {
		int u;
		struct {
			char pad[3];
			short inner;
		};
	};
	twice_t req;
	struct {
		int x, y;
	} named[5];
	int grid[3][4][5];
	unsigned int one : 3, two : 9;
	enum colour colour;
	union either either;
	struct buffer *to;
	int (*call)(int);
	int none[0];
	_Atomic int counter;
	struct list list;
	char text[70000];
	short behind;
	struct {
		struct buffer b[2];
	} nest[2];
	float _Complex z;
} __attribute__((aligned(64)));

struct tail {
	int n;
	struct list more[];
};

struct packed {
	char c;
	long l;
	int i[2];
} __attribute__((packed));

typedef long matrix_t[6][2];
typedef matrix_t cube_t[3];
typedef int number_t;
typedef struct {
	int anonymous;
} nameless_t;

struct holder {
	char c;
	cube_t cube;
	twice_t *to;
};

struct later {
	char c[13];
	int i;
};

struct other_size {
	long i;
} other_size;
struct other_order {
	int j, i;
} other_order;
struct copied {
	int i, j;
} copied;

struct wide declared_first = { .c = 'x' };
static struct list pools = { &pools, &pools };
static int twin = 2;
int one_is_global = 3, counters[9][3];
__thread int per_thread;
later_t late;
struct tail tail;
struct packed packed;
struct holder holder;
union either either;
nameless_t nameless;
number_t number;
matrix_t matrix;
cube_t cube;
twice_t twice;
enum colour colour = BLUE;
enum huge huge = LEAST;
enum positive positive = LARGE_POSITIVE;
enum conflict_there conflict_there = CONFLICT;
enum agreed_there agreed_there = AGREED;
int lonely[] = { LONELY, BELOW };

int one_is_a_function(void)
{
	return counters[1][1]++;
}

later_t *first(later_t *later, struct wide *wide, int **ret);

static void print_members(void)
{
	MEMBER(struct wide, c);
	MEMBER(struct wide, opaque);
	MEMBER(struct wide, u);
	MEMBER(struct wide, inner);
	ARRAY(struct wide, pad);
	MEMBER(struct wide, pad[2]);
	MEMBER(struct wide, req);
	MEMBER(struct wide, req.area);
	MEMBER(struct wide, req.head);
	ARRAY(struct wide, named);
	MEMBER(struct wide, named[0]);
	MEMBER(struct wide, named[4].y);
	ARRAY(struct wide, grid);
	ARRAY(struct wide, grid[2]);
	ARRAY(struct wide, grid[1][3]);
	MEMBER(struct wide, grid[2][3][4]);
	MEMBER(struct wide, colour);
	ARRAY(struct wide, either.l);
	MEMBER(struct wide, either.in.deep);
	MEMBER(struct wide, to);
	MEMBER(struct wide, call);
	OPEN(struct wide, none);
	MEMBER(struct wide, counter);
	MEMBER(struct wide, list.p);
	ARRAY(struct wide, text);
	MEMBER(struct wide, text[69999]);
	MEMBER(struct wide, behind);
	MEMBER(struct wide, nest[1].b[1].data);
	ARRAY(struct wide, nest[1].b);
	MEMBER(struct wide, z);
	OPEN(struct tail, more);
	MEMBER(struct tail, more[7].p);
	MEMBER(struct packed, l);
	ARRAY(struct packed, i);
	ARRAY(struct holder, cube);
	ARRAY(struct holder, cube[2]);
	ARRAY(struct holder, cube[2][5]);
	MEMBER(struct holder, cube[2][5][1]);
	MEMBER(union either, in.f);
	MEMBER(later_t, i);
	MEMBER(struct copied, j);
	MEMBER(struct later, i);
	MEMBER(twice_t, data);
	MEMBER(nameless_t, anonymous);
}

static void print_sizes(void)
{
	SIZE(struct wide);
	SIZE(struct tail);
	SIZE(struct packed);
	SIZE(struct holder);
	SIZE(struct buffer);
	SIZE(union either);
	SIZE(enum colour);
	SIZE(enum huge);
	SIZE(later_t);
	SIZE(matrix_t);
	SIZE(cube_t);
	SIZE(number_t);
	SIZE(nameless_t);
	SIZE(twice_t);
	SIZE(char);
}

static void print_values(void)
{
	VALUE(RED);
	VALUE(GREEN);
	VALUE(BLUE);
	VALUE(HIGH);
	VALUE(LARGE);
	VALUE(LONELY);
	VALUE(BELOW);
	VALUE(HUGE_VALUE);
	VALUE(LEAST);
	VALUE(SMALL_POSITIVE);
	VALUE(LARGE_POSITIVE);
	VALUE(AGREED);
}

int main(void)
{
	int *other;

	print_mappings();
	first(&late, &declared_first, &other);
	per_thread += other == &twin;
	print_members();
	print_sizes();
	print_values();
	VARIABLE(declared_first);
	VARIABLE(pools);
	VARIABLE(one_is_global);
	VARIABLE(counters);
	VARIABLE(late);
	VARIABLE(packed);
	VARIABLE(lonely);
	FUNCTION(main);
	FUNCTION(first);
	FUNCTION(one_is_a_function);
	return 0;
}
