"""What is declared of each probe."""

import pytest

from netsre.datapath.probes import PROBES, Probe


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_probe_says_what_it_costs_to_be_without_it(probe: Probe) -> None:
    """Half a sentence that goes on behind the reason, in `/readyz`."""
    assert probe.loss
    assert probe.loss[0].islower()
    assert probe.loss[-1] != "."
