"""The published schemas and the strict readers say the same about the shape of a file."""

import copy
import datetime
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import jsonschema
import pytest
import referencing
import yaml

from netsre.adapters import schedule, time_zones
from netsre.alerting import noisy
from netsre.alerting import parsing as alerts
from netsre.app import service_levels, settings
from netsre.app.schemas import published
from netsre.cli import main
from netsre.datapath import workload_files
from netsre.errors import BadInput, SpecErrors
from netsre.gameday import parsing as gamedays
from netsre.model import linting
from netsre.runbook import calendars, people_files, scenario_files
from netsre.runbook import parsing as runbooks
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.slo import parsing as slos
from tests import thorough

CHECKOUT: Final = pathlib.Path(__file__).resolve().parents[3]
SHAPE: Final = {linting.UNKNOWN_KEY, linting.MISSING, linting.SHAPE, linting.KIND, linting.API_VERSION}
"""What a schema must see as well; the rest is for the reader alone."""

WHOLE: Final = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: whole, labels: {team: network}}
spec:
  service: node-datapath
  description: All keys there are.
  objective: 99.9
  window: {calendar: month, timezone: Europe/Berlin}
  groupBy: [node]
  indicator:
    ratio:
      bad: {metric: netsre_flows_total, match: 'outcome="failed"'}
      total: {metric: netsre_flows_total, match: 'outcome=~"delivered|failed"'}
  budgeting: {method: timeslices, slice: 1m, target: 95%}
  alerting: {policy: own, absent: 5m, runbook: network-evidence}
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: quick}
spec:
  service: node-datapath
  objective: '99'
  window: 30d
  indicator:
    latency: {metric: netsre_flow_connect_seconds, below: 250ms, match: 'node="a"'}
  budgeting: {method: ratio-timeslices, slice: 5m}
  alerting: {policy: none}
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: room}
spec:
  service: node-conntrack
  objective: 99
  window: 30d
  indicator:
    threshold: {metric: netsre_conntrack_utilization_ratio, match: 'table="kernel"', op: '<', value: 0.5}
  budgeting: {method: occurrences}
  alerting: {policy: own}
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: asked}
spec:
  service: shop
  objective: 99
  window: 30d
  groupBy: [team]
  indicator:
    promql: {bad: 'sum by (team) (rate(x[$window]))', total: 'sum by (team) (rate(y[$window]))', every: 5m}
  alerting: {policy: own}
---
apiVersion: netsre.dev/v1
kind: BurnPolicy
metadata: {name: own}
spec:
  source: Nobody.
  minimumBadEvents: 5
  confidence: 99.9%
  rules:
    - {severity: page, short: 5m, long: 1h, budget: 2%}
    - {severity: ticket, short: 2h, long: 1d, factor: 3}
---
apiVersion: netsre.dev/v1
kind: Alert
metadata: {name: Full, labels: {team: network}}
spec:
  service: node-conntrack
  summary: It is full.
  description: All keys there are.
  metric: netsre_conntrack_utilization_ratio
  match: 'table="kernel"'
  groupBy: [node, netns]
  op: '>'
  value: 0.8
  for: 0s
  clear: {below: 0.7, for: 30s}
  severity: page
  runbook: conntrack-exhaustion
---
apiVersion: netsre.dev/v1
kind: Alert
metadata: {name: Empty}
spec:
  metric: netsre_conntrack_utilization_ratio
  op: '<'
  value: 0.1
  clear: {above: 0.2}
  severity: ticket
---
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: whole}
spec:
  on:
    - {alert: Full, match: {severity: page}, transition: firing}
    - {alert: NodeDown, transition: firing, from: alertmanager}
  when: 'labels.severity == "page"'
  lock: 'conntrack/{node}'
  limits:
    cooldown: 15m
    perHour: 3
    perDay: 12
    perTarget: {perHour: 2, perDay: 6}
    maxTargets: 1
    minHealthy: 60%
    breaker: {failures: 3, retryAfter: 6h}
  unless:
    - {alert: Full, match: {severity: page}, equal: [node, netns]}
    - {alert: NodeDown, from: alertmanager}
  approval: {mode: auto}
  steps:
    - {action: evidence.collect, with: {what: [conntrack, top-sources]}}
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
    - {action: conntrack.flush, with: {source: 192.0.2.1}, if: 'labels.severity == "page"'}
    - {action: conntrack.timeouts, with: {state: udp_stream, to: 1m, ttl: 1h}}
    - {action: policy.connections, with: {max: 131072, most: 131072, ttl: 1h}}
    - {action: policy.stagger, with: {every: 10s, ttl: 30m}}
    - {action: policy.mode, with: {mode: monitor, endpoint: shop/web, ttl: 30m}}
    - {action: policy.rollback, with: {}}
    - {action: policy.program_rollback, with: {}}
    - {action: prefilter.mode, with: {mode: monitor, ttl: 30m}}
    - {action: prefilter.limit_source, with: {source: 192.0.2.1, rate: 100, ttl: 30m}}
    - {action: conntrack.tune, with: {limit: x2, max: 1048576, ttl: 1h}, onFailure: stop}
    - action: alertmanager.silence
      with: {matchers: {alertname: Slow, service: shop, slo: fast}, ttl: 30m, comment: it follows}
    - action: http.call
      with:
        url: https://tools.example/drain
        method: POST
        headers: {X-Team: net}
        body: {node: '${labels.node}', hard: false}
        expect: [202]
        timeout: 5s
        look: {url: https://tools.example/drains, headers: {X-Team: net}, expect: [200]}
        undo:
          url: https://tools.example/undrain
          method: POST
          headers: {X-Team: net}
          body: [1]
          expect: [200]
    - {action: notify, with: {text: '{node} is full', values: {source: '${evidence.top_source}'}}}
    - repeat:
        times: 3
        until: 'evidence.top_source == ""'
        wait: 10s
        steps:
          - action: evidence.collect
            with: {what: [top-sources]}
            timeout: 30s
            retry: {times: 2, wait: 5s}
            onFailure: continue
          - action: conntrack.flush
            with: {source: '${evidence.top_source}'}
            if: 'evidence.top_source != ""'
  verify: {slo: room, window: 15s, samples: 3, need: 2, noData: inconclusive, within: 2m}
  onFailure: undo
---
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: asks}
spec:
  on: [{alert: Full, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: propose, by: [sre, ann], quorum: 2, timeout: 30m}
  steps: [{action: conntrack.flush, with: {source: 192.0.2.1}}]
  verify:
    query: {metric: netsre_flows_total, match: 'outcome="failed"', op: '<', value: 10, groupBy: [node]}
    window: 15s
    samples: 5
    need: 4
---
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: warns}
spec:
  on: [{alert: Full, transition: firing}]
  lock: 'conntrack/{node}'
  parameters:
    - {name: ttl, type: duration, default: 10m, min: 1m, max: 30m}
    - {name: most, type: integer, default: 4096}
    - {name: topic, type: choice, default: flows, choices: [flows, conntrack]}
    - {name: whom, type: address, default: 192.0.2.1}
  approval: {veto: 2m, by: [sre]}
  steps:
    - {action: evidence.collect, with: {what: ['${param.topic}', agent]}}
    - {action: conntrack.flush, with: {source: '${param.whom}'}}
    - {action: conntrack.tune, with: {limit: x2, max: '${param.most}', ttl: '${param.ttl}'}}
  verify: {slo: room, window: 15s, samples: 3}
---
apiVersion: netsre.dev/v1
kind: People
metadata: {name: on-call}
spec:
  people:
    - name: ann
      slack: U024BE7LH
      tokenSha256: 0a5f4be1b1cb7f2d3a2f6d8f3c1b7a9e0a5f4be1b1cb7f2d3a2f6d8f3c1b7a9e
  groups: [{name: sre, members: [ann, operator]}]
---
apiVersion: netsre.dev/v1
kind: GameDay
metadata: {name: whole}
spec:
  hypothesis: It heals.
  faults: [{kind: conntrack.flood, profile: udp, duration: 3m}]
  targets: {lab: true}
  expect: {alert: Full, runbook: whole, slo: room}
  deadlines: {detected: 30s, paged: 35s, mitigated: 40s, verified: 60s}
  abort: {budgetBelow: 50%}
  schedule: {cron: '0 10 * * tue', timezone: Europe/Berlin}
---
apiVersion: netsre.dev/v1
kind: Maintenance
metadata: {name: whole}
spec:
  reason: Switches are replaced.
  timezone: Europe/Berlin
  windows:
    - {cron: '0 2 * * sun', duration: 2h}
    - {from: '2026-12-01T22:00', to: '2026-12-02T04:00'}
  runbooks: [whole]
  targets: ['conntrack/*']
---
apiVersion: netsre.dev/v1
kind: NoisyClients
metadata: {name: whole}
spec:
  clients: [{src: default/scanner, source: 10.0.0.7, until: '2027-01-31', owner: ann, reason: It asks.}]
---
apiVersion: netsre.dev/v1
kind: Controller
metadata: {name: whole}
spec:
  slack: {channel: C024BE91L, tokenFile: /t, mode: http, signingSecretFile: /s, appTokenFile: /a,
          apiUrl: 'https://slack.example/api/'}
  dataDir: /var/lib/netsre
  database: postgresql://netsre@db.example/netsre
  listen: '[::1]:8600'
  agent: http://127.0.0.1:8601
  source: http://127.0.0.1:9090
  nodeLabel: node
  tokenFile: /etc/netsre/prometheus.token
  interval: 15s
  slos: /etc/netsre/slos
  people: /etc/netsre/people.yaml
  secrets: /etc/netsre/secrets
  runbooks: /etc/netsre/runbooks
  user: netsre
  node: here
  externalUrl: https://netsre.example/under
  noisy: /etc/netsre/noisy.yaml
  alertmanager: ['http://127.0.0.1:9093', 'http://127.0.0.1:9094']
  automation:
    changes: {perTenMinutes: 3, perHour: 10, perDay: 40}
    storm: {alerts: 10, hold: 10m}
    oscillation: 1h
    http: {allow: [https://tools.example/]}
    quarantine: 1d
  control: /run/netsre/control.sock
---
apiVersion: netsre.dev/v1
kind: Workloads
metadata: {name: site}
spec:
  workloads:
    - name: database
      cidrs: [10.1.0.0/16, '2001:db8::/32']
      ports: [5432]
      cgroups: ['batch.slice/*']
      namespaces: ['batch-*']
    - name: dns
      cidrs: [10.96.0.10/32]
      ports: [53]
      service: true
---
apiVersion: netsre.dev/v1
kind: Scenario
metadata: {name: all}
spec:
  about: Everything that a scenario can have.
  runbook: whole
  given:
    interval: 15s
    people: [maria, tom]
    groups: {network: [maria, tom]}
    series: {'netsre_conntrack_utilization_ratio{table="kernel"}': 0.9, netsre_flows_total: 10/s}
    facts:
      table: {entries: 900, limit: 1000, sources: [{source: 10.0.0.9, entries: 900}], states: []}
      route: {interface: eth0}
    runs: [{ago: 5m, state: failed, reason: verify_failed, changed: true, target: conntrack/a}]
    others: {alertmanager: ok, http: {'https://tools.example': lost}}
  while:
    - effects: [block, {kind: limit, after: 2000}]
      series: {netsre_flows_total: gone}
      facts: {limit: {limit: 2000}}
  events:
    - {at: 0s, firing: {alertname: Full, severity: page}}
    - {at: 10s, resolved: {alertname: Full, severity: page}}
    - {at: 10s, series: {netsre_flows_total: 0}}
    - {at: 10s, facts: {route: {interface: eth1}}}
    - {at: 10s, others: {alertmanager: rejected, http: {'https://tools.example/a': unreachable}}}
    - {before: apply 1, node: unreachable}
    - {after: outcome, kill: controller}
    - {at: 10s, killSwitch: unreadable}
    - {at: 11s, approve: maria, answer: recorded}
    - {at: 11s, deny: maria}
    - {at: 11s, cancel: maria}
    - {at: 11s, start: maria}
    - {at: 11s, pause: maria}
    - {at: 11s, resume: maria}
  expect:
    - at: 0s
      runs: [{state: executing, reason: accepted}]
      effects: [block]
      undone: [{kind: block}]
      inForce: []
      samples: [pass, fail]
      evidence: [conntrack]
      calls: [approval]
      told: [a line]
    - {effects: []}
"""


class Yaml12(yaml.SafeLoader):
    """What editors make of a file: `on` is a word, as in YAML 1.2 and in the reader."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))
Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)

DOCUMENTS: Final[tuple[dict[str, Any], ...]] = tuple(yaml.load_all(WHOLE, Yaml12))
INSTEAD: Final[tuple[Any, ...]] = (
    "word",
    [],
    ["word"],
    {},
    {"zzz": "word"},
    None,
    -1,
    1.5,
    10**20,
    True,
    "99,9",
    "0s",
)
"""What is written in the place of every value in turn."""

POLICIES: Final = slos.parse({"own.yaml": yaml.safe_dump(DOCUMENTS[4])}, {}).policies

Path = tuple[str | int, ...]
Node = Any
"""A piece of a document, of whatever shape."""


@pytest.fixture(scope="module", name="validator")
def _validator() -> jsonschema.Draft202012Validator:
    """Return what checks a file of any kind."""
    return validator_of(published.schemas())


def validator_of(found: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    """Return what checks a file of any kind by these schemas."""
    resources = [(name, referencing.Resource.from_contents(schema)) for name, schema in found.items()]
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(resources)
    return jsonschema.Draft202012Validator(found[published.ANY], registry=registry)


READERS: Final[Mapping[str, Callable[[Mapping[str, str]], object]]] = {
    "Runbook": lambda texts: runbooks.parse(texts, ACTIONS, runbooks.Known(alerts={"Full"}, slos={"room"})),
    "GameDay": lambda texts: gamedays.parse(
        texts, schedule.problem, gamedays.Known({"Full"}, {"whole"}, {"room"})
    ),
    "Maintenance": lambda texts: calendars.parse(texts, time_zones.find, {"whole"}),
    "Scenario": lambda texts: scenario_files.parse(texts, {"whole"}),
    "People": people_files.parse,
    "NoisyClients": lambda texts: noisy.parse(texts, datetime.date(2026, 12, 1)),
    "Workloads": workload_files.parse,
}
"""What reads a kind; what it may name is there."""


def told(text: str, kind: str, scratch: pathlib.Path) -> list[tuple[str, str]]:
    """Return code and message of all that the reader of such a file finds."""
    texts = {"file.yaml": text}
    try:
        if kind in READERS:
            READERS[kind](texts)
        elif kind == "Controller":
            file = scratch / "file.yaml"
            file.write_text(texts[file.name])
            settings.settings(settings.Options(config=str(file)))
        else:
            slos.parse(texts, service_levels.BOUNDS, POLICIES, None, time_zones.find)
            alerts.parse(texts)
    except SpecErrors as errors:
        return [(finding.code, finding.message) for finding in errors.findings]
    except BadInput as error:
        return [("", str(error))]
    return []


def findings(document: dict[str, Any], kind: str, scratch: pathlib.Path) -> set[str]:
    """Return the codes of all that the reader of such a file finds."""
    return {code for code, _ in told(_text(document), kind, scratch)}


def _text(document: Node) -> str:
    """Write a document, by the part of the library that is in C: it takes a tenth of the time."""
    return str(yaml.dump(document, Dumper=yaml.CSafeDumper))


def places(value: Node, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every value in a document."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from places(below, (*path, key))


def changed(document: Node, path: Path, number: int) -> Iterator[tuple[str, Node]]:
    """Yield a document without a value, with others in its place, and with an unknown key in a mapping.

    Of the others a third, unless all are wanted: the next third in the next place.
    """
    for instead in INSTEAD if thorough.ALL else INSTEAD[number % 3 :: 3]:
        copied, parent = _parent(document, path)
        parent[path[-1]] = instead
        yield f"{path} = {instead!r}", copied
    copied, parent = _parent(document, path)
    del parent[path[-1]]
    yield f"no {path}", copied
    copied, parent = _parent(document, path)
    if isinstance(parent[path[-1]], dict):
        parent[path[-1]]["zzz"] = "word"
        yield f"{path} with zzz", copied


def _parent(document: Node, path: Path) -> tuple[Node, Node]:
    copied = copy.deepcopy(document)
    parent = copied
    for key in path[:-1]:
        parent = parent[key]
    return copied, parent


def title(document: dict[str, Any]) -> str:
    """Return how a document is called here."""
    return f"{document['kind']}-{document['metadata']['name']}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=title)
def test_what_is_right_is_right_to_both(
    document: dict[str, Any], validator: jsonschema.Draft202012Validator, tmp_path: pathlib.Path
) -> None:
    """Every kind, with every key that it can have."""
    assert findings(document, document["kind"], tmp_path) == set()
    validator.validate(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=title)
def test_whatever_is_changed_both_see_what_is_wrong_with_its_shape(
    document: dict[str, Any], validator: jsonschema.Draft202012Validator, tmp_path: pathlib.Path
) -> None:
    """A schema refuses nothing that the reader takes, and the reader alone sees no key, shape or gap."""
    assert agreed(document, validator, lambda one: findings(one, document["kind"], tmp_path)) > 50


def agreed(
    document: Node, validator: jsonschema.Draft202012Validator, found: Callable[[Node], set[str]]
) -> int:
    """Hold a schema to the codes that a reader finds in every change of a document; return how many."""
    tried = 0
    for number, path in enumerate(places(document)):
        for what, candidate in changed(document, path, number):
            tried += 1
            codes = found(candidate)
            refused = not validator.is_valid(candidate)
            assert codes or not refused, f"{what}: only the schema refuses it"
            assert refused or not codes & SHAPE, f"{what}: only the reader sees {sorted(codes & SHAPE)}"
    return tried


def codes_of(parse: Callable[[dict[str, str]], object], document: Node) -> set[str]:
    """Return the codes of what a reader of texts finds in a document."""
    try:
        parse({"file.yaml": _text(document)})
    except SpecErrors as errors:
        return {one.code for one in errors.findings}
    return set()


def test_every_key_of_a_schema_is_in_a_document_here() -> None:
    """Otherwise a key might be promised that no reader knows."""
    written = {key for document in DOCUMENTS for path in places(document) for key in path}
    promised = {key for schema in published.schemas().values() for key in _properties(schema)}
    assert promised - written == set()


def _properties(schema: Node) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "additionalProperties" in schema:
            yield from schema["properties"]
        for below in schema.values():
            yield from _properties(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from _properties(below)


@pytest.mark.parametrize("file", sorted(published.schemas()))
def test_a_schema_is_a_schema(file: str) -> None:
    """Of the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(published.schemas()[file])


@pytest.mark.parametrize(
    "file",
    sorted(path for place in ("slos", "runbooks") for path in (CHECKOUT / place).rglob("*.yaml")),
    ids=lambda path: path.relative_to(CHECKOUT).as_posix(),
)
def test_what_ships_is_valid(file: pathlib.Path, validator: jsonschema.Draft202012Validator) -> None:
    """An editor finds nothing in the files that people copy from."""
    for document in yaml.load_all(file.read_text(), Yaml12):
        validator.validate(document)


def test_the_published_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    """If not, the message names the command."""
    code = main.run(["generate", "schemas", "--out", str(CHECKOUT / "docs" / "schema"), "--check"])
    assert code == 0, capsys.readouterr().out


def test_a_value_that_is_no_percentage_is_refused_by_the_editor_already(
    validator: jsonschema.Draft202012Validator,
) -> None:
    """What people most often write wrong, with the words that they see."""
    wrong = copy.deepcopy(DOCUMENTS[0])
    for objective in (0.999, 100, "99,9", 0, 101):
        wrong["spec"]["objective"] = objective
        (error,) = validator.iter_errors(wrong)
        assert error.json_path == "$.spec.objective"
    assert "never a share" in json.dumps(published.schemas()["slo.json"])
