/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef BASE_PEER_H
#define BASE_PEER_H

#include <sys/socket.h>

#define PEER_TEXT 64

/* "192.0.2.1:4711", "[2001:db8::1]:4711", "unix"; "" for any other family. */
void peer_text(const struct sockaddr_storage *address, char text[PEER_TEXT]);

#endif
