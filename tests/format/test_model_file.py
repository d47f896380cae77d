import json
import struct

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.comparison import compare_models
from kxchange.constant import Constant
from kxchange.constraints import Constraint
from kxchange.dims import symbol
from kxchange.errors import FormatError, KxchangeError, WriteError
from kxchange.format.model_file import identify
from kxchange.graph import Graph, Source, emitting, parameter, placeholder
from kxchange.model import Function, Model, Parameter, Role
from kxchange.types import DType, TensorType

rng = np.random.default_rng(7)


def make_model():
    batch = symbol("batch")
    entries = [
        Parameter("fc.weight", rng.normal(size=(4, 8)).astype(np.float32)),
        Parameter("fc.bias", rng.normal(size=4).astype(np.float32), trainable=False),
        Parameter("steps", np.array(3, np.int64), role=Role.BUFFER),
        Parameter("tied", np.zeros((4, 8), np.float32), alias_of="fc.weight"),
    ]
    x = placeholder("x", TensorType(DType.FLOAT32, (batch, 8)))
    with emitting("fc", Source("net.py", 3, "fc")):
        h = ops.linear(x, parameter("fc.weight", entries[0].type), parameter("fc.bias", entries[1].type))
    table = ops.constant(value=Constant(np.arange(20, dtype=np.float32)))
    h = ops.add(h, ops.take(table, ops.constant(value=Constant(np.array([1, 5, 7, 2]))), axis=0))
    outputs = (
        ops.add(h, float("-inf")),
        ops.reshape(h, shape=(batch * 4,)),
        ops.full(shape=(), value=2 * batch, dtype=DType.INT64),
    )
    return Model(
        {"main": Function(Graph((x,), outputs), ("a", "b.0", "b.1"), structure={"a": {"output": "a"}, "b": (1, None)})},
        entries,
        constraints=[Constraint("at_least", batch, 1, "given")],
        metadata={"licence": "MIT"},
        provenance={"backend": "test", "error": 1.5e-7, "list": (1, "f64:0x0")},
        samples=[{"function": "main", "inputs": {"x": np.ones((2, 8), np.float32)}, "outputs": {}}],
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.kx"
    kx.save(make_model(), path)
    return path


def test_what_is_loaded_is_what_was_saved(saved):
    model, loaded = make_model(), kx.load(saved)
    assert [line for line in compare_models(model, loaded) if "elements differ" not in line] == []
    assert loaded.provenance == model.provenance
    assert loaded.metadata == model.metadata
    assert loaded.constraints == model.constraints
    assert loaded.main.structure == model.main.structure
    assert list(loaded.parameters) == list(model.parameters)
    node = next(node for node in loaded.main.graph.nodes() if node.op == "linear")
    assert node.source == Source("net.py", 3, "fc")
    np.testing.assert_array_equal(loaded.samples[0]["inputs"]["x"], np.ones((2, 8)))


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    again = tmp_path / "again.kx"
    kx.save(kx.load(saved), again)
    assert again.read_bytes() == saved.read_bytes()


def test_the_safetensors_library_opens_it(saved):
    from safetensors.numpy import load_file

    loaded = load_file(saved)
    assert {"fc.weight", "fc.bias", "steps"} < set(loaded)
    np.testing.assert_array_equal(loaded["fc.bias"], kx.load(saved).array("fc.bias"))


def test_a_tied_name_shares_the_bytes(saved):
    model = kx.load(saved)
    np.testing.assert_array_equal(model.array("tied"), model.array("fc.weight"))
    assert model.parameters["tied"].alias_of == "fc.weight"


def test_it_runs_after_loading(saved):
    out = kx.load(saved)(x=np.ones((3, 8), np.float32))
    assert out["b.0"].shape == (12,)
    assert out["b.1"] == 6
    assert np.isneginf(out["a"]).all()


def test_every_flipped_bit_is_found(saved):
    raw = saved.read_bytes()
    identify(saved, verify=True)
    generator = np.random.default_rng(1)
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    positions = [*generator.integers(0, header, 150), *generator.integers(header, len(raw), 50)]
    for position in positions:
        damaged = bytearray(raw)
        damaged[position] ^= 1 << int(generator.integers(8))
        saved.write_bytes(damaged)
        with pytest.raises(KxchangeError):
            identify(saved, verify=True)


def change_document(path, edit):
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    document = json.loads(header["__metadata__"]["kx"])
    edit(document)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    header["__metadata__"]["kx"] = text
    encoded = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-(8 + len(encoded)) % 4096)
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + raw[8 + length :])


def nodes(document):
    return document["functions"][0]["nodes"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(kx="1"), "no kx document"),
        (lambda d: d.update(min_reader=2), "reader of version 2"),
        (lambda d: d["features"].append("teleport"), "feature 'teleport'"),
        (lambda d: d.update(surprise=1), "unknown field 'surprise'"),
        (lambda d: d["ops"].update(linear=9), "op 'linear' version 9"),
        (lambda d: d["ops"].update(os_system=1), "unknown here"),
        (lambda d: nodes(d)[3].update(op="os_system"), "unknown here"),
        (lambda d: nodes(d)[3].update({"in": [99, 0, 1]}), "no earlier node produces"),
        (lambda d: nodes(d)[3].update({"in": [-1]}), "no earlier node produces"),
        (lambda d: nodes(d)[3].update({"in": [True]}), "no earlier node produces"),
        (lambda d: nodes(d)[2].update(out=[0]), "stated to give"),
        (lambda d: nodes(d)[2].update(out=[77]), "no type number"),
        (lambda d: nodes(d)[2].update(source=77), "no source number"),
        (lambda d: nodes(d)[2].update(extra=1), "no field 'extra'"),
        (lambda d: d["functions"][0]["outputs"].append(500), "no earlier node produces"),
        (lambda d: d["functions"].append(d["functions"][0]), "one function twice"),
        (lambda d: d["parameters"][3].update(alias_of="nowhere"), "which is no tensor"),
        (lambda d: d["parameters"][3].update(alias_of="tied"), "which is no tensor"),
        (lambda d: d["parameters"][0].update(type="float32[4, 9]"), "float32"),
        (lambda d: d["parameters"][0].update(type="float32[n, 8]"), "static"),
        (lambda d: d["parameters"].pop(1), "does not have|only one of"),
        (lambda d: d["parameters"].append(d["parameters"][0]), "twice"),
        (lambda d: d.pop("types"), "no field .types"),
        (lambda d: d.pop("functions"), "no field .functions"),
        (lambda d: d["constraints"].append({"kind": "magic"}), "malformed"),
    ],
)
def test_an_altered_document_is_refused_by_name(saved, edit, message):
    change_document(saved, edit)
    with pytest.raises(FormatError, match=message):
        kx.load(saved)


def test_a_hostile_attribute_is_refused(saved):
    change_document(saved, lambda d: nodes(d)[-1]["attrs"].update(shape={"eval": "1"}))
    with pytest.raises(FormatError, match="cannot have the form"):
        kx.load(saved)


def test_weights_without_architecture_say_so(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "weights.kx"
    save_file({"a": np.zeros(2, np.float32)}, path)
    with pytest.raises(KxchangeError, match=r"architecture|kx"):
        kx.load(path)


def test_a_failed_save_leaves_the_old_file(saved):
    before = saved.read_bytes()

    def fail():
        raise OSError("disk gone")

    model = make_model()
    broken = Parameter("fc.weight", fail, type=model.parameters["fc.weight"].type)
    model.parameters["fc.weight"] = broken
    with pytest.raises(KxchangeError):
        kx.save(model, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["net.kx"]


def test_an_unwritable_target_is_one_typed_error(tmp_path):
    with pytest.raises(WriteError):
        kx.save(make_model(), tmp_path / "no" / "such" / "folder.kx")


def test_a_hundred_thousand_nodes_save_and_load(tmp_path):
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("n"),)))
    value = x
    for _ in range(100_000):
        value = ops.add(value, x)
    model = Model({"main": Function(Graph((x,), (value,)), ("y",))})
    kx.save(model, tmp_path / "long.kx")
    loaded = kx.load(tmp_path / "long.kx")
    assert len(loaded.main.graph.nodes()) == 100_000
