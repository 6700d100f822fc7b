/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The provider for any process: what its allocators returned since the run began. */
#ifndef PROVIDER_MALLOC_H
#define PROVIDER_MALLOC_H

#include "faultprof/provider.h"

/* Before the first open(): objects of less than @min_bytes are not watched; @more: @nr allocators
 * of the user's, watched beside the known ones, their min_size as it is. Both stay the caller's. */
void provider_malloc_set(uint64_t min_bytes, const struct fp_allocator *more, size_t nr);

#endif
