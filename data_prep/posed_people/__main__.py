"""`python -m data_prep.posed_people`: builds the data set, or measures how fast it would."""

import argparse
import itertools
import json
import sys
import time

from data_prep.errors import reported
from data_prep.posed_people import build, plan
from data_prep.posed_people.rendering import records
from volsynth.errors import UserError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_prep.posed_people", description=__doc__)
    parser.add_argument(
        "--config", default="64", help=f"one of {', '.join(plan.SIZES)} (default: 64)"
    )
    parser.add_argument("--data-dir", default="data", help="root of the data sets (default: data)")
    parser.add_argument("--processes", type=int, help="how many render (default: all cores)")
    parser.add_argument(
        "--bench", type=float, metavar="SECONDS",
        help="build nothing: render on one core for so long and print the rate as JSON",
    )  # fmt: skip
    return parser


def bench(config: str, seconds: float) -> dict[str, float | str]:
    """Renders on one core, with labels and PNG, and measures how fast that is.

    Args:
      config: the configuration whose images are rendered.
      seconds: for how long.

    Returns:
      The configuration, the number of images, and the images a second of one core.
    """
    if config not in plan.SIZES:
        from volsynth.errors import did_you_mean

        raise UserError(
            f"posed_people has no config {config!r}; {did_you_mean(config, plan.SIZES)}"
        )
    size = plan.SIZES[config]
    # The groups begin anew where the time is longer than the data set.
    todo = itertools.cycle(plan.groups(size, "train"))
    # The first group makes the template mesh and warms caches, which a build does only once.
    records.render_group(next(todo), size)
    images, start, cpu = 0, time.perf_counter(), 0.0
    while time.perf_counter() - start < seconds:
        batch = records.render_group(next(todo), size)
        # Processor time, so that other work on the machine does not change the rate.
        images, cpu = images + len(batch.records), cpu + batch.seconds
    return {
        "config": config,
        "images": images,
        "images_per_second_per_core": round(images / cpu, 1),
    }


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = _parser().parse_args(argv)

    def run() -> int:
        if args.bench is not None:
            print(json.dumps(bench(args.config, args.bench)))
        else:
            build(args.data_dir, args.config, processes=args.processes)
        return 0

    return reported(run)


if __name__ == "__main__":
    sys.exit(main())
