"""YAML as people and JSON write it.

PyYAML would silently take the last of duplicate keys, and reads 1e-5 as text, because YAML 1.1 asks for a point and a
sign: learning rates are written like that, and so is JSON.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["InvalidYAML", "read_yaml", "written_yaml"]

InvalidYAML = yaml.YAMLError

FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+\Z")
"""A number with an exponent."""


def read_yaml(text: str) -> Any:
    """The values in `text`. Raises InvalidYAML."""
    return yaml.load(text, StrictLoader)


def written_yaml(values: Any) -> str:
    """The inverse of `read_yaml`."""
    return str(yaml.dump(values, Dumper=QuotingDumper, sort_keys=False, allow_unicode=True))


class StrictLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Creates only plain values, like its base."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a name must be plain text", key.start_mark)
            if key.value in names:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            names.add(key.value)
        return super().construct_mapping(node, deep)


class QuotingDumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes texts that `StrictLoader` would read as numbers."""


for each in (StrictLoader, QuotingDumper):
    each.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
