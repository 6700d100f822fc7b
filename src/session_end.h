/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What ends a run before its time: a signal to us, or the end of the command. */
#ifndef SESSION_END_H
#define SESSION_END_H

#include <stdbool.h>
#include <stdint.h>

#include "collect/command.h"

/* Has @handler called at SIGINT and SIGTERM, of which the second ends the process; and a pipe that
 * nobody reads is a write error. */
void end_on_interrupt(void (*handler)(int number));
/* From here on, signals end the run, not the process. */
void end_catch(const struct command *command);
bool end_interrupted(void);
uint64_t end_of_command_ns(void); /* 0: it runs, or there is none */
/* Ends a command that runs still, as one that outlives its run would be in the way of the next one.
 * What it ended with, if that was its own doing: 0, an exit status, or a signal below 0. */
int end_command(const struct command *command);

#endif
