import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.reordering import reordered
from tests.strategies import instances, placements


@given(data=st.data())
def test_nothing_but_the_order_changes(data: st.DataObject) -> None:
    instance = data.draw(instances())
    placement = data.draw(placements(instance))
    orders = {
        what: data.draw(st.permutations(range(count)))
        for what, count in (
            ("servers", instance.num_servers),
            ("users", instance.num_users),
            ("rows", instance.num_rows),
        )
    }
    changed = reordered(instance, **orders)
    before = evaluate(instance, placement)
    after = evaluate(changed, Placement(placement.stored[orders["servers"]]))
    assert after.saving_ms == pytest.approx(before.saving_ms, rel=1e-12)
    assert after.user_latency_ms == pytest.approx(before.user_latency_ms[orders["users"]])
    assert changed.user_names == tuple(instance.user_names[u] for u in orders["users"])
    assert changed.server_names == tuple(instance.server_names[n] for n in orders["servers"])
    # undone by the inverse orders
    inverse = {what: np.argsort(order) for what, order in orders.items()}
    assert reordered(changed, **inverse).checksum() == instance.checksum()


def test_orders_are_checked(tiny: Instance) -> None:
    with pytest.raises(InputError, match=r"servers: \[0, 0\] does not list each of 0\.\.1 once"):
        reordered(tiny, servers=[0, 0])
    with pytest.raises(InputError, match="rows: "):
        reordered(tiny, rows=[0])
