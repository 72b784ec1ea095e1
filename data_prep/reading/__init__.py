"""Files that users bring, read with suspicion: images, archives, videos, and poses beside them."""
