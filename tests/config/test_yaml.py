"""YAML of jobs and training arguments: numbers with an exponent, duplicate keys, and back."""

from __future__ import annotations

import json

import pytest

from treestar.config.strict_yaml import InvalidYAML, read_yaml, written_yaml


@pytest.mark.parametrize("number", [1e-5, 5e-05, 2e20, -3.5e-8, 1.0, 12])
def test_a_number_is_read_as_json_writes_it(number: float) -> None:
    """PyYAML reads 1e-5 as text, with which a training fails at its first step."""
    assert read_yaml(json.dumps({"learning_rate": number})) == {"learning_rate": number}
    assert read_yaml(f"learning_rate: {number}") == {"learning_rate": number}


def test_what_is_written_is_read_back() -> None:
    values = {"rate": 1e-5, "label": "1e-5", "labels": ["2E3", "e5", "1.5e+3"], "text": "é"}
    assert read_yaml(written_yaml(values)) == values


def test_a_key_that_is_given_twice_is_rejected() -> None:
    with pytest.raises(InvalidYAML, match="duplicate key 'optim'"):
        read_yaml("optim: sgd\noptim: adafactor")
