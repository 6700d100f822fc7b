/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Perf rings. The kernel writes and moves data_head, we read and move data_tail: an acquire before
 * the first byte is read and a release after the last keep both sides honest. The tail moves after
 * every record, so that room is free again while a slow callback is still at work.
 */
#include "collect/perfring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define MAX_RECORD 65536 /* perf_event_header.size has 16 bits */

struct lost_record {
	struct perf_event_header header;
	uint64_t id, lost;
};

static int event_open(const struct perf_event_attr *attr, pid_t pid, int cpu)
{
	struct perf_event_attr copy = *attr;
	int fd = syscall(SYS_perf_event_open, &copy, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Takes over @fd, but not when it fails. */
static int ring_map(int fd, unsigned int pages, struct perf_ring **ret)
{
	struct perf_ring *ring = calloc(1, sizeof(*ring));
	int r = -ENOMEM;

	if (!ring)
		return -ENOMEM;
	ring->record = malloc(MAX_RECORD);
	if (!ring->record)
		goto fail;
	for (; pages; pages /= 2) {
		ring->base =
			mmap(NULL, (pages + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (ring->base != MAP_FAILED)
			break;
		r = -errno;
		if (r != -EPERM && r != -ENOMEM)
			goto fail;
	}
	if (!pages)
		goto fail;
	ring->fd = fd;
	ring->bytes = pages * PAGE;
	*ret = ring;
	return 0;
fail:
	free(ring->record);
	free(ring);
	return r;
}

int perf_ring_open(const struct perf_event_attr *attr, pid_t pid, int cpu, unsigned int pages,
		   struct perf_ring **ret)
{
	int fd = event_open(attr, pid, cpu), r;

	if (fd < 0)
		return fd;
	r = ring_map(fd, pages, ret);
	if (r)
		close(fd);
	return r;
}

static void ring_unmap(struct perf_ring *ring)
{
	munmap(ring->base, ring->bytes + PAGE);
	free(ring->record);
	free(ring);
}

void perf_ring_close(struct perf_ring *ring)
{
	if (!ring)
		return;
	close(ring->fd);
	ring_unmap(ring);
}

uint64_t perf_ring_head(const struct perf_ring *ring)
{
	const struct perf_event_mmap_page *page = ring->base;

	return __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
}

static const struct perf_event_header *record_at(struct perf_ring *ring, uint64_t tail)
{
	char *data = (char *)ring->base + PAGE;
	uint64_t at = tail & (ring->bytes - 1);
	struct perf_event_header *header = (void *)(data + at);
	size_t first = ring->bytes - at;

	/* Records are aligned to 8 bytes, so a header never wraps. */
	if (header->size <= first)
		return header;
	memcpy(ring->record, data + at, first);
	memcpy(ring->record + first, data, header->size - first);
	return (void *)ring->record;
}

int perf_ring_read(struct perf_ring *ring, uint64_t head, perf_record_fn fn, void *arg)
{
	struct perf_event_mmap_page *page = ring->base;
	uint64_t tail = page->data_tail;
	int r = 0;

	while (r >= 0 && tail < head) {
		const struct perf_event_header *record = record_at(ring, tail);
		const struct lost_record *lost = (const void *)record;
		uint16_t size = record->size;

		if (size < sizeof(*record))
			return -EPROTO;
		if (record->type == PERF_RECORD_LOST && size >= sizeof(*lost))
			ring->lost += lost->lost;
		else
			r = fn(arg, record);
		tail += size;
		__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
	}
	return r < 0 ? r : 0;
}

int perf_rings_new(unsigned int pages, struct perf_rings **ret)
{
	struct perf_rings *rings = calloc(1, sizeof(*rings));
	long nr = sysconf(_SC_NPROCESSORS_CONF);

	if (!rings)
		return -ENOMEM;
	rings->nr = nr > 0 ? nr : 1;
	rings->pages = pages;
	rings->ring = calloc(rings->nr, sizeof(struct perf_ring *));
	rings->head = calloc(rings->nr, sizeof(uint64_t));
	rings->wait = malloc(rings->nr * sizeof(int));
	if (!rings->ring || !rings->head || !rings->wait) {
		perf_rings_free(rings);
		return -ENOMEM;
	}
	memset(rings->wait, 0xff, rings->nr * sizeof(int));
	*ret = rings;
	return 0;
}

void perf_rings_free(struct perf_rings *rings)
{
	struct perf_event *event, *next;

	if (!rings)
		return;
	/* The descriptors belong to the events, those of the ring owners, too. */
	for (unsigned int i = 0; rings->ring && i < rings->nr; i++)
		if (rings->ring[i])
			ring_unmap(rings->ring[i]);
	HASH_ITER (hh, rings->events, event, next) {
		HASH_DEL(rings->events, event);
		close(event->fd);
		free(event);
	}
	free(rings->ring);
	free(rings->head);
	free(rings->wait);
	free(rings);
}

static int add_event(struct perf_rings *rings, const struct perf_event_attr *attr, pid_t tid,
		     int cpu, unsigned int tag)
{
	struct perf_event *event = calloc(1, sizeof(*event));
	struct perf_event_attr disabled = *attr;
	int fd, r = 0;

	/* Until it has a ring it would count what it cannot tell. */
	disabled.disabled = 1;
	fd = event ? event_open(&disabled, tid, cpu) : -ENOMEM;

	if (fd < 0) {
		free(event);
		return fd;
	}
	if (ioctl(fd, PERF_EVENT_IOC_ID, &event->id))
		r = -errno;
	else if (!rings->ring[cpu])
		r = ring_map(fd, rings->pages, &rings->ring[cpu]);
	else if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, rings->ring[cpu]->fd))
		r = -errno;
	if (!r && !attr->disabled && ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		r = -errno;
		/* A ring of its own goes with it. */
		if (rings->ring[cpu]->fd == fd) {
			ring_unmap(rings->ring[cpu]);
			rings->ring[cpu] = NULL;
		}
	}
	if (r) {
		close(fd);
		free(event);
		return r;
	}
	event->fd = fd;
	event->cpu = cpu;
	event->tid = tid;
	event->tag = tag;
	if (rings->wait[cpu] < 0)
		rings->wait[cpu] = fd;
	HASH_ADD(hh, rings->events, id, sizeof(event->id), event);
	return 0;
}

int perf_rings_add(struct perf_rings *rings, const struct perf_event_attr *attr, pid_t tid,
		   unsigned int tag)
{
	unsigned int opened = 0;

	for (unsigned int cpu = 0; cpu < rings->nr; cpu++) {
		int r = add_event(rings, attr, tid, cpu, tag);

		if (r == -ENODEV) /* not online */
			continue;
		if (r)
			return r;
		opened++;
	}
	return opened ? 0 : -ENODEV;
}

struct perf_event *perf_rings_find(const struct perf_rings *rings, uint64_t id)
{
	struct perf_event *event;

	HASH_FIND(hh, rings->events, &id, sizeof(id), event);
	return event;
}

/* A dead thread's event reports a hang-up for ever: another one of that ring has to stand in. */
static void wait_on_another(struct perf_rings *rings, unsigned int cpu)
{
	struct perf_event *event, *next;

	rings->wait[cpu] = -1;
	HASH_ITER (hh, rings->events, event, next) {
		struct pollfd fd = { .fd = event->fd, .events = POLLIN };

		if (event->cpu != (int)cpu)
			continue;
		if (poll(&fd, 1, 0) >= 0 && !(fd.revents & (POLLHUP | POLLERR))) {
			rings->wait[cpu] = event->fd;
			return;
		}
	}
}

int perf_rings_wait(struct perf_rings *rings, int timeout_ms)
{
	struct pollfd fds[rings->nr];
	int r;

	for (unsigned int i = 0; i < rings->nr; i++)
		fds[i] = (struct pollfd){ .fd = rings->wait[i], .events = POLLIN };
	r = poll(fds, rings->nr, timeout_ms);
	if (r < 0)
		return -errno;
	for (unsigned int i = 0; r && i < rings->nr; i++)
		if (fds[i].revents & (POLLHUP | POLLERR))
			wait_on_another(rings, i);
	return 0;
}

void perf_rings_mark(struct perf_rings *rings)
{
	for (unsigned int i = 0; i < rings->nr; i++)
		if (rings->ring[i])
			rings->head[i] = perf_ring_head(rings->ring[i]);
}

int perf_rings_read(struct perf_rings *rings, perf_record_fn fn, void *arg)
{
	for (unsigned int i = 0; i < rings->nr; i++) {
		int r;

		rings->reading = i;
		r = rings->ring[i] ? perf_ring_read(rings->ring[i], rings->head[i], fn, arg) : 0;
		if (r)
			return r;
	}
	return 0;
}

uint64_t perf_rings_lost(const struct perf_rings *rings)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < rings->nr; i++)
		if (rings->ring[i])
			lost += rings->ring[i]->lost;
	return lost;
}
