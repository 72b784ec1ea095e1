"""The reprojection system: the source's own pixels moved by the volumetric system's transforms.

It takes the ten parts and their seven parameters from M. Knoche, *Volumetric Feature Transformation
for Pose-Conditioned Human Image Synthesis*, master thesis, RWTH Aachen 2019, section 4.3.2, and
moves pixels at the picture's own size by them instead of features in a volume. A small network
sees what was found, at a size of its own, and says for every pixel which candidates to mix, how to
shade them, and what to paint where nobody saw the person. Pictures may be of any size.
"""

from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from volsynth import fields
from volsynth.config import build_section
from volsynth.conventions import BACKGROUND
from volsynth.errors import UserError, did_you_mean
from volsynth.nn import blending, discriminators, layers, unet, volume_streams
from volsynth.objectives import image_system
from volsynth.ops import keying, pose_volumes, rectangles, tiles
from volsynth.ops.body import raster
from volsynth.ops.reprojection import (
    candidates,
    channels,
    composition,
    enlarging,
    hems,
    mixing,
    reprojection,
    sampling,
)
from volsynth.ops.warp import warp
from volsynth.system import Batch, System

PAPER = (
    "after Knoche 2019, Volumetric Feature Transformation for Pose-Conditioned Human Image "
    "Synthesis"
)

FEATURES = ("unet", "volume")
"""Allowed origins of the features from which the mixture is told."""

SOURCES = ("source", fields.ALSO)
"""The roles of the pictures of the person in a batch, in the order in which they are looked at."""


class Generator(nn.Module):
    """The generator: source image and target pose to an image, by mixing moved pixels.

    Attributes:
      size: side of the image that the network sees, pixels; pictures may be larger or smaller.
      features: "unet": a network on the channels of what was found; or "volume": the streams of the
        volumetric system, which see the source and the pose.
      volume: those streams; None without them.
      widths: channels of the network at every size, see `unet.UNet`.
      blocks: number of its residual blocks.
      head: channels of the convolutions before the fields, see `blending.BlendingHead`.
      sources: number of pictures of the person that are looked at, 1 or 2.
      mirrored: whether there are candidates of the mirrored sources.
      visibility: whether the network is told what the source hides.
      hems: whether the network is told what hangs on each part beside the body.
      shade: whether the mixture is shaded.
      flow: the largest way from where a moved pixel is looked for to where the network finds it, as
        a share of the person's scale; 0 for none.
      transform: "3d", or "2d": parts are moved by affine maps of the image plane.
      pose: "3d", or "2d": bodies without depth.
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      dtype: type in which the layers compute.
      guided: whether the streams of a volume are told which part of the person the source shows at
        every pixel, and at which depth.
    """

    size: int
    features: Literal["unet", "volume"]
    volume: volume_streams.VolumeFeatures | None
    widths: Sequence[int]
    blocks: int
    head: Sequence[int]
    sources: int
    mirrored: bool
    visibility: bool
    hems: bool
    shade: bool
    flow: float
    transform: Literal["3d", "2d"]
    pose: Literal["3d", "2d"]
    remat: bool
    dtype: layers.Dtype = jnp.float32
    # Runs from before it do not have this key.
    guided: bool = False

    def setup(self) -> None:
        """Makes the layers."""
        if self.volume is None:
            self.network = unet.UNet(self.widths, self.blocks, self.remat, self.dtype)
        # The mean colour is a candidate, too.
        count = self.sources * (2 if self.mirrored else 1)
        flows = count if self.flow else 0
        self.blend = blending.BlendingHead(self.head, count + 1, self.shade, flows, self.dtype)

    def __call__(self, batch: Batch, train: bool = False) -> dict[str, Array]:
        """All stages one after the other; the outputs of `render`."""
        del train  # Nothing in it behaves differently in training.
        return self.render(self.move(self.encode(batch), batch), batch)

    def encode(self, batch: Batch) -> dict[str, Any]:
        """The sources' pictures without their background, at their own size and at the network's.

        Returns:
          {"pictures": four premultiplied planes [B, S, S] of each source, "sources": `Source` of
          each at the network's size, "means": `composition.part_means`, with hems "rings",
          and with a volume "volume"}.
        """
        pictures = tuple(
            keying.cut_out(jnp.asarray(batch[f"{role}_image"]), BACKGROUND) for role in self._roles
        )
        small = [_resized(picture, self.size) for picture in pictures]
        sources = tuple(
            candidates.make_source(picture, *self._pose(batch, role), self._side)
            for picture, role in zip(small, self._roles)
        )
        found = {
            "pictures": tuple(map(sampling.planes, pictures)),
            "sources": sources,
            "means": composition.part_means(sources),
        }
        if self.hems:
            found["rings"] = hems.ring_means(sources)
        if self.volume is not None:
            colour, alpha = small[0][..., :3], small[0][..., 3:]
            image = colour + (1 - alpha) * keying.NEUTRAL
            if self.guided:
                shown = channels.body_channels(sources[0].body, sources[0].scale, self._side)
                image = jnp.concatenate([image, shown], axis=-1)
            found["volume"] = self.volume.lift(image)
        return found

    def move(self, features: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """The features with "found", all that the sources show of the target, as `Reprojection`."""
        found = reprojection.reproject(
            self._views(features["sources"], batch),
            features["means"],
            *self._pose(batch, "target"),
            (self.size, self.size),
            self._side,
            visibility=self.visibility,
            rings=features.get("rings"),
        )
        if not self.flow:
            found = found._replace(moved=())
        moved = {**features, "found": found}
        if self.volume is not None:
            poses = (self._pose(batch, role) for role in ("source", "target"))
            moved["warped"], _ = self.volume.moved(features["volume"], *poses, self._side)
        return moved

    def render(self, moved: dict[str, Any], batch: Batch) -> dict[str, Array]:
        """The image in the target pose, {"image": [B, S, S, 3]} in [-1, 1]."""
        found, pictures = moved["found"], moved["pictures"]
        seen = channels.channels(found, self._side).astype(self.dtype)
        if self.volume is None:
            features = self.network(seen)
        else:
            features = self.volume.decoded(moved["warped"], self._pose(batch, "target"), self._side)
        fields = self.blend(jnp.concatenate([features, seen], axis=-1))
        size = pictures[0][0].shape[2]
        # A symbol stands for the size in an exported program; it is never known to be the smaller.
        if isinstance(size, int) and size <= self.size:
            pixels = self._pixels(moved["sources"], found, fields)
            mixed = mixing.mix(fields, pixels, found.mean, found.target.part)
        else:
            views = self._views(moved["sources"], batch)
            target = self._pose(batch, "target")
            large = self._of_views(pictures)
            mixed = enlarging.mix_enlarged(
                fields, large, views, moved["means"], *target, self._side, flow=self.flow
            )
        return {"image": _resized(keying.over(jnp.stack(mixed, axis=-1), BACKGROUND), size)}

    @property
    def _side(self) -> float:
        """The width of pictures in the pixels of poses: poses are scaled to the network's size."""
        return float(self.size)

    def _pose(self, batch, role) -> volume_streams.Pose:
        joints, visible = (jnp.asarray(batch[f"{role}_{kind}"]) for kind in ("joints", "visible"))
        joints = joints * (self.size / batch["source_image"].shape[2])
        if self.pose == "2d":
            joints = joints.at[..., 2].set(self._side / 2)
        return joints, visible

    def _pixels(self, sources, found, fields):
        """The moved pixels at the network's size."""
        if fields.flow is None:
            return [candidate.rgba for candidate in found.candidates]
        places = candidates.flowed(found.moved, fields.flow, self.flow * found.scale)
        shown = self._of_views([source.rgba for source in sources])
        return [candidates.moved_pixels(*seen, self._side) for seen in zip(shown, places)]

    def _of_views(self, of_sources):
        """The values of the source of each view."""
        each = 2 if self.mirrored else 1
        return [value for value in of_sources for _ in range(each)]

    @property
    def _roles(self) -> tuple[str, ...]:
        """The roles of the pictures that are looked at."""
        return SOURCES[: self.sources]

    def _views(self, sources, batch):
        fit = pose_volumes.part_transforms if self.transform == "3d" else _fit_planar
        poses = [self._pose(batch, role) for role in self._roles]
        views = candidates.views(sources, poses, self._pose(batch, "target"), self._side, fit)
        return [view for view in views if self.mirrored or not view.mirrored]


def _fit_planar(*arguments):
    """`pose_volumes.part_transforms`, but with affine maps of the image plane."""
    return warp.planar(*rectangles.affine_fits(*arguments))


def _resized(images, size):
    """Images [B, H, W, C] at another size, averaged where they shrink."""
    if images.shape[2] == size:
        return images
    shape = (images.shape[0], size, size, images.shape[3])
    return jax.image.resize(images, shape, "linear", antialias=True)


def make(config: Any) -> System:
    """The reprojection system of a config.

    Args:
      config: the whole config; its sections `model`, `discriminator` and `loss`, the image size and
        the precision are read.

    Raises:
      UserError: image size and network do not fit together, or a value is not allowed.
    """
    model, image_size = config.model, config.data.image_size
    for name, size in (("data.image_size", image_size), ("model.size", model.size)):
        if size < 1 or size % tiles.SIZE:
            raise UserError(f"config.{name} must be a multiple of {tiles.SIZE}, got {size}.")
    volume_streams.check_dimensions(model)
    if model.features not in FEATURES:
        hint = did_you_mean(model.features, FEATURES)
        raise UserError(
            f"config.model.features must be unet or volume, got {model.features!r}; {hint}"
        )
    _check_sources(model)
    if getattr(model, "guided", False) and model.features != "volume":
        raise UserError(
            f"config.model.guided must be False with config.model.features {model.features}: it is "
            "the streams of a volume that are guided. Set features to volume."
        )
    _check_flow(model)
    loss = build_section(image_system.Loss, config, "loss")
    if loss.pose:
        raise UserError(f"config.loss.pose must be 0, got {loss.pose}: there is no pose head here.")
    dtype = layers.precision(config.precision)
    discriminator = build_section(
        discriminators.PoseDiscriminator,
        config,
        "discriminator",
        flat=model.pose == "2d",
        dtype=dtype,
    )
    volume = None
    if model.features == "volume":
        same = {"transform": model.transform, "pose": model.pose, "remat": model.remat}
        volume = build_section(volume_streams.VolumeFeatures, config, "volume", dtype=dtype, **same)
    generator = build_section(Generator, config, "model", volume=volume, dtype=dtype)
    return image_system.image_system(
        "reprojection",
        PAPER,
        loss,
        generator,
        discriminator,
        stages=image_system.generator_stages(generator),
        size_step=tiles.SIZE,
        roles=SOURCES[1 : model.sources],
        later_keys={"model.guided": False},
    )


def _check_flow(model):
    """Raises UserError where the largest flow is out of its range."""
    if not 0 <= model.flow <= raster.REACH:
        raise UserError(
            f"config.model.flow must be from 0 to {raster.REACH}, a share of the person's scale, "
            f"got {model.flow}."
        )


def _check_sources(model):
    """Raises UserError for numbers of pictures that the system cannot look at."""
    if model.sources not in (1, 2):
        raise UserError(f"config.model.sources must be 1 or 2, got {model.sources}.")
    if model.sources > 1 and model.features == "volume":
        raise UserError(
            "config.model.sources must be 1 with config.model.features volume, got "
            f"{model.sources}: its streams see one picture. Set features to unet."
        )
