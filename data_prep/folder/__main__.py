"""`python -m data_prep.folder`: prepares a folder of pictures with their poses."""

import pathlib
import sys

from data_prep.building import command
from data_prep.folder import reader
from data_prep.folder.folder_dataset_builder import SIDES, Builder


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = command.argument_parser("folder", __doc__, list(SIDES), "256")
    parser.add_argument(
        "--poses", type=pathlib.Path, help="file of poses (default: poses.json or .csv in SOURCE)"
    )
    parser.add_argument(
        "--masks", type=pathlib.Path, help="masks (default: masks/ in SOURCE, if it is there)"
    )
    parser.add_argument(
        "--plain", action="store_true", help="without masks: backgrounds are of one colour each"
    )
    for split in ("validation", "test"):
        parser.add_argument(
            f"--{split}", type=float, default=0.1, help="share of the persons (default: 0.1)"
        )
    parser.add_argument("--name", default="folder", help="of the data set (default: folder)")
    args = parser.parse_args(argv)

    # Made late, by `command.run`, so that wrong options are reported like other errors.
    def make() -> Builder:
        options = reader.Options(args.poses, args.masks, args.plain, args.validation, args.test)
        builder = command.make_builder(Builder, args)
        builder.options = options
        return builder

    return command.run(make)


if __name__ == "__main__":
    sys.exit(main())
