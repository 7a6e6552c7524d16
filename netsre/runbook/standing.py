"""`still(alert)`: whether what an alert says is still so, as measured by the newest reading."""

from collections.abc import Iterable, Sequence

from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert
from netsre.model.levels import Evaluation
from netsre.model.samples import Scrape


def still(
    alert: Alert, rules: Iterable[AlertRule], evaluations: Iterable[Evaluation], scrapes: Sequence[Scrape]
) -> bool | None:
    """Tell whether the alert still stands; None when that cannot be told.

    A condition alert stands until every value of its group is on the good side of `clear`; a burn alert while
    a rule of its severity holds. No series is no answer.
    """
    raise NotImplementedError
