"""Protocols: everything that a score depends on, kept with it and compared before scores are."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

ALL = "all"
"""Name of the entry with what holds for every score."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Everything that the scores of a result depend on, as JSON values.

    Attributes:
      shared: what all scores depend on: data and its identity, split, pairs and their SHA-256,
        number and size of the images, file format, resizing, baselines, intervals.
      scores: by score, what it alone depends on: window, ranges, masks, networks and the SHA-256 of
        their weights; under `ALL` what holds for every score.
    """

    shared: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Protocol":
        """The protocol of a JSON object that `to_json` returned; entries may be missing."""
        shared = {k: v for k, v in value.items() if k not in ("scores", "digest")}
        scores = value.get("scores")
        return cls(shared, scores if isinstance(scores, Mapping) else {})

    def to_json(self) -> dict[str, Any]:
        """The protocol as one flat JSON object, with its digest."""
        values = {**self.shared, "scores": dict(self.scores), "digest": self.digest}
        # What was not JSON, tuples among it, would be another value after reading.
        return json.loads(json.dumps(values))

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that two protocols share only if they are equal."""
        # Sorted and without spaces: the digest depends on the values, not on how they are written.
        values = json.dumps([self.shared, self.scores], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(values.encode()).hexdigest()[:10]

    def differences(self, other: "Protocol", score: str | None = None) -> list[str]:
        """The entries in which two protocols differ.

        Args:
          other: the other protocol.
          score: name of the score that is to be compared; None for all that both have. A score that
            only one of them has is no difference.

        Returns:
          Dotted names of the entries.
        """
        # A score that only one of them has cannot be compared at all.
        names = [score] if score else [n for n in self.scores if n != ALL and n in other.scores]
        found = list(_differing("", self.shared, other.shared))
        for name in (ALL, *names):
            pair = (self.scores.get(name, {}), other.scores.get(name, {}))
            found += [f"scores.{name}{rest}" for rest in _differing("", *pair, joint=".")]
        return found

    def merged(self, other: "Protocol") -> "Protocol":
        """This protocol with the entries of the scores that only the other one has."""
        return Protocol({**other.shared, **self.shared}, {**other.scores, **self.scores})

    def summary(self) -> str:
        """The protocol in one line for a reader; everything is in the JSON."""
        known = self.shared
        pairs = f"{known.get('images')} pairs"
        if "pairs_sha256" in known:
            pairs += f" ({known['pairs_sha256'][:10]})"
        parts = [f"{known.get('data')}, {known.get('split')}", pairs]
        parts += [f"{known.get('image_size')} pixels"]
        parts += [str(known[key]) for key in ("file_format",) if key in known]
        if known.get("resize"):
            parts.append(f"resized: {known['resize']}")
        return f"Protocol {self.digest}: " + "; ".join(parts) + "."


def group_protocols(protocols: Sequence[Protocol]) -> tuple[list[str], dict[str, Protocol]]:
    """Groups protocols into those whose scores may be compared with one another.

    Returns:
      A letter for each protocol, the same for all that differ in nothing that two of them have; and
      each letter's protocol, with the entries of all scores.
    """
    letters, known = [], {}
    for own in protocols:
        # Against all of a letter at once: what the first has not, the second and third may have.
        same = (letter for letter, other in known.items() if not other.differences(own))
        letter = next(same, None) or _letter(len(known))
        known[letter] = known[letter].merged(own) if letter in known else own
        letters.append(letter)
    return letters, known


def _letter(number):
    # After z come aa, ab, as in the columns of a spreadsheet.
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def sha256_of_pairs(pairs: np.ndarray) -> str:
    """SHA-256 of a list of pairs [N, 2] of record numbers, little-endian integers of 64 bits."""
    # The same bytes on every machine, whatever its order of bytes and its width of integers.
    return hashlib.sha256(np.ascontiguousarray(pairs, "<i8").tobytes()).hexdigest()


def _differing(path: str, a: Any, b: Any, joint: str = "") -> Iterator[str]:
    """Dotted names of the entries in which two nested JSON values differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in (*a, *(key for key in b if key not in a)):
            # Unlike any JSON value: a key that is not there differs from one that is null.
            values = (a.get(key, ...), b.get(key, ...))
            yield from _differing(f"{path}{joint}{key}", *values, joint=".")
    elif a is ... or b is ... or json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True):
        yield path
