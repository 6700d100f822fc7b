/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The command line, where there is more to an option than its table shows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <getopt.h>

#include "options.h"

static int parse_words(struct options *ret, char **argv)
{
	int argc = 0, err = dup(2), r;

	while (argv[argc])
		argc++;
	assert_non_null(freopen("/dev/null", "w", stderr)); /* what it tells its user */
	r = options_parse(argc, argv, ret);
	fflush(stderr);
	dup2(err, 2);
	close(err);
	return r;
}

static int parse(struct options *ret, char *a, char *b, char *c, char *d)
{
	char *argv[] = { "faultprof", "-p", "1", a, b, c, d, NULL };

	return parse_words(ret, argv);
}

static void test_alloc_fn(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "--alloc-fn", "alloc=pool_get,free=pool_put,size=1,object=5",
			       "--alloc-fn", "size=0,free=b,alloc=a"),
			 0);
	assert_int_equal(o.nr_alloc_fns, 2);
	assert_string_equal(o.alloc_fns[0].alloc, "pool_get");
	assert_string_equal(o.alloc_fns[0].name, "pool_get");
	assert_string_equal(o.alloc_fns[0].free, "pool_put");
	assert_int_equal(o.alloc_fns[0].size_arg, 1);
	assert_int_equal(o.alloc_fns[0].free_arg, 5);
	assert_int_equal(o.alloc_fns[0].count_arg, -1);
	assert_int_equal(o.alloc_fns[0].old_arg, -1);
	assert_int_equal(o.alloc_fns[0].tag_arg, -1);
	assert_int_equal(o.alloc_fns[0].min_size, 0);
	assert_string_equal(o.alloc_fns[1].alloc, "a");
	assert_string_equal(o.alloc_fns[1].free, "b");
	assert_int_equal(o.alloc_fns[1].size_arg, 0);
	assert_int_equal(o.alloc_fns[1].free_arg, 0);
	assert_int_equal(o.alloc_min, 4096);
	assert_string_equal(o.providers, "malloc");
	options_release(&o);
}

static void test_bad_alloc_fn(void **state)
{
	static const char *const bad[] = {
		"",
		"pool_get",
		"alloc=a",
		"alloc=a,free=b",
		"alloc=a,size=0",
		"free=b,size=0",
		"alloc=,free=b,size=0",
		"alloc=a,free=,size=0",
		"alloc=a,free=b,size=",
		"alloc=a,free=b,size=6",
		"alloc=a,free=b,size=10",
		"alloc=a,free=b,size=-1",
		"alloc=a,free=b,size=x",
		"alloc=a,alloc=c,free=b,size=0",
		"alloc=a,free=b,size=0,object=6",
		"alloc=a,free=b,size=0,other=1",
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parse(&o, "--alloc-fn", (char *)bad[i], NULL, NULL), -EINVAL);
}

static void test_alloc_min(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse(&o, "--alloc-min", "16384", NULL, NULL), 0);
	assert_int_equal(o.alloc_min, 16384);
	assert_string_equal(o.providers, "malloc");
	options_release(&o);
	assert_int_equal(parse(&o, "--alloc-min", "4k", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&o, "--alloc-min", "-1", NULL, NULL), -EINVAL);
	assert_int_equal(parse(&o, NULL, NULL, NULL, NULL), 0);
	assert_null(o.providers);
	options_release(&o);
}

/* They say nothing to any other provider. */
static void test_alloc_provider(void **state)
{
	static const struct {
		char *list;
		int result;
	} cases[] = {
		{ "malloc", 0 },	  { "./x.so,malloc", 0 },  { "malloc,./x.so", 0 },
		{ "./malloc", -EINVAL },  { "mallocs", -EINVAL },  { "haproxy", -EINVAL },
		{ "./malloc,malloc", 0 }, { "mall,loc", -EINVAL }, { "none", -EINVAL },
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(parse(&o, "--alloc-min", "0", "--provider", cases[i].list),
				 cases[i].result);
		if (!cases[i].result)
			options_release(&o);
		assert_int_equal(parse(&o, "--alloc-stacks", "--provider", cases[i].list, NULL),
				 cases[i].result);
		if (!cases[i].result) {
			assert_true(o.alloc_stacks);
			options_release(&o);
		}
	}
	assert_int_equal(parse(&o, "--alloc-stacks", NULL, NULL, NULL), 0);
	assert_string_equal(o.providers, "malloc");
	options_release(&o);
	assert_int_equal(parse(&o, NULL, NULL, NULL, NULL), 0);
	assert_false(o.alloc_stacks);
	options_release(&o);
}

#define WORDS(...) ((char *[]){ "faultprof", __VA_ARGS__, NULL })

static void test_subcommands(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(parse_words(&o, WORDS("record", "-p", "1", "--report", "r")), 0);
	assert_int_equal(o.action, ACTION_RECORD);
	assert_string_equal(o.recording, RECORDING_DEFAULT);
	assert_string_equal(o.output, "r");
	options_release(&o);
	assert_int_equal(parse_words(&o, WORDS("record", "-o", "f", "--", "report", "-x")), 0);
	assert_string_equal(o.recording, "f");
	assert_null(o.output);
	assert_string_equal(o.command[1], "-x");
	options_release(&o);
	assert_int_equal(parse_words(&o, WORDS("report", "f", "--top", "3", "-o", "r")), 0);
	assert_int_equal(o.action, ACTION_REPORT);
	assert_int_equal(o.nr_files, 1);
	assert_string_equal(o.files[0], "f");
	assert_string_equal(o.output, "r");
	assert_int_equal(o.top, 3);
	options_release(&o);
	assert_int_equal(parse_words(&o, WORDS("report", "--help")), 0);
	assert_int_equal(o.action, ACTION_HELP);
	options_release(&o);
	assert_int_equal(parse_words(&o, WORDS("-d", "1", "sleep", "report")), 0);
	assert_int_equal(o.action, ACTION_RUN);
	assert_string_equal(o.command[0], "sleep");
	options_release(&o);
}

static void test_bad_subcommands(void **state)
{
	char **bad[] = {
		WORDS("sleep"),
		WORDS("recor", "-p", "1"),
		WORDS(""),
		WORDS("record"),
		WORDS("record", "-p", "1", "--probe"),
		WORDS("record", "-p", "1", "-o", "same", "--report", "same"),
		WORDS("record", "-p", "1", "--format", "json"),
		WORDS("report", "a", "b"),
		WORDS("report", "-p", "1"),
		WORDS("report", "--tier", "perf"),
		WORDS("-p", "1", "--report", "r"),
		WORDS("-v", "report", "f"),
	};
	struct options o;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parse_words(&o, bad[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc_fn),    cmocka_unit_test(test_bad_alloc_fn),
		cmocka_unit_test(test_alloc_min),   cmocka_unit_test(test_alloc_provider),
		cmocka_unit_test(test_subcommands), cmocka_unit_test(test_bad_subcommands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
