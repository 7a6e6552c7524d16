"""The strict reader of every file that people write.

It collects findings instead of stopping at the first one, so that one run shows everything that is wrong.
Ask `Findings.raise_if_any` before using what was read.

    findings = linting.Findings()
    for document in documents(text, "flow.yaml", {"SLO"}, findings):
        service = document.spec.text("service")
        window = document.spec.duration("window", required=False)
        document.spec.end()                            # whatever was not asked for is an unknown key
    findings.raise_if_any()
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from netsre import conventions
from netsre.model import alert_rules, linting, values, yamltree
from netsre.model.levels import Origin
from netsre.model.literals import nearest, parse_alert_name, parse_name, shown


@dataclass(frozen=True, slots=True)
class Document:
    """The parts that every file of ours has."""

    kind: str
    name: str
    metadata: values.Mapping
    """Already read: `name`. Read `labels` if the kind has them, then call `end`."""
    spec: values.Mapping
    origin: Origin


def documents(text: str, file: str, kinds: Collection[str], findings: linting.Findings) -> list[Document]:
    """Read the documents of one file that have a head we know; everything else becomes findings."""
    instead = f"write one of {', '.join(sorted(kinds))}"
    found = [_document(root, kinds) for root in roots(text, file, instead, findings)]
    return [document for document in found if document is not None]


def of_files(
    texts: Mapping[str, str],
    kinds: Collection[str],
    findings: linting.Findings,
    beside: Collection[str] = (),
) -> list[Document]:
    """Read the documents of some kinds out of files (name to text), in the order of the files' names.

    Those of the kinds `beside` may stand in the same files, and are for somebody else to read.
    """
    known = {*kinds, *beside}
    found = (one for file, text in sorted(texts.items()) for one in documents(text, file, known, findings))
    return [document for document in found if document.kind in kinds]


def roots(text: str, file: str, instead: str, findings: linting.Findings) -> list[values.Value]:
    """Return every document of a file, of any shape; `instead` says what to write where there is none."""
    nodes, error = yamltree.documents(text)
    if error is not None:
        findings.add(
            Origin(file, error.line), linting.REFUSED_YAML if error.refused else linting.SYNTAX, error.message
        )
    elif not nodes:
        findings.add(Origin(file, 1), linting.EMPTY, f"no document; {instead}")
    return [values.value_of(node, "", file, findings) for node in nodes]


def _document(root: values.Value, kinds: Collection[str]) -> Document | None:
    if not isinstance(root, values.Mapping):
        first = f"apiVersion: {conventions.API_VERSION}"
        root.findings.add(
            root.origin, linting.SHAPE, f"the document is {values.SHAPES[type(root)]}; begin it with {first}"
        )
        return None
    version, kind = root.scalar("apiVersion"), root.scalar("kind")
    if version and version.value != conventions.API_VERSION:
        version.wrong(
            linting.API_VERSION, f"{shown(version.value)} is not read; write {conventions.API_VERSION}"
        )
    if kind and kind.value not in kinds:
        kind.wrong(linting.KIND, f"{shown(kind.value)} is not read here{nearest(kind.value, kinds)}")
        return None
    metadata, spec = root.mapping("metadata"), root.mapping("spec")
    name = metadata.scalar("name") if metadata else None
    parse = parse_alert_name if kind and kind.value == alert_rules.KIND else parse_name
    named = name.name(parse) if name else None
    root.end()
    if kind is None or metadata is None or spec is None:
        return None
    # A wrong name does not hide what else is wrong: the document is read on under an empty one.
    return Document(kind.value, named or "", metadata, spec, root.origin)


def refuse_duplicates(
    documents: Iterable[Document], code: str, what: str, findings: linting.Findings
) -> None:
    """Report every document whose name another one of its kind has; a name that was refused is none."""
    first: dict[str, Document] = {}
    for document in documents:
        earlier = first.setdefault(document.name, document)
        if document.name and earlier is not document:
            origin = earlier.metadata.line_of("name")
            message = f"{what} {document.name} already stands in {origin.file}:{origin.line}; rename one"
            findings.add(document.metadata.line_of("name"), code, message)
