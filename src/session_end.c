/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_end.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define PATIENCE_MS 3000
#define STEP_MS 10

static volatile sig_atomic_t interrupted;
static volatile pid_t command_pid;
static volatile uint64_t command_end_ns; /* 0: it runs */
static volatile int command_status;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

/* Its end as it was: we may be busy with its faults for a while. */
static void on_child(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	if (info->si_pid != command_pid)
		return;
	command_status = info->si_code == CLD_EXITED ? info->si_status : -info->si_status;
	command_end_ns = clock_now_ns();
}

void end_on_interrupt(void (*handler)(int number))
{
	/* Without SA_RESTART: a wait has to end. The second one ends us at once. */
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void end_catch(const struct command *command)
{
	struct sigaction child = { .sa_sigaction = on_child,
				   .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP };

	end_on_interrupt(on_signal);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a write error like others */
	command_pid = command->pid;
	if (command->pid)
		sigaction(SIGCHLD, &child, NULL);
}

bool end_interrupted(void)
{
	return interrupted;
}

uint64_t end_of_command_ns(void)
{
	return command_end_ns;
}

static void wait_for_end(void)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };

	for (int waited = 0; !command_end_ns && waited < PATIENCE_MS; waited += STEP_MS)
		nanosleep(&step, NULL);
}

int end_command(const struct command *command)
{
	if (!command->pid || command_end_ns)
		return command->pid ? command_status : 0;
	kill(command->pid, SIGTERM);
	wait_for_end();
	if (command_end_ns)
		return 0;
	kill(command->pid, SIGKILL);
	wait_for_end();
	return 0;
}
