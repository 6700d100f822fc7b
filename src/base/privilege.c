/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

static bool held(cap_t now, cap_value_t which)
{
	cap_flag_value_t value = CAP_CLEAR;

	cap_get_flag(now, which, CAP_PERMITTED, &value);
	return value == CAP_SET;
}

#define MAX_KEPT 3
static const struct {
	int nr;
	cap_value_t wanted[MAX_KEPT];
} kept[] = {
	[PRIVILEGE_READ] = { 2, { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH } },
	[PRIVILEGE_BPF] = { 3, { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_BPF } },
	[PRIVILEGE_PERFMON] = { 3, { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_PERFMON } },
	[PRIVILEGE_NAME] = { 3, { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER } },
	[PRIVILEGE_UPROBE] = { 3, { CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF } },
	[PRIVILEGE_LINK] = { 1, { CAP_BPF } },
};

int privilege_drop(enum privilege_keep keep)
{
	const cap_value_t *wanted = kept[keep].wanted;
	int nr = kept[keep].nr, r = 0;
	cap_t now = cap_get_proc(), next = cap_init();

	if (!now || !next)
		r = -ENOMEM;
	for (int i = 0; !r && i < nr; i++) {
		if (!held(now, wanted[i]))
			continue;
		if (cap_set_flag(next, CAP_PERMITTED, 1, &wanted[i], CAP_SET) ||
		    cap_set_flag(next, CAP_EFFECTIVE, 1, &wanted[i], CAP_SET))
			r = -errno;
	}
	if (!r)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (!r && cap_set_proc(next))
		r = -errno;
	cap_free(now);
	cap_free(next);
	return r;
}

int privilege_suspend_bpf(bool suspend)
{
	cap_value_t which[] = { CAP_BPF, CAP_SYS_ADMIN };
	cap_t now = cap_get_proc();
	int r = now ? 0 : -ENOMEM;

	for (int i = 0; !r && i < 2; i++) {
		if (held(now, which[i]) &&
		    cap_set_flag(now, CAP_EFFECTIVE, 1, &which[i], suspend ? CAP_CLEAR : CAP_SET))
			r = -errno;
	}
	if (!r && cap_set_proc(now))
		r = -errno;
	cap_free(now);
	return r;
}
