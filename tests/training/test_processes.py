"""Two DDP processes: the first alone measures, and training is the same."""

from __future__ import annotations

from typing import Any


def test_under_ddp_the_first_process_alone_measures_and_training_is_the_same(ranks: list[dict[str, Any]]) -> None:
    first, second = ranks
    assert first["ranks"] == 2
    for rank in ranks:
        assert rank["hugging face: same weights"] is True
        assert rank["lightning: same weights"] is True
    assert len(first["hugging face: figures"]) == 3
    assert second["hugging face: figures"] == []
    assert first["hugging face: figures"][2]["cka/start/lowest"] < 0.999
    assert first["lightning: monitored"] < 0.999
