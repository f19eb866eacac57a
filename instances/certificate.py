"""Certificates: a bound on the saving of any placement, with the multipliers that prove it.

:mod:`instances.certificate_checker` verifies them in rational arithmetic, from the instance alone.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.documents import document_text
from instances.errors import InputError
from instances.fields import (
    integer_lists,
    integers,
    numbers,
    require_fields,
    require_list,
    require_name,
    require_number,
    require_object,
    show,
)
from instances.files import StrPath, read_json, write_json
from instances.multipliers import DualForm, Multipliers
from instances.parsing import VERSION, check_header
from instances.problem import Instance

CERTIFICATE_FORMAT = "moeplace/certificate"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """A bound and its proof: what the multipliers that are left out would be, is 0.

    Parameters
    ----------
    method
        Who found it.
    bound_saving_ms
        No placement saves more, ms per token.
    server_sets
        Servers of each set; bool (S, N).
    alpha_set, alpha_offsets, alpha_experts, alpha_ms
        Clauses: the server set of each; its flat experts, ascending,
        ``alpha_experts[alpha_offsets[c]:alpha_offsets[c + 1]]``; the alpha of each of these.
    pi_set, pi_expert, pi_ms
        Server set, flat expert and pi of each pair.
    price_ms
        lambda of each server, ms per token and byte; float64 (N,).
    """

    method: str
    bound_saving_ms: float
    server_sets: NDArray[np.bool_]
    alpha_set: NDArray[np.int64]
    alpha_offsets: NDArray[np.int64]
    alpha_experts: NDArray[np.int64]
    alpha_ms: NDArray[np.float64]
    pi_set: NDArray[np.int64]
    pi_expert: NDArray[np.int64]
    pi_ms: NDArray[np.float64]
    price_ms: NDArray[np.float64]

    @classmethod
    def of(
        cls, form: DualForm, multipliers: Multipliers, *, method: str, bound_saving_ms: float
    ) -> "Certificate":
        """Write multipliers of a form down; clauses and pairs with nothing but 0 are left out."""
        worth = np.zeros(form.weight_ms.size)
        np.add.at(worth, form.entry_clause, multipliers.alpha_ms)
        kept = worth > 0.0
        entries = kept[form.entry_clause]
        pairs = multipliers.pi_ms > 0.0
        any_entry = form.entry_offsets[:-1][kept]
        lengths = np.diff(form.entry_offsets)[kept]
        return cls(
            method=method,
            bound_saving_ms=bound_saving_ms,
            server_sets=form.server_sets,
            alpha_set=form.pair_set[form.entry_pair[any_entry]],
            alpha_offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            alpha_experts=form.pair_expert[form.entry_pair[entries]],
            alpha_ms=multipliers.alpha_ms[entries],
            pi_set=form.pair_set[pairs],
            pi_expert=form.pair_expert[pairs],
            pi_ms=multipliers.pi_ms[pairs],
            price_ms=multipliers.price_ms,
        )

    def multipliers(self, form: DualForm) -> Multipliers:
        """Return the multipliers as those of a form of the same instance; unknown clauses drop."""
        sets = {row.tobytes(): number for number, row in enumerate(form.server_sets)}
        set_of = np.array([sets.get(row.tobytes(), -1) for row in self.server_sets] or [0])
        pair_of = {
            pair: p
            for p, pair in enumerate(
                zip(form.pair_set.tolist(), form.pair_expert.tolist(), strict=True)
            )
        }
        clause_of = {
            tuple(form.entry_pair[begin:end].tolist()): begin
            for begin, end in zip(
                form.entry_offsets[:-1].tolist(), form.entry_offsets[1:].tolist(), strict=True
            )
        }
        alpha = np.zeros(form.entry_pair.size)
        experts = self.alpha_experts.tolist()
        for c, server_set in enumerate(set_of[self.alpha_set].tolist()):
            begin, end = int(self.alpha_offsets[c]), int(self.alpha_offsets[c + 1])
            pairs = tuple(pair_of.get((server_set, expert), -1) for expert in experts[begin:end])
            if pairs in clause_of:
                first = clause_of[pairs]
                alpha[first : first + len(pairs)] = self.alpha_ms[begin:end]
        pi = np.zeros(form.pair_expert.size)
        for pair, value in zip(
            zip(set_of[self.pi_set].tolist(), self.pi_expert.tolist(), strict=True),
            self.pi_ms.tolist(),
            strict=True,
        ):
            if pair in pair_of:
                pi[pair_of[pair]] = value
        return Multipliers(alpha_ms=alpha, pi_ms=pi, price_ms=self.price_ms)


def write_certificate(path: StrPath, instance: Instance, certificate: Certificate) -> None:
    """Write a certificate file, ``.json`` or ``.json.gz``.

    Raises
    ------
    InputError
        When the suffix is unknown or the file cannot be written.
    """
    write_json(path, document_text(certificate_to_dict(instance, certificate)))


def read_certificate(path: StrPath, instance: Instance) -> Certificate:
    """Read a certificate file.

    Raises
    ------
    InputError
        When it cannot be read, or names the field, the index and the value that is wrong; a
        certificate for another instance is wrong, too.
    """
    data = read_json(path)
    try:
        return certificate_from_dict(data, instance)
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def is_certificate(path: StrPath) -> bool:
    """Tell whether a JSON file says that it is a certificate; False for what cannot be read."""
    try:
        data = read_json(path)
    except InputError:
        return False
    return isinstance(data, dict) and data.get("format") == CERTIFICATE_FORMAT


def certificate_to_dict(instance: Instance, certificate: Certificate) -> dict[str, Any]:
    """Return the content of a certificate file."""
    clause_layer = _layers(instance, certificate.alpha_experts[certificate.alpha_offsets[:-1]])
    pi_layer = _layers(instance, certificate.pi_expert)
    first = instance.layer_expert_offset
    within = certificate.alpha_experts - np.repeat(
        first[clause_layer], np.diff(certificate.alpha_offsets)
    )
    slices = list(
        zip(
            certificate.alpha_offsets[:-1].tolist(),
            certificate.alpha_offsets[1:].tolist(),
            strict=True,
        )
    )
    names = instance.server_names
    return {
        "format": CERTIFICATE_FORMAT,
        "version": VERSION,
        "instance": instance.name,
        "checksum": instance.checksum(),
        "method": certificate.method,
        "bound_saving_ms": certificate.bound_saving_ms,
        "server_sets": [
            [names[n] for n in np.flatnonzero(row).tolist()] for row in certificate.server_sets
        ],
        "alpha": {
            "server_set": certificate.alpha_set.tolist(),
            **_model_and_layer(instance, clause_layer),
            "experts": [within[a:b].tolist() for a, b in slices],
            "value_ms": [certificate.alpha_ms[a:b].tolist() for a, b in slices],
        },
        "pi": {
            "server_set": certificate.pi_set.tolist(),
            **_model_and_layer(instance, pi_layer),
            "expert": (certificate.pi_expert - first[pi_layer]).tolist(),
            "value_ms": certificate.pi_ms.tolist(),
        },
        "lambda": dict(zip(names, certificate.price_ms.tolist(), strict=True)),
    }


def certificate_from_dict(data: object, instance: Instance) -> Certificate:
    """Make a certificate from the decoded content of a certificate file.

    Raises
    ------
    InputError
        Names the field, the index and the value that is wrong.
    """
    check_header(data, CERTIFICATE_FORMAT)
    required = ("instance", "checksum", "method", "bound_saving_ms", "server_sets", "alpha", "pi")
    fields = require_fields(data, "", ("format", "version", *required, "lambda"))
    for name, expected in (("instance", instance.name), ("checksum", instance.checksum())):
        if fields[name] != expected:
            raise InputError(
                name, f"{show(fields[name])} is not that of the instance, {expected!r}"
            )
    bound = require_number(fields["bound_saving_ms"], "bound_saving_ms")
    server_sets = _server_sets(fields["server_sets"], instance)
    alpha = require_fields(
        fields["alpha"], "alpha", ("server_set", "model", "layer", "experts", "value_ms")
    )
    offsets, experts = integer_lists(alpha["experts"], "alpha.experts")
    clause = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    layer = _global_layers(alpha, "alpha", instance, offsets.size - 1)
    pi = require_fields(fields["pi"], "pi", ("server_set", "model", "layer", "expert", "value_ms"))
    expert = integers(pi["expert"], "pi.expert")
    pi_layer = _global_layers(pi, "pi", instance, expert.size)
    return Certificate(
        method=require_name(fields["method"], "method"),
        bound_saving_ms=bound,
        server_sets=server_sets,
        alpha_set=_below(
            alpha["server_set"], "alpha.server_set", len(server_sets), offsets.size - 1
        ),
        alpha_offsets=offsets,
        alpha_experts=_flat(experts, layer[clause], "alpha.experts", clause, instance),
        alpha_ms=_alpha_values(alpha["value_ms"], offsets),
        pi_set=_below(pi["server_set"], "pi.server_set", len(server_sets), expert.size),
        pi_expert=_flat(expert, pi_layer, "pi.expert", np.arange(expert.size), instance),
        pi_ms=_multipliers(pi["value_ms"], "pi.value_ms", expert.size),
        price_ms=_prices(fields["lambda"], instance),
    )


def _layers(instance: Instance, experts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the global layers of flat experts."""
    return np.searchsorted(instance.layer_expert_offset, experts, side="right") - 1


def _model_and_layer(instance: Instance, layer: NDArray[np.int64]) -> dict[str, list[int]]:
    model = instance.layer_model[layer]
    return {
        "model": model.tolist(),
        "layer": (layer - instance.model_layer_offset[model]).tolist(),
    }


def _server_sets(value: object, instance: Instance) -> NDArray[np.bool_]:
    index = {name: n for n, name in enumerate(instance.server_names)}
    rows = require_list(value, "server_sets")
    table = np.zeros((len(rows), instance.num_servers), dtype=np.bool_)
    for s, names in enumerate(rows):
        for j, name in enumerate(require_list(names, f"server_sets[{s}]")):
            if not isinstance(name, str) or name not in index:
                raise InputError(f"server_sets[{s}][{j}]", f"{show(name)} is not a server")
            if table[s, index[name]]:
                raise InputError(f"server_sets[{s}][{j}]", f"{show(name)} is repeated")
            table[s, index[name]] = True
    return table


def _global_layers(
    fields: dict[str, Any], path: str, instance: Instance, count: int
) -> NDArray[np.int64]:
    model = _below(fields["model"], f"{path}.model", len(instance.models), count)
    layer = _length(integers(fields["layer"], f"{path}.layer"), f"{path}.layer", count)
    layers = np.array([m.layers for m in instance.models], dtype=np.int64)[model]
    for j in np.flatnonzero((layer < 0) | (layer >= layers))[:1]:
        raise InputError(f"{path}.layer[{j}]", f"{layer[j]} is not in 0..{layers[j] - 1}")
    return np.asarray(instance.model_layer_offset[model] + layer)


def _flat(
    experts: NDArray[np.int64],
    layer: NDArray[np.int64],
    path: str,
    index: NDArray[np.int64],
    instance: Instance,
) -> NDArray[np.int64]:
    first, last = instance.layer_expert_offset[layer], instance.layer_expert_offset[layer + 1]
    for j in np.flatnonzero((experts < 0) | (experts >= last - first))[:1]:
        raise InputError(
            f"{path}[{index[j]}]", f"{experts[j]} is not in 0..{last[j] - first[j] - 1}"
        )
    return np.asarray(first + experts)


def _below(value: object, path: str, limit: int, count: int) -> NDArray[np.int64]:
    column = _length(integers(value, path), path, count)
    for j in np.flatnonzero((column < 0) | (column >= limit))[:1]:
        raise InputError(f"{path}[{j}]", f"{column[j]} is not in 0..{limit - 1}")
    return column


def _length(column: NDArray[Any], path: str, count: int) -> NDArray[Any]:
    if column.size != count:
        raise InputError(path, f"{column.size} values where {count} are needed")
    return column


def _multipliers(value: object, path: str, count: int) -> NDArray[np.float64]:
    column: NDArray[np.float64] = _length(numbers(value, path), path, count)
    for j in np.flatnonzero(column < 0.0)[:1]:
        raise InputError(f"{path}[{j}]", f"{column[j]} is negative")
    return column


def _alpha_values(value: object, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = require_list(value, "alpha.value_ms")
    if len(rows) != offsets.size - 1:
        raise InputError(
            "alpha.value_ms", f"{len(rows)} values where {offsets.size - 1} are needed"
        )
    parts = [
        _multipliers(row, f"alpha.value_ms[{c}]", int(length))
        for c, (row, length) in enumerate(zip(rows, np.diff(offsets), strict=True))
    ]
    return np.concatenate([np.empty(0), *parts])


def _prices(value: object, instance: Instance) -> NDArray[np.float64]:
    index = {name: n for n, name in enumerate(instance.server_names)}
    prices = np.zeros(instance.num_servers)
    for name, price in require_object(value, "lambda").items():
        path = f"lambda[{show(name)}]"
        if name not in index:
            raise InputError(path, f"{show(name)} is not a server")
        prices[index[name]] = require_number(price, path)
        if prices[index[name]] < 0.0:
            raise InputError(path, f"{price} is negative")
    return prices
