"""Wrappers are looked through, and leaves are closed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from cka_plugin.adapters.base import is_leaf, leaf_layers, unwrap
from tests.support.generic_nets import (
    Block,
    Chain,
    named,
)


def test_wrappers_are_looked_through_and_paths_are_those_of_the_wrapper() -> None:
    model = Chain(inlet=nn.Linear(4, 6), body=nn.ModuleList(Block() for _ in range(2)), out=nn.Linear(6, 2))
    compiled = torch.compile(model)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for wrapped, prefix in ((compiled, "_orig_mod."), (nn.DataParallel(model), "module."), (averaged, "module.")):
        assert unwrap(wrapped)[1] == prefix
        assert named(wrapped) == {name: prefix + path for name, path in named(model).items()}
        for path in named(wrapped).values():
            wrapped.get_submodule(path)
    assert unwrap(nn.DataParallel(compiled)) == (model, "module._orig_mod.")


def test_a_wrapper_with_a_peft_model_is_looked_through_unless_it_learns_prompts() -> None:
    class Config:
        is_prompt_learning = False

    class Wrapper(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.base_model = Chain(model=model)
            self.active_peft_config = Config()

        def get_base_model(self) -> nn.Module:
            return self.base_model.model

    Wrapper.__module__ = "peft.peft_model"
    inner = Block()
    wrapper = Wrapper(inner)
    assert unwrap(wrapper) == (inner, "base_model.model.")
    wrapper.active_peft_config.is_prompt_learning = True
    assert unwrap(wrapper) == (wrapper, "")


def test_leaves_are_closed_where_what_is_inside_is_not_called() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "normed": normed, "id": nn.Identity()})
    assert [layer.path for layer in leaf_layers(model)] == ["attention", "normed"]
    assert is_leaf(normed)


def test_distributed_data_parallel_is_looked_through(tmp_path: Path) -> None:
    dist = torch.distributed
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = Block()
        assert unwrap(nn.parallel.DistributedDataParallel(model)) == (model, "module.")
    finally:
        dist.destroy_process_group()
