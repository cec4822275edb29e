"""The command line. Data goes to stdout, talk to stderr; exit codes are 0, 1 (it failed) and 2 (wrong usage)."""

import argparse
import sys
from collections.abc import Sequence

from tokensvc import __version__
from tokensvc.commands import CommandFailed, apikey, explain, keys, revoke, serve
from tokensvc.errors import SettingsError

# Their values are base64url, so one in 64 begins with a hyphen, which argparse would take for an option.
_NAMES = frozenset({"--client", "--credential", "--family", "--token"})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tokensvc",
        description="A stateless token service: OAuth 2.1 for MCP servers and APIs, with no token database.",
    )
    parser.add_argument("--version", action="version", version=f"tokensvc {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (serve, keys, apikey, revoke, explain):
        module.add_to(commands)
    options = parser.parse_args(_joined(list(sys.argv[1:] if arguments is None else arguments)))
    try:
        options.run(options)
    except (CommandFailed, SettingsError) as error:
        print(f"tokensvc: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _joined(arguments: list[str]) -> list[str]:
    """`--family -x` as `--family=-x`."""
    joined: list[str] = []
    for argument in arguments:
        value_of_name = joined and joined[-1] in _NAMES and argument.startswith("-") and not argument.startswith("--")
        if value_of_name and argument != "-":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
