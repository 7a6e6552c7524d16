"""How others than the node answer in a scenario: an Alertmanager, and servers below addresses."""

from types import MappingProxyType
from typing import Final

from netsre.model import urls, values
from netsre.model.scenarios import Others, OthersWord
from netsre.runbook import scenario_codes as codes

WORDS: Final[tuple[OthersWord, ...]] = ("ok", "rejected", "unreachable", "lost")


def read(body: values.Mapping) -> Others:
    """Read `alertmanager` and `http`, each answer by its word."""
    alertmanager, http = _word(body, "alertmanager"), body.mapping("http", required=False)
    found: dict[str, OthersWord] = {}
    for url in () if http is None else http.keys():
        word = None if http is None else _word(http, url)
        if http is not None and (problem := urls.problem(url, urls.PREFIX)) is not None:
            http.wrong(url, codes.OTHERS, problem)
        elif word is not None:
            found[url] = word
    body.end()
    return Others(alertmanager, MappingProxyType(found))


def _word(part: values.Mapping, key: str) -> OthersWord | None:
    found = part.choice(key, *WORDS, required=False)
    return next((known for known in WORDS if known == found), None)
