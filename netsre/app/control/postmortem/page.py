"""A postmortem as Markdown and as one page of HTML that needs no other file.

Templates are read when this module is imported, because the controller drops its privileges afterwards.
"""

import base64
import hashlib
import re
from importlib import resources
from types import MappingProxyType
from typing import Final

import jinja2

from netsre import clock
from netsre.app.control import headers
from netsre.app.control.incidents.left import web_address
from netsre.app.control.postmortem import chart
from netsre.app.control.postmortem.shapes import Postmortem
from netsre.model.documents import canonical

_NONE: Final = "\N{EN DASH}"
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_NAMES: Final = ("postmortem.md.j2", "postmortem.html.j2", "postmortem.css")


def _environment() -> jinja2.Environment:
    package = resources.files(__name__.rpartition(".")[0])
    made = jinja2.Environment(
        loader=jinja2.DictLoader({name: package.joinpath(name).read_text("utf-8") for name in _NAMES}),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "md": _markdown,
        "code": _code,
        "moment": _moment,
        "time": _time,
        "length": _length,
        "share": _share,
        "json": canonical,
        "web": web_address,
        "blocks": chart.blocks,
    }
    made.globals |= {"draw": chart.draw, "width": chart.WIDTH, "height": chart.HEIGHT}
    return made


def _markdown(text: object) -> str:
    """Return a text that says in Markdown what it is, on one line, whatever signs are in it."""
    one_line = " ".join(str(text).split())
    return _SPECIAL.sub(r"\\\1", one_line.replace("&", "&amp;").replace("<", "&lt;"))


def _code(text: object) -> str:
    """Return a text as code on one line; in a table a bar would end the cell."""
    one_line = " ".join(str(text).split()).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{one_line}`" if one_line else ""


def _moment(text: str | None) -> str:
    return _NONE if text is None else f"{text[:10]} {text[11:19]}"


def _time(text: str | None) -> str:
    return _NONE if text is None else text[11:19]


def _length(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    sign = "-" if seconds < 0 else ""
    return sign + clock.duration_text(round(abs(seconds)) * clock.SECOND)


def _share(value: float | None) -> str:
    """Return a share in percent with three digits that count."""
    if value is None:
        return _NONE
    return f"{100 * value:,.0f} %" if abs(value) >= 1 else f"{100 * value:.3g} %"


_ENVIRONMENT: Final = _environment()
_CSS: Final = _ENVIRONMENT.get_template("postmortem.css").render()
_STYLE: Final = base64.b64encode(hashlib.sha256(_CSS.encode()).digest()).decode()

HEADERS: Final = MappingProxyType(
    {
        **headers.SAFE,
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
    }
)
"""What is sent with the page: its own style, and nothing else, may be used."""


def markdown(postmortem: Postmortem) -> str:
    """Return the draft as Markdown."""
    return _ENVIRONMENT.get_template("postmortem.md.j2").render(it=postmortem, incident=postmortem.incident)


def html(postmortem: Postmortem) -> str:
    """Return the draft as a page."""
    template = _ENVIRONMENT.get_template("postmortem.html.j2")
    return template.render(it=postmortem, incident=postmortem.incident, css=_CSS)
