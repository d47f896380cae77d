"""Weights of files onto an architecture: what torch wrote is what is read, and nothing in a file is ever run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.errors import FormatError, KxchangeError, NoArchitectureError, WeightError  # noqa: E402
from tests.corpus import corpus  # noqa: E402

DTYPES = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "bool",
    "complex64",
    "float8_e4m3fn",
]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.randn(1, 4))
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Any) -> Any:
        return self.head(self.norm(self.embedding(x)) * self.scale)


def net(seed: int) -> Net:
    torch.manual_seed(seed)
    module = Net()
    module.norm.running_mean = torch.randn(4)
    return module.eval()


X = torch.tensor([1, 2, 3])


def wanted(module: nn.Module) -> np.ndarray:
    return module(X).detach().numpy()


def got(model: Any) -> np.ndarray:
    return model(x=X.numpy())["output_0"]


def every_dtype() -> dict[str, Any]:
    base = torch.tensor([[0, 1, 2], [3, 1, 0]])
    return {name: base.to(getattr(torch, name)) for name in DTYPES} | {
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "expanded": torch.arange(3.0).expand(4, 3),
        "part": torch.arange(10.0)[4:8],
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": nn.Parameter(torch.ones(2)),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_state_dicts_of_every_type_and_stride(tmp_path: Path, zipped: bool) -> None:
    state = every_dtype()
    nested = {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1, "state": [torch.ones(2)]}, "note": "x"}
    torch.save(nested, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    read = kx.read_weights(tmp_path / "a.pt")
    assert list(read) == [f"state_dict.{name}" for name in state] + ["optimizer.state.0"]
    for name, tensor in state.items():
        found = read[f"state_dict.{name}"]
        assert found.type.dtype.value == str(tensor.dtype).removeprefix("torch.")
        wide = torch.complex128 if tensor.is_complex() else torch.float64
        np.testing.assert_array_equal(found.array.astype(str(wide)[6:]), tensor.detach().to(wide).numpy())


@pytest.mark.parametrize("form", ["pt", "stream", "safetensors", "folder", "kx", "cache"])
def test_weights_of_any_file_onto_an_architecture(tmp_path: Path, form: str) -> None:
    source, model = net(1), kx.capture(net(2), X)
    path = write(tmp_path, form, source)
    before = got(model)
    loaded, report = kx.load_weights(model, path)
    assert report.ok and set(report.loaded) == set(source.state_dict())
    np.testing.assert_allclose(got(loaded), wanted(source), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(got(model), before)
    assert not np.allclose(before, wanted(source))
    loaded.to("torch").load_state_dict(source.state_dict(), strict=True)


def write(folder: Path, form: str, module: nn.Module) -> Path:
    """The module's weights in one of the forms; the folder is sharded, and the cache a folder of links."""
    state = dict(module.state_dict())
    if form in ("pt", "stream"):
        torch.save(state, folder / "m.pt", _use_new_zipfile_serialization=form == "pt")
        return folder / "m.pt"
    if form == "kx":
        kx.save(kx.capture(module, X), folder / "m.kx")
        return folder / "m.kx"
    state = {name: tensor.clone() for name, tensor in state.items() if name != "head.weight"}  # as transformers does
    if form == "safetensors":
        save_file(state, folder / "m.safetensors")
        return folder / "m.safetensors"
    names = list(state)
    shards = {"model-1.safetensors": names[:2], "model-2.safetensors": names[2:]}
    home = folder / ("blobs" if form == "cache" else "")
    home.mkdir(exist_ok=True)
    for shard, held in shards.items():
        save_file({name: state[name] for name in held}, home / shard)
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (home / "model.safetensors.index.json").write_text(json.dumps(index))
    if form == "folder":
        return folder
    (folder / "snapshot").mkdir()
    for file in home.iterdir():
        (folder / "snapshot" / file.name).symlink_to(Path("..") / "blobs" / file.name)
    return folder / "snapshot"


@pytest.mark.parametrize("prefix", ["module.", "state_dict.", "a.b."])
def test_a_prefix_is_found_and_reported(prefix: str) -> None:
    source, model = net(1), kx.capture(net(2), X)
    state = {prefix + name: tensor.numpy() for name, tensor in source.state_dict().items()}
    loaded, report = kx.load_weights(model, {**state, "optimizer.step": np.ones(2)})
    assert report.prefix == prefix and report.ignored == ["optimizer.step"]
    np.testing.assert_allclose(got(loaded), wanted(source), rtol=1e-6, atol=1e-6)


def test_a_model_may_have_the_prefix_instead() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net(2)

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    source = net(1)
    state = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    loaded, report = kx.load_weights(kx.capture(Wrapped(), X), state)
    assert report.prefix == "+inner."
    np.testing.assert_allclose(got(loaded), wanted(source), rtol=1e-6, atol=1e-6)


def test_two_copies_of_the_weights_are_ambiguous() -> None:
    source, model = net(1), kx.capture(net(2), X)
    state = {
        prefix + name: tensor.numpy() for prefix in ("model.", "ema.") for name, tensor in source.state_dict().items()
    }
    with pytest.raises(WeightError, match=r"ema\..*model\..*prefix="):
        kx.load_weights(model, state)
    assert kx.load_weights(model, state, prefix="ema.")[1].ok


def test_every_name_that_does_not_fit_is_listed() -> None:
    model = kx.capture(net(2), X)
    state = {name: tensor.numpy() for name, tensor in net(1).state_dict().items()}
    del state["norm.weight"], state["norm.num_batches_tracked"]
    state["norm.bias"] = np.ones(5, np.float32)
    state["other"] = np.ones(5, np.float32)
    state["scale"] = state["scale"].reshape(4, 1, 1)
    with pytest.raises(WeightError) as error:
        kx.load_weights(model, state)
    for text in ("missing from the file (1): 'norm.weight'", "unexpected in the file (1): 'other'", "[5] in the file"):
        assert text in str(error.value)
    loaded, report = kx.load_weights(model, state, strict=False)
    assert report.missing == ["norm.weight"] and report.unread == ["norm.num_batches_tracked"]
    assert sorted(report.reshaped) == [("norm.bias", "[5]", "[4]"), ("scale", "[4, 1, 1]", "[1, 4]")]
    assert "scale" in report.loaded and "norm.bias" not in report.loaded
    np.testing.assert_array_equal(loaded.array("norm.weight"), model.array("norm.weight"))
    np.testing.assert_array_equal(loaded.array("scale").ravel(), state["scale"].ravel())


def test_a_transposed_matrix_is_never_taken() -> None:
    model = kx.capture(nn.Linear(3, 4), torch.ones(2, 3))
    with pytest.raises(WeightError, match=r"\[3, 4\] in the file, \[4, 3\] in the model"):
        kx.load_weights(model, {"weight": np.ones((3, 4), np.float32), "bias": np.ones(4, np.float32)})


def test_tied_names_with_different_values_are_refused() -> None:
    model = kx.capture(net(2), X)
    state = {name: tensor.numpy() for name, tensor in net(1).state_dict().items()}
    state["head.weight"] = state["head.weight"] + 1
    with pytest.raises(WeightError, match="tied in the model, but different in the file"):
        kx.load_weights(model, state)


def test_other_element_types_are_cast_and_reported_and_integers_are_not_floats() -> None:
    model = kx.capture(nn.Linear(3, 4), torch.ones(2, 3))
    weight = np.arange(12.0).reshape(4, 3)
    loaded, report = kx.load_weights(model, {"weight": weight, "bias": np.ones(4, np.float16)})
    assert report.retyped == [("weight", "float64", "float32"), ("bias", "float16", "float32")]
    np.testing.assert_array_equal(loaded.array("weight"), weight.astype(np.float32))
    with pytest.raises(WeightError, match="int64"):
        kx.load_weights(model, {"weight": weight.astype(np.int64), "bias": np.ones(4, np.float32)})


def test_names_are_mapped_by_rename() -> None:
    model = kx.capture(nn.Linear(3, 4), torch.ones(2, 3))
    state = {"kernel": np.ones((4, 3), np.float32), "b": np.zeros(4, np.float32), "step": np.ones(1)}
    rename: dict[str, str | None] = {"kernel": "weight", "b": "bias", "step": None}
    assert kx.load_weights(model, state, rename=rename.__getitem__)[1].ok


class Harm:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("harm", [Harm(os.mkdir, "harmed"), Harm(eval, "1"), Harm(getattr, 1, "real"), nn.Linear(2, 2)])
def test_a_pickle_that_calls_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, harm: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(2), "x": harm}, "a.pt", _use_new_zipfile_serialization=zipped)
    name = "Linear" if isinstance(harm, nn.Module) else harm.call[0].__name__
    for read in (kx.read_weights, kx.load):
        with pytest.raises(FormatError, match=name):
            read(tmp_path / "a.pt")
    assert not (tmp_path / "harmed").exists()


def test_a_lone_pickle_is_no_file_of_weights(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"weight": np.ones(3)}))
    with pytest.raises(KxchangeError):
        kx.load(tmp_path / "a.pt")


def archive(path: Path, root: bytes, storage: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("a/data.pkl", root)
        file.writestr("a/byteorder", b"little")
        file.writestr("a/data/0", storage)
    return path


def described(count: int, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A pickle of one tensor, put together by hand: what `torch.save` writes for ``{"w": tensor}``."""

    def tuple_of(numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in numbers) + b"t"

    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    storage += b"J" + struct.pack("<i", count) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset)
    call += tuple_of(sizes) + tuple_of(strides) + b"\x89}tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + call + b"s."


def test_the_handmade_archive_is_read(tmp_path: Path) -> None:
    data = np.arange(6, dtype=np.float32)
    path = archive(tmp_path / "a.pt", described(6, 1, (2, 2), (2, 1)), data.tobytes())
    np.testing.assert_array_equal(kx.read_weights(path)["w"].array, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("count", "offset", "sizes", "strides"),
    [(6, 3, (2, 2), (2, 1)), (6, 0, (2, 2), (2, -1)), (6, -1, (2,), (1,)), (7, 0, (7,), (1,)), (6, 0, (7,), (1,)),
     (6, 0, (2, 2), (1,)), (6, 0, (2**30, 2**30), (0, 0)), (6, 0, (2,), (2**30,)), (-6, 0, (2,), (1,))],
)  # fmt: skip
def test_a_tensor_outside_its_storage_is_refused(
    tmp_path: Path, count: int, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    path = archive(tmp_path / "a.pt", described(count, offset, sizes, strides), bytes(24))
    with pytest.raises(FormatError):
        kx.read_weights(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_a_damaged_file_is_a_typed_error(tmp_path: Path, zipped: bool) -> None:
    buffer = io.BytesIO()
    torch.save(net(1).state_dict(), buffer, _use_new_zipfile_serialization=zipped)
    whole, path = buffer.getvalue(), tmp_path / "a.pt"
    rng = np.random.default_rng(0)
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = data[: int(rng.integers(20, len(data)))]
        else:
            data[int(rng.integers(14, len(data)))] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        try:
            for entry in kx.read_weights(path).values():
                assert entry.array.shape == entry.type.shape
        except KxchangeError:
            pass


@pytest.mark.parametrize("shard", ["../x.safetensors", "/x.safetensors", "gone.safetensors", ".."])
def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path, shard: str) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors")
    home = tmp_path / "model"
    home.mkdir()
    (home / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(FormatError, match="shard"):
        kx.read_weights(home)


def test_bare_weights_say_what_to_do(tmp_path: Path) -> None:
    for form in ("pt", "safetensors", "folder"):
        home = tmp_path / form
        home.mkdir()
        with pytest.raises(NoArchitectureError, match=r"holds \d tensors and no architecture.*load_weights"):
            kx.load(write(home, form, net(1)))


def test_the_corpus_files_hold_what_torch_reads() -> None:
    for entry in map(corpus, ("dev_mtcnn_pnet_pt", "dev_mtcnn_rnet_pt", "dev_mtcnn_onet_pt")):
        state = torch.load(entry.path, weights_only=True)
        read = kx.read_weights(entry.path)
        assert list(read) == list(state)
        assert all(np.array_equal(read[name].array, tensor.numpy()) for name, tensor in state.items())
    assert len(kx.read_weights(corpus("dev_demonet_pth").path)) == 4


def test_a_torchscript_archive_gives_its_tensors_and_is_not_run_a_live_one_is_captured() -> None:
    path = corpus("dev_demonet_jit").path
    state = torch.jit.load(path).state_dict()
    read = kx.read_weights(path)
    assert list(read) == list(state)
    assert all(np.array_equal(read[name].array, tensor.numpy()) for name, tensor in state.items())
    with pytest.raises(NoArchitectureError, match="TorchScript.*load_weights"):
        kx.load(path)
    live, x = torch.jit.load(path).eval(), torch.randn(2, 3, 64, 64)
    model = kx.capture(live, x)
    (found,) = kx.run(model, dict(zip(model.input_names, [x.numpy()], strict=True))).values()
    assert np.allclose(found, live(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.hf
def test_a_hugging_face_folder_onto_its_architecture() -> None:
    transformers = pytest.importorskip("transformers")
    entry = corpus("dev_chronos_t5_hf")
    home = entry.folder / "model"
    module = transformers.T5ForConditionalGeneration(transformers.T5Config.from_json_file(home / "config.json")).eval()
    case = next(entry.cases())
    names = ("input_ids", "attention_mask", "decoder_input_ids")
    inputs = {name: torch.from_numpy(case.inputs[name]) for name in names}
    dynamic = {"input_ids": (None, "seq"), "attention_mask": (None, "seq"), "decoder_input_ids": (None, "target")}
    model = kx.capture(module, dynamic=dynamic, use_cache=False, **inputs)
    loaded, report = kx.load_weights(model, home)
    assert report.ok
    result = loaded(**{name: case.inputs[name] for name in names})["logits"]
    np.testing.assert_allclose(result, case.outputs["logits"], rtol=1e-4, atol=1e-4)
