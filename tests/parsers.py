"""The parsers of the command line, one by one."""

import argparse


def every(parser):
    """Yield a parser, and the parsers of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from every(inner)
