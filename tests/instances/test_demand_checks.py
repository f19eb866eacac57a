"""Rows are checked a part at a time: the first that is wrong is found, wherever parts end."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances import demand_checks
from instances.demand_checks import Rows, check_rows
from instances.errors import InputError
from instances.model import Model
from tests.strategies import instances


def demand_of(instance):
    return Rows(
        user=instance.demand_user,
        layer=instance.demand_layer,
        offsets=instance.demand_offsets,
        experts=instance.demand_experts,
    )


def rows_of(demand):
    return [
        demand.experts[a:b].tolist()
        for a, b in zip(demand.offsets[:-1], demand.offsets[1:], strict=True)
    ]


def by_hand(demand, models, user_model):
    """Return the message about the first mistake, row by row, one rule after the other."""
    rows = rows_of(demand)
    for d, user in enumerate(demand.user.tolist()):
        if not 0 <= user < len(user_model):
            return f"demands.user[{d}]: {user} is not in 0..{len(user_model) - 1}"
    row_model = [models[user_model[user]] for user in demand.user]
    for d, (layer, model) in enumerate(zip(demand.layer.tolist(), row_model, strict=True)):
        if not 0 <= layer < model.layers:
            return (
                f"demands.layer[{d}]: {layer} is not in 0..{model.layers - 1}, "
                f"the layers of model {model.name!r}"
            )
    for d, (row, model) in enumerate(zip(rows, row_model, strict=True)):
        if not 1 <= len(row) <= model.top_k:
            return (
                f"demands.experts[{d}]: {len(row)} experts where the model allows "
                f"1..{model.top_k} (its top_k)"
            )
    for d, (row, model) in enumerate(zip(rows, row_model, strict=True)):
        for i, expert in enumerate(row):
            if not 0 <= expert < model.experts:
                return f"demands.experts[{d}][{i}]: {expert} is not in 0..{model.experts - 1}"
    for d, row in enumerate(rows):
        if len(set(row)) < len(row):
            return f"demands.experts[{d}]: {row} repeats an expert"
    return None


@pytest.mark.parametrize("together", [1, 2, 5, 2**15])
@given(data=st.data(), instance=instances(max_models=3, max_rows=12))
def test_every_mistake_is_found_wherever_parts_end(together, data, instance):
    demand = demand_of(instance)
    for _ in range(data.draw(st.integers(0, 2))):
        field = data.draw(st.sampled_from(("user", "layer", "experts")))
        column = getattr(demand, field).copy()
        if column.size:
            column[data.draw(st.integers(0, column.size - 1))] = data.draw(st.integers(-1, 5))
        demand = replace(demand, **{field: column})
    if data.draw(st.booleans()) and len(demand) > 1:  # a row too long, or empty
        offsets = demand.offsets.copy()
        d = data.draw(st.integers(1, len(demand) - 1))
        offsets[d] = data.draw(st.sampled_from((offsets[d - 1], offsets[d + 1])))
        demand = replace(demand, offsets=offsets)
    expected = by_hand(demand, instance.models, instance.user_model.tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demand_checks, "ROWS_AT_A_TIME", together)
        if expected is None:
            check_rows(demand, instance.models, instance.user_model)
            return
        with pytest.raises(InputError) as raised:
            check_rows(demand, instance.models, instance.user_model)
    assert str(raised.value) == expected


@pytest.mark.parametrize("num_rows", [2**15 - 1, 2**15, 2**15 + 1])
def test_the_last_row_of_many(num_rows):
    model = Model.uniform("m", layers=1, experts=4, top_k=2, expert_bytes=1)
    demand = Rows(
        user=np.zeros(num_rows, np.int32),
        layer=np.zeros(num_rows, np.int32),
        offsets=2 * np.arange(num_rows + 1),
        experts=np.tile(np.array([3, 1], np.int32), num_rows),  # in any order
    )
    check_rows(demand, [model], np.zeros(1, np.int64))
    demand.experts[-1] = 3
    with pytest.raises(
        InputError, match=rf"demands\.experts\[{num_rows - 1}\]: \[3, 3\] repeats an expert"
    ):
        check_rows(demand, [model], np.zeros(1, np.int64))
