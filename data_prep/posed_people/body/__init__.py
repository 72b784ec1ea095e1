"""The bodies of rendered people: skeleton, skin, clothes and hair, as meshes that can be posed."""
