"""Command line of scripts/bench."""

import argparse
import json

from . import live, lpr, passages, record, search, start, sync, timeline, watchlist


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    modules = {"record": record, "start": start, "live": live, "lpr": lpr, "passages": passages}
    modules |= {"search": search, "watchlist": watchlist, "sync": sync, "timeline": timeline}
    for name, module in modules.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0])
        command.add_argument("--json", action="store_true", help="only the JSON object")
        module.options(command)
    args = parser.parse_args()
    module = modules[args.command]
    result = module.run(args)
    if not args.json:
        print(module.words(result))
    print(json.dumps(result))
    return 0
