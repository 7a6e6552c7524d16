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
 * number a line; "lag_ms" is how late the latest attempt began, "cpu_ns" the time of processors that it was charged
 * with, what the kernel did meanwhile for its packets included. Everything is closed by a reset: no port waits.
 */
#include "traffic.h"

#define MOST_FDS 65536
#define MOST_STARTS 64
#define WINDOW 64
#define EVENTS 256

static uint64_t made, answered, refused, other, held, lag_ns;
static uint64_t in_flight;
/* Attempts in the order in which they began; the number of a socket alone may be another one's by now. */
static struct {
	int fd;
	uint64_t began_ns;
} queue[MOST_FDS];
static uint64_t queue_head, queue_tail;
static uint64_t began_of[MOST_FDS];

static int serve(void)
{
	int fd = bound(SOCK_STREAM);

	while (!stopped) {
		int client = accept(fd, NULL, NULL);

		if (client >= 0) {
			answered++;
			reset(client);
		}
	}
	say("accepted", answered);
	say_cpu();
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
	say("nanoseconds", now_ns() - first);
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

	if (count < 4)
		return 2;
	stop_at_sigterm();
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
	say("made", made);
	say("answered", answered);
	say("refused", refused);
	say("held", held);
	say("other", other);
	say("lag_ms", lag_ns / 1000000ULL);
	say_cpu();
	return 0;
}
