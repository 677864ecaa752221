"""Loads YAML and rejects duplicate keys, of which PyYAML would silently take the last."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["InvalidYAML", "read_yaml"]

InvalidYAML = yaml.YAMLError


def read_yaml(text: str) -> Any:
    """The values in `text`. Raises InvalidYAML."""
    return yaml.load(text, StrictLoader)


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
