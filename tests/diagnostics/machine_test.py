"""The machine's memory and huge pages, as the system tells them."""

from pathlib import Path

import pytest

from volsynth.diagnostics import machine


def test_memory_respects_the_limit_of_a_container(monkeypatch):
    def limited(text):
        monkeypatch.setattr(machine.Path, "read_text", lambda self: text)
        return machine._memory_bytes()

    whole = limited("max\n")
    assert limited("1048576\n") == 2**20
    assert limited(f"{whole * 2}\n") == whole


@pytest.mark.parametrize(
    ("setting", "tunables", "wanted"),
    [
        ("[always] madvise never", "", True),
        ("always [madvise] never", "", False),
        ("always [madvise] never", "a=1:glibc.malloc.hugetlb=1", True),
        ("always madvise [never]", "glibc.malloc.hugetlb=1", False),
        (None, "", None),
    ],
)
def test_huge_pages_need_the_system_and_the_c_library(monkeypatch, setting, tunables, wanted):
    def read(path):
        if setting is None:
            raise FileNotFoundError
        return setting

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    assert machine.huge_pages() is wanted
