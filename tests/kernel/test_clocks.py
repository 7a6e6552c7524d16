"""The agent where the wall clock is set, and where the monotonic clock is not the kernel's.

Nobody's clock is changed: a small library in front of the C library answers the agent, and it alone, with a
wall clock that is off by what a file says; a time namespace is the agent's own.
"""

import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from netsre import conventions as c
from netsre.datapath.flows import STALL_NS
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, Place
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns", "cc", "unshare")]
DAY = 86_400
_LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long long off(void)
{
	long long seconds = 0;
	const char *name = getenv("TEST_WALL_CLOCK");
	FILE *file = name ? fopen(name, "re") : NULL;

	if (file) {
		if (fscanf(file, "%lld", &seconds) != 1)
			seconds = 0;
		fclose(file);
	}
	return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, at);

	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		at->tv_sec += off();
	return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
	int result = real(at, zone);

	at->tv_sec += off();
	return result;
}

time_t time(time_t *at)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}
"""


@pytest.fixture
def wall_clock(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the file that says by how many seconds the agent's wall clock is off."""
    path = tmp_path / "off"
    path.write_text("0", encoding="ascii")
    return path


@pytest.fixture
def agent(tmp_path: pathlib.Path, wall_clock: pathlib.Path) -> Iterator[Running]:
    """Run an agent that can be told another time of day."""
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(_LIBRARY, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "TEST_WALL_CLOCK": str(wall_clock)}
    with running("--flow-log", str(tmp_path / "flows.jsonl"), environment=environment) as agent:
        yield agent


def value(agent: Running, name: str) -> float:
    """Return a metric without labels."""
    return agent.samples()[(name, ())]


def outcomes(agent: Running, place: Place) -> tuple[int, int, int]:
    """Return how many were delivered, refused, and failed in another way."""
    found = agent.outcomes(place.name)
    refused = found.get(("failed", "refused"), 0)
    failed = sum(count for (outcome, _), count in found.items() if outcome == "failed")
    return found.get(("delivered", "none"), 0), refused, failed - refused


def test_a_wall_clock_that_is_set_changes_no_count_and_no_latency(
    agent: Running, wall_clock: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A day ahead and a year back, also while attempts wait: each is what it was, and once."""
    with attempts.place() as place:
        started, turns = value(agent, c.PROCESS_START_TIME), (0, DAY, -365 * DAY)
        for turn, off in enumerate(turns, 1):
            place.run(partial(attempts.accepted, socket.AF_INET))
            begun = time.monotonic()
            with attempts.waiting(place, socket.AF_INET6):
                # Half of a stall before the clock is set, half of it afterwards.
                time.sleep(1)
                wall_clock.write_text(str(off), encoding="ascii")
                place.run(partial(attempts.failing, socket.AF_INET, attempts.REFUSED_PORT))
                expected = (turn * COUNT, turn * COUNT, turn * COUNT)
                early = outcomes(agent, place)[2]
                assert early == (turn - 1) * COUNT or time.monotonic() >= begun + STALL_NS / 1e9
                assert wait_until(lambda expected=expected: outcomes(agent, place) == expected)  # type: ignore[misc]
        samples, failed = agent.samples(), agent.failed()
        lines = (tmp_path / "flows.jsonl").read_text(encoding="ascii").splitlines()

    assert samples[(c.PROCESS_START_TIME, ())] == started
    end = (("direction", "egress"), ("dst", "loopback"), ("protocol", "tcp"), ("src", place.name))
    assert samples[(f"{c.FLOW_CONNECT_SECONDS}_count", end)] == len(turns) * COUNT
    assert samples[(f"{c.FLOW_CONNECT_SECONDS}_sum", end)] < len(turns) * COUNT
    assert all(0 <= number < DAY for (name, _), number in samples.items() if name == c.AGENT_COLLECT_SECONDS)
    assert failed == {}
    # Lines carry the time of day as it was said to be when they were written: of three years.
    assert len({line[:13] for line in lines if '"refused"' in line}) >= 2


def test_in_a_time_namespace_the_agent_says_that_it_cannot_tell_what_stalls() -> None:
    """There its monotonic clock is not the one by which the kernel's programs write down beginnings."""
    command = ["unshare", "--time", "--monotonic", str(DAY), "--fork", "--", sys.executable, "-m", "netsre"]
    done = subprocess.run([*command, "agent"], capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 3
    assert done.stderr.startswith("error: the agent runs in a time namespace")
    assert len(done.stderr.splitlines()) == 1
