"""The page, the JUnit file and the one-line helper."""

from __future__ import annotations

import html.parser
from xml.etree import ElementTree

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.errors import MismatchError, MissingBackendError, WriteError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.testing import assert_same
from kxchange.types import DType, TensorType
from kxchange.validation import page
from kxchange.validation.against import validate_against

HOSTILE = "<script>alert('x')</script>\x00\u2028&\"{{ 7*7 }}"


def network(factor=1.0, name="w"):
    entry = Parameter(name, np.float32(factor) * np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    x = placeholder("x", TensorType(DType.FLOAT32, (5, 4)))
    y = ops.tanh(ops.matmul(x, parameter(name, entry.type)))
    return Model({"main": Function(Graph((x,), (y,)), (name,))}, [entry])


class Page(html.parser.HTMLParser):
    """Tags, and every address that the page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_whole_and_offline(tmp_path):
    report = kx.validate(network(), backends=["numpy"], processes=False, cases=2, depth=True)
    report.to_html(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert {"table", "svg", "polyline", "meta"} <= set(found.tags)
    assert "script" not in found.tags
    assert found.addresses == ["data:,"]
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert len(report.rows[0].depth) == 2
    assert text.count("SAME") >= 4


def test_names_are_data_in_the_page(tmp_path):
    report = validate_against(network(name=HOSTILE), network(1.01, name=HOSTILE))
    report.subject = HOSTILE
    text = page.render_page(report)
    assert "script" not in Page(text).tags
    assert "{{ 7*7 }}" in text
    assert "WRONG" in text
    assert "place: matmul" in text
    report.to_junit(tmp_path / "out.xml")
    assert ElementTree.parse(tmp_path / "out.xml").getroot().attrib["failures"] == "3"


def test_the_plot_by_hand():
    assert page.points([1e-18, 1.0]) == "48.0,200.0 640.0,4.0"
    assert page.points([0.0]) == "48.0,200.0"
    assert page.height(float("nan")) == page.height(1.0) == 4.0
    assert page.height(1e-9) == pytest.approx(102.0)


def test_without_jinja2_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    with pytest.raises(MissingBackendError, match=r"kxchange\[report\]"):
        page.render_page(validate_against(network(), network()))


def test_junit_says_what_failed_and_what_was_not_run(tmp_path):
    kx.validate(network(), backends=["numpy"], cases=1, pythons={"numpy": "no-such-python"}).to_junit(tmp_path / "a")
    assert ElementTree.parse(tmp_path / "a").getroot().attrib["skipped"] == "3"
    validate_against(network(), network(1.01)).to_junit(tmp_path / "b")
    root = ElementTree.parse(tmp_path / "b").getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("3", "3")
    failure = root.find("testcase[@name='function']/failure")
    assert failure.attrib["message"] == "WRONG"
    assert "matmul" in failure.text


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    report = validate_against(network(), network())
    for write in (report.to_html, report.to_junit):
        with pytest.raises(WriteError, match="cannot write the report"):
            write(tmp_path / "no" / "folder")


def test_assert_same(tmp_path):
    assert assert_same(network(), network(), cases=2).ok
    network().save(tmp_path / "net.kx")
    assert assert_same(tmp_path / "net.kx", backends=["numpy"], processes=False, cases=1).ok
    with pytest.raises(MismatchError, match="place: matmul"):
        assert_same(network(), network(1.0001), cases=2)
