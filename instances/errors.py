"""The one error that a user's mistake raises."""


class InputError(ValueError):
    """Bad input: one line that names the field, its index and its value.

    Parameters
    ----------
    field
        Where the mistake is, as a path into the file: ``users[2].latency_ms[1]``.
    problem
        What is wrong there, with the offending value.
    source
        The file, when there is one; readers add it with :meth:`in_file`.
    """

    def __init__(self, field: str, problem: str, *, source: str | None = None) -> None:
        self.field = field
        self.problem = problem
        self.source = source
        parts = [part for part in (source, field, problem) if part]
        super().__init__(": ".join(parts).replace("\n", " "))

    def in_file(self, source: str) -> "InputError":
        """Return the same error with the name of the file in front."""
        return InputError(self.field, self.problem, source=source)

    def within(self, prefix: str) -> "InputError":
        """Return the same error with the field seen from one level further out."""
        field = f"{prefix}.{self.field}" if self.field else prefix
        return InputError(field, self.problem, source=self.source)

    def __reduce__(self) -> tuple[object, ...]:  # exceptions with keywords need help to be pickled
        return _rebuild, (self.field, self.problem, self.source)


def _rebuild(field: str, problem: str, source: str | None) -> InputError:
    return InputError(field, problem, source=source)
