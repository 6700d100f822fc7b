/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the two halves of the nginx provider share: nginx.c is the provider, nginx_visit.c reads
 * what hangs on one connection. All positions come from the debug info of the binary. */
#ifndef PROVIDER_NGINX_H
#define PROVIDER_NGINX_H

#include "provider/owners.h"

#define NGINX_NAMES 256
#define NGINX_CONNECTION_MAX 1024

/* In the order of the table in nginx.c. */
enum nginx_member {
	CYCLE_CONNECTIONS,
	CYCLE_CONNECTION_N,
	CYCLE_READ_EVENTS,
	CYCLE_WRITE_EVENTS,
	C_DATA,
	C_FD,
	C_LISTENING,
	C_POOL,
	C_SOCKADDR,
	C_NUMBER,
	POOL_END,
	POOL_NEXT,
	POOL_MAX,
	POOL_LARGE,
	LARGE_NEXT,
	LARGE_ALLOC,
	BUF_POS,
	BUF_LAST,
	BUF_START,
	BUF_END,
	CHAIN_BUF,
	CHAIN_NEXT,
	LISTENING_ADDR_TEXT,
	NGINX_REQUIRED, /* what follows, not every build or version has */

	C_START_TIME = NGINX_REQUIRED,
	C_BUFFER,
	R_SIGNATURE,
	R_CONNECTION,
	R_SRV_CONF,
	R_UPSTREAM,
	R_POOL,
	R_HEADER_IN,
	R_REQUEST_BODY,
	R_START_SEC,
	R_START_MSEC,
	R_HTTP_CONNECTION,
	HC_BUSY,
	HC_FREE,
	BODY_BUF,
	U_PIPE,
	U_UPSTREAM,
	U_FROM_CLIENT,
	U_BUFFER,
	U_SRV_CONF_HOST,
	PIPE_FREE_RAW,
	PIPE_IN,
	PIPE_OUT,
	PIPE_BUSY,
	SERVER_NAME,
	MODULE_CTX_INDEX,
	S_SIGNATURE,
	S_CONNECTION,
	S_START_SEC,
	S_START_MSEC,
	S_UPSTREAM,
	SU_DOWNSTREAM_BUF,
	SU_UPSTREAM_BUF,
	SU_UPSTREAM,
	SU_SRV_CONF_HOST,
	NGINX_MEMBERS
};

/* A name in the configuration, which stays where and as it is while a worker lives. */
struct nginx_name {
	uint64_t owner; /* address of the structure that has it; 0: none */
	const char *text;
};

/* What was read of a connection stays true, also when its page is swapped out again. */
struct nginx_memo {
	uint64_t number; /* of the connection that the slot had then */
	const char *frontend, *backend;
	char peer[64];
};

struct nginx {
	const struct fp_host *host;
	struct owners *owners;
	struct fp_member at[NGINX_MEMBERS]; /* size 0: not in this build */
	uint64_t connection_size, event_size;
	uint64_t session_size, stream_upstream_size; /* 0: without the stream module */
	uint64_t cycle;				     /* address of ngx_cycle, a pointer */
	uint64_t http_module;			     /* of ngx_http_core_module; 0: none */
	bool cycle_read; /* else it is not known whether there are connections */
	uint64_t connections, read_events, write_events;
	unsigned int nr;
	struct nginx_memo *memos; /* of each slot */
	struct nginx_name names[NGINX_NAMES];
};

/* The visit_fn. */
void nginx_visit(void *nginx, struct visit *visit, unsigned int slot);

#endif
