"""The loss against its plain formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from understudy.students.losses import IGNORED, means, objective_sums, weigh

Row = tuple[int, int, float]  # target tokens, objective, weight


def batch(rows: list[Row], length: int = 5, vocabulary: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(len(rows), length, vocabulary)
    labels = torch.randint(0, vocabulary, (len(rows), length))
    for i, (tokens, _, _) in enumerate(rows):
        labels[i, : length - tokens] = IGNORED
    return logits, labels, torch.tensor([row[2] for row in rows]), torch.tensor([row[1] for row in rows])


def counts_of(rows: list[Row]) -> Tensor:
    counts = torch.zeros(2)
    for tokens, objective, weight in rows:
        counts[objective] += tokens * weight
    return counts


def plain(logits: Tensor, labels: Tensor, weights: Tensor, objectives: Tensor, objective_weights: list[float]) -> float:
    """The formula of the docstring, token by token."""
    loss = 0.0
    for objective, objective_weight in enumerate(objective_weights):
        above = below = 0.0
        for i in range(len(labels)):
            for position in range(labels.shape[1]):
                if objectives[i] == objective and labels[i, position] != IGNORED:
                    scores = logits[i, position].double()
                    likelihood = scores[labels[i, position]] - torch.logsumexp(scores, 0)
                    above -= float(weights[i]) * float(likelihood)
                    below += float(weights[i])
        loss += objective_weight * above / below if below else 0.0
    return loss


def step_loss(parts: list[list[Row]], objective_weights: list[float]) -> float:
    """The loss of a step given as micro-batches, all cut from the same rows."""
    rows = [row for part in parts for row in part]
    logits, labels, weights, objectives = batch(rows)
    begin, total = 0, 0.0
    for part in parts:
        cut = slice(begin, begin + len(part))
        sums = objective_sums(logits[cut], labels[cut], weights[cut], objectives[cut], 2)
        total += float(weigh(sums, counts_of(rows), torch.tensor(objective_weights)))
        begin += len(part)
    return total


ROWS: list[Row] = [(3, 0, 1.0), (5, 1, 1.0), (1, 0, 0.5), (4, 1, 2.0), (2, 1, 0.0)]
ANY_ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 1), st.floats(0, 4, width=32)), min_size=1, max_size=6)


@given(ANY_ROWS, st.floats(0, 3), st.floats(0, 3))
def test_the_loss_is_the_plain_formula(rows: list[Row], first: float, second: float) -> None:
    expected = plain(*batch(rows), [first, second])
    if all(weight == 0 or weight > 1e-3 for _, _, weight in rows):
        assert step_loss([rows], [first, second]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_loss_does_not_depend_on_the_micro_batch_size(size: int) -> None:
    parts = [ROWS[i : i + size] for i in range(0, len(ROWS), size)]
    assert step_loss(parts, [1.0, 0.5]) == pytest.approx(step_loss([ROWS], [1.0, 0.5]), rel=1e-5)


def test_a_mean_of_micro_batch_means_would_depend_on_it() -> None:
    cut = [step_loss([ROWS[:1]], [1.0, 0.5]), step_loss([ROWS[1:]], [1.0, 0.5])]
    assert sum(cut) / 2 != pytest.approx(step_loss([ROWS], [1.0, 0.5]), rel=1e-2)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_distilling_step_by_step_is_a_setting(alpha: float) -> None:
    rows: list[Row] = [(2, 0, 1.0), (5, 1, 1.0), (1, 0, 1.0), (3, 1, 1.0)]
    logits, labels, _, objectives = batch(rows)
    label, rationale = (
        torch.nn.functional.cross_entropy(
            logits[objectives == o].flatten(0, 1), labels[objectives == o].flatten(), ignore_index=IGNORED
        )
        for o in (0, 1)
    )
    assert step_loss([rows], [alpha, 1 - alpha]) == pytest.approx(
        float(alpha * label + (1 - alpha) * rationale), rel=1e-5
    )


def test_an_absent_objective_adds_nothing() -> None:
    rows: list[Row] = [(3, 0, 1.0), (2, 0, 1.0)]
    assert step_loss([rows], [1.0, 9.0]) == step_loss([rows], [1.0, 0.0])


def test_a_present_objective_adds_its_share() -> None:
    assert step_loss([ROWS], [1.0, 9.0]) > step_loss([ROWS], [1.0, 0.0])


def test_the_gradient_of_an_absent_objective_is_zero_and_not_nan() -> None:
    logits, labels, weights, objectives = batch([(3, 0, 1.0)])
    logits.requires_grad_()
    sums = objective_sums(logits, labels, weights, objectives, 2)
    weigh(sums, torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0])).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    sums = objective_sums(torch.zeros(1, 2, 7), torch.tensor([[1, 2]]), torch.ones(1), torch.tensor([0]), 1)
    assert float(means(sums, torch.tensor([2.0]))) == pytest.approx(math.log(7))


def test_a_twice_as_heavy_row_counts_like_the_row_twice() -> None:
    logits, labels, _, _ = batch([(3, 0, 1.0), (5, 0, 1.0)])
    heavy = objective_sums(logits, labels, torch.tensor([2.0, 1.0]), torch.tensor([0, 0]), 1) / 11
    twice = torch.tensor([0, 0, 1])
    plain_sums = objective_sums(logits[twice], labels[twice], torch.ones(3), torch.tensor([0, 0, 0]), 1) / 11
    assert torch.allclose(heavy, plain_sums)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 1, width=32) | st.none()), min_size=1, max_size=6),
    st.floats(0, 3, width=32),
)
def test_a_row_with_a_value_costs_the_squared_error_of_the_head(
    rows: list[tuple[int, float | None]], weight: float
) -> None:
    logits, labels, _, _ = batch([(tokens, 0, 1.0) for tokens, _ in rows])
    said = torch.randn(labels.shape)
    values = torch.tensor([math.nan if value is None else value for _, value in rows])
    objectives = torch.tensor([int(value is not None) for _, value in rows])
    expected = [0.0, 0.0]
    for i, (tokens, value) in enumerate(rows):
        for position in range(5 - tokens, 5):
            if value is None:
                expected[0] -= float(torch.log_softmax(logits[i, position], 0)[labels[i, position]]) * weight
            else:
                expected[1] += (float(said[i, position]) - value) ** 2 * weight
    weights = torch.full((len(rows),), weight)
    sums = objective_sums(logits, labels, weights, objectives, 2, said, values)
    assert sums.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_row_with_a_value_moves_no_logit_and_one_without_no_value() -> None:
    logits, labels, weights, _ = batch([(3, 0, 1.0), (5, 1, 1.0)])
    said = torch.zeros(labels.shape, requires_grad=True)
    logits.requires_grad_()
    objectives, values = torch.tensor([0, 1]), torch.tensor([math.nan, 1.0])
    objective_sums(logits, labels, weights, objectives, 2, said, values).sum().backward()
    assert logits.grad is not None
    assert said.grad is not None
    assert [bool(row.any()) for row in logits.grad] == [True, False]
    assert [bool(row.any()) for row in said.grad] == [False, True]
