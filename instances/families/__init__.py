"""Named families of instances: the same name, size and seed give the same bytes everywhere."""

# Each module registers its families when it is imported; lists show them in this order.
# isort: off
from instances.families import tiny as _tiny  # noqa: F401
from instances.families import classes as _classes  # noqa: F401
from instances.families import mixed as _mixed  # noqa: F401
from instances.families import adversarial as _adversarial  # noqa: F401
from instances.families import expert_parallel as _expert_parallel  # noqa: F401
from instances.families import knapsacks as _knapsacks  # noqa: F401
from instances.families import scale as _scale  # noqa: F401
from instances.families.spec import FAMILIES, Family, generate
# isort: on

__all__ = ["FAMILIES", "Family", "generate"]
