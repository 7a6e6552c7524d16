// SPDX-License-Identifier: Apache-2.0
/*
 * Traffic of a known amount, at a rate that does not wait for answers.
 *
 *	traffic serve ADDRESS PORT		accepts, and resets what it accepted
 *	traffic connect ADDRESS PORT RATE SECONDS HOLD_MS
 *	traffic send ADDRESS PORT RATE SECONDS	datagrams, to nobody
 *
 * RATE is for each second; 0 is as fast as can be, with WINDOW connections in flight. An attempt without an answer
 * is closed after HOLD_MS. At its end, or at SIGTERM, it prints what it made and what came of it, one word and one
 * number a line; "lag_ms" is how late the latest attempt began. Everything is closed by a reset: no port waits.
 */
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

#define MOST_FDS 65536
#define MOST_STARTS 64
#define WINDOW 64
#define EVENTS 256

static volatile sig_atomic_t stopped;
static struct sockaddr_storage address;
static socklen_t address_bytes;

static uint64_t made, answered, refused, other, held, lag_ns;
static uint64_t in_flight;
/* Attempts in the order in which they began; the number of a socket alone may be another one's by now. */
static struct {
	int fd;
	uint64_t began_ns;
} queue[MOST_FDS];
static uint64_t queue_head, queue_tail;
static uint64_t began_of[MOST_FDS];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
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

static int serve(void)
{
	int one = 1, fd = socket(address.ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, address_bytes) || listen(fd, 4096))
		fail("listen");
	puts("ready");
	fflush(stdout);
	while (!stopped) {
		int client = accept(fd, NULL, NULL);

		if (client >= 0) {
			answered++;
			reset(client);
		}
	}
	printf("accepted %llu\n", (unsigned long long)answered);
	return 0;
}

/* Counts what came of an attempt. A reset is an answer: the server is quick to close what it accepted. */
static void ended(int fd, int error)
{
	if (error == 0 || error == ECONNRESET || error == EPIPE)
		answered++;
	else if (error == ECONNREFUSED)
		refused++;
	else
		other++;
	began_of[fd] = 0;
	in_flight--;
	reset(fd);
}

static int begin(int poll)
{
	struct epoll_event wanted = {.events = EPOLLOUT};
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || fd >= MOST_FDS) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	made++;
	in_flight++;
	began_of[fd] = now_ns();
	if (connect(fd, (struct sockaddr *)&address, address_bytes) == 0) {
		ended(fd, 0);
		return 1;
	}
	if (errno != EINPROGRESS) {
		ended(fd, errno);
		return 1;
	}
	queue[queue_tail % MOST_FDS].fd = fd;
	queue[queue_tail++ % MOST_FDS].began_ns = began_of[fd];
	wanted.data.fd = fd;
	epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
	return 1;
}

static void give_up(uint64_t now, uint64_t hold_ns)
{
	while (queue_head != queue_tail) {
		int fd = queue[queue_head % MOST_FDS].fd;
		uint64_t began = queue[queue_head % MOST_FDS].began_ns;

		if (began_of[fd] == began) {
			/* It may have begun since we looked at the clock. */
			if (now < began + hold_ns)
				return;
			held++;
			in_flight--;
			began_of[fd] = 0;
			reset(fd);
		}
		queue_head++;
	}
}

static void harvest(int poll, int milliseconds)
{
	struct epoll_event events[EVENTS];
	int found = epoll_wait(poll, events, EVENTS, milliseconds);

	for (int at = 0; at < found; at++) {
		int error = 0, fd = events[at].data.fd;
		socklen_t bytes = sizeof(error);

		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
		ended(fd, error);
	}
}

/* How many attempts are to have begun by now. */
static uint64_t due_at(uint64_t elapsed_ns, uint64_t rate)
{
	return rate ? elapsed_ns / 1000ULL * rate / 1000000ULL : made + (in_flight < WINDOW ? WINDOW - in_flight : 0);
}

static int connect_all(uint64_t rate, double seconds, uint64_t hold_ns)
{
	uint64_t first = now_ns(), last = first + (uint64_t)(seconds * 1e9), now;
	int poll = epoll_create1(0);

	while ((now = now_ns()) < last && !stopped) {
		uint64_t due = due_at(now - first, rate);

		if (rate && due > made) {
			uint64_t late = (now - first) - made * 1000000000ULL / rate;

			lag_ns = late > lag_ns ? late : lag_ns;
		}
		for (int count = 0; made < due && count < MOST_STARTS && begin(poll); count++)
			;
		harvest(poll, made < due || !rate ? 0 : 1);
		give_up(now, hold_ns);
	}
	printf("nanoseconds %llu\n", (unsigned long long)(now_ns() - first));
	while (in_flight) {
		harvest(poll, 10);
		give_up(now_ns(), hold_ns);
	}
	return 0;
}

static int send_all(uint64_t rate, double seconds)
{
	uint64_t first = now_ns(), last = first + (uint64_t)(seconds * 1e9), now;
	int fd = socket(address.ss_family, SOCK_DGRAM, 0);

	if (fd < 0)
		fail("socket");
	while ((now = now_ns()) < last && !stopped) {
		for (uint64_t due = due_at(now - first, rate); made < due; made++)
			if (sendto(fd, "", 1, 0, (struct sockaddr *)&address, address_bytes) != 1)
				other++;
		usleep(1000);
	}
	return 0;
}

int main(int count, char **words)
{
	struct rlimit most = {.rlim_cur = MOST_FDS, .rlim_max = MOST_FDS};
	struct sigaction ending = {.sa_handler = stop};

	if (count < 4)
		return 2;
	/* Without SA_RESTART: accept is to return. */
	sigaction(SIGTERM, &ending, NULL);
	sigaction(SIGINT, &ending, NULL);
	setrlimit(RLIMIT_NOFILE, &most);
	parse_address(words[2], words[3]);
	if (!strcmp(words[1], "serve"))
		return serve();
	if (!strcmp(words[1], "connect") && count == 7)
		connect_all((uint64_t)atoll(words[4]), atof(words[5]), (uint64_t)atoll(words[6]) * 1000000ULL);
	else if (!strcmp(words[1], "send") && count == 6)
		send_all((uint64_t)atoll(words[4]), atof(words[5]));
	else
		return 2;
	printf("made %llu\nanswered %llu\nrefused %llu\nheld %llu\nother %llu\nlag_ms %llu\n", (unsigned long long)made,
	       (unsigned long long)answered, (unsigned long long)refused, (unsigned long long)held,
	       (unsigned long long)other, (unsigned long long)lag_ns / 1000000ULL);
	return 0;
}
