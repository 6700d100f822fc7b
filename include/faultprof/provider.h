/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The provider interface: who owns an address of a target, and since when. A provider knows one
 * program (HAProxy, nginx) or one allocator; faultprof asks it for the object that a fault hit.
 *
 * One provider in faultprof is one struct fp_provider. An external one is a shared object that
 * exports it as `faultprof_provider` and is loaded with --provider PATH. It runs inside faultprof,
 * as root perhaps, on one thread, and must not block, print, or touch the target but through its
 * host: reads see present pages only, so that no provider can make a target fault.
 *
 * The target runs on while it is read. What was read may be half written, freed, or a lie: every
 * loop needs a bound, and what does not add up is "not known" (-ENODATA), never a guess.
 *
 * Functions return 0 or -errno. Times are CLOCK_MONOTONIC in ns, the clock of fault times; 0 is
 * "not known". Structures grow at their end only; FAULTPROF_PROVIDER_ABI changes when that is not
 * enough, and then faultprof refuses older ones.
 */
#ifndef FAULTPROF_PROVIDER_H
#define FAULTPROF_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAULTPROF_PROVIDER_ABI 1

/* ---- what faultprof gives ---- */

struct fp_member {
	uint64_t offset; /* from the start of the outermost structure, bytes */
	uint64_t size;	 /* of the member; of an array: of all of it */
	uint64_t stride; /* of an array: bytes from one element to the next; else 0 */
	uint64_t count;	 /* of an array: its elements (0: not bounded); else 0 */
};

struct fp_mapping {
	uint64_t start, end; /* [start, end) */
	bool write, exec, shared;
	const char
		*name; /* path, "[heap]", "[stack]", "" for anonymous; valid until the next call */
};

/* A pair of functions that make and unmake objects. faultprof watches them with uprobes and keeps
 * the living objects; see fp_host.live. A size comes from an argument, or is fixed. */
struct fp_allocator {
	const char *name;  /* what its objects are called */
	const char *alloc; /* symbol; its return value is the object */
	const char *free;  /* symbol; NULL: none */
	int size_arg;	   /* number of the size argument of alloc, from 0; -1: the size is fixed */
	int count_arg;	   /* a second factor of the size (calloc); -1: none */
	int old_arg;   /* argument of alloc with an object that ends by it (realloc); -1: none */
	int free_arg;  /* number of the argument of free with the object */
	uint64_t size; /* with size_arg -1, bytes */
	uint64_t min_size; /* smaller objects are not watched */
	int tag_arg; /* argument of alloc whose value is kept as live.tag (a pool); -1: none */
};

struct fp_live {
	uint64_t base, size, born_ns, tag;
	const struct fp_allocator *allocator;
};

typedef int (*fp_live_fn)(void *arg, const struct fp_live *live);

struct fp_host {
	uint32_t abi; /* FAULTPROF_PROVIDER_ABI of this faultprof */
	pid_t pid;
	uint64_t begin_ns; /* of the run */
	int64_t wall_ns;   /* CLOCK_REALTIME minus CLOCK_MONOTONIC, now */

	/* Copies @size bytes (at most 1 MB) at @address. -ENODATA: a page is not present (swapped
	 * out, never touched), and *@absent, if not NULL, is the address of the first such page:
	 * the host will call fp_provider.present() when it comes in. -EFAULT: nothing is mapped
	 * there. After an error the buffer holds garbage. Costs a copy when the page was read in
	 * this round, else about a microsecond. */
	int (*read)(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		    uint64_t *absent);
	/* Address, in the target, of a variable or function of its own program; @size may be NULL.
	 * From DWARF, .symtab or .dynsym. -ENOENT. */
	int (*symbol)(const struct fp_host *host, const char *name, uint64_t *address,
		      uint64_t *size);
	/* DWARF of the program: a member by type and path, "struct stream" and "req.buf.area". Goes
	 * through anonymous members and typedefs, not through pointers. "[3]" in a path is an
	 * element. -ENOENT: no such type or member; -ENODATA: the program has no DWARF. */
	int (*member)(const struct fp_host *host, const char *type, const char *path,
		      struct fp_member *ret);
	int (*size_of)(const struct fp_host *host, const char *type, uint64_t *ret);
	/* Value of an enumerator, whatever its enum is called. */
	int (*enumerator)(const struct fp_host *host, const char *name, int64_t *ret);
	/* The mapping that covers @address, or (@next) the first one that ends behind it. -ENOENT.
	 */
	int (*mapping)(const struct fp_host *host, uint64_t address, bool next,
		       struct fp_mapping *ret);
	/* Watches an allocator from now on. @allocator has to stay as it is. -ENOENT: no such
	 * symbol; -ENOTSUP: no uprobes here. Only in fp_provider.open(). */
	int (*watch)(const struct fp_host *host, const struct fp_allocator *allocator);
	/* The watched object that covers @address; -ENOENT: none that was born since the watch. */
	int (*live)(const struct fp_host *host, uint64_t address, struct fp_live *ret);
	/* A line for the report's warnings: what could not be observed, why, and what to do. */
	void (*warn)(const struct fp_host *host, const char *format, ...)
		__attribute__((format(printf, 2, 3)));
	/* The text, once for equal texts, until fp_provider.close(). NULL: out of memory. */
	const char *(*intern)(const struct fp_host *host, const char *text);
	/* Who is at the other end of the target's socket @fd, from the kernel, whatever of the
	 * target's memory is present; as fp_connection.peer. -EBADF, -ENOTSOCK, -ENOTCONN;
	 * -ENOTSUP: not known here. */
	int (*peer)(const struct fp_host *host, int fd, char text[64]);
	/* As watch(), of a function that returns 0 and puts the object where its argument
	 * @result_arg points, as posix_memalign() does. */
	int (*watch_result)(const struct fp_host *host, const struct fp_allocator *allocator,
			    int result_arg);
	/* All living watched objects, each once, also those within one another. A nonzero return
	 * of @fn ends it, and is returned. To be called as seldom as fp_provider.refresh() is. */
	int (*walk_live)(const struct fp_host *host, fp_live_fn fn, void *arg);
};

/* ---- what a provider tells ---- */

enum fp_age_source {
	FP_AGE_UNKNOWN,
	FP_AGE_ALLOCATED, /* its allocation was seen */
	FP_AGE_ACCEPTED,  /* when its connection (or request) was accepted, as the program noted it
			   */
	FP_AGE_AT_LEAST,  /* it was there when the run began: older than born_ns says */
};

struct fp_connection {
	uint64_t id;		/* tells it from all others of the target in this run */
	uint64_t born_ns;	/* accepted */
	uint64_t resolution_ns; /* of born_ns and used_ns: 1e9 where the program keeps seconds */
	uint64_t used_ns;	/* last activity */
	uint64_t waiting_bytes; /* in its buffers; UINT64_MAX: not known */
	const char *frontend, *backend; /* NULL: not known */
	char peer[64]; /* "192.0.2.1:4711", "[2001:db8::1]:4711", "unix"; "": not known */
};

struct fp_object {
	const char *type; /* "channel buffer", "stream"; never NULL */
	const char *pool; /* what the allocator calls it; NULL: not known */
	uint64_t base, size;
	enum fp_age_source age_source;
	uint64_t born_ns;
	uint64_t resolution_ns;
	uint64_t used_ns;			/* last used */
	const struct fp_connection *connection; /* NULL: none, or not known */
};
/* Strings and the connection are valid until the provider is called again, those from intern()
 * until close(). */

/* A nonzero return ends the walk, which returns it. */
typedef int (*fp_object_fn)(void *arg, const struct fp_object *object);

struct fp_provider {
	uint32_t abi;	  /* FAULTPROF_PROVIDER_ABI, as compiled */
	const char *name; /* in reports */
	const char *help; /* one line: what it knows */

	/* Is this target mine? 0 and *@ret, which is passed to all others; -ENOENT: no; another
	 * error: it is, but nothing can be said (host->warn() has told why). @host stays valid
	 * until close. Called while faults are counted already: must end within a second. */
	int (*open)(const struct fp_host *host, void **ret);
	/* A page that read() found absent is there now. Or NULL. */
	void (*present)(void *self, uint64_t page);
	/* The place for walks over all objects, or NULL. Called at the start and at the end, and
	 * when a fault hit what is not known: at most once a second, and so seldom that what it
	 * takes stays below 1 % of a core, for the kernel takes what is read for used and swaps it
	 * out later. Reads of the last round are forgotten before. */
	void (*refresh)(void *self);
	/* The object at @address as it was at @time_ns, some 100 ms ago. -ENOENT: not in an object
	 * of mine; -ENODATA: in one of mine perhaps, but the pages that would tell are not present.
	 */
	int (*find)(void *self, uint64_t address, uint64_t time_ns, struct fp_object *ret);
	/* All living objects of which it knows, once each. Or NULL. */
	int (*walk)(void *self, fp_object_fn fn, void *arg);
	void (*close)(void *self);
};

#endif
