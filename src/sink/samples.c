/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define HASH_NONFATAL_OOM 1
#include "sink/samples.h"

#include <stdio.h>

#include "base/grow.h"

static int add_sample(struct samples *samples, const struct sample *sample)
{
	if (!sample->faults)
		return 0;
	if (grow(&samples->sample, samples->nr, sizeof(*sample)))
		return -ENOMEM;
	samples->sample[samples->nr++] = *sample;
	return 0;
}

/* One sample an object, and one for the rest of @all, of which the objects are known of a part. */
static int add_path(struct samples *samples, struct sample all, const struct object_share *objects,
		    size_t nr)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < nr; i++) {
		struct sample part = all;

		part.object = objects[i].kind;
		part.faults = objects[i].faults;
		part.timed = objects[i].timed;
		part.stall_ns = objects[i].stall_ns;
		all.faults -= part.faults;
		all.timed -= part.timed;
		all.stall_ns -= part.stall_ns;
		ret = add_sample(samples, &part);
	}
	return ret ? ret : add_sample(samples, &all);
}

static int add_stack(struct samples *samples, const struct profile_stack *stack)
{
	const struct sample all = { .comm = stack->comm,
				    .kind = stack->kind,
				    .mode = stack->mode,
				    .stack = stack,
				    .faults = stack->faults,
				    .timed = stack->timed,
				    .stall_ns = stack->stall_ns };

	return add_path(samples, all, stack->objects, stack->nr_objects);
}

static int add_symbol(struct samples *samples, const struct profile_symbol *symbol, bool stacks)
{
	const struct profile_loose *loose = &symbol->loose;
	struct sample all = {
		.comm = symbol->comm, .kind = symbol->kind, .mode = symbol->mode, .symbol = symbol
	};

	if (!stacks) {
		all.faults = symbol->stall.faults;
		all.timed = symbol->stall.timed;
		all.stall_ns = symbol->stall.total_ns;
		return add_path(samples, all, symbol->objects, symbol->nr_objects);
	}
	all.faults = loose->faults;
	all.timed = loose->timed;
	all.stall_ns = loose->stall_ns;
	return add_path(samples, all, loose->objects, loose->nr_objects);
}

int samples_gather(const struct profile *profile, bool stacks, struct samples *ret)
{
	struct samples samples = { 0 };
	int r = 0;

	for (size_t i = 0; !r && stacks && i < profile->nr_stacks; i++)
		r = add_stack(&samples, profile->stacks[i]);
	for (size_t i = 0; !r && i < profile->nr_symbols; i++)
		r = add_symbol(&samples, profile->symbols[i], stacks);
	if (r)
		samples_release(&samples);
	else
		*ret = samples;
	return r;
}

void samples_release(struct samples *samples)
{
	free(samples->sample);
	*samples = (struct samples){ 0 };
}

unsigned int sample_nr_frames(const struct sample *sample)
{
	if (sample->stack)
		return sample->stack->nr_frames;
	return sample->symbol->via ? 2 : 1;
}

struct sample_frame sample_frame(const struct sample *sample, unsigned int i)
{
	const struct profile_symbol *symbol = sample->symbol;
	struct sample_frame frame = { 0 };

	if (sample->stack) {
		frame.name = sample->stack->frames[i];
		frame.place = *sample->stack->places[i];
	} else if (i) {
		frame.name = symbol->via;
	} else {
		frame.name = symbol->symbol;
		frame.place.module = symbol->module;
		/* Where a function is inlined, the place is in that one's file. */
		frame.place.file = symbol->inlined ? NULL : symbol->file;
		frame.place.line = symbol->inlined ? 0 : symbol->line;
	}
	return frame;
}

struct sample_frame sample_step(const struct sample *sample, unsigned int i)
{
	return i ? sample_frame(sample, i - 1) : (struct sample_frame){ .name = sample->comm };
}

static int add_function(struct functions *functions, const struct sample_frame *frame)
{
	struct function *function;

	HASH_FIND_PTR(functions->first, &frame->name, function);
	if (!function) {
		function = calloc(1, sizeof(*function));
		if (!function)
			return -ENOMEM;
		function->name = frame->name;
		function->index = HASH_COUNT(functions->first);
		HASH_ADD_PTR(functions->first, name, function);
		if (!function->hh.tbl) {
			free(function);
			return -ENOMEM;
		}
	}
	function->module = function->module ? function->module : frame->place.module;
	function->file = function->file ? function->file : frame->place.file;
	return 0;
}

int functions_gather(const struct samples *samples, struct functions *ret)
{
	struct functions functions = { 0 };
	int r = 0;

	for (size_t i = 0; i < samples->nr; i++) {
		const struct sample *sample = &samples->sample[i];

		for (unsigned int n = 0; !r && n <= sample_nr_frames(sample); n++) {
			struct sample_frame frame = sample_step(sample, n);

			r = add_function(&functions, &frame);
		}
	}
	if (r)
		functions_release(&functions);
	else
		*ret = functions;
	return r;
}

unsigned int functions_index(const struct functions *functions, const char *name)
{
	struct function *function;

	HASH_FIND_PTR(functions->first, &name, function);
	return function->index;
}

void functions_release(struct functions *functions)
{
	struct function *function, *next;

	HASH_ITER (hh, functions->first, function, next) {
		HASH_DEL(functions->first, function);
		free(function);
	}
}

char *object_label(const struct object_kind *kind)
{
	char *text;

	return asprintf(&text, "%s: %s", kind->provider, kind->type) < 0 ? NULL : text;
}
