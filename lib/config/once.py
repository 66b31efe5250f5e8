"""Read YAML and JSON in which every key is given once.

The usual readers of both formats silently keep the last of two equal keys.
"""

from __future__ import annotations

import json
from typing import Any

import yaml


class TwiceError(ValueError):
    """A key is given twice. The message names it."""


def read_yaml(content: str) -> Any:
    """The parsed text. Raises TwiceError with key and lines, or yaml.YAMLError."""
    return yaml.load(content, Loader=_Loader)


def read_json(content: str) -> Any:
    """The parsed text. Raises TwiceError with the key, or json.JSONDecodeError."""
    return json.loads(content, object_pairs_hook=_pairs)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that a mapping has twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping. Raises TwiceError with key and lines."""
        node = super().compose_mapping_node(anchor)  # as written: what `<<` merges is added later
        first: dict[tuple, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            key = (key_node.tag, key_node.value)
            line = key_node.start_mark.line + 1
            if key in first:
                raise TwiceError(
                    f"key {key_node.value!r} is on line {first[key]} and again on line {line}; "
                    "keep one of them"
                )
            first[key] = line
        return node


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON text. Raises TwiceError with the key."""
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise TwiceError(f"key {key!r} is given {keys.count(key)} times; keep one of them")
    return dict(pairs)
