"""The published schema says what the writer writes and the reader requires."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

jsonschema = pytest.importorskip("jsonschema")

from fuzz.models import every_feature  # noqa: E402
from fuzz.mutation import mutate_json  # noqa: E402
from hostile.honest_files import edited, read_header, spell, write_header  # noqa: E402

import kxchange  # noqa: E402
from kxchange.format.document import FEATURES, FUNCTION, MEMBERS, PARAMETER  # noqa: E402
from kxchange.format.graph_document import NODE_KEYS  # noqa: E402
from kxchange.model import Role  # noqa: E402

SCHEMA = json.loads((Path(kxchange.__file__).parent / "format" / "kx.schema.json").read_text())


def document_of(model: Any, folder: Path) -> Any:
    path = kxchange.save(model, folder / "net.kx")[0]
    return json.loads(read_header(path.read_bytes())[0]["__metadata__"]["kx"])


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("feature", every_feature())
def test_every_document_written_fits(feature: str, validator: Any, tmp_path: Path) -> None:
    assert [error.message for error in validator.iter_errors(document_of(every_feature()[feature], tmp_path))] == []


def test_the_schema_and_the_reader_name_the_same_fields() -> None:
    definitions = SCHEMA["$defs"]
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(MEMBERS)
    function = set(definitions["function"]["properties"]) | set(definitions["graph"]["properties"])
    assert function == set(FUNCTION)
    assert set(definitions["parameter"]["properties"]) == set(PARAMETER) | {"type", "alias_of"}
    assert set(definitions["parameter"]["properties"]["role"]["enum"]) == set(Role)
    assert set(definitions["node"]["properties"]) == NODE_KEYS
    assert set(SCHEMA["properties"]["features"]["items"]["enum"]) == FEATURES


def test_the_reader_accepts_nothing_that_does_not_fit(validator: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.kx"
    rng, accepted, unfit = random.Random(3), 0, 0
    for feature, model in every_feature().items():
        document = document_of(model, tmp_path)
        table, data = read_header(path.read_bytes())
        for _ in range(60):
            changed = mutate_json(document, rng)
            table["__metadata__"]["kx"] = spell(changed).encode("utf-8", "replace").decode()
            path.write_bytes(write_header(table, data))
            fits = validator.is_valid(changed)
            unfit += not fits
            try:
                kxchange.load(path)
            except kxchange.KxchangeError:
                continue
            accepted += 1
            assert fits, (feature, [(error.json_path, error.message) for error in validator.iter_errors(changed)][:2])
        document_of(model, tmp_path)
    assert accepted > 5
    assert unfit > 100


def test_a_wrong_document_does_not_fit(validator: Any, tmp_path: Path) -> None:
    edited(lambda document: document.update(evil=1))(tmp_path)
    table, _ = read_header((tmp_path / "net.kx").read_bytes())
    assert not validator.is_valid(json.loads(table["__metadata__"]["kx"]))
