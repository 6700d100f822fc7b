/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Puts files into one, as tar and its like do. */
#ifndef COLLECT_PACKER_H
#define COLLECT_PACKER_H

struct packer;

/* Writes to @fd, which stays the caller's. How, the ending of @name says: .tar, .tar.gz, .tar.xz,
 * .zip. 0; -EINVAL: no such ending; -ENOMEM; or -errno. */
int packer_new(int fd, const char *name, struct packer **ret);
/* The whole file that @fd refers to, as @name. 0, or -errno, then it cannot go on. */
int packer_add(struct packer *packer, const char *name, int fd);
/* Ends it, and frees it in any case. 0 or -errno. */
int packer_finish(struct packer *packer);
void packer_abort(struct packer *packer); /* NULL is fine */

#endif
