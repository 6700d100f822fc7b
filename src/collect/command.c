/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_child(int go, int error, char *const *argv)
{
	char byte;

	if (read(go, &byte, 1) != 1)
		_exit(0);
	execvp(argv[0], argv);
	int e = errno;
	if (write(error, &e, sizeof(e)) != sizeof(e))
		_exit(126);
	_exit(127);
}

int command_prepare(struct command *command, char *const *argv)
{
	int go[2], error[2], r;

	if (pipe2(go, O_CLOEXEC))
		return -errno;
	if (pipe2(error, O_CLOEXEC)) {
		r = -errno;
		close(go[0]);
		close(go[1]);
		return r;
	}
	command->pid = fork();
	if (!command->pid) {
		close(go[1]);
		close(error[0]);
		run_child(go[0], error[1], argv);
	}
	r = command->pid < 0 ? -errno : 0;
	close(go[0]);
	close(error[1]);
	command->go = go[1];
	command->error = error[0];
	if (r) {
		close(go[1]);
		close(error[0]);
		command->pid = 0;
	}
	return r;
}

int command_go(struct command *command)
{
	int e = 0;
	ssize_t n;

	if (write(command->go, "", 1) != 1)
		return -errno;
	close(command->go);
	command->go = -1;
	do
		n = read(command->error, &e, sizeof(e));
	while (n < 0 && errno == EINTR);
	close(command->error);
	command->error = -1;
	return n == sizeof(e) ? -e : 0;
}

void command_release(struct command *command)
{
	if (!command->pid)
		return;
	if (command->go >= 0) {
		close(command->go);
		close(command->error);
		waitpid(command->pid, NULL, 0);
	} else {
		waitpid(command->pid, NULL, WNOHANG);
	}
	command->pid = 0;
}
