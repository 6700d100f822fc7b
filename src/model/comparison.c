/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model/comparison.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"
#include "base/intern.h"
#include "model/rates.h"

#define LEVEL .025 /* on either side */

/* No padding: it is hashed as bytes. */
struct compared_key {
	const char *symbol, *module; /* interned */
	uint64_t kind;
};

struct compared_entry {
	struct compared compared; /* first: what comparison.symbols points to */
	struct compared_key key;
	UT_hash_handle hh;
};

struct comparison_index {
	struct strings strings;
	struct compared_entry *entries;
};

int comparison_init(struct comparison *comparison)
{
	memset(comparison, 0, sizeof(*comparison));
	comparison->index = calloc(1, sizeof(*comparison->index));
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		comparison->kinds[i].kind = i;
	return comparison->index ? 0 : -ENOMEM;
}

void comparison_release(struct comparison *comparison)
{
	struct comparison_index *index = comparison->index;
	struct compared_entry *entry, *next;

	if (index) {
		HASH_ITER (hh, index->entries, entry, next) {
			HASH_DEL(index->entries, entry);
			free(entry);
		}
		strings_release(&index->strings);
	}
	free(comparison->symbols);
	free(index);
	memset(comparison, 0, sizeof(*comparison));
}

/* NULL only when out of memory. */
static struct compared *compared_of(struct comparison *comparison,
				    const struct profile_symbol *symbol)
{
	struct comparison_index *index = comparison->index;
	struct compared_key key = { .symbol = strings_intern(&index->strings, symbol->symbol),
				    .module = strings_intern(&index->strings, symbol->module),
				    .kind = symbol->kind };
	struct compared_entry *entry;

	if (!key.symbol || !key.module)
		return NULL;
	HASH_FIND(hh, index->entries, &key, sizeof(key), entry);
	if (entry)
		return &entry->compared;
	if (grow(&comparison->symbols, comparison->nr_symbols, sizeof(*comparison->symbols)))
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->key = key;
	entry->compared.kind = symbol->kind;
	entry->compared.symbol = key.symbol;
	entry->compared.module = key.module;
	HASH_ADD(hh, index->entries, key, sizeof(entry->key), entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	comparison->symbols[comparison->nr_symbols++] = &entry->compared;
	return &entry->compared;
}

static void count(struct compared *row, unsigned int side, unsigned int piece, uint64_t faults)
{
	row->faults[side] += faults;
	row->pieces[side][piece] += (double)faults;
}

int comparison_add(struct comparison *comparison, unsigned int side, const struct profile *profile,
		   double seconds)
{
	struct comparison_side *s = &comparison->side[side];
	unsigned int piece = s->nr_pieces;

	for (size_t i = 0; i < profile->nr_symbols; i++) {
		const struct profile_symbol *symbol = profile->symbols[i];
		struct compared *row = compared_of(comparison, symbol);

		if (!row)
			return -ENOMEM;
		count(row, side, piece, symbol->stall.faults);
		count(&comparison->kinds[symbol->kind], side, piece, symbol->stall.faults);
		s->faults += symbol->stall.faults;
	}
	s->pieces[s->nr_pieces++] = seconds;
	s->seconds += seconds;
	return 0;
}

/* ---- the verdict ---- */

static void judge(const struct comparison *comparison, struct compared *row)
{
	const struct comparison_side *side = comparison->side;
	struct rate_side pieces[2];
	struct rate_fit fit;

	for (unsigned int i = 0; i < 2; i++) {
		row->rate[i] = side[i].seconds > 0 ? (double)row->faults[i] / side[i].seconds : 0;
		pieces[i] = (struct rate_side){ row->pieces[i], side[i].pieces, side[i].nr_pieces };
	}
	if ((!row->faults[0] && !row->faults[1]) || rates_fit(&pieces[0], &pieces[1], &fit) ||
	    fit.df < COMPARISON_MIN_PIECES - 1)
		return;
	row->dispersion = fit.dispersion;
	row->ratio = (struct ratio){ rates_ratio(&fit), rates_low(&fit, LEVEL),
				     rates_high(&fit, LEVEL) };
	row->verdict = row->ratio.low > 1    ? VERDICT_MORE
		       : row->ratio.high < 1 ? VERDICT_FEWER
					     : VERDICT_NOISE;
}

static double change(const struct compared *row)
{
	double more = row->rate[1] - row->rate[0];

	return more < 0 ? -more : more;
}

static int change_compare(const void *left, const void *right)
{
	const struct compared *a = *(struct compared *const *)left;
	const struct compared *b = *(struct compared *const *)right;
	double x = change(a), y = change(b);
	int order;

	if (x != y)
		return x < y ? 1 : -1;
	order = strcmp(a->symbol, b->symbol);
	if (!order)
		order = strcmp(a->module, b->module);
	return order ? order : (int)a->kind - (int)b->kind;
}

void comparison_finish(struct comparison *comparison)
{
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		judge(comparison, &comparison->kinds[i]);
	for (size_t i = 0; i < comparison->nr_symbols; i++)
		judge(comparison, comparison->symbols[i]);
	if (comparison->nr_symbols)
		qsort(comparison->symbols, comparison->nr_symbols, sizeof(*comparison->symbols),
		      change_compare);
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = { NULL, "noise", "fewer", "more" };

	return names[verdict];
}
