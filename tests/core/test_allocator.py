"""Memory kept between steps, and given back after them."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from distilbert.core.allocator import AFTERWARDS, MMAP_MAX, reusing_memory


def recorded(calls: list[tuple[int, int]]) -> Callable[[None], SimpleNamespace]:
    return lambda name: SimpleNamespace(mallopt=lambda option, value: calls.append((option, value)))


def test_options_are_set_and_restored_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", recorded(calls))

    @reusing_memory()
    def step() -> None:
        assert (MMAP_MAX, 0) in calls
        calls.clear()
        raise KeyError

    with pytest.raises(KeyError):
        step()
    assert dict(calls) == AFTERWARDS


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_nothing_is_touched_elsewhere(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", recorded(calls))
    with reusing_memory(enabled=False):
        pass
    monkeypatch.setattr(sys, "platform", platform)
    with reusing_memory():
        pass
    assert calls == []


def test_a_c_library_without_the_option_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    with reusing_memory():
        pass
