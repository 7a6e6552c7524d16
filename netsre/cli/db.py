"""`netsre db`: migrations and the audit chain."""

import json

import click

from netsre import conventions

_DATA_DIR = click.option("--data-dir", metavar="DIR", help="Where the controller keeps its state.")

_DATABASE = click.option(
    "--database",
    metavar="URL",
    help="The PostgreSQL database, where it is none of these (NETSRE_DATABASE_URL).",
)


@click.group()
def db() -> None:
    """Migrate the database and check its audit chain."""


@db.command()
@_DATA_DIR
@_DATABASE
def upgrade(data_dir: str | None, database: str | None) -> None:
    """Bring the database to this version's schema; safe to repeat."""
    from netsre.app import database as app  # noqa: PLC0415
    from netsre.app import settings  # noqa: PLC0415

    address = settings.database(database, data_dir)
    path, schema, changed = app.upgrade(settings.data_dir(data_dir), address)
    click.echo(f"{path}: {'upgraded to' if changed else 'already at'} schema {schema}")


@db.command()
@_DATA_DIR
@_DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(context: click.Context, data_dir: str | None, database: str | None, *, as_json: bool) -> None:
    """Verify the schema and the audit chain; exit 1 when it is broken."""
    from netsre.app import database as app  # noqa: PLC0415
    from netsre.app import request, settings  # noqa: PLC0415

    address = settings.database(database, data_dir)
    where, _ = (settings.data_dir(data_dir), "") if address else request.data_dir(data_dir)
    found = app.check(where, address)
    whole = found.broken_seq is None
    if as_json:
        document = {
            "path": found.path,
            "schema": found.schema,
            "audit": {
                "rows": found.audit_rows,
                "head": found.head,
                "whole": whole,
                "first_broken": found.broken_seq,
                "why": found.why,
            },
        }
        click.echo(json.dumps(document))
    elif whole:
        click.echo(f"{found.path}: schema {found.schema}, audit chain of {found.audit_rows} rows is whole")
        click.echo(f"head {found.head}")
    else:
        click.echo(
            f"{found.path}: audit chain is broken at row {found.broken_seq}: {found.why}; "
            "compare with a backup, and find out who wrote to this file"
        )
    if not whole:
        context.exit(conventions.EXIT_NO)
