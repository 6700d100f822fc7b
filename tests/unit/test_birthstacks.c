/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who allocated, as the kernel side and the symbolizer find it, against the source of the target
 * (tests/live/alloc.c). Needs root. */
#include "base/clock.h"
#include "birthlab.h"
#include "collect/mappings.h"
#include "symbolize/symbolize.h"

#define IMAGE 7

/* The target's code, and who unwinds it. */
struct code {
	struct binary_table binaries;
	struct mappings *mappings;
	struct image *image;
	struct symbolizer *symbolizer;
	bool refuses;
	unsigned int asked;
};

static void code_open(struct code *c, pid_t pid)
{
	*c = (struct code){ .refuses = false };
	assert_int_equal(mappings_new(&c->binaries, NULL, &c->mappings), 0);
	assert_int_equal(mappings_image_attached(c->mappings, IMAGE, pid, &c->image), 0);
	assert_int_equal(symbolizer_new(&c->symbolizer), 0);
}

static void code_close(struct code *c)
{
	symbolizer_free(c->symbolizer);
	mappings_free(c->mappings);
	binary_table_release(&c->binaries);
}

static unsigned int unwind(void *arg, const struct fp_birth_raw *raw, uint64_t *ips,
			   struct fp_rule *rules, unsigned int max, enum fp_stack_end *end)
{
	struct code *c = arg;

	c->asked++;
	assert_int_equal(raw->image, IMAGE);
	if (c->refuses)
		return 0;
	return symbolizer_unwind(c->symbolizer, c->image, raw->time_ns, &raw->stack, ips, rules,
				 max, end);
}

/* "call < enter < …", up to main(). */
static const char *names_of(const struct code *c, const struct fp_birth_stack *stack)
{
	static char text[1024];
	struct frame frames[16];
	size_t used = 0;

	*text = 0;
	for (unsigned int i = 0; i < stack->nr_frames; i++) {
		uint64_t ip = stack->ip[i] - 1;
		const struct region *region = image_find(c->image, ip, clock_now_ns());
		unsigned int nr = symbolizer_frames(
			c->symbolizer, region ? region->binary : NULL,
			region ? ip - region->start + region->offset : 0, frames, 16);

		for (unsigned int k = 0; k < nr; k++) {
			const char *name = frames[k].function ? frames[k].function : "?";

			used += snprintf(text + used, sizeof(text) - used, "%s%s",
					 used ? " < " : "", name);
			if (!strcmp(name, "main"))
				return text;
		}
	}
	return text;
}

/* That of the @nr-th object that the target holds, @inside bytes before its beginning. */
static const struct fp_birth_stack *stack_at(struct birth_register *births, struct target *t,
					     unsigned int nr, uint64_t inside)
{
	unsigned long base = 0, at;
	struct fp_live live;
	char line[128];

	ask(t, "list");
	for (unsigned int i = 0; next_line(t, line); i++) {
		assert_int_equal(sscanf(line, "%*s %lx", &at), 1);
		base = i == nr ? at : base;
	}
	assert_true(base);
	for (int i = 0;
	     i < 50 && births_find(births, t->pid, base - inside, clock_now_ns(), &live) == -EAGAIN;
	     i++)
		usleep(100000);
	assert_int_equal(births_find(births, t->pid, base - inside, clock_now_ns(), &live), 0);
	assert_int_equal(live.base, base - inside);
	assert_null(births_stack(births, t->pid, live.base, live.born_ns + 1));
	return births_stack(births, t->pid, live.base, live.born_ns);
}

static void start(struct birth_register *births, struct target *t, struct code *code,
		  const char *preload, const char *const *names, size_t nr)
{
	target_start(t, "alloc", preload);
	t->image = IMAGE;
	code_open(code, t->pid);
	births_set_unwinder(births, unwind, code);
	watch_named(births, t, 4096, names, nr);
}

static void end(struct target *t, struct code *code)
{
	target_end(t);
	code_close(code);
}

static void check_stack(struct birth_register *births, struct target *t, const struct code *code,
			unsigned int nr, uint64_t inside, const char *want)
{
	const struct fp_birth_stack *stack = stack_at(births, t, nr, inside);

	assert_non_null(stack);
	assert_int_equal(stack->end, FP_STACK_WHOLE);
	assert_string_equal(names_of(code, stack), want);
}

/* Shipped and unwound, and then, as that has taught it, walked by the kernel; also through the
 * return address of a watched function under way, which is replaced. */
static void test_callers(void **state)
{
	static const char *const names[] = { "malloc", "pool_alloc" };
	struct birth_register *births = register_open(0, true);
	struct code code;
	unsigned int asked;
	struct target t;

	(void)state;
	start(births, &t, &code, NULL, names, 2);
	order(&t, "hold 2 5000 malloc");
	order(&t, "hold 2 5000 pool_alloc");
	births_poll(births, false);
	asked = code.asked;
	assert_true(asked > 0);
	order(&t, "hold 2 5000 malloc");
	order(&t, "hold 2 5000 pool_alloc");
	births_poll(births, false);
	for (unsigned int i = 0; i < 8; i++) {
		check_stack(births, &t, &code, i, 0, "call < enter < hold < obey < main");
		if (i / 2 % 2)
			check_stack(births, &t, &code, i, 64,
				    "pool_alloc < call < enter < hold < obey < main");
	}
	assert_int_equal(code.asked, asked);
	/* Both ways lead to one stack. */
	assert_memory_equal(stack_at(births, &t, 0, 0), stack_at(births, &t, 4, 0),
			    sizeof(struct fp_birth_stack));
	order(&t, "exec");
	ask_functions(&t);
	order(&t, "hold 1 5000");
	assert_null(stack_at(births, &t, 0, 0)); /* it is not known yet what this program is */
	end(&t, &code);
	births_close(births);
}

/* The outermost allocator's caller, not its own call of another one. */
static void test_nested(void **state)
{
	static const char *const names[] = { "_Znam", "_Znwm", "malloc" };
	struct birth_register *births = register_open(0, true);
	struct code code;
	struct target t;

	(void)state;
	start(births, &t, &code, CXX, names, 3);
	for (int i = 0; i < 2; i++) {
		order(&t, "hold 1 5000 _Znam");
		births_poll(births, false);
	}
	for (unsigned int i = 0; i < 2; i++)
		check_stack(births, &t, &code, i, 0, "call < enter < hold < obey < main");
	end(&t, &code);
	births_close(births);
}

/* What finds no room still has its first caller, and is counted. */
static void test_no_room(void **state)
{
	static const char *const names[] = { "malloc" };
	struct birth_register *births = register_open(0, true);
	const struct fp_birth_stack *stack;
	uint64_t lost[FP_NR_BIRTH_LOSSES];
	struct code code;
	struct target t;

	(void)state;
	start(births, &t, &code, NULL, names, 1);
	order(&t, "hold 1000 5000");
	births_lost(births, lost);
	assert_in_range(lost[FP_BIRTH_NO_STACK], 500, 990);
	stack = stack_at(births, &t, 999, 0);
	assert_non_null(stack);
	assert_int_equal(stack->end, FP_STACK_LOST);
	assert_int_equal(stack->nr_frames, 1);
	assert_int_equal(strncmp(names_of(&code, stack), "call", 4), 0);
	check_stack(births, &t, &code, 0, 0, "call < enter < hold < obey < main");
	assert_int_equal(code.asked, 1000 - lost[FP_BIRTH_NO_STACK]);
	end(&t, &code);
	births_close(births);
}

static void test_no_unwinding(void **state)
{
	static const char *const names[] = { "malloc" };
	struct birth_register *births = register_open(0, true);
	const struct fp_birth_stack *stack;
	struct code code;
	struct target t;

	(void)state;
	start(births, &t, &code, NULL, names, 1);
	code.refuses = true;
	order(&t, "hold 1 5000");
	stack = stack_at(births, &t, 0, 0);
	assert_non_null(stack);
	assert_int_equal(stack->end, FP_STACK_NO_RULE);
	assert_int_equal(stack->nr_frames, 1);
	assert_int_equal(code.asked, 1);
	end(&t, &code);
	births_close(births);
}

static void test_not_wanted(void **state)
{
	static const char *const names[] = { "malloc" };
	struct birth_register *births = register_open(0, false);
	struct code code;
	struct target t;

	(void)state;
	start(births, &t, &code, NULL, names, 1);
	order(&t, "hold 1 5000");
	births_poll(births, false);
	assert_null(stack_at(births, &t, 0, 0));
	assert_int_equal(code.asked, 0);
	end(&t, &code);
	births_close(births);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers),	   cmocka_unit_test(test_nested),
		cmocka_unit_test(test_no_room),	   cmocka_unit_test(test_no_unwinding),
		cmocka_unit_test(test_not_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
