/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * HAProxy's own stats socket. To answer, HAProxy walks through all of its sessions, and so swaps
 * them in: only for who asks for it, and only while no fault is counted.
 */
#ifndef PROVIDER_HAPROXY_SOCKET_H
#define PROVIDER_HAPROXY_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

/* Asks the socket at @path, of one of the processes @pids, for its connections: the provider of
 * that process will know them, and ask again in its walk(). To be called before faults are counted,
 * with the privilege to connect. Takes at most a minute. 0, or -errno after filling @why with one
 * line for the user. */
int provider_haproxy_ask(const char *path, const pid_t *pids, size_t nr, char *why, size_t size);
/* What nobody took. */
void provider_haproxy_forget(void);

#endif
