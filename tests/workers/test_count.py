"""As many workers as this process may use cores."""

from __future__ import annotations

from pathlib import Path

import pytest

from cka_plugin.workers import count


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8), (None, 8)],
)
def test_a_container_is_kept_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, expected: int
) -> None:
    path = tmp_path / "cpu.max"
    if quota is not None:
        path.write_text(f"{quota}\n")
    monkeypatch.setattr(count, "_QUOTA", path)
    monkeypatch.setattr(count.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert count.cores() == expected
    assert count.how_many("auto") == expected
    assert count.how_many("auto", sharing=100) == 1


def test_a_number_is_that_number() -> None:
    assert [count.how_many(number) for number in (0, 1, 5)] == [0, 1, 5]
