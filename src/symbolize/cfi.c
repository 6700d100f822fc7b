/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * .eh_frame and .debug_frame. libdw can read these too, but an index is needed here anyway for
 * function bounds, the answers are wanted in the kernel's form, and libdw trusts register numbers
 * it finds. One pass over the section builds a sorted index (16 bytes a function); CIEs are
 * parsed again when asked for, so what is long in one (its augmentation) is refused: a table of
 * many entries that take turns between two such CIEs would never be read to its end. Every byte
 * comes through a reader that cannot leave the section, and every instruction consumes a byte, so
 * a corrupt table ends, soon, with -EBADMSG.
 */
#include "symbolize/cfitable.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#define MAX_AUGMENTATION 16

struct cfi {
	const uint8_t *data;
	size_t size;
	uint64_t vaddr;
	bool eh;
	struct cfi_entry *entries;
	size_t nr_entries, capacity;
};

/* One length-prefixed record. */
struct record {
	uint64_t offset, next;
	uint64_t id_offset, id; /* of a CIE: 0 (eh) or all ones; of an FDE: says where its CIE is */
	bool cie;
	struct reader body;
};

static struct reader reader_at(const struct cfi *cfi, uint64_t offset)
{
	struct reader reader = { cfi->data, cfi->data + cfi->size, offset > cfi->size };

	if (!reader.bad)
		reader.at += offset;
	return reader;
}

/* Returns 0, 1 at the end of the table, or -EBADMSG. */
static int read_record(const struct cfi *cfi, uint64_t offset, struct record *record)
{
	struct reader r = reader_at(cfi, offset);
	uint64_t length = reader_uint(&r, 4), none = UINT32_MAX;
	unsigned int width = 4;

	if (length == UINT32_MAX) {
		length = reader_uint(&r, 8);
		width = cfi->eh ? 4 : 8;
		none = cfi->eh ? none : UINT64_MAX;
	}
	if (r.bad || !length)
		return 1;
	if (length < width || length > (uint64_t)(r.end - r.at))
		return -EBADMSG;
	r.end = r.at + length;
	record->offset = offset;
	record->next = (uint64_t)(r.end - cfi->data);
	record->id_offset = (uint64_t)(r.at - cfi->data);
	record->id = reader_uint(&r, width);
	record->cie = record->id == (cfi->eh ? 0 : none);
	record->body = r;
	return r.bad ? -EBADMSG : 0;
}

uint64_t cfi_read_pointer(const struct cfi *cfi, struct reader *r, uint8_t encoding)
{
	uint64_t at = cfi->vaddr + (uint64_t)(r->at - cfi->data), value;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = reader_uint(r, 8);
		break;
	case DW_EH_PE_udata4:
		value = reader_uint(r, 4);
		break;
	case DW_EH_PE_sdata4:
		value = (uint64_t)reader_sint(r, 4);
		break;
	case DW_EH_PE_udata2:
		value = reader_uint(r, 2);
		break;
	case DW_EH_PE_sdata2:
		value = (uint64_t)reader_sint(r, 2);
		break;
	case DW_EH_PE_uleb128:
		value = reader_uleb(r);
		break;
	case DW_EH_PE_sleb128:
		value = (uint64_t)reader_sleb(r);
		break;
	default:
		r->bad = true;
		return 0;
	}
	if ((encoding & 0x70) == DW_EH_PE_pcrel)
		value += at;
	else if ((encoding & 0x70) != DW_EH_PE_absptr)
		r->bad = true;
	return value;
}

static void read_augmentation(const struct cfi *cfi, struct reader *r, const char *text,
			      struct cie *cie)
{
	const uint8_t *end;
	uint64_t length;

	if (*text != 'z') {
		r->bad |= *text != 0;
		return;
	}
	cie->has_length = true;
	length = reader_uleb(r);
	end = reader_skip(r, length);
	if (r->bad)
		return;
	r->at = end;
	end += length;
	for (text++; *text; text++) {
		if (*text == 'R') {
			cie->encoding = (uint8_t)reader_uint(r, 1);
		} else if (*text == 'P') {
			uint8_t encoding = (uint8_t)reader_uint(r, 1);

			/* Only its size matters: where it points to, does not. */
			cfi_read_pointer(cfi, r, encoding & 0x0f);
		} else if (*text == 'L') {
			reader_skip(r, 1);
		} else if (*text == 'S') {
			cie->signal = true;
		} else {
			break; /* the length takes us over what is not known */
		}
	}
	if (r->at > end)
		r->bad = true;
	else
		r->at = end;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int read_cie(const struct cfi *cfi, uint64_t offset, struct cie *cie)
{
	struct record record;
	struct reader *r = &record.body;
	const char *text;
	uint64_t column;
	uint8_t version;

	if (read_record(cfi, offset, &record) || !record.cie)
		return -EBADMSG;
	*cie = (struct cie){ .offset = offset, .encoding = DW_EH_PE_absptr };
	version = (uint8_t)reader_uint(r, 1);
	if (version != 1 && version != 3 && version != 4)
		return -EBADMSG;
	text = (const char *)r->at;
	if (!memchr(text, 0, min_size((size_t)(r->end - r->at), MAX_AUGMENTATION)))
		return -EBADMSG;
	reader_skip(r, strlen(text) + 1);
	if (version == 4 && (reader_uint(r, 1) != 8 || reader_uint(r, 1)))
		return -EBADMSG;
	cie->code_align = reader_uleb(r);
	cie->data_align = reader_sleb(r);
	column = version == 1 ? reader_uint(r, 1) : reader_uleb(r);
	read_augmentation(cfi, r, text, cie);
	cie->program = *r;
	return r->bad || column != CFI_RIP ? -EBADMSG : 0;
}

/* Leaves the body of @record at the instructions of the FDE. */
static int read_fde(const struct cfi *cfi, struct record *record, struct cie *cie, uint64_t *start,
		    uint64_t *size)
{
	uint64_t where = cfi->eh ? record->id_offset - record->id : record->id;
	struct reader *r = &record->body;

	if (cfi->eh && record->id > record->id_offset)
		return -EBADMSG;
	if (cie->offset != where && read_cie(cfi, where, cie)) {
		cie->offset = UINT64_MAX;
		return -EBADMSG;
	}
	*start = cfi_read_pointer(cfi, r, cie->encoding);
	*size = cfi_read_pointer(cfi, r, cie->encoding & 0x0f);
	if (cie->has_length)
		reader_skip(r, reader_uleb(r));
	return r->bad ? -EBADMSG : 0;
}

static int add_entry(struct cfi *cfi, uint64_t start, uint64_t size, uint64_t offset)
{
	if (cfi->nr_entries == cfi->capacity) {
		size_t capacity = cfi->capacity ? cfi->capacity * 2 : 64;
		struct cfi_entry *entries = reallocarray(cfi->entries, capacity, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		cfi->entries = entries;
		cfi->capacity = capacity;
	}
	cfi->entries[cfi->nr_entries++] = (struct cfi_entry){
		.start = start,
		.size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
		.offset = (uint32_t)offset,
	};
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct cfi_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int build_index(struct cfi *cfi)
{
	struct cie cie = { .offset = UINT64_MAX };
	struct cfi_entry *fit;
	struct record record;
	uint64_t offset = 0, start, size;
	int r;

	for (; !read_record(cfi, offset, &record); offset = record.next) {
		if (record.cie || read_fde(cfi, &record, &cie, &start, &size) || !size)
			continue;
		/* What the linker dropped leaves its FDE behind in .debug_frame. */
		if (!start && !cfi->eh)
			continue;
		r = add_entry(cfi, start, size, offset);
		if (r < 0)
			return r;
	}
	if (!cfi->nr_entries)
		return -ENODATA;
	fit = reallocarray(cfi->entries, cfi->nr_entries, sizeof(*fit));
	if (fit) {
		cfi->entries = fit;
		cfi->capacity = cfi->nr_entries;
	}
	qsort(cfi->entries, cfi->nr_entries, sizeof(*cfi->entries), compare);
	return 0;
}

int cfi_new(const uint8_t *data, size_t size, uint64_t vaddr, bool eh, struct cfi **ret)
{
	struct cfi *cfi;
	int r;

	if (size > UINT32_MAX)
		return -EFBIG;
	cfi = calloc(1, sizeof(*cfi));
	if (!cfi)
		return -ENOMEM;
	cfi->data = data;
	cfi->size = size;
	cfi->vaddr = vaddr;
	cfi->eh = eh;
	r = build_index(cfi);
	if (r < 0) {
		cfi_free(cfi);
		return r;
	}
	*ret = cfi;
	return 0;
}

void cfi_free(struct cfi *cfi)
{
	if (!cfi)
		return;
	free(cfi->entries);
	free(cfi);
}

const struct cfi_entry *cfi_before(const struct cfi *cfi, uint64_t address)
{
	size_t low = 0, high = cfi ? cfi->nr_entries : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cfi->entries[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? &cfi->entries[low - 1] : NULL;
}

const struct cfi_entry *cfi_find(const struct cfi *cfi, uint64_t address)
{
	const struct cfi_entry *entry = cfi_before(cfi, address);

	return entry && address - entry->start < entry->size ? entry : NULL;
}

int cfi_read_entry(const struct cfi *cfi, const struct cfi_entry *entry, struct cie *cie,
		   struct reader *program)
{
	struct record record;
	uint64_t start, size;

	cie->offset = UINT64_MAX;
	if (read_record(cfi, entry->offset, &record) || record.cie ||
	    read_fde(cfi, &record, cie, &start, &size))
		return -EBADMSG;
	*program = record.body;
	return 0;
}
