/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The tool's own provider of nginx, with a log. */
#include "provider/registry.h"
#include "provider_log.h"

PROVIDER_LOGGED(provider_nginx, "nginx");
