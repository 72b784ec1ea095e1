"""Commands on what this machine has: weights of networks, devices, packages and data sets."""

import json
from typing import Any

from volsynth.commands import shared


def add(commands: Any) -> None:
    """Adds the commands weights and doctor to the parser."""
    weights = commands.add_parser("weights", help="weights of networks that losses and scores use")
    weights_commands = weights.add_subparsers(
        dest="weights_command", required=True, metavar="COMMAND"
    )
    convert = shared.add_command(
        weights_commands, "convert", _convert, "check weights, and keep what is used"
    )
    convert.add_argument(
        "source", metavar="IN", help="of torch.save, or safetensors; .tflite of BlazePose"
    )
    convert.add_argument("out", metavar="OUT.safetensors", help="the new file")
    # Not from `feature_networks.LAYOUTS` and `conversion.KINDS`, whose modules import JAX; a test
    # compares them.
    blazepose = ("blazepose-detector", "blazepose-landmarks")
    kinds = ("vgg19", "inception", "lpips-alex", "lpips-vgg", *blazepose)
    convert.add_argument("--kind", choices=kinds, default="vgg19", help="default: vgg19")
    convert.add_argument("--lin", metavar="FILE", help="learned weights of LPIPS, for lpips kinds")

    doctor = shared.add_command(
        commands, "doctor", _doctor, "devices, versions, data sets and weights found"
    )
    doctor.add_argument("--data-dir", default="data", help="default: data")
    doctor.add_argument("--weights-dir", default="weights", help="default: weights")
    shared.add_json_argument(doctor)


def _convert(options):
    from volsynth.pretrained import feature_networks

    found = feature_networks.convert_weights(options.source, options.out, options.kind, options.lin)
    print(f"{options.source}: SHA-256 {found['source']}")
    if options.lin is not None:
        print(f"{options.lin}: SHA-256 {found['lin']}")
    print(f"{options.out}: SHA-256 {found['out']}")
    size = f"{found['arrays']} arrays, {found['values']:,} values"
    print(f"{options.kind}: {size}, {found['dtype']}")
    return 0


def _doctor(options):
    from volsynth.diagnostics import doctor

    report = doctor.report(options.data_dir, options.weights_dir)
    if options.json:
        print(json.dumps(report))
    else:
        doctor.render(report)
    return 0
