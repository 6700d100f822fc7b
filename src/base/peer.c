/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

void peer_text(const struct sockaddr_storage *address, char text[PEER_TEXT])
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;
	char host[INET6_ADDRSTRLEN] = "";

	*text = 0;
	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, PEER_TEXT, "%s:%u", host, ntohs(in->sin_port));
	} else if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, PEER_TEXT, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else if (address->ss_family == AF_UNIX) {
		snprintf(text, PEER_TEXT, "unix");
	}
}
