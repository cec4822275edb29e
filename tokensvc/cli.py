"""The command line. Data goes to stdout, talk to stderr; exit codes are 0, 1 (it failed) and 2 (wrong usage)."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from tokensvc import __version__
from tokensvc.commands import CommandFailed
from tokensvc.errors import SettingsError

COMMANDS = {
    "serve": "run a replica",
    "keys": "make key ring entries, see the state of the rings",
    "apikey": "make an API key",
    "revoke": "end tokens through a running replica",
    "explain": "what a token is, and why it would be refused",
    "doctor": "compare replicas, and say what to do where they differ",
    "probe": "which MCP clients would connect, and what is in the way",
    "demo": "three replicas, and a story that proves itself",
}
"""Each is a module of `tokensvc.commands`, loaded only when it is asked for: a new key need not wait for a server."""

_EPILOG = """\
The settings are environment variables, TOKENSVC_ISSUER and so on; the README lists them all.
To try it out without any: tokensvc demo, or tokensvc serve --development DIR"""

# Their values are base64url, so one in 64 begins with a hyphen, which argparse would take for an option.
_NAMES = frozenset({"--client", "--credential", "--family", "--token"})


def main(arguments: Sequence[str] | None = None) -> int:
    given = _joined(list(sys.argv[1:] if arguments is None else arguments))
    options = _parser(given[0] if given else "").parse_args(given)
    try:
        options.run(options)
    except (CommandFailed, SettingsError) as error:
        print(f"tokensvc: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser(asked: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tokensvc",
        description="An OAuth 2.1 authorization server for MCP servers that keeps no token database.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tokensvc {__version__}", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == asked:
            import_module(f"tokensvc.commands.{name}").add_to(command)
    return parser


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
