/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Objects in the model: histogram and interval against values computed otherwise, tables against
 * plain counting, and their bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/profile.h"
#include "model/tally.h"

#define S 1000000000ull
#define NOW (1000000 * S)
#define BEGIN (NOW - 60 * S)

static uint64_t state = 42;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static uint64_t exact_quantile(const uint64_t *sorted, size_t nr, double q)
{
	size_t rank = (size_t)(q * (double)nr + .999999);

	return sorted[rank - 1];
}

static void assert_near(uint64_t got, uint64_t exact)
{
	double slack = (double)exact / 16 > 512 ? (double)exact / 16 : 512;

	if (__builtin_fabs((double)got - (double)exact) > slack)
		fail_msg("%llu is not near %llu", (unsigned long long)got,
			 (unsigned long long)exact);
}

static void begin(struct profile *p)
{
	assert_int_equal(profile_init(p), 0);
	p->begin_ns = BEGIN;
	p->end_ns = NOW;
	p->stall_known = true;
}

static void hit(struct profile *p, uint32_t pid, const struct fp_object *object, uint64_t time_ns)
{
	struct fault fault = { .pid = pid, .time_ns = time_ns, .stall_ns = 1000 };

	assert_int_equal(profile_add_object(p, &fault, "lab", OBJECT_FOUND, object, 0, 0), 0);
}

static void lives(struct profile *p, uint32_t pid, const struct fp_object *object)
{
	assert_int_equal(profile_add_live_object(p, pid, "lab", object, NOW, 0, 0), 0);
}

/* ---- durations ---- */

static void test_durations(void **unused)
{
	static const double qs[] = { .001, .01, .1, .5, .9, .99, .999, 1 };
	static uint64_t values[20000];
	size_t nr = sizeof(values) / sizeof(*values);

	(void)unused;
	for (unsigned int round = 0; round < 5; round++) {
		struct durations *d = calloc(1, sizeof(*d)), *half = calloc(2, sizeof(*half));

		assert_true(d && half);
		for (size_t i = 0; i < nr; i++) {
			/* All octaves from 1 ns to 300 years. */
			values[i] = draw() >> (1 + draw() % 63);
			durations_add(d, values[i]);
			durations_add(&half[i & 1], values[i]);
		}
		qsort(values, nr, sizeof(*values), compare);
		assert_int_equal(d->nr, nr);
		assert_int_equal(d->max_ns, values[nr - 1]);
		for (size_t i = 0; i < sizeof(qs) / sizeof(*qs); i++)
			assert_near(durations_quantile(d, qs[i]),
				    exact_quantile(values, nr, qs[i]));
		assert_int_equal(durations_quantile(d, 1), values[nr - 1]);
		durations_merge(&half[0], &half[1]);
		assert_memory_equal(&half[0], d, sizeof(*d));
		free(half);
		free(d);
	}
}

static void test_duration_edges(void **unused)
{
	static const uint64_t edges[] = { 0,	1,	   1023,       1024,	       8191,
					  8192, 9216,	   16383,      16384,	       UINT32_MAX,
					  S,	86400 * S, 1ull << 63, UINT64_MAX / 2, UINT64_MAX };
	struct durations none = { 0 };

	(void)unused;
	assert_int_equal(durations_quantile(&none, .5), 0);
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
		struct durations d = { 0 };

		durations_add(&d, edges[i]);
		assert_int_equal(durations_quantile(&d, .5), edges[i]);
		durations_add(&d, UINT64_MAX);
		durations_add(&d, UINT64_MAX);
		assert_near(durations_quantile(&d, .3), edges[i]);
		assert_int_equal(durations_quantile(&d, 1), UINT64_MAX);
	}
}

/* ---- the ratio ---- */

static void assert_close(double got, double want)
{
	if (got != want && __builtin_fabs(got - want) > 1e-6 * want)
		fail_msg("%f is not %f", got, want);
}

/* The edges were computed in Python from the definition: the likelihood maximized by golden-section
 * search under p1 = ratio * p0, Pearson's chi-squared of all four cells against it, bisection. The
 * first two are the examples of Koopman (1984) and of Fagerland et al. (2015). */
static void test_ratio(void **unused)
{
	static const struct {
		uint64_t hits, nr, base_hits, base_nr;
		double value, low, high;
	} cases[] = {
		{ 36, 40, 16, 80, 4.5, 2.939569, 7.152223 },
		{ 7, 34, 1, 34, 7, 1.220853, 42.575717 },
		{ 812, 1000, 40, 1000, 20.3, 15.011914, 27.554189 },
		{ 0, 20, 5, 20, 0, 0, .688270 },
		{ 9, 20, 0, 20, __builtin_inf(), 2.695430, __builtin_inf() },
		{ 20, 20, 7, 20, 2.857143, 1.763215, 5.519013 },
		{ 20, 20, 20, 20, 1, .838875, 1.192073 },
		{ 500, 1000, 500, 1000, 1, .916029, 1.091669 },
		{ 3, 100000, 1, 100000, 3, .429890, 20.935770 },
	};
	struct ratio ratio = { -1, -1, -1 };

	(void)unused;
	assert_false(ratio_of(0, 0, 1, 1, &ratio));
	assert_false(ratio_of(1, 1, 0, 0, &ratio));
	assert_false(ratio_of(0, 9, 0, 9, &ratio));
	assert_true(ratio.value < 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_true(ratio_of(cases[i].hits, cases[i].nr, cases[i].base_hits,
				     cases[i].base_nr, &ratio));
		assert_close(ratio.value, cases[i].value);
		assert_close(ratio.low, cases[i].low);
		assert_close(ratio.high, cases[i].high);
	}
}

/* Of many samples of a known ratio, 95 % of the intervals hold it. */
static void test_ratio_covers(void **unused)
{
	static const double base[] = { .02, .1, .4 };

	(void)unused;
	for (size_t i = 0; i < sizeof(base) / sizeof(*base); i++) {
		unsigned int covered = 0, rounds = 0;
		struct ratio ratio;

		while (rounds < 2000) {
			uint64_t hits = 0, base_hits = 0;

			for (unsigned int k = 0; k < 200; k++) {
				hits += (double)(draw() % 1000000) < base[i] * 2 * 1e6;
				base_hits += (double)(draw() % 1000000) < base[i] * 1e6;
			}
			if (!ratio_of(hits, 200, base_hits, 200, &ratio))
				continue;
			rounds++;
			covered += ratio.low <= 2 && ratio.high >= 2;
		}
		assert_in_range(covered, 1880, 1930);
	}
}

/* ---- faults by object ---- */

static void test_sums(void **unused)
{
	static const char *const types[] = { "buffer", "stream", "connection" };
	static uint64_t ages[3][10000];
	size_t nr_ages[3] = { 0 }, nr[3] = { 0 }, absent = 0, none = 0, bounds = 0, unknown = 0;
	uint64_t stall_ns = 0, sum = 0, sum_ns = 0, longest = 0;
	struct profile p;

	(void)unused;
	begin(&p);
	for (unsigned int i = 0; i < 10000; i++) {
		unsigned int which = draw() % 3, outcome = draw() % 10;
		struct fault fault = { .pid = 7, .time_ns = NOW - draw() % (50 * S) };
		struct fp_object object = { .type = types[which],
					    .pool = which ? NULL : "pool",
					    .base = draw(),
					    .size = 64,
					    .age_source = FP_AGE_ALLOCATED };

		fault.stall_ns = draw() % 100000;
		stall_ns += fault.stall_ns;
		if (outcome < 2) {
			*(outcome ? &absent : &none) += 1;
			assert_int_equal(profile_add_object(&p, &fault, "lab",
							    outcome ? OBJECT_ABSENT : OBJECT_NONE,
							    NULL, 0, 0),
					 0);
			continue;
		}
		nr[which]++;
		object.born_ns = fault.time_ns - draw() % (100000 * S);
		if (outcome == 2) {
			object.age_source = FP_AGE_AT_LEAST;
			object.born_ns = BEGIN - 5 * S;
			if (fault.time_ns - object.born_ns > longest)
				longest = fault.time_ns - object.born_ns;
			bounds++;
		} else if (outcome == 3) {
			object.born_ns = outcome % 2 ? fault.time_ns + 1 : 0;
			unknown++;
		} else {
			ages[which][nr_ages[which]++] = fault.time_ns - object.born_ns;
		}
		assert_int_equal(profile_add_object(&p, &fault, "lab", OBJECT_FOUND, &object,
						    (i + 1) * S, i % 7 * S),
				 0);
	}
	profile_finish(&p);
	assert_int_equal(p.objects->nr_objects, 3);
	assert_int_equal(p.objects->absent.faults, absent);
	assert_int_equal(p.objects->none.faults, none);
	for (size_t i = 0; i < 3; i++) {
		const struct profile_object *row = p.objects->objects[i];
		unsigned int which = 0;

		while (strcmp(row->kind.type, types[which]))
			which++;
		assert_int_equal(row->stall.faults, nr[which]);
		assert_true(!i || row->stall.faults <= p.objects->objects[i - 1]->stall.faults);
		assert_int_equal(row->age.nr, nr_ages[which]);
		qsort(ages[which], nr_ages[which], sizeof(uint64_t), compare);
		assert_int_equal(row->age.max_ns, ages[which][nr_ages[which] - 1]);
		assert_near(durations_quantile(&row->age, .5),
			    exact_quantile(ages[which], nr_ages[which], .5));
		assert_near(durations_quantile(&row->age, .9),
			    exact_quantile(ages[which], nr_ages[which], .9));
		assert_int_equal(row->by_source[FP_AGE_ALLOCATED], row->age.nr);
		assert_int_equal(row->by_source[FP_AGE_AT_LEAST], row->at_least.nr);
		assert_int_equal(row->swapped.nr, nr[which]);
		assert_int_equal(row->swapped_resolution_ns, 6 * S);
		bounds -= row->at_least.nr;
		unknown -= row->by_source[FP_AGE_UNKNOWN];
		assert_true(row->at_least.max_ns <= longest);
		sum += row->stall.faults;
		sum_ns += row->stall.total_ns;
	}
	assert_int_equal(bounds, 0);
	assert_int_equal(unknown, 0);
	assert_int_equal(p.objects->addressed, 10000);
	assert_int_equal(sum + absent + none, 10000);
	assert_int_equal(sum_ns + p.objects->absent.total_ns + p.objects->none.total_ns, stall_ns);
	profile_release(&p);
}

/* Which birth and which use count, and which do not. */
static void test_times(void **unused)
{
	struct fp_connection connection = {
		.id = 1, .born_ns = NOW - 500 * S, .used_ns = NOW - 90 * S, .resolution_ns = S
	};
	struct fp_object object = { .type = "t", .born_ns = NOW - 20 * S, .size = 1 };
	const struct profile_object *row;
	struct profile p;

	(void)unused;
	begin(&p);
	object.age_source = FP_AGE_ALLOCATED;
	hit(&p, 1, &object, NOW); /* its own: 20 s */
	object.connection = &connection;
	hit(&p, 1, &object, NOW); /* its own still; idle as its connection: 90 s */
	row = p.objects->objects[0];
	assert_int_equal(row->age.max_ns, 20 * S);
	assert_int_equal(row->age_resolution_ns, 0);
	assert_int_equal(row->idle.nr, 1);
	assert_int_equal(row->idle.max_ns, 90 * S);
	assert_int_equal(row->idle_resolution_ns, S);
	object.age_source = FP_AGE_AT_LEAST;
	hit(&p, 1, &object, NOW); /* the connection's says more: 500 s */
	assert_int_equal(row->at_least.nr, 0);
	assert_int_equal(row->age.max_ns, 500 * S);
	assert_int_equal(row->age_resolution_ns, S);
	assert_int_equal(row->by_source[FP_AGE_ACCEPTED], 1);
	connection.born_ns = 0;
	hit(&p, 1, &object, NOW); /* a bound */
	assert_int_equal(row->at_least.nr, 1);
	assert_int_equal(row->at_least.max_ns, 20 * S);
	object.age_source = FP_AGE_ACCEPTED;
	object.resolution_ns = S;
	object.born_ns = NOW + S / 2;
	hit(&p, 1, &object, NOW); /* within the clock's step: 0 */
	assert_int_equal(row->age.nr, 4);
	object.born_ns = NOW + 2 * S;
	hit(&p, 1, &object, NOW); /* impossible */
	object.born_ns = 0;
	hit(&p, 1, &object, NOW); /* not known */
	object.born_ns = NOW - S;
	object.age_source = 77;
	hit(&p, 1, &object, NOW); /* a liar */
	assert_int_equal(row->age.nr, 4);
	assert_int_equal(row->by_source[FP_AGE_UNKNOWN], 3);
	assert_int_equal(row->idle.nr, 7);
	object.used_ns = NOW + 1;
	hit(&p, 1, &object, NOW); /* used since: not known, and not asked of the connection */
	assert_int_equal(row->idle.nr, 7);
	object.used_ns = NOW - 3 * S;
	hit(&p, 1, &object, NOW);
	assert_int_equal(row->idle.nr, 8);
	assert_int_equal(row->stall.faults, 10);
	profile_release(&p);
}

static void test_kinds(void **unused)
{
	const struct object_kind *a, *b;
	struct fp_object object = { 0 };
	char text[32] = "buffer";
	struct profile p;
	uint64_t sum = 0;

	(void)unused;
	begin(&p);
	assert_false(p.objects->known);
	a = profile_object_kind(&p, "lab", text, NULL);
	assert_false(p.objects->known);
	strcpy(text, "gone");
	assert_string_equal(a->type, "buffer");
	assert_ptr_equal(profile_object_kind(&p, "lab", "buffer", NULL), a);
	b = profile_object_kind(&p, "lab", "buffer", "buffer");
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(profile_object_kind(&p, "other", "buffer", NULL), a);
	object.type = text;
	for (unsigned int i = 0; i < 3 * OBJECT_KINDS_MAX; i++) {
		snprintf(text, sizeof(text), "type %u", i);
		hit(&p, 1, &object, NOW);
	}
	assert_true(p.objects->known);
	assert_ptr_equal(profile_object_kind(&p, "lab", "buffer", NULL), a);
	object.type = "type 5";
	hit(&p, 1, &object, NOW);
	assert_int_equal(p.objects->nr_objects, OBJECT_KINDS_MAX + 1);
	profile_finish(&p);
	assert_string_equal(p.objects->objects[0]->kind.type, "(other)");
	assert_string_equal(p.objects->objects[0]->kind.provider, "lab");
	assert_string_equal(p.objects->objects[1]->kind.type, "type 5");
	for (size_t i = 0; i < p.objects->nr_objects; i++)
		sum += p.objects->objects[i]->stall.faults;
	assert_int_equal(sum, 3 * OBJECT_KINDS_MAX + 1);
	profile_release(&p);
}

/* ---- connections ---- */

static void test_connection(void **unused)
{
	char frontend[] = "fe", backend[] = "be";
	struct fp_connection connection = { .id = 9,
					    .resolution_ns = S,
					    .waiting_bytes = UINT64_MAX };
	struct fp_object object = { .type = "t", .connection = &connection };
	const struct profile_connection *row;
	struct profile p;

	(void)unused;
	begin(&p);
	hit(&p, 1, &object, NOW - 9 * S);
	row = p.objects->connections[0];
	assert_false(row->age_known || row->idle_known);
	assert_null(row->frontend);
	assert_string_equal(row->peer, "");
	connection.frontend = frontend;
	connection.backend = backend;
	memset(connection.peer, 'x', sizeof(connection.peer)); /* not terminated */
	connection.born_ns = NOW - 700 * S;
	connection.used_ns = NOW - 600 * S;
	connection.waiting_bytes = 5;
	hit(&p, 1, &object, NOW - 8 * S);
	frontend[0] = backend[0] = '!';
	connection = (struct fp_connection){
		.id = 9, .born_ns = NOW - 700 * S, .used_ns = NOW - 7 * S, .waiting_bytes = 77
	};
	hit(&p, 1, &object, NOW - 6 * S);
	hit(&p, 2, &object, NOW); /* another process, another connection */
	assert_int_equal(p.objects->nr_connections, 2);
	assert_int_equal(row->faults, 3);
	assert_int_equal(row->stall_ns, 3000);
	assert_int_equal(row->timed, 3);
	assert_int_equal(row->max_ns, 1000);
	assert_int_equal(row->age_ns, 694 * S);
	assert_int_equal(row->idle_ns, 592 * S);
	assert_int_equal(row->resolution_ns, S);
	assert_int_equal(row->waiting_bytes, 77);
	assert_string_equal(row->frontend, "fe");
	assert_string_equal(row->backend, "be");
	assert_int_equal(strlen(row->peer), sizeof(row->peer) - 1);
	profile_finish(&p);
	assert_ptr_equal(p.objects->connections[0], row);
	assert_int_equal(p.objects->connections[1]->pid, 2);
	profile_release(&p);
}

static void test_many_connections(void **unused)
{
	struct fp_connection connection = { 0 };
	struct fp_object object = { .type = "t", .connection = &connection };
	uint64_t sum = 0;
	struct profile p;

	(void)unused;
	begin(&p);
	for (unsigned int round = 0; round < 2; round++) {
		for (connection.id = 0; connection.id < CONNECTIONS_MAX + 1000; connection.id++) {
			connection.born_ns = NOW - connection.id * S;
			for (unsigned int i = 0; i <= connection.id % 3; i++)
				hit(&p, 1, &object, NOW);
		}
	}
	profile_finish(&p);
	assert_int_equal(p.objects->nr_connections, CONNECTIONS_MAX);
	for (size_t i = 0; i < p.objects->nr_connections; i++) {
		const struct profile_connection *row = p.objects->connections[i];

		assert_int_equal(row->faults, 2 * (row->age_ns / S % 3 + 1));
		assert_true(!i || p.objects->connections[i - 1]->stall_ns >= row->stall_ns);
		sum += row->faults;
	}
	assert_true(p.objects->unlisted >= 2000);
	assert_int_equal(sum + p.objects->unlisted, p.objects->addressed);
	assert_int_equal(p.objects->objects[0]->stall.faults, p.objects->addressed);
	profile_release(&p);
}

/* ---- ages ---- */

/* 1,000 connections of three objects each; of the older ones 4 in 5 are hit, of the younger 1 in
 * 20, each some times. Some were born during the run, some are gone, of some nothing is known. */
static void test_ages(void **unused)
{
	uint64_t older_hit = 0, younger_hit = 0, in_run_hit = 0, gone = 0;
	struct object_ages *ages;
	struct ratio ratio;
	struct profile p;

	(void)unused;
	begin(&p);
	for (unsigned int i = 0; i < 1300; i++) {
		unsigned int age_s = i < 1000 ? 70 + i * 13 : i - 1000;
		struct fp_connection connection = { .id = i, .born_ns = NOW - age_s * S };
		bool is_hit = i >= 500 && i < 1000 ? draw() % 5 > 0 : draw() % 20 == 0;
		bool dies = i % 100 == 99;

		if (i >= 1060)
			connection.born_ns = 0;
		for (unsigned int k = 0; k < 3; k++) {
			struct fp_object object = { .type = "t",
						    .base = i * 4096 + k * 512,
						    .connection = &connection };

			for (unsigned int n = 0; is_hit && n < k + 2; n++)
				hit(&p, 1, &object, NOW - 50 * S);
		}
		if (dies)
			gone += is_hit;
		else if (i < 1000)
			*(i < 500 ? &younger_hit : &older_hit) += is_hit;
		else if (i < 1060)
			in_run_hit += is_hit;
	}
	for (unsigned int i = 0; i < 1300; i++) {
		unsigned int age_s = i < 1000 ? 70 + i * 13 : i - 1000;
		struct fp_connection connection = { .id = i, .born_ns = NOW - age_s * S };

		if (i >= 1060)
			connection.born_ns = 0;
		for (unsigned int k = 0; i % 100 != 99 && k < 3; k++) {
			struct fp_object object = { .type = "t",
						    .base = i * 4096 + k * 512,
						    .connection = &connection };

			lives(&p, 1, &object);
		}
	}
	profile_finish(&p);
	ages = &p.objects->ages;
	assert_int_equal(ages->older, 495);
	assert_int_equal(ages->younger, 495);
	assert_int_equal(ages->older_hit, older_hit);
	assert_int_equal(ages->younger_hit, younger_hit);
	assert_int_equal(ages->gone, gone);
	assert_int_equal(ages->left_out, 0);
	assert_int_equal(ages->split_ns, (70 + 500 * 13) * S);
	assert_int_equal(ages->living[AGE_MINUTE], 60);
	assert_int_equal(ages->hit[AGE_MINUTE], in_run_hit);
	assert_int_equal(ages->living[AGE_MINUTES], 41); /* 70, 83 … 590 s */
	assert_int_equal(ages->living[AGE_HOUR] + ages->living[AGE_DAY], 990 - 41);
	assert_int_equal(ages->living[AGE_UNKNOWN], 237);
	assert_true(ages->ratio_known);
	assert_true(ratio_of(older_hit, 495, younger_hit, 495, &ratio));
	assert_memory_equal(&ratio, &ages->ratio, sizeof(ratio));
	profile_release(&p);
}

/* Births that are equal are not parted: the cut that is nearer to the middle is taken. */
static void test_ages_batches(void **unused)
{
	static const struct {
		unsigned int batch[3]; /* how many are 100, 200, 300 s old */
		unsigned int older, split_s;
	} cases[] = {
		{ { 10, 10, 10 }, 10, 300 }, { { 2, 10, 12 }, 12, 300 }, { { 12, 10, 2 }, 12, 200 },
		{ { 5, 25, 0 }, 25, 200 },   { { 0, 20, 5 }, 5, 300 },	 { { 7, 0, 0 }, 0, 0 },
		{ { 5, 20, 2 }, 22, 200 },   { { 1, 1, 0 }, 1, 200 },	 { { 1, 0, 0 }, 0, 0 },
		{ { 0, 1, 100 }, 100, 300 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fp_object object = { .type = "t", .age_source = FP_AGE_ALLOCATED };
		const struct object_ages *ages;
		struct profile p;

		begin(&p);
		for (unsigned int b = 0; b < 3; b++) {
			for (unsigned int k = 0; k < cases[i].batch[b]; k++) {
				object.base += 64;
				object.born_ns = NOW - (b + 1) * 100 * S;
				if (!k)
					hit(&p, 1, &object, NOW);
				lives(&p, 1, &object);
			}
		}
		profile_finish(&p);
		ages = &p.objects->ages;
		assert_int_equal(ages->older, cases[i].older);
		assert_int_equal(ages->split_ns, cases[i].split_s * S);
		assert_int_equal(ages->ratio_known, cases[i].older > 0);
		profile_release(&p);
	}
}

/* An address that is used again is another object; one process's is not another's. */
static void test_owners(void **unused)
{
	struct fp_object object = { .type = "t",
				    .base = 4096,
				    .age_source = FP_AGE_ALLOCATED,
				    .born_ns = BEGIN - 90 * S,
				    .resolution_ns = S };
	struct fp_connection connection = { .id = 4096 };
	struct object_ages *ages;
	struct profile p;

	(void)unused;
	begin(&p);
	ages = &p.objects->ages;
	hit(&p, 1, &object, BEGIN + 1);
	object.born_ns += S; /* the same, as its clock goes */
	hit(&p, 1, &object, BEGIN + 2);
	assert_int_equal(ages->gone, 0);
	object.born_ns = BEGIN + 30 * S;
	hit(&p, 1, &object, BEGIN + 40 * S);
	assert_int_equal(ages->gone, 1);
	object.born_ns = BEGIN + 50 * S;
	lives(&p, 1, &object); /* a third one, which was not hit */
	assert_int_equal(ages->gone, 2);
	lives(&p, 2, &object);
	object.base += 4096;
	object.born_ns = BEGIN;
	object.age_source = FP_AGE_AT_LEAST;
	hit(&p, 1, &object, BEGIN + 1);
	lives(&p, 1, &object);
	object.base += 4096;
	hit(&p, 1, &object, BEGIN + 1);	 /* gone at the end */
	object.connection = &connection; /* whose id is enough, whatever its objects' ages */
	object.age_source = FP_AGE_ALLOCATED;
	hit(&p, 1, &object, NOW);
	object.born_ns = BEGIN - 3000 * S;
	lives(&p, 1, &object);
	profile_finish(&p);
	assert_int_equal(ages->gone, 3);
	assert_int_equal(ages->hit[AGE_MINUTES], 1);
	assert_int_equal(ages->living[AGE_MINUTE], 2);
	assert_int_equal(ages->hit[AGE_MINUTE], 0);
	assert_int_equal(ages->living[AGE_BEFORE], 1);
	assert_int_equal(ages->hit[AGE_BEFORE], 1);
	assert_false(ages->ratio_known);
	profile_release(&p);
}

static void test_many_owners(void **unused)
{
	struct fp_object object = { .type = "t",
				    .age_source = FP_AGE_ALLOCATED,
				    .born_ns = NOW - 900 * S };
	uint64_t sum = 0;
	struct profile p;

	(void)unused;
	begin(&p);
	object.base = 64;
	hit(&p, 1, &object, NOW);
	for (unsigned int i = 1; i <= OWNERS_MAX + 5; i++) {
		object.base = i * 64ull;
		object.born_ns -= S / 1000;
		lives(&p, 1, &object);
	}
	profile_finish(&p);
	for (unsigned int i = 0; i < NR_AGE_BANDS; i++)
		sum += p.objects->ages.living[i];
	assert_int_equal(sum, OWNERS_MAX);
	assert_int_equal(p.objects->ages.left_out, 5);
	assert_false(p.objects->ages.ratio_known);
	assert_int_equal(p.objects->objects[0]->census.objects, OWNERS_MAX + 5);
	profile_release(&p);
}

static void test_census(void **unused)
{
	static const uint64_t ages_s[] = { 0, 59, 60, 599, 600, 3599, 3600, 86399, 86400, 900000 };
	struct fp_object object = { .type = "t", .size = 100, .age_source = FP_AGE_ACCEPTED };
	const struct object_census *census;
	struct profile p;

	(void)unused;
	begin(&p);
	p.begin_ns = 0;
	for (unsigned int i = 0; i < 10; i++) {
		object.base = i * 100ull;
		object.born_ns = NOW - ages_s[i] * S;
		assert_int_equal(profile_add_live_object(&p, 1, "lab", &object, NOW, 64, 36), 0);
	}
	object.age_source = FP_AGE_AT_LEAST;
	lives(&p, 1, &object);
	object.age_source = FP_AGE_UNKNOWN;
	lives(&p, 1, &object);
	profile_finish(&p);
	assert_true(p.objects->known);
	assert_int_equal(p.objects->addressed, 0);
	census = &p.objects->objects[0]->census;
	assert_int_equal(census->objects, 12);
	assert_int_equal(census->bytes, 1200);
	assert_int_equal(census->present_bytes, 640);
	assert_int_equal(census->swapped_bytes, 360);
	for (unsigned int i = 0; i < NR_AGE_BANDS; i++)
		assert_int_equal(census->aged[i], i < AGE_BEFORE ? 2 : 1);
	profile_release(&p);
}

/* ---- symbols and objects ---- */

/* As a run does it: the tally keeps kinds apart, and what the kernel counted has none. */
static void test_shares(void **unused)
{
	struct fp_site_value site = { .untimed = 50 };
	struct image image = { .comm = "haproxy" };
	struct frame frame = { .function = "raw_sock_to_buf", .module = "haproxy" };
	const struct object_kind *kinds[3] = { NULL };
	uint64_t ip = 0x1234;
	struct tally tally = { 0 };
	unsigned int entries = 0;
	struct profile p;

	(void)unused;
	begin(&p);
	kinds[0] = profile_object_kind(&p, "lab", "buffer", NULL);
	kinds[1] = profile_object_kind(&p, "lab", "stream", NULL);
	for (unsigned int i = 0; i < 100; i++) {
		struct fault fault = { .image = &image,
				       .time_ns = 1,
				       .stall_ns = 10,
				       .object = kinds[i < 20	? 0
						       : i < 90 ? 1
								: 2] };

		assert_int_equal(tally_add(&tally, &fault, &ip, 1, false), 0);
	}
	assert_int_equal(
		tally_add(&tally, &(struct fault){ .image = &image, .site = &site }, &ip, 1, false),
		0);
	for (struct tally_entry *entry = tally.first; entry; entry = entry->hh.next, entries++) {
		struct stall stall;
		struct resolved_fault fault = { .comm = "haproxy",
						.frames = &frame,
						.nr_frames = 1,
						.stall = &stall,
						.object = entry->key.object,
						.addressed = entry->addressed };

		tally_stall(entry, &stall);
		assert_int_equal(profile_add(&p, &fault), 0);
	}
	assert_int_equal(entries, 3);
	profile_finish(&p);
	assert_int_equal(p.nr_symbols, 1);
	assert_int_equal(p.symbols[0]->stall.faults, 150);
	assert_int_equal(p.symbols[0]->addressed, 100);
	assert_int_equal(p.symbols[0]->nr_objects, 2);
	assert_ptr_equal(p.symbols[0]->objects[0].kind, kinds[1]);
	assert_int_equal(p.symbols[0]->objects[0].faults, 70);
	assert_int_equal(p.symbols[0]->objects[1].faults, 20);
	tally_release(&tally);
	profile_release(&p);
}

static void test_target_provider(void **unused)
{
	char name[] = "haproxy";
	struct profile p;

	(void)unused;
	begin(&p);
	assert_int_equal(profile_add_target(&p, 5, "haproxy", NULL, NULL, 1), 0);
	assert_null(p.targets[0].provider);
	assert_false(p.objects->known);
	assert_int_equal(profile_set_provider(&p, 5, name), 0);
	assert_true(p.objects->known);
	name[0] = '!';
	assert_string_equal(p.targets[0].provider, "haproxy");
	/* The other way round, and once more when it runs another program. */
	assert_int_equal(profile_set_provider(&p, 6, "nginx"), 0);
	assert_int_equal(profile_set_provider(&p, 6, "mapping"), 0);
	assert_int_equal(profile_add_target(&p, 6, "nginx", NULL, NULL, 1), 0);
	assert_string_equal(p.targets[1].provider, "mapping");
	for (uint32_t pid = 100; pid < 100 + 2 * PROVIDED_MAX; pid++)
		assert_int_equal(profile_set_provider(&p, pid, "mapping"), 0);
	assert_int_equal(profile_add_target(&p, 100, "a", NULL, NULL, 1), 0);
	assert_int_equal(profile_add_target(&p, 99 + 2 * PROVIDED_MAX, "b", NULL, NULL, 1), 0);
	assert_string_equal(p.targets[2].provider, "mapping");
	assert_null(p.targets[3].provider);
	assert_int_equal(profile_set_provider(&p, 99 + 2 * PROVIDED_MAX, "nginx"), 0);
	assert_string_equal(p.targets[3].provider, "nginx");
	profile_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_duration_edges),
		cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_ratio_covers),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_many_connections),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_ages_batches),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_many_owners),
		cmocka_unit_test(test_census),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_target_provider),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
