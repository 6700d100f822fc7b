/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * render VARIANT FORMAT: the report of a synthetic profile, for the tests that have other programs
 * read it (tests/live/test_formats.py).
 */
#include "reportlab.h"

/* Some faults came with a stack and an object, some with one of the two, some with none. The names
 * are such as a browser might take for its own. */
static void build_hits(struct profile *p)
{
	static const char *const types[] = { "stream", "</script>" };
	struct frame frames[] = { { .function = "b_peek", .module = "haproxy", .inlined = true },
				  { .function = "raw_sock_to_buf", .module = "haproxy" },
				  { .function = "<!--<script></script><b>operator<<</b>&amp;\"'",
				    .module = "<img src=x onerror=alert(1)>" } };
	struct resolved_fault at = { .frames = frames, .nr_frames = 3, .owner = 1 };
	struct fp_object object = { 0 };

	fill(p);
	assert_int_equal(profile_set_provider(p, 4711, "haproxy"), 0);
	for (unsigned int i = 0; i < 30; i++) {
		object.type = types[i % 2];
		at.stack = i % 3;
		add_hit(p, at, i % 5 ? OBJECT_FOUND : OBJECT_ABSENT, &object, 0);
	}
	profile_finish(p);
}

/* A tier that knows no stall times. */
static void build_untimed(struct profile *p)
{
	build_objects(p);
	p->stall_known = false;
	p->kinds_inferred = true;
}

static void build_none(struct profile *p)
{
	assert_int_equal(profile_init(p), 0);
	p->stall_known = true;
	p->end_ns = S;
	profile_finish(p);
}

static const struct {
	const char *name;
	void (*build)(struct profile *profile);
	struct sink_options options;
} variants[] = {
	{ "all", build_dated, { .stacks = true } },
	{ "no-stacks", build_dated, { 0 } },
	{ "hits", build_hits, { .stacks = true } },
	{ "hits-no-stacks", build_hits, { 0 } },
	{ "top", build_dated, { .top = 3 } },
	{ "untimed", build_untimed, { .stacks = true } },
	{ "none", build_none, { .stacks = true } },
};

int main(int argc, char **argv)
{
	const struct sink *sink = argc == 3 ? sink_find(argv[2]) : NULL;
	struct profile p;

	for (size_t i = 0; sink && i < sizeof(variants) / sizeof(*variants); i++) {
		if (strcmp(variants[i].name, argv[1]))
			continue;
		variants[i].build(&p);
		if (sink->write(&p, &variants[i].options, stdout) || fclose(stdout))
			return 1;
		profile_release(&p);
		return 0;
	}
	fputs("usage: render VARIANT FORMAT\n", stderr);
	return 64;
}
