"""Configurations from plain values and back: strict, and equal for YAML and HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from treestar.config.checks import check_choice, check_number, check_whole
from treestar.config.fields import field_docstrings, field_types, is_optional, literal_values, without_none
from treestar.config.values import config_from_values, config_to_values
from treestar.sandbox import SandboxConfig
from treestar.search import STRATEGIES
from treestar.serve import ServerConfig
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.workers import RayConfig

CLASSES = [config_class for config_class, _ in STRATEGIES.values()]
CLASSES += [ServerConfig, PPMTrainingConfig, SandboxConfig, RayConfig]


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 1
    """How many.

    In a second paragraph."""
    share: float | None = None
    kind: Literal["red", "green"] = "red"

    def __post_init__(self) -> None:
        check_whole(self, "size")
        check_number(self, "share", above=0, at_most=1)
        check_choice(self, "kind")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=lambda: Inner(size=7))
    more: tuple[Inner, ...] = ()
    is_fast: bool = False


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values that most fields of the type allow."""
    if is_optional(kind):
        return st.none() | values_of(without_none(kind))
    if literal_values(kind):
        return st.sampled_from(literal_values(kind))
    return {
        int: st.integers(1, 1000),
        float: st.floats(0.01, 0.99),
        bool: st.booleans(),
        str: st.text(max_size=5),
        tuple[str, ...]: st.lists(st.sampled_from(["https://app.example", "*"]), max_size=2).map(tuple),
        Mapping[str, Any]: st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    }[kind]


@given(st.data())
def test_every_configuration_is_read_back_from_its_values(data: st.DataObject) -> None:
    config_class = data.draw(st.sampled_from(CLASSES))
    chosen = data.draw(st.sets(st.sampled_from([each.name for each in fields(config_class)])))
    given = {name: data.draw(values_of(field_types(config_class)[name])) for name in sorted(chosen)}
    try:
        config = config_class(**given)
    except ValueError:  # some fields depend on others
        assume(False)
    assert config_from_values(config_class, config_to_values(config)) == config


def test_what_is_not_given_keeps_its_default_inside_of_a_default_too() -> None:
    assert config_from_values(Outer, {"name": "a", "inner": {"share": 1}}) == Outer(
        name="a", inner=Inner(size=7, share=1.0)
    )
    assert config_from_values(Outer, {"more": [{}, {"size": 2}]}, default=Outer(name="b")) == Outer(
        name="b", more=(Inner(), Inner(size=2))
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "place.name is missing"),
        (
            {"name": "a", "nome": 1},
            "place.nome is not a field: did you mean name? place has name, inner, more, is_fast",
        ),
        ({"name": "a", "width": 1}, "place.width is not a field: place has name, inner, more, is_fast"),
        ({"name": 1}, "place.name must be a text, not 1"),
        ({"name": "a", "is_fast": 1}, "place.is_fast must be true or false, not 1"),
        ({"name": "a", "more": {}}, "place.more must be a list, not {}"),
        ({"name": "a", "more": [{"size": True}]}, "place.more[0].size must be a whole number, not True"),
        ({"name": "a", "more": [{}, {"size": 0}]}, "place.more[1].size must be a whole number, 1 or more, not 0"),
        ({"name": "a", "inner": {"share": 2}}, "place.inner.share must be above 0 and at most 1, not 2.0"),
        ({"name": "a", "inner": {"share": "half"}}, "place.inner.share must be a number, not 'half'"),
        ({"name": "a", "inner": {"share": 10**400}}, "place.inner.share must be a number, not 1000"),
        ({"name": "a", "inner": {"kind": "blue"}}, "place.inner.kind must be red or green, not 'blue'"),
        ({"name": "a", "inner": [1]}, "place.inner must be an object with fields, not [1]"),
    ],
)
def test_an_error_names_the_path_and_what_is_allowed(values: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        config_from_values(Outer, values, "place")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 1.0}, "Inner.size must be a whole number, 1 or more, not 1.0"),
        ({"size": None}, "Inner.size must be a whole number, 1 or more, not None"),
        ({"share": float("nan")}, "Inner.share must be above 0 and at most 1, not nan"),
        ({"share": "1"}, "Inner.share must be above 0 and at most 1, not '1'"),
        ({"share": True}, "Inner.share must be above 0 and at most 1, not True"),
        ({"kind": "blue"}, "Inner.kind must be red or green, not 'blue'"),
    ],
)
def test_checks_name_the_field_what_is_allowed_and_the_value(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Inner(**given)


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        ({"at_least": 0}, "a finite number, 0 or more"),
        ({"above": 0}, "a finite number above 0"),
        ({"at_least": 0, "below": 2}, "at least 0 and below 2"),
        ({"above": 0, "below": 1}, "above 0 and below 1"),
    ],
)
def test_a_range_is_said_in_words(bounds: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"Outer.name must be {sentence}, not 'a'"):
        check_number(Outer(name="a"), "name", **bounds)


def test_docstrings_of_fields_are_one_line() -> None:
    assert field_docstrings(Inner) == {"size": "How many. In a second paragraph."}
