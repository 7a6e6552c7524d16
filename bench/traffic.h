// SPDX-License-Identifier: Apache-2.0
/* What programs that make traffic have in common: words, a clock, and how they say what they made. */
#ifndef NETSRE_BENCH_TRAFFIC_H
#define NETSRE_BENCH_TRAFFIC_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static struct sockaddr_storage address;
static socklen_t address_bytes;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static void say(const char *word, uint64_t number)
{
	printf("%s %llu\n", word, (unsigned long long)number);
}

static void say_cpu(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
	say("cpu_ns", (uint64_t)spent.tv_sec * 1000000000ULL + (uint64_t)spent.tv_nsec);
}

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void parse_address(const char *text, const char *port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;

	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)atoi(port));
		address_bytes = sizeof(*four);
	} else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)atoi(port));
		address_bytes = sizeof(*six);
	} else {
		fail(text);
	}
}

static void reset(int fd)
{
	struct linger abrupt = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof(abrupt));
	close(fd);
}

static int bound(int kind)
{
	int one = 1, fd = socket(address.ss_family, kind, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, address_bytes) || (kind == SOCK_STREAM && listen(fd, 4096)))
		fail("listen");
	puts("ready");
	fflush(stdout);
	return fd;
}

static void stop_at_sigterm(void)
{
	struct sigaction ending = {.sa_handler = stop};

	/* Without SA_RESTART: accept is to return. */
	sigaction(SIGTERM, &ending, NULL);
	sigaction(SIGINT, &ending, NULL);
}

#endif
