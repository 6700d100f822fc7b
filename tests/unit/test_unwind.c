/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Unwinding of real stacks, against backtrace()'s word.
 */
#include "elflab.h"

#include <alloca.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>

/* Nothing is copied from behind it, as the kernel would not: with few variables in the environment
 * it is near. */
static uintptr_t stack_end;

/* What /proc/self/maps says, as an image; notes stack_end. */
static struct image *own_image(struct binary_table *table)
{
	struct image *image = image_new(1, (uint32_t)getpid(), "test");
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];

	while (fgets(line, sizeof(line), maps)) {
		struct region region = { 0 };
		unsigned long start, end, offset, inode;
		unsigned int major, minor;
		char mode[8], path[512] = "";

		assert_true(sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %511[^\n]", &start, &end, mode,
				   &offset, &major, &minor, &inode, path) >= 7);
		region.start = start;
		region.end = end;
		region.offset = offset;
		region.exec = mode[2] == 'x';
		if (inode || !strcmp(path, "[vdso]"))
			region.binary =
				binary_get(table, (uint64_t)major << 32 | minor, inode, path);
		if (region.binary && inode && region.binary->fd < 0)
			region.binary->fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(image_add_region(image, &region), 0);
		if (start <= (uintptr_t)own_image && end > (uintptr_t)own_image)
			image->own = region.binary;
		if (!strcmp(path, "[stack]"))
			stack_end = end;
	}
	fclose(maps);
	return image;
}

static struct fp_raw_stack captured;
static void *truth[FP_MAX_FRAMES];
static int nr_truth;

/* Copies registers and stack as they are in here: the first frame is this function itself. */
__attribute__((noipa, no_sanitize("address"))) static void capture(void)
{
	static const int order[FP_NR_REGS] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
					       REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
					       REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };
	ucontext_t context;
	const volatile unsigned char *from;

	nr_truth = backtrace(truth, FP_MAX_FRAMES);
	/* The address sanitizer puts its own backtrace() before ours. */
	while (nr_truth > 1 && truth[1] != __builtin_return_address(0))
		memmove(truth, truth + 1, (size_t)--nr_truth * sizeof(*truth));
	getcontext(&context);
	for (unsigned int i = 0; i < FP_NR_REGS; i++)
		captured.reg[i] = (uint64_t)context.uc_mcontext.gregs[order[i]];
	from = (const volatile unsigned char *)captured.reg[7];
	captured.bytes = 0;
	while (captured.bytes < FP_STACK_BYTES && (uintptr_t)from < stack_end)
		captured.data[captured.bytes++] = *from++;
}

/*
 * The kernel puts vector state between the registers and the interrupted stack, more of it on some
 * machines than a raw stack can hold. Nothing reads it: take it out, as if it were small.
 */
__attribute__((no_sanitize("address"))) static void close_gap(const ucontext_t *context)
{
	const greg_t *saved = context->uc_mcontext.gregs;
	size_t keep = (size_t)((uintptr_t)(saved + NGREG) - captured.reg[7] + 15) & ~(size_t)15;
	uint64_t rsp = captured.reg[7] + keep;
	const volatile unsigned char *from = (const volatile unsigned char *)saved[REG_RSP];

	captured.bytes = (uint32_t)keep;
	while (captured.bytes < FP_STACK_BYTES && (uintptr_t)from < stack_end)
		captured.data[captured.bytes++] = *from++;
	memcpy(captured.data + ((uintptr_t)&saved[REG_RSP] - captured.reg[7]), &rsp, 8);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	capture();
	close_gap(context);
}

static bool by_signal;

__attribute__((noipa)) static int chain_c(int n)
{
	if (by_signal)
		raise(SIGUSR1);
	else
		capture();
	return n + 1;
}

/* Needs rbp for its frame. */
__attribute__((noipa)) static int chain_b(int n)
{
	volatile char *room = alloca((size_t)n * 16);

	room[n] = (char)n;
	return chain_c(n) + room[n];
}

/* Realigns its stack: its caller is found through yet another register. */
__attribute__((noipa)) static int chain_realigned(int n)
{
	_Alignas(64) volatile char room[64];
	volatile char *more = alloca((size_t)n * 16);

	room[n & 63] = more[n] = (char)n;
	return chain_b(n) + room[n & 63] + more[n];
}

__attribute__((noipa)) static int chain_a(int n)
{
	switch (n) {
	case 1:
		return chain_b(n) + 1;
	case 2:
		return chain_realigned(n) + 2;
	default:
		return chain_c(n) + 3;
	}
}

/* The kernel's way to walk: three numbers a frame. */
static unsigned int walk_by_rules(const struct fp_rule *rules, unsigned int n, uint64_t *ips)
{
	uint64_t ip = captured.reg[16], sp = captured.reg[7], bp = captured.reg[6], base = sp;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t cfa;

		ips[i] = ip;
		if (rules[i].how != FP_RULE_RSP && rules[i].how != FP_RULE_RBP)
			return i + 1;
		cfa = (rules[i].how == FP_RULE_RSP ? sp : bp) +
		      (uint64_t)(int64_t)rules[i].cfa_offset;
		memcpy(&ip, captured.data + (cfa - 8 - base), 8);
		if (rules[i].rbp_offset != FP_RBP_SAME)
			memcpy(&bp,
			       captured.data +
				       (cfa + (uint64_t)(int64_t)rules[i].rbp_offset - base),
			       8);
		sp = cfa;
	}
	return n;
}

static const char *function_of(const struct image *image, uint64_t ip, bool back)
{
	const struct region *region = image_find(image, ip, 0);
	struct frame frames[16];
	unsigned int n;

	assert_non_null(region);
	n = symbolizer_frames(symbolizer, region->binary,
			      ip - back - region->start + region->offset, frames, 16);
	return frames[n - 1].function ? frames[n - 1].function : "-";
}

__attribute__((noipa)) static void unwind_and_compare(int n, const char *const *names,
						      unsigned int nr_names)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES], walked[FP_MAX_FRAMES];
	struct fp_rule rules[FP_MAX_FRAMES];
	enum fp_stack_end end;
	unsigned int found, steps;
	bool seen_main = false;

	assert_true(chain_a(n) != 0);
	found = symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end);
	assert_int_equal(end, FP_STACK_WHOLE);
	assert_int_equal(rules[found - 1].how, FP_RULE_END);
	assert_int_equal(rules[0].flags, FP_RULE_OWN);
	/* Frame 0 is capture() in both, though not at the same instruction. */
	assert_int_equal(found, nr_truth);
	for (unsigned int i = 1; i < found; i++)
		assert_int_equal(ips[i], (uint64_t)truth[i] +
						 (by_signal && rules[i - 1].how == FP_RULE_RAW));
	for (unsigned int i = 0, at = 0; i < nr_names; i++, at++) {
		while (by_signal && at < found &&
		       strcmp(function_of(image, ips[at], true), names[i]))
			at++; /* what raise() is made of */
		assert_true(at < found);
		assert_string_equal(function_of(image, ips[at], true), names[i]);
		assert_int_equal(rules[at].flags, FP_RULE_OWN);
	}
	for (unsigned int at = 0; !seen_main; at++) {
		assert_true(at < found);
		seen_main = !strcmp(function_of(image, ips[at], true), "main");
	}
	assert_string_equal(function_of(image, ips[found - 1], true), "_start");
	steps = walk_by_rules(rules, found, walked);
	assert_true(steps >= 2);
	assert_memory_equal(walked, ips, steps * sizeof(*ips));
	if (n & 1 && !by_signal)
		assert_int_equal(steps, found);

	/* Asked again, from the cache; and for fewer frames than there are. */
	assert_int_equal(symbolizer_unwind(symbolizer, image, 0, &captured, walked, rules,
					   FP_MAX_FRAMES, &end),
			 found);
	assert_memory_equal(walked, ips, found * sizeof(*ips));
	assert_int_equal(symbolizer_unwind(symbolizer, image, 0, &captured, walked, rules, 2, &end),
			 2);
	assert_int_equal(end, FP_STACK_DEEP);
	image_free(image);
	binary_table_release(&table);
}

static void own_stack(void **state)
{
	static const char *const names[] = { "capture", "chain_c", "chain_b", "chain_a",
					     "unwind_and_compare" };

	(void)state;
	by_signal = false;
	unwind_and_compare(1, names, 5);
}

static void through_a_realigned_frame(void **state)
{
	static const char *const names[] = { "capture",		"chain_c", "chain_b",
					     "chain_realigned", "chain_a", "unwind_and_compare" };

	(void)state;
	by_signal = false;
	unwind_and_compare(2, names, 6);
}

static void through_a_signal_frame(void **state)
{
	static const char *const names[] = { "capture", "on_signal", "chain_c", "chain_a",
					     "unwind_and_compare" };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	(void)state;
	by_signal = true;
	sigaction(SIGUSR1, &action, NULL);
	unwind_and_compare(3, names, 5);
	signal(SIGUSR1, SIG_DFL);
}

/* Both end in the middle of nothing: one byte before trap_first is another function. */
void trap_before(void);
void trap_first(void);
__asm__(".text\n.type trap_before, @function\ntrap_before: .cfi_startproc\n push %rbx\n"
	".cfi_def_cfa_offset 16\n.cfi_endproc\n.size trap_before, .-trap_before\n"
	".type trap_first, @function\ntrap_first: .cfi_startproc\n ud2\n ret\n.cfi_endproc\n"
	".size trap_first, .-trap_first\n");

static void on_trap(int number, siginfo_t *info, void *data)
{
	ucontext_t *context = data;

	(void)number;
	(void)info;
	capture();
	close_gap(context);
	context->uc_mcontext.gregs[REG_RIP] += 2;
}

static void interrupted_at_its_first_instruction(void **state)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES];
	struct fp_rule rules[FP_MAX_FRAMES];
	enum fp_stack_end end;
	unsigned int found, at = 0;

	(void)state;
	sigaction(SIGILL, &action, NULL);
	trap_first();
	signal(SIGILL, SIG_DFL);
	found = symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end);
	assert_int_equal(end, FP_STACK_WHOLE);
	while (rules[at++].how != FP_RULE_RAW)
		assert_true(at < found);
	assert_string_equal(function_of(image, ips[at], true), "trap_first");
	assert_int_equal(rules[at].how, FP_RULE_RSP);
	assert_int_equal(rules[at].cfa_offset, 8);
	assert_string_equal(function_of(image, ips[at + 1], true),
			    "interrupted_at_its_first_instruction");
	image_free(image);
	binary_table_release(&table);
}

static void ends_say_why(void **state)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES];
	struct fp_rule rules[FP_MAX_FRAMES];
	enum fp_stack_end end;

	(void)state;
	by_signal = false;
	chain_a(1);
	captured.bytes = 40; /* capture() has a ucontext_t: larger */
	assert_int_equal(
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end),
		1);
	assert_int_equal(end, FP_STACK_DEEP);
	assert_int_equal(rules[0].how, FP_RULE_RSP);
	captured.reg[16] = (uintptr_t)&captured; /* no code */
	assert_int_equal(
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end),
		1);
	assert_int_equal(end, FP_STACK_NO_RULE);
	assert_int_equal(rules[0].how, FP_RULE_NONE);
	captured.reg[16] = 0;
	assert_int_equal(
		symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules, FP_MAX_FRAMES, &end),
		1);
	assert_int_equal(rules[0].how, FP_RULE_NONE);
	image_free(image);
	binary_table_release(&table);
}

static void quick_once_warm(void **state)
{
	struct binary_table table = { 0 };
	struct image *image = own_image(&table);
	uint64_t ips[FP_MAX_FRAMES], frames = 0;
	struct fp_rule rules[FP_MAX_FRAMES];
	struct timespec a, b;
	enum fp_stack_end end;

	(void)state;
	by_signal = false;
	chain_a(1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned int i = 0; i < 10000; i++)
		frames += symbolizer_unwind(symbolizer, image, 0, &captured, ips, rules,
					    FP_MAX_FRAMES, &end);
	clock_gettime(CLOCK_MONOTONIC, &b);
	print_message("%.0f ns a frame\n",
		      ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
			      (double)frames);
	assert_true(((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
			    (double)frames <
		    20000);
	image_free(image);
	binary_table_release(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_stack),
		cmocka_unit_test(through_a_realigned_frame),
		cmocka_unit_test(through_a_signal_frame),
		cmocka_unit_test(interrupted_at_its_first_instruction),
		cmocka_unit_test(ends_say_why),
		cmocka_unit_test(quick_once_warm),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
