"""The pose estimator: metric 3D pose from one picture, by volumetric heatmaps.

I. Sárándi, T. Linder, K. O. Arras, B. Leibe: *How robust is 3D human pose estimation to occlusion?*
(2018, arXiv:1808.09316) for the volumetric heatmaps, the centred strides and the two strides, and
*MeTRAbs: metric-scale truncation-robust heatmaps* (2021, arXiv:2007.07227) for axes in millimetres
and for the second head: one 1x1 convolution gives every joint a volume of D layers, whose axes are
millimetres from the pelvis, and one more layer, whose axes are those of the picture.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth import losses
from volsynth.config import build_section
from volsynth.errors import UserError
from volsynth.fields import ROLES
from volsynth.nn import layers, resnet
from volsynth.ops import geometry, pose_volumes
from volsynth.skeleton import HIPS, NUM_JOINTS
from volsynth.system import Player, System

PAPER = (
    "Sárándi, Linder, Arras, Leibe 2021, MeTRAbs: Metric-Scale Truncation-Robust Heatmaps for "
    "Absolute 3D Human Pose Estimation"
)

INPUTS = tuple(
    f"{role}_{kind}" for role in ROLES for kind in ("image", "joints", "joints_mm", "visible")
)
"""Names of the fields of a batch that training reads; the forward pass outside of training reads
the target's picture alone."""


class Estimator(nn.Module):
    """The network that finds the pose of the person in a picture.

    Attributes:
      blocks, widths, stem_width, stem_kernel, groups: see `resnet.ResNet`.
      depth: D, number of layers of the volume.
      box_mm: side of the cube that the volume stands for, mm.
      stride_train: output stride in training, where a coarse volume is cheaper.
      stride_test: output stride outside of training.
      dtype: type in which the layers compute.
    """

    blocks: Sequence[int]
    widths: Sequence[int]
    stem_width: int
    stem_kernel: int
    groups: int
    depth: int
    box_mm: float
    stride_train: int
    stride_test: int
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b s s 3"], train: bool = False) -> dict[str, Array]:
        """Poses of the persons in the pictures.

        Returns:
          "joints_mm" [b, 15, 3] relative to the pelvis; "joints_px" [b, 15, 2], pixels.
        """
        features = resnet.ResNet(
            self.blocks,
            self.widths,
            self.stem_width,
            self.stem_kernel,
            self.groups,
            dtype=self.dtype,
            name="backbone",
        )(image, self.stride_train if train else self.stride_test)
        maps = layers.Conv((1 + self.depth) * NUM_JOINTS, (1, 1), dtype=self.dtype, name="heads")(
            features
        )
        # One convolution for both heads, as published; the first layer is the plane's.
        volume = layers.lift(maps, 1 + self.depth)
        plane, volume = volume[..., :1, :], volume[..., 1:, :]
        return {
            "joints_mm": geometry.from_pelvis(pose_volumes.soft_argmax(volume, self.box_mm)),
            "joints_px": pose_volumes.soft_argmax(plane, float(image.shape[2]))[..., :2],
        }


@dataclasses.dataclass(frozen=True)
class Loss:
    """The section `loss` of a config; a term of weight zero is not computed.

    Attributes:
      metric: weight of the mean absolute error of a coordinate relative to the pelvis, in metres.
      plane: weight of the mean absolute error of x and y in the picture, as a share of its side.

    Raises:
      UserError: a weight is negative, or that of the metric term is zero.
    """

    metric: float
    plane: float

    def __post_init__(self) -> None:
        if min(self.metric, self.plane) < 0:
            raise UserError(f"config.loss: weights must not be negative, got {self}.")
        if not self.metric:
            raise UserError("config.loss.metric is zero: nothing would teach the pose in 3D.")


def make(config: Any) -> System:
    """The pose estimator of a config.

    Args:
      config: the whole config; its sections `model` and `loss`, the image size and the precision
        are read.

    Raises:
      UserError: image size and strides do not fit together, or a value is not allowed.
    """
    dtype = layers.precision(config.precision)
    model, side = config.model, config.data.image_size
    loss = build_section(Loss, config, "loss")
    network = build_section(Estimator, config, "model", dtype=dtype)
    _check(model, side)

    def init(rng, batch):
        return {"estimator": network.init(rng, batch["target_image"])}

    def forward(variables, batch, context):
        train = context.train
        # Both pictures of a pair teach; the target's pose alone is scored.
        roles = ROLES if train else ("target",)
        images = jnp.concatenate([batch[f"{role}_image"] for role in roles])
        poses = network.apply(variables["estimator"], images, train)
        parts = {key: jnp.split(value, len(roles)) for key, value in poses.items()}
        outputs = {key: values[-1] for key, values in parts.items()}
        if train:
            outputs |= {f"source_{key}": values[0] for key, values in parts.items()}
        return outputs, {}

    return System(
        "pose_estimator",
        PAPER,
        init,
        forward,
        {"main": {"estimator": Player(("estimator",), _estimator_loss(loss, side))}},
        inputs=INPUTS,
        task="pose",
    )


def _estimator_loss(loss, side):
    """The loss of the estimator, over the poses of both pictures of each pair."""

    def estimator_loss(variables, outputs, batch, context):
        del variables, context
        # Beginnings of names in the batch, to those in the outputs. Outside of training there is no
        # pose of the source.
        roles = {"target_": ""} | ({"source_": "source_"} if "source_joints_mm" in outputs else {})

        def errors(output, field):
            """Differences of the poses of all roles, in the coordinates that the output has."""
            pairs = [(outputs[out + output], batch[role + field]) for role, out in roles.items()]
            return jnp.concatenate([a - b[..., : a.shape[-1]] for a, b in pairs])

        visible = jnp.concatenate([batch[f"{role}visible"] for role in roles])
        # Without both hips the pelvis is unknown, and every joint's place relative to it.
        rooted = visible & jnp.all(visible[:, np.array(HIPS)], axis=1, keepdims=True)
        # In metres: the weights of the config are meant for this unit.
        metres = errors("joints_mm", "joints_mm") / 1000
        terms = {"metric": loss.metric * losses.masked_l1(metres, rooted)}
        if loss.plane:
            shares = errors("joints_px", "joints") / side
            terms["plane"] = loss.plane * losses.masked_l1(shares, visible)
        return terms, {}

    return estimator_loss


def _check(model, side):
    if len(model.blocks) != len(model.widths):
        raise UserError(
            f"config.model.blocks and config.model.widths must have one entry for each stage, got "
            f"{model.blocks} and {model.widths}."
        )
    # The stem's stride, doubled by every further stage that is not dilated.
    allowed = resnet.ResNet.strides(len(model.widths))
    for key in ("stride_train", "stride_test"):
        stride = model[key]
        if stride not in allowed:
            raise UserError(
                f"config.model.{key} must be one of {allowed} with {len(model.widths)} stages, "
                f"got {stride}."
            )
        if side % stride:
            raise UserError(
                f"config.data.image_size must be a multiple of config.model.{key}, {stride}; "
                f"got {side}."
            )
    if model.box_mm <= 0:
        raise UserError(f"config.model.box_mm must be positive, got {model.box_mm}.")
    if model.depth < 1:
        raise UserError(f"config.model.depth must be at least 1, got {model.depth}.")
