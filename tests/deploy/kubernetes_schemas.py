"""Strict checks of Kubernetes objects against the schemas that `kubernetes-validate` carries.

Its own `validate` reads a megabyte of JSON for each object; here each file is read once.
"""

import json
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kubernetes_validate.utils import all_versions  # type: ignore[import-untyped]
from referencing import Registry, Resource

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

NEWEST: tuple[str, ...] = tuple(dict.fromkeys(all_versions()))[-2:]


def find_problems(content: dict[str, Any], version: str) -> list[str]:
    """Returns the problems of an object, including unknown fields."""
    group, _, of = content["apiVersion"].rpartition("/")
    part = f"{group.split('.')[0]}-{of}" if group else of
    validator = _validator(version, f"{content['kind'].lower()}-{part}.json")
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


@lru_cache
def _validator(version: str, file: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator  # takes a second

    return Draft202012Validator(_read(version, file), registry=_definitions(version))


@lru_cache
def _definitions(version: str) -> Registry[Any]:
    return Resource.from_contents(_read(version, "_definitions.json")) @ Registry()


def _read(version: str, file: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    return json.loads((folder / file).read_text())
