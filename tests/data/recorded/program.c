/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The program of the stored recording: it is never run, it has names. The file below .build-id is
 * what these made of it, and the addresses in tests/unit/test_recorded.c are those of that file:
 *
 *	gcc -O2 -g -nostdlib -static -no-pie -fno-asynchronous-unwind-tables -fcf-protection=none \
 *		-Wl,--build-id -Wl,-z,noseparate-code \
 *		-fdebug-prefix-map=$PWD=/src -o proxy program.c
 *	objcopy --remove-section=.comment proxy
 */
static char memory[1 << 20];

static inline void touch(unsigned int page)
{
	memory[page * 4096] = 1;
}

__attribute__((noipa)) void h1_send(unsigned int page)
{
	touch(page);
	memory[page * 4096 + 1] = 2;
}

__attribute__((noipa)) long read(int fd, void *buffer, unsigned long size)
{
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(0), "D"(fd), "S"(buffer), "d"(size)
			 : "rcx", "r11", "memory");
	return r;
}

__attribute__((noipa)) void raw_sock_to_buf(unsigned int page)
{
	read(0, memory + page * 4096, 4096);
}

__attribute__((noipa)) void process_stream(unsigned int page)
{
	h1_send(page);
	raw_sock_to_buf(page + 1);
}

__attribute__((noreturn)) void _start(void)
{
	for (unsigned int page = 0;; page++)
		process_stream(page % 250);
}
