"""The on-call board as data and as bytes."""

import itertools
import json
import pathlib
import re
from decimal import Decimal
from typing import Any, Final

import pytest

from netsre import clock
from netsre.app import resources
from netsre.dashboards import boards, panels, render, service_levels
from netsre.dashboards.panels import Panel
from netsre.errors import BadInput
from netsre.metrics.registry import REGISTRY
from netsre.model.levels import LatencyIndicator
from tests.unit.dashboards import examples

TEMPLATES: Final = {
    path.name: path.read_text(encoding="utf-8")
    for path in (resources.directory("dashboards") / "templates").glob("*.j2")
}
BOARD: Final = boards.on_call(examples.every_kind(), examples.LINKS)
CONTENT: Final = render.render(BOARD, TEMPLATES)
DOCUMENT: Final[dict[str, Any]] = json.loads(CONTENT)
PANELS: Final = tuple(panel for section in BOARD.sections for panel in section.panels)
GRAPHS: Final = [panel for panel in DOCUMENT["panels"] if panel["type"] != "row"]


def panel(key: str) -> Panel:
    """Return a panel of the board by its key."""
    return next(found for found in PANELS if found.key == key)


def test_panels_stay_inside_the_grid_and_apart() -> None:
    """No panel leaves the 24 columns, none lies on another, and no row is crowded."""
    taken: set[tuple[int, int]] = set()
    for placed in panels.place(BOARD):
        spot = placed.place
        assert 0 <= spot.x <= spot.x + spot.w <= panels.COLUMNS
        cells = set(itertools.product(range(spot.x, spot.x + spot.w), range(spot.y, spot.y + spot.h)))
        assert not cells & taken, placed.title
        taken |= cells
    starts = [placed.place.y for placed in panels.place(BOARD) if placed.panel]
    assert max(map(starts.count, starts)) <= 4


def test_every_cell_of_a_row_is_used() -> None:
    """Each line of panels fills the grid: a gap on the right looks like a panel that did not load."""
    for y in {placed.place.y for placed in panels.place(BOARD)}:
        assert sum(placed.place.w for placed in panels.place(BOARD) if placed.place.y == y) == panels.COLUMNS


def test_ids_are_unique_and_do_not_depend_on_the_order() -> None:
    """An id comes from board and key alone, so that links to a panel survive new neighbours."""
    ids = {placed.id for placed in panels.place(BOARD)}
    assert len(ids) == len(panels.place(BOARD))
    assert all(0 < number < 2**31 for number in ids)
    alone = boards.on_call([examples.slo("ratio", examples.RATIO)], examples.LINKS)
    key = "slo/ratio/budget"
    (again,) = (placed for placed in panels.place(alone) if placed.panel and placed.panel.key == key)
    assert again.id in ids
    assert again.id == panels.panel_id("netsre-on-call", key) == 248008812


def test_the_same_input_gives_the_same_bytes() -> None:
    """Neither the order of the SLOs nor a second run changes anything."""
    shuffled = boards.on_call(tuple(reversed(examples.every_kind())), examples.LINKS)
    assert render.render(shuffled, TEMPLATES) == CONTENT
    assert CONTENT.endswith(b"}\n")


def test_the_board_says_who_made_it() -> None:
    """A person who opens it learns that it is generated and by which command."""
    assert "netsre generate dashboards" in DOCUMENT["description"]
    assert {"netsre", "generated"} <= set(DOCUMENT["tags"])
    assert DOCUMENT["editable"] is False
    assert DOCUMENT["schemaVersion"] == 42
    assert len(DOCUMENT["uid"]) <= 40
    assert not {"id", "version", "iteration", "__inputs", "pluginVersion"} & set(DOCUMENT)


def test_every_panel_explains_itself() -> None:
    """Each panel says what to do and what each of its metrics means, in the registry's words."""
    for shown, model in zip(GRAPHS, PANELS, strict=True):
        assert len(model.advice) > 40, model.key
        for name in {name for query in model.queries for name in query.expr.metrics}:
            assert REGISTRY[name].help in shown["description"]


def test_every_panel_has_a_unit_and_thresholds_of_its_own() -> None:
    """No unit is guessed, and nobody sees the famous untouched 80."""
    for shown in GRAPHS:
        defaults = shown["fieldConfig"]["defaults"]
        assert defaults["unit"] in set(render.UNIT_IDS.values())
        values = [step["value"] for step in defaults["thresholds"]["steps"]]
        assert values == sorted(values)
        assert values
        assert 80 not in values


def test_rates_use_the_scrape_interval_that_grafana_knows() -> None:
    """No literal window: it would be empty for slow scrapes and wrong for fast ones."""
    for model in PANELS:
        for query in model.queries:
            ranges = re.findall(r"\[([^]]*)\]", query.expr.text)
            assert set(ranges) <= {"$__rate_interval"}, model.key


def test_counters_are_never_shown_raw() -> None:
    """A counter is under rate or increase, except where its total since the start is what is asked."""
    for model in PANELS:
        for query in model.queries:
            counters = [name for name in query.expr.metrics if REGISTRY[name].kind == "counter"]
            if counters and model.key != "agent/loads":
                assert re.search(r"\b(rate|increase)\(", query.expr.text), model.key


def test_legends_tell_lines_apart() -> None:
    """A legend names every label that its lines can differ in, and no two queries share one."""
    for model in PANELS:
        legends = [query.legend for query in model.queries]
        assert len(set(legends)) == len(legends)
        for query in model.queries:
            varying = query.expr.labels - {"slo"}
            named = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", query.legend))
            assert varying <= named, model.key


def test_every_panel_asks_the_chosen_data_source() -> None:
    """Panels, queries and annotations go through the variable."""
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for shown in GRAPHS:
        assert shown["datasource"] == wanted
        assert all(target["datasource"] == wanted for target in shown["targets"])
        assert [target["refId"] for target in shown["targets"]] == list("ABCD")[: len(shown["targets"])]
    assert [one["name"] for one in DOCUMENT["templating"]["list"]] == ["datasource", "node"]
    assert all(one["datasource"] == wanted for one in DOCUMENT["annotations"]["list"])


def test_an_slo_panel_leads_to_its_runbook() -> None:
    """Each panel of a service level links to its runbook page, or to the list where it names none."""
    for key in ("budget", "coverage", "live", "burn"):
        first = panel(f"slo/ratio/{key}").links[0]
        assert first.url == "https://netsre.example/runbooks/network-evidence"
        assert panel(f"slo/ungrouped/{key}").links[0].url == "https://netsre.example/runbooks"


def test_thresholds_come_from_the_objective_and_the_policy() -> None:
    """Objective, burn factors and budget shares are the SLO's own; without a policy there are fewer."""

    def values(key: str) -> list[float]:
        return [step.value for step in panel(key).steps]

    assert values("slo/ratio/live") == [0, 0.999]
    assert values("slo/ratio/burn") == [0, 3.0, 6.0]
    assert values("slo/ratio/budget") == [-1, 0, 0.1]
    assert values("slo/headroom/live") == [0, 0.5]
    assert values("slo/ungrouped/burn") == [0]
    assert values("slo/ungrouped/budget") == [-1, 0]
    assert "page when 5m and 1h are both above 14.4" in panel("slo/ratio/burn").advice
    assert "Nothing alerts" in panel("slo/ungrouped/burn").advice


def test_the_bad_side_of_a_limit_has_the_bad_colour() -> None:
    """Headroom is bad above its limit, a floor is bad below it."""
    assert [step.color for step in panel("slo/headroom/live").steps] == [panels.GREEN, panels.VERMILION]
    assert [step.color for step in panel("slo/floor/live").steps] == [panels.VERMILION, panels.GREEN]


@pytest.mark.parametrize(
    ("below", "matcher"),
    [
        ("0.25", 'le="0.25"'),
        ("0.250", 'le="0.25"'),
        ("1", 'le=~"1|1\\\\.0"'),
        ("0.000025", 'le=~"0\\\\.000025|2\\\\.5e\\\\-05"'),
    ],
)
def test_a_bucket_bound_is_found_however_it_is_written(below: str, matcher: str) -> None:
    """Exporters and Prometheus versions write `1` or `1.0`; the panel must not be empty for it."""
    indicator = LatencyIndicator(examples.LATENCY.selector, Decimal(below))
    shown = service_levels.live(examples.slo("x", indicator), examples.LINKS)
    assert matcher in shown.queries[0].expr.text


def test_text_from_specs_stays_text() -> None:
    """Quotes, braces and template syntax in a description are shown, not obeyed."""
    hostile = next(one for one in examples.every_kind() if one.name == "hostile").description
    key = panels.panel_id("netsre-on-call", "slo/hostile/budget")
    (shown,) = (found for found in GRAPHS if found["id"] == key)
    assert hostile in shown["description"]


def test_a_broken_template_is_the_readers_mistake() -> None:
    """A template that fails, makes no JSON, or makes a null is named in one line."""
    for text in ("{{ absent }}", "{% if", "{", '{"uid": null}', '{"a": [{"b": null}]}'):
        with pytest.raises(BadInput, match="netsre-on-call") as caught:
            render.render(BOARD, TEMPLATES | {"board.json.j2": text})
        assert "\n" not in str(caught.value)


def test_a_board_too_large_for_a_configmap_is_refused() -> None:
    """Hundreds of service levels do not fit on one board, and that is said instead of shipped."""
    many = [examples.slo(f"slo-{number}", examples.RATIO) for number in range(60)]
    with pytest.raises(BadInput, match="bytes, more than 262144"):
        render.render(boards.on_call(many, examples.LINKS), TEMPLATES)


def test_a_board_without_slos_is_still_a_board(tmp_path: pathlib.Path) -> None:
    """The node's panels need no service level."""
    content = render.render(boards.on_call((), examples.LINKS), TEMPLATES)
    (tmp_path / "board.json").write_bytes(content)
    titles = [one["title"] for one in json.loads((tmp_path / "board.json").read_text())["panels"]]
    assert "Table in use" in titles


def test_windows_are_coloured_by_name() -> None:
    """The windows of a policy are known beforehand, so that each keeps its colour on every board."""
    assert [name for name, _ in panel("slo/ratio/burn").names] == ["5m", "30m", "1h", "2h", "6h", "1d"]
    assert clock.duration_text(clock.DAY) == "1d"
