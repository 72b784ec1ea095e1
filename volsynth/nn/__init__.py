"""Networks: layers, blocks, backbones and discriminators, as Flax modules."""
