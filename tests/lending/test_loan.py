"""A model comes back bit for bit as it was lent: whatever its forward pass wrote, wherever it keeps it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import cka_plugin as cka
from cka_plugin.lending.loan import Loan, lent
from cka_plugin.lending.snapshot import Snapshot
from tests.lending.writers import WIDTH, Goes, Memory, Net, assert_works, described, random_states, writers
from tests.support import reference

WRITERS = [pytest.param(make, id=name) for name, make in writers().items()]


@pytest.mark.parametrize("make", WRITERS)
def test_a_model_comes_back_as_it_was_whatever_its_forward_pass_does(make: Callable[[], Net]) -> None:
    net, x = make(), torch.randn(24, 6)
    net.mid.eval()
    before, states = described(net), random_states()
    cka.compare({"net": net}, data=x, batch_size=8, granularity="module", progress=False)
    assert described(net) == before
    assert random_states() == states
    assert_works(net, x)


@pytest.mark.parametrize("make", WRITERS)
def test_a_model_comes_back_as_it_was_after_an_error(make: Callable[[], Net]) -> None:
    net, x = make(), torch.randn(24, 6)
    net.head = nn.Linear(5, 3)  # does not fit
    before, states = described(net), random_states()
    with pytest.raises(RuntimeError, match="net failed on a minibatch"):
        cka.compare({"net": net}, data=x, batch_size=8, granularity="module", progress=False)
    assert described(net) == before
    assert random_states() == states


@pytest.mark.parametrize("make", WRITERS)
def test_looking_at_a_model_changes_nothing(make: Callable[[], Net]) -> None:
    net = make()
    before, states = described(net), random_states()
    for granularity in ("stage", "block", "module"):
        cka.layers(net, granularity)
    assert described(net) == before
    assert random_states() == states


def test_every_pass_meets_the_model_as_it_was_lent() -> None:
    def drifts(net: Any, h: Tensor) -> Tensor:
        net.seen += 1
        net.state = net.state + h.mean(0)
        return (h * net.seen + net.state).as_subclass(Goes)

    x, net = torch.randn(64, 6), Net(drifts, state=torch.zeros(WIDTH))
    whole = cka.represent(net, x, batch_size=8, name="net", progress=False)
    parts = [cka.represent(net, x, batch_size=8, name="net", shard=(i, 2), progress=False) for i in (1, 0)]
    merged = cka.Representation.merge(parts)
    assert all(np.array_equal(a, b) for a, b in zip(whole.vectors, merged.vectors, strict=True))


class Merges(nn.Module):
    """As LoRA layers do: `eval()` adds what was learned to the weight, `train()` takes it away."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.learned = nn.Parameter(torch.randn(WIDTH, 100)), nn.Parameter(torch.randn(WIDTH, 100))
        self.merged = False

    def train(self, mode: bool = True) -> Merges:
        if self.merged == mode:
            self.weight.data += self.learned.data * (-1 if mode else 1)
            self.merged = not mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight if self.merged else self.weight + self.learned)


def test_weights_that_eval_writes_to_are_put_back() -> None:
    net = nn.Sequential(Merges(), nn.Tanh(), nn.Linear(WIDTH, 3))
    before = described(net)
    cka.represent(net, torch.randn(16, 100), batch_size=8, granularity="module", progress=False)
    assert described(net) == before


def test_a_large_tensor_that_is_first_written_to_later_is_named() -> None:
    def later(net: Any, h: Tensor) -> None:
        if bool((h.abs() > 1e3).any()):
            net.mid.weight.mul_(2)

    net, x = Net(later), torch.randn(24, 6)
    x[cka.represent(net, x, batch_size=8, progress=False).example_ids[-1]] = 1e6
    with pytest.raises(RuntimeError, match=r"net .*wrote to mid\.weight .* in minibatch 2"):
        cka.represent(net, x, batch_size=8, name="net", progress=False)


class Renormed(nn.Conv2d):
    """As in EEGNet: the weights are brought to a largest norm in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 1e-2 * float(x.abs().mean()))
        return self._conv_forward(x, self.weight, self.bias)


class Renorms(nn.Module):
    """The same, by whom the convolution stands in; wide enough to be laid out channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(*[nn.Conv2d(3 if i == 0 else 160, 160, 3, padding=1) for i in range(4)])
        self.head = nn.Linear(160, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.inner[1].weight.data.mul_(x.abs().mean())
        return self.head(self.inner(x).mean((2, 3)))


@pytest.mark.parametrize("net", [nn.Sequential(*[Renormed(3 if i == 0 else 160, 160, 3) for i in range(4)]), Renorms()])
def test_convolutions_whose_weights_change_with_the_data_run_as_they_are(net: nn.Module) -> None:
    x = torch.randn(24, 3, 12, 12) * torch.arange(1, 25).view(-1, 1, 1, 1)
    before = described(net)
    found = cka.compare({"net": net}, data=x, batch_size=8, granularity="module", progress=False)
    assert described(net) == before
    order = torch.tensor(found["net"].example_ids)
    paths = [layer.path for layer in found.layers("net")]
    kept: dict[str, list[np.ndarray]] = {path: [] for path in paths}
    for part in order.split(8):  # each minibatch meets the weights as they were
        for path, made in reference.activations(copy.deepcopy(net), paths, [x[part]]).items():
            kept[path] += made
    expected = reference.minibatch_cka(kept[paths[0]], kept[paths[-1]])
    assert found.matrix("net")[0, -1] == pytest.approx(expected, abs=1e-5)


def lazy_net() -> nn.Sequential:
    return nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))


def test_lazily_made_parameters_are_made_and_stay() -> None:
    lazy, x, states = lazy_net(), torch.randn(32, 6), random_states()
    cka.compare({"net": lazy}, data=x, batch_size=8, granularity="module", progress=False)
    assert random_states() == states
    assert [type(layer).__name__ for layer in lazy] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert lazy.training
    assert all(layer.training for layer in lazy)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in lazy)
    assert lazy[0].in_features == 6
    assert lazy[1].num_batches_tracked == 0
    assert_works(lazy, x)


def test_two_lazy_models_are_made_with_other_weights() -> None:
    lazy, other = lazy_net(), lazy_net()
    cka.compare({"one": lazy, "two": other}, data=torch.randn(32, 6), granularity="module", progress=False)
    assert not torch.equal(lazy[0].weight, other[0].weight)


def test_a_flag_that_belongs_to_a_lazy_parameter_stays_with_it() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.ready = nn.UninitializedParameter(), False

        def forward(self, x: Tensor) -> Tensor:
            if not self.ready:
                self.weight.materialize((4, x.shape[1]))
                with torch.no_grad():
                    self.weight.fill_(0.5)
                self.ready = True
            return x @ self.weight.t() + x[:, :4]

    net, x = nn.Sequential(Own(), nn.Linear(4, 2)), torch.randn(16, 6)
    cka.represent(net, x, batch_size=8, granularity="module", progress=False)
    assert net[0].ready
    assert bool((net[0].weight == 0.5).all())
    assert_works(net, x)


def test_a_snapshot_says_whether_it_is_current() -> None:
    net = Net(items=[1], memory=Memory())
    before = Snapshot(net)
    assert before.current()
    net.memory.rows.append(torch.ones(1))
    assert not before.current()
    assert before.put_back() == []
    assert before.current()


def test_changes_on_purpose_between_passes_are_kept() -> None:
    net = Net()
    loan = Loan(net, "net", 0)
    with loan.for_pass(0):
        net.mid.weight.data.zero_()
    net.mid.weight.data = torch.ones(WIDTH, WIDTH)
    with loan.for_pass(1):
        net.mid.weight.data.zero_()
    assert bool((net.mid.weight == 1).all())


def test_what_is_computed_aside_is_not_taken_for_the_models_doing() -> None:
    net = Net()
    loan = Loan(net, "net", 0)
    with loan.for_pass(0):
        with loan.aside():
            net.mid.weight.data.add_(0)
        assert not loan.rewrote_weights
    assert not loan.rewrote_weights
    with loan.for_pass(1):
        pass
    net.more = 1  # changes what there is, but no tensor: what is known of these stays known
    with loan.for_pass(2):
        net.norm.running_mean.add_(1)
    assert not net.norm.running_mean.any()


def test_what_is_first_written_later_and_past_versions_is_put_back_in_the_end() -> None:
    def later(net: Any, h: Tensor) -> None:
        if bool((h.abs() > 1e3).any()):
            net.norm.running_mean.data.add_(1)

    net, x = Net(later), torch.randn(24, 6)
    x[cka.represent(net, x, batch_size=8, progress=False).example_ids[-1]] = 1e6
    cka.represent(net, x, batch_size=8, progress=False)
    assert not net.norm.running_mean.any()


def test_objects_of_libraries_with_accounts_of_their_own_are_left_alone() -> None:
    loader = torch.utils.data.DataLoader([1, 2, 3])
    with lent(Net(loader=loader)):
        loader.mark = 1
    assert loader.mark == 1


def test_a_large_tensor_written_past_its_version_after_the_first_minibatch_is_an_error() -> None:
    def writes_later(net: Any, h: Tensor) -> None:
        if net.given == 2:
            net.table.data.add_(1)

    class Counted(Net):
        def forward(self, x: Tensor) -> Tensor:
            self.given = int(x[0, 0] > 5) + 1
            return super().forward(x)

    x = torch.randn(24, 6)
    x[8:, 0] = 9
    net = Counted(writes_later)
    with pytest.raises(RuntimeError, match=r"wrote to table .* through `\.data` after its first minibatch"):
        cka.represent(net, iter([x[:8], x[8:16], x[16:]]), granularity="module", progress=False)


def test_what_modules_of_one_class_share_comes_back() -> None:
    class Shares(Net):
        calls = 0
        tables: ClassVar[dict[int, Tensor]] = {}
        kept = torch.zeros(3)

        def forward(self, x: Tensor) -> Tensor:
            Shares.calls += 1
            Shares.tables[len(x)] = torch.ones(2)
            Shares.kept += 1
            Shares.more = "new"
            return super().forward(x) * Shares.calls + Shares.kept

    cka.represent(Shares(), torch.randn(24, 6), batch_size=8, granularity="module", progress=False)
    assert Shares.calls == 0
    assert Shares.tables == {}
    assert torch.equal(Shares.kept, torch.zeros(3))
    assert not hasattr(Shares, "more")


def test_an_interrupt_before_a_pass_has_begun_stays_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("cka_plugin.lending.loan.seeded", interrupted)
    loan = Loan(nn.Linear(2, 2), "net", seed=0)
    with pytest.raises(KeyboardInterrupt), loan.for_pass(0):
        raise AssertionError("the pass has begun")
    assert loan.drew is False
