/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A command to be profiled: it waits at its start until the collector is ready. */
#ifndef COLLECT_COMMAND_H
#define COLLECT_COMMAND_H

#include <sys/types.h>

struct command {
	pid_t pid; /* 0: none */
	int go;	   /* a byte lets it exec; closing ends it */
	int error; /* errno of its exec, or end of file */
};

/* @argv ends with NULL. 0 or -errno. */
int command_prepare(struct command *command, char *const *argv);
/* Lets it go. 0, or -errno of its exec. */
int command_go(struct command *command);
/* Ends it if it never got its go; otherwise it is left alone. */
void command_release(struct command *command);

#endif
