import json
import subprocess
import sys

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.cli import main
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType


@pytest.fixture
def saved(tmp_path):
    entry = Parameter("weight", np.arange(12, dtype=np.float32).reshape(3, 4) / 10)
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    graph = Graph((x,), (ops.gelu(ops.linear(x, parameter("weight", entry.type))),))
    path = tmp_path / "net.kx"
    kx.save(Model({"main": Function(graph, ("y",))}, [entry]), path)
    return path


@pytest.fixture
def kx_command(capsys):
    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.out + captured.err
        return captured.out + captured.err

    return run


def test_inspect_shows_signature_parameters_and_id(kx_command, saved):
    text = kx_command("inspect", saved, "--ops", "--weights", "--graph", "--verify")
    assert "input  x: float32[batch, 4]" in text
    assert "weight: float32[3, 4]" in text
    assert "gelu" in text
    assert "every byte verified" in text
    data = json.loads(kx_command("inspect", saved, "--json"))
    assert data["dims"] == ["batch"]
    assert len(data["model_id"]) == 64


def test_a_flipped_bit_is_exit_code_2(kx_command, saved):
    raw = bytearray(saved.read_bytes())
    raw[-20] ^= 4
    saved.write_bytes(raw)
    kx_command("inspect", saved)
    assert "damaged" in kx_command("inspect", saved, "--verify", code=2)


def test_validate_and_its_exit_codes(kx_command, saved, tmp_path):
    assert "SAME" in kx_command("validate", saved, "--backends", "numpy", "--cases", "2")
    report = json.loads(kx_command("validate", saved, "--backends", "numpy", "--cases", "2", "--json"))
    assert report["ok"]
    other = kx.load(saved)
    other.parameters["weight"] = Parameter("weight", other.array("weight") + np.float32(1e-3))
    kx.save(other, tmp_path / "other.kx")
    assert "WRONG" in kx_command("validate", saved, "--against", tmp_path / "other.kx", code=1)
    assert kx_command("validate", saved, "--backends", "numpy", "-q", "--cases", "1") == ""


def test_convert_stores_the_evidence(kx_command, saved, tmp_path):
    target = tmp_path / "copy.kx"
    kx_command("convert", saved, target, "--no-validate")
    assert kx.load(target).evidence == []
    text = kx_command("convert", saved, tmp_path / "weights.npz")
    assert "SAME" in text
    assert dict(np.load(tmp_path / "weights.npz"))["weight"].shape == (3, 4)


def test_run_from_npz_to_npz(kx_command, saved, tmp_path):
    np.savez(tmp_path / "in.npz", x=np.ones((2, 4), np.float32))
    kx_command("run", saved, "-i", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert np.load(tmp_path / "out.npz")["y"].shape == (2, 3)
    np.savez(tmp_path / "bad.npz", x=np.ones((2, 5), np.float32))
    message = kx_command("run", saved, "-i", tmp_path / "bad.npz", "-o", tmp_path / "none.npz", code=2)
    assert "'x' axis 1" in message
    assert not (tmp_path / "none.npz").exists()


def test_check_lists_warnings(kx_command, saved):
    text = kx_command("check", saved, "--to", "torch")
    assert "KX104" in text
    assert "torch: ready" in text


def test_diff(kx_command, saved, tmp_path):
    assert "no difference" in kx_command("diff", saved, saved)
    other = kx.load(saved)
    other.parameters["weight"] = Parameter("weight", other.array("weight") * 2)
    kx.save(other, tmp_path / "other.kx")
    assert "elements differ" in kx_command("diff", saved, tmp_path / "other.kx", code=1)


def test_diff_by_recorded_hashes(kx_command, saved, tmp_path):
    """Weights are read where the hashes differ, and nowhere else: a damaged byte is for `kx inspect --verify` to find."""
    other = kx.load(saved)
    other.parameters["weight"] = Parameter("weight", other.array("weight") * 2)
    kx.save(other, tmp_path / "other.kx")
    assert "elements differ" in kx_command("diff", saved, tmp_path / "other.kx", "--recorded", "--no-run", code=1)
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    (tmp_path / "damaged.kx").write_bytes(data)
    assert "elements differ" in kx_command("diff", saved, tmp_path / "damaged.kx", "--no-run", code=1)
    assert "no difference" in kx_command("diff", saved, tmp_path / "damaged.kx", "--recorded")
    (tmp_path / "plain.json").write_text("{}")
    kx_command("diff", saved, tmp_path / "plain.json", "--recorded", code=2)


def test_explain_and_backends(kx_command):
    assert "erf" in kx_command("explain", "kx104")
    assert "Did you mean KX131" in kx_command("explain", "KX1311", code=2)
    assert "KX121" in kx_command("explain")
    assert "numpy" in kx_command("backends")
    assert any(row["name"] == "torch" for row in json.loads(kx_command("backends", "--json"))["backends"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "no-such-file.kx"], "no file or folder 'no-such-file.kx'"),
        (["inspct", "x"], "Did you mean 'inspect'"),
        (["convert", "{net}", "out.unknown"], "no installed converter writes '.unknown'"),
        (["validate", "{net}", "--backends", "pytroch"], "Did you mean 'torch'"),
        (["check", "{net}", "--to", "nothing"], "unknown converter 'nothing'"),
        (["inspect", "no.such.module:thing"], "cannot import"),
        (["convert", "{net}", "no/such/folder/net.kx", "--no-validate"], "net.kx"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(kx_command, saved, arguments, words):
    text = kx_command(*[argument.format(net=saved) for argument in arguments], code=2)
    assert words in text
    assert "Traceback" not in text


def test_text_of_any_kind_is_not_a_model(kx_command, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert "recognises" in kx_command("inspect", path, code=2)


def test_names_from_files_cannot_move_the_cursor():
    from kxchange.cli.text import plain

    assert plain("a\x1b[2Jb\u202e") == "a\\x1b[2Jb\\u202e"
    assert plain("größe") == "größe"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from kxchange.cli.group import group; from click.testing import CliRunner;"
        "assert CliRunner().invoke(group, ['--help']).exit_code == 0;"
        "print([m for m in ('numpy', 'torch', 'onnx', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_backends_names_the_extra_of_what_is_missing(kx_command, monkeypatch):
    from kxchange.converter import Converter

    monkeypatch.setattr(Converter, "missing", property(lambda record: record.requires))
    assert 'pip install "kxchange[torch]"' in kx_command("backends")
