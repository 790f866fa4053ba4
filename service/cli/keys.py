"""``python -m service keys``: API keys."""

from __future__ import annotations

import click

from service import keys as api_keys


@click.group()
def keys() -> None:
    """Make API keys."""


@keys.command("new")
@click.argument("name")
@click.option(
    "--concurrency",
    type=click.IntRange(1, api_keys.MAX_CONCURRENCY),
    help="Requests that may be in progress at once.",
)
@click.option(
    "--per-minute", type=click.IntRange(1, api_keys.MAX_PER_MINUTE), help="Requests in any 60 seconds."
)
def new_key(name: str, concurrency: int | None, per_minute: int | None) -> None:
    """Make a key for the client NAME, and print it and the line to store.

    Only the hash is in the line: the key itself is shown this once and kept nowhere.
    """
    try:
        text, key = api_keys.new(name, concurrency=concurrency, per_minute=per_minute)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None
    # Labels go to stderr, so that `| tail -n 1 >> keys` takes the line alone.
    click.echo("key, for the client; it is not shown again:", err=True)
    click.echo(text)
    click.echo("line, for SERVICE_API_KEYS or the file that SERVICE_API_KEYS_FILE names:", err=True)
    click.echo(key.line())
