"""Typical mistakes of a user: one message that helps, the right exit code, no traceback, nothing left behind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

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
def folder(tmp_path, monkeypatch):
    """A place with a sound model, damaged ones, and code with faults."""
    entry = Parameter("weight", np.arange(12, dtype=np.float32).reshape(3, 4) / 10)
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    graph = Graph((x,), (ops.gelu(ops.linear(x, parameter("weight", entry.type))),))
    kx.save(Model({"main": Function(graph, ("y",))}, [entry]), tmp_path / "net.kx")
    whole = (tmp_path / "net.kx").read_bytes()
    (tmp_path / "cut.kx").write_bytes(whole[:200])
    (tmp_path / "empty.kx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "zeros.h5").write_bytes(bytes(500))
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "full_folder").mkdir()
    (tmp_path / "full_folder" / "mine.txt").write_text("keep me")
    np.savez(tmp_path / "in.npz", x=np.ones((2, 4), np.float32))
    np.savez(tmp_path / "other_name.npz", z=np.ones((2, 4), np.float32))
    np.savez(tmp_path / "other_shape.npz", x=np.ones((2, 5), np.float32))
    np.savez(tmp_path / "other_type.npz", x=np.ones((2, 4), np.int64))
    (tmp_path / "broken_nets.py").write_text(
        "def build():\n    return 1 / 0\n\ndef lazy():\n    return len\n\nnumber = 3\n"
    )
    (tmp_path / "broken_import.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("broken_nets", "broken_import"):
        sys.modules.pop(name, None)


MISTAKES = [
    ("inspect missing.kx", "Check the path", 2),
    ("inspect", "Missing argument", 2),
    ("inspct net.kx", "Did you mean 'inspect'", 2),
    ("inspect --grpah net.kx", "--graph", 2),
    ("inspect cut.kx", "cut.kx", 2),
    ("inspect empty.kx", "empty.kx", 2),
    ("inspect text.onnx", "recognises 'text.onnx'", 2),
    ("inspect zeros.h5", "zeros.h5", 2),
    ("inspect a_folder", "a_folder", 2),
    ("inspect broken_nets:build --input x=float32[2,3]", "ZeroDivisionError at broken_nets.py:2", 2),
    ("inspect broken_nets:biuld --input x=float32[2,3]", "Did you mean 'build'", 2),
    ("inspect broken_nets:number --input x=float32[2,3]", "captures a builtins.int", 2),
    ("inspect broken_import:build --input x=float32[2,3]", "no licence", 2),
    ("inspect broken_nets:lazy", "--input x=float32[2,3]", 2),
    ("convert net.kx net.onx", "Did you mean '.onnx'", 2),
    ("convert net.kx", "Missing argument 'TARGET'", 2),
    ("convert net.kx no/such/folder/net.npz", "folder 'folder' does not exist", 2),
    ("convert net.kx out --to onxx", "Did you mean 'onnx'", 2),
    ("convert net.kx out --to flx", "Did you mean 'flax'", 2),
    ("convert net.kx copy.kx --max-shard-size lots", "lots", 2),
    ("validate net.kx --backends nmpy", "Did you mean 'numpy'", 2),
    ("validate net.kx --backends numpy --input missing.npz", "missing.npz", 2),
    ("validate net.kx --against missing.kx", "missing.kx", 2),
    ("validate net.kx --cases many", "many", 2),
    ("validate net.kx --dtype float33", "float32", 2),
    ("check net.kx", "--to", 2),
    ("check net.kx --to keas", "Did you mean 'keras'", 2),
    ("run net.kx -i in.npz", "-o", 2),
    ("run net.kx -i other_name.npz -o out.npz", "'x'", 2),
    ("run net.kx -i other_shape.npz -o out.npz", "'x' axis 1", 2),
    ("run net.kx -i other_type.npz -o out.npz", "float32", 2),
    ("run net.kx -i net.kx -o out.npz", "numpy.savez", 2),
    ("run net.kx -i in.npz -o a_folder", "a_folder", 2),
    ("run net.kx -i in.npz -o no/such/out.npz", "out.npz", 2),
    ("run net.kx --function man -i in.npz -o out.npz", "main", 2),
    ("diff net.kx missing.kx", "missing.kx", 2),
    ("explain KX999", "kx explain", 2),
    ("bench net.kx --batch zero", "--batch", 2),
    ("bench net.kx --backends nothing", "nothing", 2),
    ("deploy net.kx out --to trition", "triton", 2),
    ("verify text.onnx", "text.onnx", 2),
]


@pytest.mark.parametrize(("line", "words", "code"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake_is_one_message(folder, capsys, line, words, code):
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    output = capsys.readouterr()
    assert ended.value.code == code, output.out + output.err
    assert words in output.err
    assert "Traceback" not in output.err
    assert output.out == ""
    assert [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(folder, capsys):
    (folder / "a_folder").chmod(0o500)
    with pytest.raises(SystemExit) as ended:
        main(["convert", "net.kx", "a_folder/copy.kx", "--no-validate"])
    assert ended.value.code == 2
    assert "Permission denied" in capsys.readouterr().err


def test_an_error_of_the_system_is_one_message(folder, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "net.kx")

    monkeypatch.setattr("kxchange.hub.load", refuse)
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "net.kx"])
    assert ended.value.code == 2
    assert "kx: the system refuses 'net.kx': Permission denied" in capsys.readouterr().err
    with pytest.raises(PermissionError):
        main(["--debug", "inspect", "net.kx"])


def run(*arguments, **environment):
    """`kx` as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "kxchange", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_narrow_terminal_no_colour_and_no_terminal(folder):
    for arguments in (("-h",), ("inspect", "net.kx"), ("backends",)):
        done = run(*arguments, COLUMNS="40", NO_COLOR="1", TERM="dumb")
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr


def test_a_closed_pipe_is_no_crash(folder):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "kxchange", "explain"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_the_shell_completes_commands_and_options():
    done = run(_KX_COMPLETE="bash_complete", COMP_WORDS="kx ins", COMP_CWORD="1")
    assert done.stdout.split() == ["plain,inspect"]
    done = run(_KX_COMPLETE="bash_complete", COMP_WORDS="kx inspect --gr", COMP_CWORD="2")
    assert done.stdout.split() == ["plain,--graph"]


def test_versions_of_every_backend_without_importing_one(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(f"kx {kx.__version__}")
    assert f"numpy: numpy {np.__version__}\n" in text
    assert text.endswith("\n")
    code = "import sys; from kxchange.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'jax', 'tensorflow', 'keras', 'onnx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_every_help_has_an_example(capsys):
    from kxchange.cli.group import COMMANDS

    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert f"kx {name}" in capsys.readouterr().out.partition("\n")[2], name


def test_every_json_states_its_schema(folder, capsys):
    import json

    for line in (
        "inspect net.kx",
        "backends",
        "explain",
        "explain KX104",
        "check net.kx --to numpy",
        "diff net.kx net.kx",
    ):
        with pytest.raises(SystemExit):
            main([*line.split(), "--json"])
        assert json.loads(capsys.readouterr().out)["schema"] == 1, line


def test_inspect_is_a_table_of_layers(folder, capsys):
    with pytest.raises(SystemExit):
        main(["inspect", "net.kx"])
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["linear", "linear", "float32[batch,", "3]", "12"] in rows
    assert "12 numbers, 12 trainable" in text


def test_convert_says_what_it_did(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["convert", "net.kx", "copy.npz"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "2 layers" in text
    assert "1 (48 bytes), 0 tied" in text
    assert "numpy SAME" in text
    assert len(text.splitlines()) <= 7


def fake_netron(monkeypatch, start):
    module = types.ModuleType("netron")
    module.__spec__ = ModuleSpec("netron", None)
    module.start, module.wait, module.stop = start, lambda: None, lambda: None
    monkeypatch.setitem(sys.modules, "netron", module)


def test_view_shows_the_model_as_onnx(folder, capsys, monkeypatch):
    onnx = pytest.importorskip("onnx")
    shown = []

    def start(path, address, browse):
        with open(path, "rb") as stream:
            shown.append((onnx.load_model(io.BytesIO(stream.read())), address, browse, path))
        return address[0], 8081

    fake_netron(monkeypatch, start)
    with pytest.raises(SystemExit) as ended:
        main(["view", "net.kx", "--no-browser", "--port", "8081"])
    assert ended.value.code == 0
    ((model, address, browse, path),) = shown
    assert [value.name for value in model.graph.input] == ["x"]
    assert (address, browse) == (("127.0.0.1", 8081), False)
    assert "http://127.0.0.1:8081" in capsys.readouterr().out
    assert not os.path.exists(path)


def test_view_without_netron_or_a_free_port(folder, capsys, monkeypatch):
    pytest.importorskip("onnx")

    def taken(path, address, browse):
        raise OSError(98, "Address already in use")

    fake_netron(monkeypatch, taken)
    with pytest.raises(SystemExit) as ended:
        main(["view", "net.kx"])
    assert ended.value.code == 2
    assert "Address already in use. Take another --port" in capsys.readouterr().err
    monkeypatch.setattr("kxchange.cli.view.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["view", "net.kx"])
    assert ended.value.code == 2
    assert 'pip install "kxchange[view]"' in capsys.readouterr().err
