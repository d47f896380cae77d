"""Every fenced block of Python and of shell in the README and in docs/ runs; one that cannot says why.

The blocks of a page run in order, in one namespace and one temporary folder. `kx` commands run in this process. HTML
comments, which readers do not see, steer it:

* `<!-- not run: REASON -->` before a block;
* `<!-- file: NAME = PATH -->` puts a file of the repository into the folder;
* a Python block with `title="nets.py"` is written as that file, not run;
* a shell line that ends in `# exit code 1` must end so.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from few_proofs import at_home, shorten

from kxchange.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PART = re.compile(
    r"<!-- (?P<word>not run|file): (?P<say>.*?) -->|^(?P<indent> *)```(?P<language>\w*)(?P<info>[^\n]*)\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
NOT_RUN = {
    "README.md": ["it serves until it is stopped", "it needs a network and changes the environment"],
    "docs/adding_a_converter.md": ["a sketch of a package"],
    "docs/adding_an_op.md": ["silu is there already", "lines of files that exist"],
    "docs/serving.md": ["it serves until it is stopped"],
    "docs/tutorials/anything_to_onnx_to_serve.md": ["it serves until it is stopped"],
    "docs/how_to/command_line.md": ["it changes the user's shell", "it opens a browser"],
}
"""Page -> why its blocks are not run: the whole list, so that none slips in."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    info: str
    code: str
    line: int
    reason: str = ""


def blocks_of(text: str) -> tuple[list[Block], dict[str, str]]:
    """The blocks of a page in order, and the files that it starts from."""
    blocks: list[Block] = []
    files: dict[str, str] = {}
    reason = ""
    for part in PART.finditer(text):
        if part["word"] == "file":
            name, _, path = part["say"].partition(" = ")
            files[name] = path
        elif part["word"]:
            reason = part["say"]
        else:
            line = text.count("\n", 0, part.start()) + 2
            code = "\n".join(row.removeprefix(part["indent"]) for row in part["code"].split("\n"))
            blocks.append(Block(part["language"], part["info"].strip(), code, line, reason))
            reason = ""
    return blocks, files


def written(page: Path) -> tuple[list[Block], dict[str, str]]:
    return blocks_of(page.read_text(encoding="utf-8"))


RUN = [page for page in PAGES if any(b.language in ("python", "shell") and not b.reason for b in written(page)[0])]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    for package in ("torch", "jax", "flax", "tensorflow", "keras", "onnxruntime", "sklearn"):
        pytest.importorskip(package)
    shorten(monkeypatch)
    blocks, files = written(page)
    for name, path in files.items():
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copyfile)(ROOT / path, tmp_path / name)
    namespace = {"__name__": "__main__"}
    with at_home(tmp_path):
        for block in blocks:
            if block.reason:
                continue
            if block.language == "python":
                run_python(page, block, namespace)
            elif block.language == "shell":
                for command in commands(block.code):
                    run_command(command, f"{page.name}:{block.line}", capsys)


def run_python(page, block, namespace):
    title = re.search(r'title="([\w.]+)"', block.info)
    if title:
        Path(title[1]).write_text(block.code, encoding="utf-8")
        return
    code = "\n" * (block.line - 1) + block.code
    exec(compile(code, str(page), "exec"), namespace)


def commands(code: str) -> list[str]:
    """The lines, those continued by a backslash joined."""
    return [line for line in code.replace("\\\n", " ").split("\n") if line.strip() and not line.startswith("#")]


def run_command(line, where, capsys):
    words, _, comment = (part.strip() for part in line.partition(" #"))
    arguments = shlex.split(words)
    if arguments[0] == "make":
        assert f"\n{arguments[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), where
    elif arguments[0] == "python":
        assert (ROOT / arguments[1]).is_file(), f"{where}: {line}; tests/examples runs it"
    elif arguments[:2] == ["pip", "install"]:
        check_install(arguments[2:], where)
    else:
        assert arguments[0] == "kx", f"{where}: nothing here runs {line!r}"
        with pytest.raises(SystemExit) as ended:
            main(arguments[1:])
        output = capsys.readouterr()
        expected = re.match(r"exit code (\d)", comment)
        assert ended.value.code == int(expected[1] if expected else 0), f"{where}: {line}\n{output.out}{output.err}"


def check_install(arguments, where):
    """Extras that are named exist; what else is named is one of our own dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for argument in arguments:
        extras = re.search(r"\[([\w,]+)\]", argument)
        if extras:
            assert set(extras[1].split(",")) <= set(project["optional-dependencies"]), f"{where}: {argument}"
        elif not argument.startswith("-"):
            assert any(argument in text for text in sum(project["optional-dependencies"].values(), [])), where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_does_not_run_says_why(page):
    blocks, _ = written(page)
    reasons = sorted({block.reason for block in blocks if block.reason})
    assert reasons == sorted(NOT_RUN.get(str(page.relative_to(ROOT)), []))
    for block in blocks:
        assert not (not block.language and re.match(r"(kx|pip|make|python) ", block.code)), (
            f"{page.name}:{block.line}: commands without `shell` behind the fence are not run"
        )


def test_every_page_with_blocks_is_listed():
    assert set(NOT_RUN) <= {str(page.relative_to(ROOT)) for page in PAGES}
    assert ROOT / "README.md" in RUN


def test_a_block_that_fails_is_found(tmp_path, capsys):
    text = "<!-- not run: reason -->\n```shell\nkx nothing\n```\n\n```python\nfails = 1\n```\n"
    first, second = blocks_of(text)[0]
    assert (first.reason, second.reason, second.line) == ("reason", "", 7)
    with pytest.raises(AssertionError, match="kx nothing"):
        run_command("kx nothing", "here", capsys)
    with pytest.raises(ZeroDivisionError):
        run_python(tmp_path, Block("python", "", "1 / 0", 1), {})
