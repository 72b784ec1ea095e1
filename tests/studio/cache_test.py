"""The cache of what visitors brought: what is forgotten, and what never is."""

import pytest

from volsynth.studio import cache


def test_what_was_not_used_for_longest_is_forgotten():
    kept = cache.Cache(100)
    first, second = kept.add("a", 40), kept.add("b", 40)
    own = kept.pin("own")
    assert kept.get(first) == "a"
    third = kept.add("c", 40)
    assert (kept.get(first), kept.get(third), kept.get(own)) == ("a", "c", "own")
    with pytest.raises(cache.ForgottenError):
        kept.get(second)
    large = kept.add("d", 1000)
    assert kept.get(large) == "d"
    for name in (first, third):
        with pytest.raises(cache.ForgottenError):
            kept.get(name)
    for name in ("", "a", "a" * 21, "a" * 23, "a" * 21 + "/", "é" * 22):
        with pytest.raises(cache.UnknownError):
            kept.get(name)
    assert len({kept.pin(0) for _ in range(50)}) == 50
