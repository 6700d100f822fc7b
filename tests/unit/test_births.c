/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Births against the account of the program that made them (tests/live/alloc.c), which notes the
 * time before and after each call. Needs root. */
#include <signal.h>

#include "base/clock.h"
#include "base/privilege.h"
#include "birthlab.h"
#include "collect/broker.h"
#include "session_watch.h"

struct object {
	uint64_t base, size, from_ns, to_ns; /* born between */
	uint64_t address;		     /* of its allocator */
};

struct account {
	struct object *at;
	size_t nr, room;
};

static void watch_few(struct birth_register *births, struct target *t, uint64_t min)
{
	static const char *const names[] = { "malloc", "realloc", "posix_memalign", "pool_alloc" };

	watch_named(births, t, min, names, 4);
}

/* ---- the account and the truth ---- */

static void add(struct account *list, struct object object)
{
	if (list->nr == list->room) {
		list->room = list->room ? 2 * list->room : 1024;
		list->at = reallocarray(list->at, list->room, sizeof(*list->at));
		assert_non_null(list->at);
	}
	list->at[list->nr++] = object;
}

static int by_base(const void *a, const void *b)
{
	const struct object *x = a, *y = b;

	return x->base < y->base ? -1 : x->base > y->base;
}

/* What the target says that it holds; a pool's object lies 64 bytes into one of malloc. */
static void ask_truth(struct target *t, uint64_t min, struct account *ret)
{
	struct object object;
	char line[128], name[48];

	ask(t, "list");
	while (next_line(t, line)) {
		assert_int_equal(sscanf(line, "%47s %lx %lu %lu %lu", name, &object.base,
					&object.size, &object.from_ns, &object.to_ns),
				 5);
		object.address = address_of(t, name);
		if (object.size >= min)
			add(ret, object);
		object.size += 64;
		object.base -= 64;
		object.address = address_of(t, "malloc");
		if (object.size >= min && !strcmp(name, "pool_alloc"))
			add(ret, object);
	}
	if (ret->nr)
		qsort(ret->at, ret->nr, sizeof(*ret->at), by_base);
}

struct walk {
	const struct target *target;
	struct account list;
};

static int on_live(void *arg, const struct fp_live *live)
{
	struct walk *walk = arg;
	struct object object = { live->base, live->size, live->born_ns, live->born_ns,
				 address_of(walk->target, live->allocator->alloc) };

	add(&walk->list, object);
	return 0;
}

static size_t count(struct birth_register *births, const struct target *t)
{
	struct walk walk = { .target = t };

	assert_int_equal(births_walk(births, t->pid, clock_now_ns(), on_live, &walk), 0);
	free(walk.list.at);
	return walk.list.nr;
}

/* However long it may take. */
static int find(struct birth_register *births, pid_t pid, uint64_t address, uint64_t time_ns,
		struct fp_live *ret)
{
	int r = births_find(births, pid, address, time_ns, ret);

	for (int i = 0; r == -EAGAIN && i < 300; i++) {
		usleep(100000);
		r = births_find(births, pid, address, time_ns, ret);
	}
	return r;
}

/* Each address of an object is it, and the one before is another's, or nobody's. */
static void check_find(struct birth_register *births, const struct target *t,
		       const struct account *truth)
{
	uint64_t begin_ns = clock_now_ns();

	for (size_t i = 0; i < truth->nr; i++) {
		const struct object *o = &truth->at[i];
		bool inner = i + 1 < truth->nr && truth->at[i + 1].base < o->base + o->size;
		const uint64_t at[] = { o->base, o->base + 63,
					inner ? o->base : o->base + o->size - 1 };
		struct fp_live live;
		int r;

		for (size_t k = 0; k < 3; k++) {
			assert_int_equal(find(births, t->pid, at[k], begin_ns, &live), 0);
			assert_int_equal(live.base, o->base);
			assert_int_equal(live.size, o->size);
		}
		r = find(births, t->pid, o->base - 1, begin_ns, &live);
		assert_true(r == -ENOENT || (!r && live.base < o->base));
	}
}

static size_t check_all(struct birth_register *births, struct target *t, uint64_t min)
{
	struct walk walk = { .target = t };
	struct account truth = { 0 };

	ask_truth(t, min, &truth);
	check_find(births, t, &truth); /* by what was noted since the last walk */
	assert_int_equal(births_walk(births, t->pid, clock_now_ns(), on_live, &walk), 0);
	assert_int_equal(walk.list.nr, truth.nr);
	for (size_t i = 0; i < truth.nr; i++) {
		const struct object *want = &truth.at[i], *got = &walk.list.at[i];

		assert_int_equal(got->base, want->base);
		assert_int_equal(got->size, want->size);
		assert_int_equal(got->address, want->address);
		assert_in_range(got->from_ns, want->from_ns, want->to_ns);
	}
	check_find(births, t, &truth);
	free(walk.list.at);
	free(truth.at);
	return truth.nr;
}

static void check_lost(const struct birth_register *births, uint64_t full, uint64_t no_end)
{
	uint64_t lost[FP_NR_BIRTH_LOSSES];

	births_lost(births, lost);
	assert_int_equal(lost[FP_BIRTH_FULL], full);
	assert_int_equal(lost[FP_BIRTH_NO_STATE], 0);
	assert_int_equal(lost[FP_BIRTH_NO_END], no_end);
}

/* ---- tests ---- */

static void churn(const char *program, const char *preload, uint64_t min, bool from_end)
{
	struct birth_register *births = register_open(0, false);
	struct target t;

	target_start(&t, program, preload);
	watch_all(births, &t, min, from_end);
	for (int round = 0; round < 3; round++) {
		order(&t, "churn 1500 8");
		assert_true(check_all(births, &t, min) > 20);
	}
	order(&t, "drop");
	assert_int_equal(check_all(births, &t, min), 0);
	check_lost(births, 0, 0);
	births_close(births);
	/* It lives on without us. */
	order(&t, "churn 100 2");
	target_end(&t);
}

static void test_glibc(void **state)
{
	(void)state;
	churn("alloc", CXX, 4096, false);
	/* pthread_create() has a calloc of 288 bytes that nobody noted. */
	churn("alloc", CXX, 512, true);
}

static void test_jemalloc(void **state)
{
	(void)state;
	churn("alloc", JEMALLOC, 4096, false);
}

static void test_tcmalloc(void **state)
{
	(void)state;
	churn("alloc", TCMALLOC, 4096, false);
	churn("alloc", TCMALLOC, 4096, true);
}

static void test_static(void **state)
{
	(void)state;
	churn("alloc-static", NULL, 4096, false);
}

static bool wished(const struct wishes *wishes, const char *name)
{
	for (size_t i = 0; i < wishes->nr; i++)
		if (!strcmp(wishes->at[i].is->alloc, name) || !strcmp(wishes->at[i].is->free, name))
			return true;
	return false;
}

/* Each name in the provider's table is that of a function that the target calls in some of its
 * libraries, and each function that it calls is there. */
static void test_names(void **state)
{
	static const char *const preload[] = { CXX, JEMALLOC, TCMALLOC };
	struct target t[3];
	struct wishes wishes = { .nr = 0 };

	(void)state;
	ask_wishes(&wishes, 4096);
	for (int i = 0; i < 3; i++) {
		target_start(&t[i], "alloc", preload[i]);
		for (size_t k = 0; k < t[i].nr_functions; k++)
			assert_true(wished(&wishes, t[i].functions[k].name));
		target_end(&t[i]);
	}
	for (size_t i = 0; i < wishes.nr; i++) {
		const char *names[] = { wishes.at[i].is->alloc, wishes.at[i].is->free };

		for (int k = 0; k < 2; k++)
			assert_true(address_of(&t[0], names[k]) || address_of(&t[1], names[k]) ||
				    address_of(&t[2], names[k]));
	}
	provider_malloc.close(wishes.provider);
}

static void test_full(void **state)
{
	struct birth_register *births = register_open(1000, false);
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 4096);
	order(&t, "hold 1500 8192");
	assert_int_equal(count(births, &t), 1000);
	check_lost(births, 500, 0);
	order(&t, "drop");
	order(&t, "hold 900 8192");
	assert_int_equal(check_all(births, &t, 4096), 900);
	target_end(&t);
	/* What it left behind makes room for others. */
	usleep(1100000);
	births_poll(births, false);
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 4096);
	order(&t, "hold 900 8192");
	assert_int_equal(check_all(births, &t, 4096), 900);
	check_lost(births, 500, 0);
	target_end(&t);
	births_close(births);
}

/* Several processes are told of as they were at one time. */
static void test_one_time(void **state)
{
	struct birth_register *births = register_open(0, false);
	uint64_t since_ns = clock_now_ns();
	struct walk first = { 0 }, again = { 0 };
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	first.target = again.target = &t;
	watch_few(births, &t, 4096);
	order(&t, "hold 20 5000");
	assert_int_equal(births_walk(births, t.pid, since_ns, on_live, &first), 0);
	assert_int_equal(first.list.nr, 20);
	order(&t, "hold 7 5000");
	assert_int_equal(births_walk(births, t.pid, since_ns, on_live, &again), 0);
	assert_int_equal(again.list.nr, 20);
	assert_int_equal(count(births, &t), 27);
	free(first.list.at);
	free(again.list.at);
	target_end(&t);
	births_close(births);
}

/* More births than are noted, before the list may be renewed again. */
static void test_late(void **state)
{
	struct birth_register *births = register_open(0, false);
	struct fp_live live;
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 512);
	order(&t, "hold 30000 512");
	assert_int_equal(check_all(births, &t, 512), 30000);
	order(&t, "hold 1000 512");
	assert_int_equal(check_all(births, &t, 512), 31000);
	order(&t, "hold 17000 512");
	assert_int_equal(find(births, t.pid, 4096, clock_now_ns(), &live), -ENOENT);
	assert_int_equal(check_all(births, &t, 512), 48000);
	target_end(&t);
	births_close(births);
}

static void test_odd_ends(void **state)
{
	struct birth_register *births = register_open(0, false);
	struct fp_live live;
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 4096);
	order(&t, "fail");
	assert_int_equal(check_all(births, &t, 4096), 1);
	order(&t, "jump 7");
	check_all(births, &t, 4096);
	check_lost(births, 0, 7);
	order(&t, "hold 50 5000");
	order(&t, "fork");
	assert_int_equal(check_all(births, &t, 4096), 51);
	order(&t, "exec");
	assert_int_equal(count(births, &t), 0);
	ask_functions(&t);
	order(&t, "hold 20 5000");
	assert_int_equal(check_all(births, &t, 4096), 20);
	target_end(&t);
	assert_int_equal(find(births, t.pid, 4096, clock_now_ns(), &live), -ENOENT);
	assert_int_equal(count(births, &t), 0);
	births_close(births);
}

static double pace(struct target *t, const char *what)
{
	char line[128];
	double ns, best = 1e9;

	for (int i = 0; i < 3; i++) {
		ask(t, what);
		assert_true(next_line(t, line));
		ns = strtod(line, NULL);
		best = ns < best ? ns : best;
		assert_false(next_line(t, line));
	}
	return best;
}

static void test_calls(void **state)
{
	struct birth_register *births = register_open(0, false);
	uint64_t begin_ns, rate;
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 4096);
	births_poll(births, false);
	begin_ns = clock_now_ns();
	pace(&t, "pace 10000 64"); /* three times, two calls each */
	usleep(1000000);
	births_poll(births, false);
	rate = 60000 * 1e9 / (clock_now_ns() - begin_ns);
	assert_in_range(births_calls_per_s(births, t.pid), rate * 0.95, rate * 1.05 + 20);
	usleep(1000000);
	births_poll(births, false);
	assert_in_range(births_calls_per_s(births, t.pid), rate * 0.95, rate * 1.05 + 20);
	target_end(&t);
	births_close(births);
}

/* All that is known of a run shorter than a second is its whole. */
static void test_calls_of_short_run(void **state)
{
	struct birth_register *births = register_open(0, false);
	uint64_t begin_ns = clock_now_ns(), rate;
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 4096);
	births_poll(births, true); /* too short */
	pace(&t, "pace 5000 64");
	usleep(100000);
	births_poll(births, false);
	assert_int_equal(births_calls_per_s(births, t.pid), 0);
	births_poll(births, true);
	rate = 30000 * 1e9 / (clock_now_ns() - begin_ns);
	assert_in_range(births_calls_per_s(births, t.pid), rate * 0.9, rate * 1.1);
	target_end(&t);
	births_close(births);
}

static void test_busy(void **state)
{
	struct profile profile;

	(void)state;
	assert_int_equal(profile_init(&profile), 0);
	assert_false(watch_is_busy(0, 4711, &profile));
	assert_false(watch_is_busy(49999, 4711, &profile));
	assert_false(watch_is_busy(50000, 4711, &profile));
	assert_int_equal(profile.nr_warnings, 0);
	assert_true(watch_is_busy(50001, 4711, &profile));
	assert_int_equal(profile.nr_warnings, 1);
	assert_non_null(strstr(profile.warnings[0], "process 4711 "));
	assert_non_null(strstr(profile.warnings[0], " 50001 times a second"));
	profile_release(&profile);
}

/* For people: what one call costs. */
static void test_cost(void **state)
{
	struct birth_register *births = register_open(0, false);
	double without, below, above;
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	without = pace(&t, "pace 20000 5000");
	watch_few(births, &t, 4096);
	below = pace(&t, "pace 20000 64");
	above = pace(&t, "pace 20000 5000");
	print_message(
		"malloc and free: %.0f ns; watched: %.0f ns below the threshold, %.0f above\n",
		without, below, above);
	assert_true(below < 50000 && above < 50000);
	target_end(&t);
	births_close(births);
}

/* By perf events, as where nothing else works, and where children are not watched: these take the
 * breakpoints out of a child, so it runs at its old speed. */
static void test_events(void **state)
{
	struct birth_register *births = register_as(&(struct births_options){ .stacks = true });
	struct target t;

	(void)state;
	target_start(&t, "alloc", NULL);
	watch_few(births, &t, 4096);
	order(&t, "hold 100 5000");
	order(&t, "hold 20 5000 pool_alloc");
	order(&t, "fork");
	assert_int_equal(check_all(births, &t, 4096), 140);
	order(&t, "drop");
	assert_int_equal(check_all(births, &t, 4096), 0);
	check_lost(births, 0, 0);
	births_close(births);
	target_end(&t);
}

/* Attaching goes on after the privileges are gone. */
static void test_privileges(void **state)
{
	struct birth_register *births;
	struct target t;
	int status;
	pid_t pid;

	(void)state;
	target_start(&t, "alloc", NULL);
	ask_wishes(&t.wishes, 4096);
	for (int inherit = 0; inherit < 2; inherit++) {
		pid = fork();
		if (!pid) {
			int r = births_open(&(struct births_options){ .inherit = inherit },
					    &births);

			if (r)
				_exit(10);
			if (privilege_drop(PRIVILEGE_BPF))
				_exit(11);
			_exit(watch(births, &t, &t.wishes.at[0]) ? 12 : 0);
		}
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
	}
	target_end(&t);
}

static void test_refused(void **state)
{
	static const struct fp_allocator six = { .name = "six", .size_arg = 6 };
	const struct births_allocator bad = { &six, -1 }, good = { &pool, -1 },
				      bad_result = { &pool, 6 };
	struct birth_register *births = register_open(0, false);
	struct births_place place;
	struct target t;
	pid_t helper = births_helper(births);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	target_start(&t, "alloc", NULL);
	assert_true(place_of(&t, "malloc", &place));
	assert_int_equal(births_watch(births, t.pid, 0, &place, NULL, &bad), -EINVAL);
	assert_int_equal(births_watch(births, t.pid, 0, &place, NULL, &bad_result), -EINVAL);
	assert_int_equal(
		births_watch(births, t.pid, 0, &(struct births_place){ null, 0 }, NULL, &good),
		-EINVAL);
	place.offset = UINT64_MAX / 2;
	assert_true(births_watch(births, t.pid, 0, &place, NULL, &good) < 0);
	target_end(&t);
	assert_int_equal(watch(births, &t, &good), 0); /* no such process: no address */
	place.offset = 4096;
	assert_int_equal(births_watch(births, t.pid, 0, &place, NULL, &good), -ESRCH);
	close(place.file);
	close(null);
	births_close(births);
	assert_int_equal(waitpid(helper, NULL, 0), helper); /* it ends by itself */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glibc),	 cmocka_unit_test(test_jemalloc),
		cmocka_unit_test(test_tcmalloc), cmocka_unit_test(test_static),
		cmocka_unit_test(test_full),	 cmocka_unit_test(test_one_time),
		cmocka_unit_test(test_late),	 cmocka_unit_test(test_odd_ends),
		cmocka_unit_test(test_calls),	 cmocka_unit_test(test_calls_of_short_run),
		cmocka_unit_test(test_busy),	 cmocka_unit_test(test_cost),
		cmocka_unit_test(test_events),	 cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_refused),	 cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
