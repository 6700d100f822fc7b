/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a service tells its manager, by the protocol of sd_notify(3). Without a manager that wants
 * to hear it (NOTIFY_SOCKET), nothing happens. */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stdint.h>

void notify_send(const char *state); /* "READY=1" … */
/* How often "WATCHDOG=1" is to be sent at least, in ns; 0: nobody wants it of this process. */
uint64_t notify_watchdog_ns(void);

#endif
