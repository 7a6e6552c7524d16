"""The agent's own probes: which are attached, what they cost, and what the verifier said of them."""

from collections.abc import Iterable, Mapping
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.session import Session
from netsre.datapath.probes import FLOWS, PROBES
from netsre.metrics.readings import Readings

NOT_WANTED: Final = "not_wanted"
"""The reason of a probe that was left out on request."""
SHED: Final = "shed"
"""The reason of a probe that was given up to keep to the budget."""
NOT_NEEDED: Final = "not_needed"
"""What stands beside 1 for a probe that would be attached if there were anything to measure."""
_PROGRAM_TYPE: Final = "tracing"


class ProbeSensor:
    """Reads what the kernel says of programs."""

    name = "probes"

    def __init__(self, opened: Mapping[str, Session | ProbeUnfit], left_out: Iterable[str] = ()) -> None:
        """Speak of probes by name: those that could not be attached too, and those that nobody wants."""
        self._opened = opened
        self._left_out = sorted(left_out)
        self.given_up: dict[str, str] = {}
        """Probes that are attached no more to save their cost, and why."""
        self.refused: dict[str, ProbeUnfit] = {}
        """Probes that the kernel did not take when they came to be needed."""

    def scan(self, now: float) -> None:
        """Do nothing: the kernel counts."""

    def read(self, readings: Readings, now: float) -> None:
        """Add loads, verification and run-time statistics."""
        del now
        for name, session in self._opened.items():
            if isinstance(session, ProbeUnfit):
                readings.put(c.AGENT_PROBE_UP, (name, session.reason), 0)
            elif name in self.given_up:
                readings.put(c.AGENT_PROBE_UP, (name, SHED), 0)
            elif name in self.refused:
                readings.put(c.AGENT_PROBE_UP, (name, self.refused[name].reason), 0)
            else:
                idle = session.probe.on_demand and not session.attached
                readings.put(c.AGENT_PROBE_UP, (name, NOT_NEEDED if idle else ""), 1)
                self._put_runs(readings, session)
        flows = self._opened.get(FLOWS.name)
        counted = flows.are_runs_counted() if isinstance(flows, Session) else None
        if counted is not None:
            readings.put(c.BPF_RUN_STATISTICS, (), int(counted))
        for name in self._left_out:
            readings.put(c.AGENT_PROBE_LEFT_OUT, (name,), 1)
        self._put_loads(readings)

    @property
    def absent(self) -> list[str]:
        """Return a line about each probe that could not be attached, or is not any more."""
        unfit = [
            _line(name, session.reason, str(session))
            for name, session in (*self._opened.items(), *self.refused.items())
            if isinstance(session, ProbeUnfit)
        ]
        return [*unfit, *(_line(name, SHED, f"the agent took {why}") for name, why in self.given_up.items())]

    @property
    def left_out(self) -> list[str]:
        """Return a line about each probe that nobody wants."""
        return [_line(name, NOT_WANTED, "left out with --without") for name in self._left_out]

    def may_measure(self, name: str) -> bool:
        """Tell whether a probe is what was asked for: attached, or left out."""
        return self.is_attached(name) or name in self._left_out

    def is_attached(self, name: str) -> bool:
        """Tell whether a probe measures now."""
        return isinstance(self._opened.get(name), Session) and name not in self.given_up

    def kernel_seconds(self) -> float:
        """Return the time that all programs took in the kernel so far, while run-time statistics are on."""
        sessions = [session for session in self._opened.values() if isinstance(session, Session)]
        runs = [figures for session in sessions for figures in session.run_statistics().values()]
        return sum(figures.nanoseconds for figures in runs) / 1e9

    def shed(self, name: str, why: str) -> None:
        """Detach a probe, and say that it was given up."""
        session = self._opened[name]
        if isinstance(session, Session):
            session.detach()
            self.given_up[name] = why

    def resume(self, name: str) -> None:
        """Attach a probe again that was given up; raises `OSError` when the kernel does not take it."""
        session = self._opened[name]
        if isinstance(session, Session):
            session.attach()
            del self.given_up[name]

    def close(self) -> None:
        """Detach everything."""
        for session in self._opened.values():
            if isinstance(session, Session):
                session.close()

    def _put_runs(self, readings: Readings, session: Session) -> None:
        for program, figures in session.run_statistics().items():
            readings.put(c.BPF_RUNS, (program,), figures.runs)
            readings.put(c.BPF_RUN_SECONDS, (program,), figures.nanoseconds / 1e9)
            readings.put(c.BPF_MISSED_RUNS, (program,), figures.missed)

    def _put_loads(self, readings: Readings) -> None:
        sessions = [session for session in self._opened.values() if isinstance(session, Session)]
        refused = [session.reason for session in self._opened.values() if isinstance(session, ProbeUnfit)]
        for reason in sorted(set(refused)):
            what = (c.OWNER, _PROGRAM_TYPE, "error", reason)
            readings.put(c.BPF_PROGRAM_LOADS, what, refused.count(reason))
        if sessions:
            what = (c.OWNER, _PROGRAM_TYPE, "ok", "none")
            readings.put(c.BPF_PROGRAM_LOADS, what, sum(len(one.program_fds) for one in sessions))
            readings.put(c.BPF_VERIFIER_SECONDS, what, sum(one.verifier_seconds for one in sessions))
            readings.put(
                c.BPF_VERIFIER_INSTRUCTIONS, what, sum(one.verifier_instructions for one in sessions)
            )


def _line(name: str, reason: str, why: str) -> str:
    """Say what is missing, why, and what that costs."""
    loss = next((probe.loss for probe in PROBES if probe.name == name), "")
    return f"{name}: {reason}: {why}" + (f"; {loss}" if loss else "")
