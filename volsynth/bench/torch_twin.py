"""The volumetric generator in PyTorch, with `grid_sample` and `Conv3d` and the same weights.

It is a twin to compare speed with, and an oracle for the numbers. Masks, transforms and heatmaps of
the poses are computed by our code and handed over: neither side differentiates them.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from volsynth.ops import pose_volumes
from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.warp import warp

ArrayLike = np.ndarray | jax.Array


def tensor(array: ArrayLike) -> torch.Tensor:
    """Copies an array into a float32 tensor."""
    # A copy: PyTorch would warn of an array of JAX, which must not be written to.
    return torch.from_numpy(np.array(array, np.float32))


def channels_first(array: ArrayLike) -> torch.Tensor:
    """Copies an array [B, ..., C] into a float32 tensor [B, C, ...]."""
    return tensor(np.moveaxis(np.asarray(array), -1, 1))


class Poses:
    """The volumes of a batch's poses, as tensors.

    Attributes:
      masks: the masks of the parts, [P, B, 1, H, W, D].
      grids: where each part's voxels come from, as `grid_sample` wants it, [P, B, H, W, D, 3].
      heatmaps: the heatmaps of the target's joints, [B, J, H, W, D].

    Args:
      batch: a batch with the joints and the visibility of sources and targets.
      shape: height, width and depth of the volume.
      mask_width: half the width of a part, as a share of the distance from shoulder to hip.
      heatmap_sigma: the standard deviation of the heatmaps, as a share of the image's side.
    """

    def __init__(
        self,
        batch: Mapping[str, ArrayLike],
        shape: tuple[int, int, int],
        mask_width: float,
        heatmap_sigma: float,
    ) -> None:
        side = float(batch["source_image"].shape[2])
        poses = {k: v for k, v in batch.items() if k.endswith(("joints", "visible"))}
        masks, transforms, heatmaps = _from_poses(poses, shape, side, mask_width, heatmap_sigma)
        self.heatmaps = channels_first(heatmaps)
        self.masks, self.grids = part_tensors(masks, transforms, shape, side)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _from_poses(batch, shape, side, mask_width, heatmap_sigma):
    source = (batch["source_joints"], batch["source_visible"])
    target = (batch["target_joints"], batch["target_visible"])
    masks = pose_volumes.part_masks(*source, shape, side, mask_width)
    transforms = pose_volumes.part_transforms(*source, *target, side)
    return masks, transforms, pose_volumes.heatmaps(*target, shape, side, heatmap_sigma * side)


def part_tensors(
    masks: ArrayLike, transforms: PartTransforms, shape: tuple[int, int, int], side: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Converts arguments of `warp.warp` to masks [P, B, 1, H, W, D], grids [P, B, H, W, D, 3]."""
    # A part that cannot be placed is empty.
    masks = np.asarray(masks & transforms.valid[:, :, None, None, None])
    matrix, offset = map(np.asarray, warp.voxel_transforms(transforms, shape, side))
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    positions = np.einsum("bpij,hwdj->pbhwdi", matrix, centres.astype(np.float32))
    positions += np.moveaxis(offset, 1, 0)[:, :, None, None, None]
    # Ours has the centre of voxel 0 at 0; grid_sample has the borders of the volume at -1 and 1,
    # and wants the coordinate of the last axis first.
    grids = (2 * positions + 1) / np.array(shape) - 1
    return tensor(np.moveaxis(masks, 1, 0)[:, :, None]), tensor(grids[..., ::-1])


def multi_part_warp(volume: torch.Tensor, masks: torch.Tensor, grids: torch.Tensor) -> torch.Tensor:
    """Computes `warp.warp` by a `grid_sample` for every part, for a volume [B, C, H, W, D]."""
    merged = None
    for mask, grid in zip(masks, grids):
        moved = functional.grid_sample(volume * mask, grid, align_corners=False)
        merged = moved if merged is None else torch.maximum(merged, moved)
    return merged


class _Block(nn.Module):
    """Convolution and instance norm, with the padding of XLA's "SAME" or "SAME_LOWER"."""

    def __init__(self, parameters, stride=1, dilation=1, lower=False, norm=True) -> None:
        super().__init__()
        kernel = np.asarray(parameters["kernel"])
        axes = kernel.ndim - 2
        outputs, inputs, *taps = (kernel.shape[-1], kernel.shape[-2], *kernel.shape[:axes])
        make = {2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.convolution = make(inputs, outputs, taps, stride=stride, dilation=dilation)
        # Kernels of JAX are [..., inputs, outputs], PyTorch's [outputs, inputs, ...].
        order = (axes + 1, axes, *range(axes))
        with torch.no_grad():
            self.convolution.weight.copy_(tensor(kernel.transpose(order)))
            self.convolution.bias.copy_(tensor(parameters["bias"]))
        # The padding of both ends of an axis together. PyTorch's convolutions pad both ends alike;
        # of an odd total XLA gives the larger half to one end.
        total = dilation * (taps[0] - 1) + 1 - stride
        small, large = total // 2, total - total // 2
        self.even = small == large
        if self.even:
            self.convolution.padding = (small,) * axes
        else:
            self.pad = ((large, small) if lower else (small, large)) * axes
        self.norm = norm

    def forward(self, x):
        if not self.even:
            x = functional.pad(x, self.pad)
        x = self.convolution(x)
        return functional.instance_norm(x) if self.norm else x


class _Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, parameters, dilations=(1, 1)) -> None:
        super().__init__()
        self.first = _Block(parameters["Conv_0"], dilation=dilations[0])
        self.second = _Block(parameters["Conv_1"], dilation=dilations[1])

    def forward(self, x):
        return x + self.second(functional.relu(self.first(x)))


class Generator(nn.Module):
    """The generator of `volsynth.systems.volumetric`, without a chroma key.

    Args:
      parameters: the parameters of the Flax module.
      depth: the number of layers of the volume.
    """

    def __init__(self, parameters: Mapping[str, Any], depth: int) -> None:
        super().__init__()
        self.depth = depth
        encoder, decoder = parameters["encoder"], parameters["decoder"]
        first, *strided = _numbered(encoder, "ConvBlock")
        self.first = _Block(first["Conv_0"])
        self.strided = nn.ModuleList(
            _Block(p["Conv_0"], stride=2, lower=i % 2 == 1) for i, p in enumerate(strided)
        )
        self.dilated = nn.ModuleList(
            _Residual(p, dilations=(4, 8)) for p in _numbered(encoder, "ResidualBlock")
        )
        self.before = _residuals(parameters.get("before", {}))
        self.pose_first = _Block(parameters["pose_stream"]["ConvBlock_0"]["Conv_0"])
        self.pose = _residuals(parameters["pose_stream"])
        self.after = _residuals(parameters.get("after", {}))
        self.up = nn.ModuleList(_Block(p["UpConv_0"]) for p in _numbered(decoder, "UpBlock"))
        self.last = _Block(decoder["Conv_0"], norm=False)

    def forward(self, image: torch.Tensor, poses: Poses) -> torch.Tensor:
        """Renders source images [B, 3, H, W] in other poses."""
        # 0.2 is the slope of the Flax module.
        x = functional.leaky_relu(self.first(image), 0.2)
        for block in self.strided:
            x = functional.leaky_relu(block(x), 0.2)
        for block in self.dilated:
            x = block(x)
        batch, _, height, width = x.shape
        # Channels of an image become depth layers of a volume, in the order of the Flax module.
        volume = x.view(batch, self.depth, -1, height, width).permute(0, 2, 3, 4, 1)
        for block in self.before:
            volume = block(volume)
        warped = multi_part_warp(volume, poses.masks, poses.grids)
        pose_volume = functional.leaky_relu(self.pose_first(poses.heatmaps), 0.2)
        for block in self.pose:
            pose_volume = block(pose_volume)
        merged = torch.cat([warped, pose_volume], dim=1)
        for block in self.after:
            merged = block(merged)
        x = merged.permute(0, 4, 1, 2, 3).reshape(batch, -1, height, width)
        for block in self.up:
            x = functional.relu(block(functional.interpolate(x, scale_factor=2)))
        return torch.tanh(self.last(x))


def _residuals(parameters):
    return nn.ModuleList(map(_Residual, _numbered(parameters, "ResidualBlock")))


def _numbered(parameters, name):
    """The parameters of Flax's submodules `name_0`, `name_1`, and so on."""
    count = sum(key.rsplit("_", 1)[0] == name for key in parameters)
    return [parameters[f"{name}_{i}"] for i in range(count)]


def generate(
    parameters: Mapping[str, Any],
    batch: Mapping[str, ArrayLike],
    depth: int,
    mask_width: float,
    heatmap_sigma: float,
) -> np.ndarray:
    """Renders the twin's images for a batch, [B, H, W, 3] in [-1, 1]."""
    height, width = batch["source_image"].shape[1:3]
    shape = (height // 4, width // 4, depth)
    poses = Poses(batch, shape, mask_width, heatmap_sigma)
    with torch.no_grad():
        image = Generator(parameters, depth)(channels_first(batch["source_image"]), poses)
    return np.moveaxis(image.numpy(), 1, -1)


def training_step(
    parameters: Mapping[str, Any],
    batch: Mapping[str, ArrayLike],
    depth: int,
    mask_width: float,
    heatmap_sigma: float,
) -> Callable[[], float]:
    """Returns a function that does one step of Adam under L1 and returns the loss."""
    height, width = batch["source_image"].shape[1:3]
    shape = (height // 4, width // 4, depth)
    generator = Generator(parameters, depth)
    optimiser = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    image, target = (channels_first(batch[f"{role}_image"]) for role in ("source", "target"))

    def step():
        # Anew in every step, as our step does.
        poses = Poses(batch, shape, mask_width, heatmap_sigma)
        optimiser.zero_grad(set_to_none=True)
        loss = functional.l1_loss(generator(image, poses), target)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step
