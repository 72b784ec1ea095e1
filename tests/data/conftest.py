"""Records and batches of the prepared data set that the tests of a run share."""

import augmented
import pytest

from volsynth.data import pipeline


@pytest.fixture(scope="session")
def train(tiny):
    return tiny.split("train")


@pytest.fixture(scope="session")
def batches(train):
    """The batches of the steps 0 to 4."""
    return list(pipeline.training_batches(train, 3, 4, 0, 5))


@pytest.fixture(scope="session")
def people(tiny):
    """Eight records as `pipeline` gives them to be changed, with their part labels."""
    return augmented.people(tiny)
