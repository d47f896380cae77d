"""`.pt2` files in: what torch and kxchange write comes back, and nothing in a hostile file runs."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import kxchange as kx  # noqa: E402
from kxchange.errors import FormatError, KxchangeError, UnsupportedOpError  # noqa: E402
from kxchange_torch.pt2_sniff import sniff  # noqa: E402

pytestmark = pytest.mark.torch

CORPUS = Path(os.environ.get("KXCHANGE_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))


class Tied(torch.nn.Module):
    """An embedding whose weight is also the output layer's, with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(7, 4)
        self.head = torch.nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.tensor([2.0]))

    def forward(self, ids: Any) -> Any:
        return {"logits": self.head(self.embed(ids) * self.scale), "length": ids.sum(1)}


class Counting(torch.nn.Module):
    """A buffer that every call writes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x: Any) -> Any:
        self.total.add_(x.sum(0))
        return x * self.total, (x.shape[0] * x.reshape(-1),)


class Convolution(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, stride=2)
        self.norm = torch.nn.BatchNorm2d(4)

    def forward(self, x: Any) -> Any:
        first, second = self.norm(self.conv(x)).relu().chunk(2, 1)
        return torch.cat([second, first], 1).flatten(1)


def example(module: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    if isinstance(module, Tied):
        return torch.randint(0, 7, (2, 5)), {"ids": ("batch", "seq")}
    if isinstance(module, Counting):
        return torch.randn(4, 3), None
    return torch.randn(2, 3, 9, 9), None


@pytest.mark.parametrize("make", [Tied, Counting, Convolution])
@pytest.mark.parametrize("writer", ["torch", "kxchange"])
def test_a_module_comes_back(make: Callable[[], Any], writer: str, tmp_path: Path) -> None:
    module = make().eval()
    x, dynamic = example(module)
    path = tmp_path / "net.pt2"
    if writer == "kxchange":
        kx.save(kx.capture(module, x, dynamic=dynamic), path)
    else:
        axes = dict.fromkeys(range(2 if dynamic else 1), torch.export.Dim.DYNAMIC)
        torch.export.save(torch.export.export(module, (x,), dynamic_shapes=(axes,)), path)
    model = kx.load(path)
    larger = torch.cat([x, x[:1]])
    name = model.input_names[0]
    got = [np.asarray(array) for array in kx.run(model, {name: larger.numpy()}).values()]
    wanted = module(larger)
    leaves, _ = torch.utils._pytree.tree_flatten(wanted)
    for ours, theirs in zip(got, leaves, strict=False):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-5)
    assert {key: tuple(p.type.shape) for key, p in model.parameters.items()} == {
        key: tuple(value.shape) for key, value in module.state_dict().items()
    }
    for key, value in module.state_dict().items():
        if key != "total":
            np.testing.assert_array_equal(model.array(key), value.numpy())


def test_tied_names_stay_tied(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Tied(), (torch.zeros(2, 5, dtype=torch.int64),)), tmp_path / "net.pt2")
    aliases = {p.name: p.alias_of for p in kx.load(tmp_path / "net.pt2").parameters.values()}
    assert aliases["head.weight"] == "embed.weight"
    assert aliases["embed.weight"] is None


def test_declared_bounds_become_constraints(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=3, max=64)
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(5, 2),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    model = kx.load(tmp_path / "net.pt2")
    assert sorted((str(c.left), str(c.right)) for c in model.constraints) == [("64", "batch"), ("batch", "3")]


def test_a_file_made_elsewhere() -> None:
    folder = CORPUS / "dev_derived_mtcnn_pnet_pt2"
    if not folder.is_dir():
        pytest.skip("the corpus is not here")
    model = kx.load(folder / "model.pt2")
    recorded = np.load(folder / "io.npz")
    for case in json.loads((folder / "meta.json").read_text())["cases"]:
        got = kx.run(model, {item["name"]: recorded[item["key"]] for item in case["inputs"]})
        for array, item in zip(got.values(), case["outputs"], strict=True):
            np.testing.assert_allclose(array, recorded[item["key"]], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of a small healthy file."""
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(2, 3), (torch.zeros(4, 2),)), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"net/{name}", data)
    return path


def edited(members: dict[str, bytes], member: str, change: Callable[[Any], None]) -> dict[str, bytes]:
    document = json.loads(members[member])
    change(document)
    return {**members, member: json.dumps(document).encode()}


def evil_pickle(target: Path) -> bytes:
    """A pickle that makes a folder when it is read, written by hand."""
    return b"cos\nmkdir\n(V" + str(target).encode() + b"\ntR."


PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"


def test_sample_inputs_are_never_read(members: dict[str, bytes], tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    sample = next(name for name in members if name.startswith("data/sample_inputs/"))
    path = write(tmp_path / "net.pt2", {**members, sample: evil_pickle(trap)})
    kx.load(path)
    assert not trap.exists()


def test_a_pickled_weight_is_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    document = edited(members, WEIGHTS, lambda d: d["config"]["weight"].update(use_pickle=True))
    document["data/weights/weight_0"] = evil_pickle(trap)
    with pytest.raises(FormatError, match="'weight' is stored as a pickle"):
        kx.load(write(tmp_path / "net.pt2", document))
    assert not trap.exists()


@pytest.mark.parametrize(
    "name", ["data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/aotinductor/model/a.so"]
)
def test_objects_and_compiled_code_are_refused(members: dict[str, bytes], tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=name):
        kx.load(write(tmp_path / "net.pt2", {**members, name: evil_pickle(tmp_path / "ran")}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "_operator.call",
        "torch.load",
        "torch.ops.load_library",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.__class__.default",
        "math.__loader__.load_module",
        "builtins.eval",
    ],
)
def test_only_listed_operators_are_named(members: dict[str, bytes], tmp_path: Path, target: str) -> None:
    hostile = edited(members, PROGRAM, lambda d: d["graph_module"]["graph"]["nodes"][0].update(target=target))
    with pytest.raises(UnsupportedOpError, match=target):
        kx.load(write(tmp_path / "net.pt2", hostile))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').mkdir('ran')",
        "Pow(Integer(9), Integer(10**9))",
        "Pow(Integer(9), Integer(999999999))",
        "(" * 3000,
    ],
)
def test_sizes_are_parsed_not_run(
    members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.chdir(tmp_path)
    size = {"as_expr": {"expr_str": expression, "hint": {"as_int": 4}}}

    def change(document: Any) -> None:
        document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0] = size

    with pytest.raises(FormatError, match="symbolic size"):
        kx.load(write(tmp_path / "net.pt2", edited(members, PROGRAM, change)))
    assert not (tmp_path / "ran").exists()


def test_names_never_become_source(members: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = "x=__import__('os').mkdir('ran')"
    text = members[PROGRAM].decode().replace('"linear"', json.dumps(evil)).replace('"input"', json.dumps(evil + "2"))
    with pytest.raises(KxchangeError):
        kx.load(write(tmp_path / "net.pt2", {**members, PROGRAM: text.encode()}))

    def rename(document: Any) -> None:
        graph = document["graph_module"]
        graph["module_call_graph"][0]["signature"]["forward_arg_names"] = [evil]

    assert kx.load(write(tmp_path / "other.pt2", edited(members, PROGRAM, rename))).input_names == ("input_0",)
    assert not (tmp_path / "ran").exists()


def test_a_tensor_beyond_its_bytes_is_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["config"]["weight"]["tensor_meta"]["strides"][0] = {"as_int": 10**6}

    with pytest.raises(FormatError, match="beyond"):
        kx.load(write(tmp_path / "net.pt2", edited(members, WEIGHTS, change)))


def test_a_huge_repeated_tensor_is_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    def change(document: Any) -> None:
        meta = document["config"]["weight"]["tensor_meta"]
        meta.update(sizes=[{"as_int": 10**12}, {"as_int": 2}], strides=[{"as_int": 0}, {"as_int": 1}])

    with pytest.raises(FormatError, match="elements"):
        kx.load(write(tmp_path / "net.pt2", edited(members, WEIGHTS, change)))


def test_tricks_of_archives_are_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="leave"):
        kx.load(write(tmp_path / "slip.pt2", {**members, "../../evil": b""}))
    with pytest.raises(FormatError, match="compressed"):
        kx.load(write(tmp_path / "bomb.pt2", {**members, "data/x": bytes(2**20)}, zipfile.ZIP_DEFLATED))
    path = write(tmp_path / "twice.pt2", members)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"net/{PROGRAM}", b"{}")
    with pytest.raises(FormatError, match="two members"):
        kx.load(path)
    path = write(tmp_path / "locked.pt2", members)
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    struct.pack_into("<H", data, directory + 8, 1)
    path.write_bytes(data)
    with pytest.raises(FormatError, match="encrypted"):
        kx.load(path)


def test_recognised_by_content(members: dict[str, bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "net.bin", members)
    assert sniff(path, path.read_bytes()[:64]) == "pt2"
    other = tmp_path / "other.pt2"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    assert sniff(other, other.read_bytes()[:64]) is None
