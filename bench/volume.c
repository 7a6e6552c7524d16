// SPDX-License-Identifier: Apache-2.0
/*
 * As much as can be, in bytes or in packets.
 *
 *	volume sink ADDRESS PORT		accepts, and reads whatever comes
 *	volume stream ADDRESS PORT STREAMS SECONDS	writes over so many connections
 *	volume absorb ADDRESS PORT		reads datagrams
 *	volume flood ADDRESS PORT SECONDS	sends datagrams of 16 bytes
 *
 * At its end, or at SIGTERM, it prints one word and one number a line, as traffic.c does.
 */
#include "traffic.h"

#define EVENTS 64
#define CHUNK (256 * 1024)
#define DATAGRAM 16
#define BURST 64

static char chunk[CHUNK];

static void watch(int poll, int fd, uint32_t what)
{
	struct epoll_event wanted = {.events = what, .data.fd = fd};

	epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
}

static int sink(void)
{
	struct epoll_event events[EVENTS];
	int poll = epoll_create1(0), listener = bound(SOCK_STREAM);
	uint64_t bytes = 0;

	watch(poll, listener, EPOLLIN);
	while (!stopped) {
		int found = epoll_wait(poll, events, EVENTS, 100);

		for (int at = 0; at < found; at++) {
			ssize_t got;

			if (events[at].data.fd == listener) {
				watch(poll, accept(listener, NULL, NULL), EPOLLIN);
				continue;
			}
			got = read(events[at].data.fd, chunk, CHUNK);
			if (got > 0)
				bytes += (uint64_t)got;
			else
				reset(events[at].data.fd);
		}
	}
	say("bytes", bytes);
	say_cpu();
	return 0;
}

static int absorb(void)
{
	int fd = bound(SOCK_DGRAM);
	uint64_t received = 0;

	while (!stopped)
		if (recv(fd, chunk, CHUNK, 0) >= 0)
			received++;
	say("received", received);
	say_cpu();
	return 0;
}

static int connected(int kind)
{
	int fd = socket(address.ss_family, kind, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, address_bytes))
		fail("connect");
	return fd;
}

static int stream(int streams, double seconds)
{
	struct epoll_event events[EVENTS];
	int poll = epoll_create1(0), fds[EVENTS];
	uint64_t first, last, bytes = 0;

	if (streams < 1 || streams > EVENTS)
		return 2;
	for (int at = 0; at < streams; at++) {
		fds[at] = connected(SOCK_STREAM);
		fcntl(fds[at], F_SETFL, O_NONBLOCK);
		watch(poll, fds[at], EPOLLOUT);
	}
	first = now_ns();
	last = first + (uint64_t)(seconds * 1e9);
	while (now_ns() < last && !stopped) {
		int found = epoll_wait(poll, events, EVENTS, 10);

		for (int at = 0; at < found; at++) {
			ssize_t put = write(events[at].data.fd, chunk, CHUNK);

			if (put > 0)
				bytes += (uint64_t)put;
			else if (errno != EAGAIN)
				fail("write");
		}
	}
	say("nanoseconds", now_ns() - first);
	say("bytes", bytes);
	say_cpu();
	for (int at = 0; at < streams; at++)
		reset(fds[at]);
	return 0;
}

static int flood(double seconds)
{
	int fd = connected(SOCK_DGRAM);
	uint64_t first = now_ns(), last = first + (uint64_t)(seconds * 1e9);
	uint64_t made = 0, other = 0;

	while (now_ns() < last && !stopped)
		for (int count = 0; count < BURST; count++)
			if (send(fd, chunk, DATAGRAM, 0) == DATAGRAM)
				made++;
			else
				other++;
	say("nanoseconds", now_ns() - first);
	say("made", made);
	say("other", other);
	say_cpu();
	return 0;
}

int main(int count, char **words)
{
	if (count < 4)
		return 2;
	stop_at_sigterm();
	parse_address(words[2], words[3]);
	if (!strcmp(words[1], "sink"))
		return sink();
	if (!strcmp(words[1], "absorb"))
		return absorb();
	if (!strcmp(words[1], "stream") && count == 6)
		return stream(atoi(words[4]), atof(words[5]));
	if (!strcmp(words[1], "flood") && count == 5)
		return flood(atof(words[4]));
	return 2;
}
