/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The formats of a verdict, with names that only a C++ compiler would choose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "gate/report.h"

#define SYMBOL "a<b, c|d>::operator%(\"x\" & 'y')"
#define ROW "swap-in in " SYMBOL " (proxy)"

struct fixture {
	struct sample now;
	struct sample_series place;
	struct budget budget;
	struct gate_rules rules;
	struct gate_row rows[4];
	struct gate_verdict verdict;
	struct gate_report report;
};

static void set_up(struct fixture *f)
{
	static struct sample_run run = { .seconds = 1.5 };

	*f = (struct fixture){ .now = { .runs = &run, .nr_runs = 1 } };
	f->place = (struct sample_series){ .file = "/src/lib/a,b:c%d.cc", .line = 31 };
	f->budget = (struct budget){ .text = "major=0", .unit = PER_RUN };
	f->rules = (struct gate_rules){
		.max_ratio = 1.1, .min_rise = 1, .level = .01, .unit = PER_SECOND
	};
	f->rows[0] = (struct gate_row){ .name = ROW,
					.place = &f->place,
					.level = SERIES_SYMBOL,
					.module = "proxy",
					.symbol = SYMBOL,
					.functions = 1,
					.now_rate = 12345,
					.ratio = __builtin_inf(),
					.low = 7.25,
					.high = __builtin_inf(),
					.state = GATE_ROSE };
	f->rows[1] = (struct gate_row){ .name = "zero",
					.level = SERIES_KIND,
					.kind = FP_ZERO,
					.module = "",
					.symbol = "",
					.base_rate = 10,
					.now_rate = 20,
					.ratio = 2,
					.low = 1.5,
					.high = 2.5,
					.state = GATE_UNCONFIRMED };
	f->rows[2] = (struct gate_row){ .name = "major=0",
					.level = SERIES_MAJOR,
					.budget = &f->budget,
					.module = "",
					.symbol = "",
					.now_rate = 3,
					.state = GATE_EXCEEDED };
	f->rows[3] = (struct gate_row){ .name = "zero in quiet (proxy)",
					.level = SERIES_SYMBOL,
					.kind = FP_ZERO,
					.module = "proxy",
					.symbol = "quiet",
					.base_rate = 1,
					.now_rate = 1,
					.ratio = 1 };
	f->verdict = (struct gate_verdict){
		.outcome = GATE_REGRESSION, .rows = f->rows, .nr_rows = 4, .detectable = 1.25
	};
	f->report = (struct gate_report){
		.verdict = &f->verdict, .rules = &f->rules, .now = &f->now, .directory = "/src"
	};
}

static void no_verdict(struct fixture *f)
{
	set_up(f);
	f->verdict.outcome = GATE_NO_VERDICT;
	strcpy(f->verdict.why, "7 < 8 & \"more\"");
	f->verdict.nr_rows = 0;
}

static char *written(const struct fixture *f,
		     int (*write)(const struct gate_report *report, FILE *out))
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(write(&f->report, out), 0);
	fclose(out);
	return text;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no %s in:\n%s", part, text);
}

static void test_github(void **state)
{
	struct fixture f;
	char *text;

	(void)state;
	set_up(&f);
	text = written(&f, gate_format_github.write);
	assert_has(text,
		   "::error file=lib/a%2Cb%3Ac%25d.cc,line=31,title=faultprof: more page faults::"
		   "swap-in in a<b, c|d>::operator%25(\"x\" & 'y') (proxy): from none to "
		   "12,345 a second\n");
	assert_has(text,
		   "\n::warning title=faultprof: a rise was not confirmed::zero: from 10 to 20 ");
	assert_has(
		text,
		"\n::error title=faultprof: more page faults::budget major=0: there are 3 a run\n");
	assert_null(strstr(text, "quiet"));
	free(text);
	no_verdict(&f);
	text = written(&f, gate_format_github.write);
	assert_string_equal(text,
			    "::error title=faultprof: no verdict::no verdict: 7 < 8 & \"more\"\n");
	free(text);
	f.verdict.outcome = GATE_PASSED;
	text = written(&f, gate_format_github.write);
	assert_has(text, "::notice title=faultprof: passed::");
	free(text);
}

static void test_summary(void **state)
{
	struct fixture f;
	char *text;

	(void)state;
	set_up(&f);
	text = written(&f, gate_format_summary.write);
	assert_has(text, "### faultprof gate: regression");
	assert_has(text,
		   "\n| swap\\-in in a\\<b\\, c\\|d\\>\\:\\:operator\\%\\(\\\"x\\\" \\& \\'y\\'\\) "
		   "\\(proxy\\) | 0 | 12,345 | new | > 7.25 | **rose** | "
		   "lib\\/a\\,b\\:c\\%d\\.cc:31 |\n");
	assert_has(text, "\n| zero | 10 | 20 | 2.00 | 1.50 - 2.50 | not confirmed |  |\n");
	assert_has(text, "\n| major\\=0 | 0 | 3 |  |  | **exceeded** |  |\n");
	assert_null(strstr(text, "quiet"));
	free(text);
}

static void test_gitlab(void **state)
{
	struct fixture f;
	json_t *root, *issue;
	char *text;

	(void)state;
	set_up(&f);
	text = written(&f, gate_format_gitlab.write);
	root = json_loads(text, 0, NULL);
	assert_int_equal(json_array_size(root), 3);
	issue = json_array_get(root, 0);
	assert_has(json_string_value(json_object_get(issue, "description")), SYMBOL);
	assert_string_equal(json_string_value(json_object_get(issue, "severity")), "major");
	issue = json_array_get(root, 1);
	assert_string_equal(json_string_value(json_object_get(issue, "severity")), "info");
	issue = json_object_get(json_array_get(root, 2), "location");
	assert_string_equal(json_string_value(json_object_get(issue, "path")), ".gitlab-ci.yml");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(issue, "lines"), "begin")), 1);
	json_decref(root);
	free(text);
	no_verdict(&f);
	text = written(&f, gate_format_gitlab.write);
	root = json_loads(text, 0, NULL);
	assert_int_equal(json_array_size(root), 1);
	issue = json_array_get(root, 0);
	assert_string_equal(json_string_value(json_object_get(issue, "description")),
			    f.verdict.why);
	json_decref(root);
	free(text);
}

static void test_junit(void **state)
{
	struct fixture f;
	char *text;

	(void)state;
	set_up(&f);
	text = written(&f, gate_format_junit.write);
	assert_has(text, "tests=\"4\" failures=\"2\" errors=\"0\" time=\"1.500\"");
	assert_has(
		text,
		"name=\"swap-in in a&#60;b, c|d&#62;::operator%(&#34;x&#34; &#38; &#39;y&#39;) "
		"(proxy)\" "
		"file=\"lib/a,b:c%d.cc\" line=\"31\">\n   <failure type=\"regression\" message=\"");
	assert_has(text,
		   "<failure type=\"budget\" message=\"budget major=0: there are 3 a run\"/>");
	assert_has(text, "rose, but not when it was run again");
	assert_null(strstr(text, "quiet"));
	free(text);
	no_verdict(&f);
	text = written(&f, gate_format_junit.write);
	assert_has(text, "tests=\"1\" failures=\"0\" errors=\"1\"");
	assert_has(text, "<error type=\"no verdict\" message=\"7 &#60; 8 &#38; &#34;more&#34;\"/>");
	free(text);
}

/* What is not known, or is infinite, is null. */
static void test_json(void **state)
{
	struct fixture f;
	json_t *root, *row;
	char *text;

	(void)state;
	set_up(&f);
	text = written(&f, gate_format_json.write);
	root = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(root, "outcome")), "regression");
	assert_true(json_is_null(json_object_get(root, "why")));
	assert_true(json_is_null(json_object_get(root, "baseline_runs")));
	assert_int_equal(json_array_size(json_object_get(root, "rows")), 4);
	row = json_array_get(json_object_get(root, "rows"), 0);
	assert_true(json_is_null(json_object_get(row, "ratio")));
	assert_true(json_real_value(json_object_get(row, "low")) == 7.25);
	assert_true(json_is_null(json_object_get(row, "high")));
	assert_string_equal(json_string_value(json_object_get(row, "symbol")), SYMBOL);
	row = json_array_get(json_object_get(root, "rows"), 2);
	assert_string_equal(json_string_value(json_object_get(row, "compared_with")), "budget");
	assert_string_equal(json_string_value(json_object_get(row, "state")), "exceeded");
	assert_true(json_is_null(json_object_get(row, "kind")));
	json_decref(root);
	free(text);
}

static void test_text(void **state)
{
	struct fixture f;
	char *text, *line, *save;

	(void)state;
	set_up(&f);
	text = written(&f, gate_write_text);
	assert_has(text, "faultprof gate: regression: " ROW ", major=0\n");
	assert_has(text, "  > 7.25 ROSE\n    at lib/a,b:c%d.cc:31\n");
	assert_has(text, "and 1 function that did not rise\n");
	assert_has(text, "less than 1.25 times");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		assert_true(strlen(line) <= 110);
	free(text);
}

static void test_registry(void **state)
{
	(void)state;
	assert_ptr_equal(gate_format_find("junit=x", 5), &gate_format_junit);
	assert_null(gate_format_find("jun", 3));
	assert_null(gate_format_find("html", 4));
	for (unsigned int i = 0; gate_format_at(i); i++)
		assert_ptr_equal(
			gate_format_find(gate_format_at(i)->name, strlen(gate_format_at(i)->name)),
			gate_format_at(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_github),	 cmocka_unit_test(test_summary),
		cmocka_unit_test(test_gitlab),	 cmocka_unit_test(test_junit),
		cmocka_unit_test(test_json),	 cmocka_unit_test(test_text),
		cmocka_unit_test(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
