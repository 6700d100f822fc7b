/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The format of pprof (profile.proto, in gzip), written as it goes: each string, function, mapping
 * and location is sent when it is first used, and then known by its number. Stacks are named, so
 * locations have no addresses. A sample has its faults and, where stalls are measured, their stall
 * time; what was hit, and how, are labels (pprof -tags, -tagfocus kind=swap-in). What is known of
 * the run as a whole are comments (pprof -comments).
 */
#define HASH_NONFATAL_OOM 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sink/proto.h"
#include "sink/report.h"
#include "sink/samples.h"

/* Fields of the messages that they are named for. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_TIME_NS = 9,
	PROFILE_DURATION_NS = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_TYPE = 14,
	TYPE_NAME = 1,
	TYPE_UNIT = 2,
	SAMPLE_LOCATION = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,
	LABEL_KEY = 1,
	LABEL_TEXT = 2,
	MAPPING_ID = 1,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FIRST = 7, /* functions, file names, line numbers, inlined frames: */
	MAPPING_HAS_LAST = 10, /* pprof need not look for them */
	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_LINE = 4,
	LINE_FUNCTION = 1,
	LINE_LINE = 2,
	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_FILE = 4,
};

/* What was sent already, by its content. */
struct sent {
	UT_hash_handle hh;
	uint64_t id;
	char key[];
};

struct writer {
	const struct profile *profile;
	struct gzip gzip;
	struct sent *strings, *functions, *mappings, *locations;
	struct message out, part, inner; /* what is sent, the message in it, and one in that */
	bool failed;			 /* no memory */
};

static void send_out(struct writer *w)
{
	w->failed = w->failed || w->out.failed;
	if (!w->failed)
		gzip_write(&w->gzip, w->out.data, w->out.nr);
	message_clear(&w->out);
}

static void send_bytes(struct writer *w, unsigned int field, const void *bytes, size_t nr)
{
	put_bytes(&w->out, field, bytes, nr);
	send_out(w);
}

static void send_number(struct writer *w, unsigned int field, uint64_t value)
{
	put_number(&w->out, field, value);
	send_out(w);
}

static void send_part(struct writer *w, unsigned int field)
{
	w->failed = w->failed || w->part.failed;
	send_bytes(w, field, w->part.data, w->part.nr);
	message_clear(&w->part);
}

/* One more message in the part. */
static void put_inner(struct writer *w, unsigned int field)
{
	w->failed = w->failed || w->inner.failed;
	put_bytes(&w->part, field, w->inner.data, w->inner.nr);
	message_clear(&w->inner);
}

/* The number of what has this key, from 1 on; *@fresh: it was not sent yet. */
static uint64_t id_of(struct writer *w, struct sent **table, const void *key, size_t bytes,
		      bool *fresh)
{
	struct sent *sent;

	*fresh = false;
	HASH_FIND(hh, *table, key, bytes, sent);
	if (sent)
		return sent->id;
	sent = malloc(sizeof(*sent) + bytes + 1);
	if (!sent) {
		w->failed = true;
		return 0;
	}
	memcpy(sent->key, key, bytes);
	sent->id = HASH_COUNT(*table) + 1;
	HASH_ADD_KEYPTR(hh, *table, sent->key, bytes, sent);
	if (!sent->hh.tbl) {
		free(sent);
		w->failed = true;
		return 0;
	}
	*fresh = true;
	return sent->id;
}

/* NULL is the empty string, which has to be number 0. */
static uint64_t string_of(struct writer *w, const char *text)
{
	char *clean = text_clean_dup(text ? text : "");
	uint64_t id;
	bool fresh;

	if (!clean) {
		w->failed = true;
		return 0;
	}
	id = id_of(w, &w->strings, clean, strlen(clean), &fresh);
	if (fresh)
		send_bytes(w, PROFILE_STRING, clean, strlen(clean));
	free(clean);
	return id ? id - 1 : 0;
}

static void send_type(struct writer *w, unsigned int field, const char *name, const char *unit)
{
	uint64_t type = string_of(w, name);
	uint64_t of = string_of(w, unit);

	put_number(&w->part, TYPE_NAME, type);
	put_number(&w->part, TYPE_UNIT, of);
	send_part(w, field);
}

/* What the symbols call the module that this target runs. To be freed; NULL: not known. */
static char *module_of(const struct profile_target *target)
{
	static const char deleted[] = " (deleted)";
	const char *slash = target->exe ? strrchr(target->exe, '/') : NULL;
	size_t length = slash ? strlen(slash + 1) : 0;

	if (length > strlen(deleted) && !strcmp(slash + 1 + length - strlen(deleted), deleted))
		length -= strlen(deleted);
	return slash ? strndup(slash + 1, length) : NULL;
}

/* The target that runs this module; NULL: it is a library, or two programs have that name. */
static const struct profile_target *target_of(const struct profile *profile, const char *module)
{
	const struct profile_target *found = NULL;

	for (size_t i = 0; i < profile->nr_targets; i++) {
		const struct profile_target *target = &profile->targets[i];
		char *own = target->build_id ? module_of(target) : NULL;
		bool same = own && !strcmp(own, module);

		free(own);
		if (same && found && strcmp(found->build_id, target->build_id))
			return NULL;
		found = same ? target : found;
	}
	return found;
}

static uint64_t mapping_of(struct writer *w, const char *module)
{
	const struct profile_target *target;
	uint64_t id, file, build_id;
	bool fresh;

	if (!module || !strcmp(module, "[unknown]"))
		return 0;
	id = id_of(w, &w->mappings, module, strlen(module), &fresh);
	if (!fresh)
		return id;
	target = target_of(w->profile, module);
	file = string_of(w, target ? target->exe : module);
	build_id = string_of(w, target ? target->build_id : NULL);
	put_number(&w->part, MAPPING_ID, id);
	put_number(&w->part, MAPPING_FILE, file);
	put_number(&w->part, MAPPING_BUILD_ID, build_id);
	for (unsigned int field = MAPPING_HAS_FIRST; field <= MAPPING_HAS_LAST; field++)
		put_number(&w->part, field, 1);
	send_part(w, PROFILE_MAPPING);
	return id;
}

/* The first mapping is what pprof calls the program. */
static void send_programs(struct writer *w)
{
	for (size_t i = 0; i < w->profile->nr_targets; i++) {
		char *module = module_of(&w->profile->targets[i]);

		mapping_of(w, module);
		free(module);
	}
}

static uint64_t function_of(struct writer *w, const struct sample_frame *frame)
{
	uint64_t name = string_of(w, frame->name);
	uint64_t file = string_of(w, frame->place.file);
	uint64_t key[] = { name, file };
	bool fresh;
	uint64_t id = id_of(w, &w->functions, key, sizeof(key), &fresh);

	if (!fresh)
		return id;
	put_number(&w->part, FUNCTION_ID, id);
	/* No system name: where it is the same, pprof takes the arguments off a C++ name. */
	put_number(&w->part, FUNCTION_NAME, name);
	put_number(&w->part, FUNCTION_FILE, file);
	send_part(w, PROFILE_FUNCTION);
	return id;
}

/* Of @nr frames from @first on: a function, and what is inlined there. */
static uint64_t location_of(struct writer *w, const struct sample *sample, unsigned int first,
			    unsigned int nr)
{
	size_t ids = 1 + 2 * (size_t)nr, bytes = ids * sizeof(uint64_t);
	uint64_t *key = malloc(bytes), id = 0;
	bool fresh = false;

	if (!key) {
		w->failed = true;
		return 0;
	}
	key[0] = mapping_of(w, sample_frame(sample, first).place.module);
	for (unsigned int i = 0; i < nr; i++) {
		struct sample_frame frame = sample_frame(sample, first + i);

		/* The innermost one is to come first. */
		key[ids - 2 - 2 * (size_t)i] = function_of(w, &frame);
		key[ids - 1 - 2 * (size_t)i] = frame.place.line;
	}
	id = id_of(w, &w->locations, key, bytes, &fresh);
	if (fresh) {
		put_number(&w->part, LOCATION_ID, id);
		put_number(&w->part, LOCATION_MAPPING, key[0]);
		for (size_t i = 1; i < ids; i += 2) {
			put_number(&w->inner, LINE_FUNCTION, key[i]);
			put_number(&w->inner, LINE_LINE, key[i + 1]);
			put_inner(w, LOCATION_LINE);
		}
		send_part(w, PROFILE_LOCATION);
	}
	free(key);
	return id;
}

/* The locations of a sample, innermost first. */
static void put_path(struct writer *w, const struct sample *sample)
{
	unsigned int nr = sample_nr_frames(sample), at = nr, next;
	uint64_t *path = calloc(nr, sizeof(*path));

	w->failed = w->failed || !path;
	for (unsigned int i = 0; path && i < nr; i = next) {
		for (next = i + 1; next < nr && sample_frame(sample, next).place.inlined;)
			next++;
		path[--at] = location_of(w, sample, i, next - i);
	}
	if (path)
		put_numbers(&w->part, SAMPLE_LOCATION, path + at, nr - at);
	free(path);
}

static void put_label(struct writer *w, const char *key, const char *text)
{
	uint64_t name = string_of(w, key);
	uint64_t value = string_of(w, text);

	put_number(&w->inner, LABEL_KEY, name);
	put_number(&w->inner, LABEL_TEXT, value);
	put_inner(w, SAMPLE_LABEL);
}

static void send_sample(struct writer *w, const struct sample *sample)
{
	uint64_t values[] = { sample->faults, sample->stall_ns };
	char *object = sample->object ? object_label(sample->object) : NULL;

	w->failed = w->failed || (sample->object && !object);
	put_path(w, sample);
	put_numbers(&w->part, SAMPLE_VALUE, values, w->profile->stall_known ? 2 : 1);
	put_label(w, "comm", sample->comm);
	put_label(w, "kind", kind_name(sample->kind));
	put_label(w, "mode", mode_name(sample->mode));
	if (object)
		put_label(w, "object", object);
	free(object);
	send_part(w, PROFILE_SAMPLE);
}

static void send_comments(struct writer *w)
{
	char *text = header_text(w->profile), *rest = text, *line;

	w->failed = w->failed || !text;
	while (text && (line = strsep(&rest, "\n")))
		if (*line)
			send_number(w, PROFILE_COMMENT, string_of(w, line + strspn(line, " ")));
	free(text);
}

static void send_all(struct writer *w, const struct samples *samples)
{
	const struct profile *profile = w->profile;

	string_of(w, NULL);
	send_type(w, PROFILE_SAMPLE_TYPE, "faults", "count");
	if (profile->stall_known)
		send_type(w, PROFILE_SAMPLE_TYPE, "stall", "nanoseconds");
	send_programs(w);
	for (size_t i = 0; !w->failed && i < samples->nr; i++)
		send_sample(w, &samples->sample[i]);
	send_number(w, PROFILE_TIME_NS, profile->begin_date_ns);
	send_number(w, PROFILE_DURATION_NS, profile->end_ns - profile->begin_ns);
	send_type(w, PROFILE_PERIOD_TYPE, "faults", "count");
	send_number(w, PROFILE_PERIOD, 1);
	send_comments(w);
	send_number(w, PROFILE_DEFAULT_TYPE,
		    string_of(w, profile->stall_known ? "stall" : "faults"));
}

static void forget(struct sent **table)
{
	struct sent *sent, *next;

	HASH_ITER (hh, *table, sent, next) {
		HASH_DEL(*table, sent);
		free(sent);
	}
}

static int write_pprof(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	struct writer w = { .profile = profile };
	struct samples samples;
	int ret = samples_gather(profile, options->stacks, &samples);

	if (ret)
		return ret;
	ret = gzip_open(&w.gzip, out);
	if (!ret) {
		send_all(&w, &samples);
		gzip_close(&w.gzip);
		ret = w.failed ? -ENOMEM : 0;
	}
	samples_release(&samples);
	forget(&w.strings);
	forget(&w.functions);
	forget(&w.mappings);
	forget(&w.locations);
	message_release(&w.out);
	message_release(&w.part);
	message_release(&w.inner);
	return ret;
}

const struct sink sink_pprof = {
	.name = "pprof",
	.help = "call paths with labels, for go tool pprof and its kin (binary)",
	.binary = true,
	.write = write_pprof,
};
