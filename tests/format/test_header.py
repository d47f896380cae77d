"""The header parser against hostile and damaged files: the numbers are those of the project's list of inputs."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from io import BytesIO

import pytest
from bounded import bounded
from safetensors import deserialize

from kxchange.errors import FormatError, LimitError
from kxchange.format.header import LENGTH_BYTES, Header, parse_header
from kxchange.format.layout import build_header, lay_out

META = '"__metadata__":{"format":"pt","kx":"{}"}'
FOUR = '"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}'
DATA = b"\x00\x00\x80\x3f"


def framed(text: str | bytes, data: bytes = b"", *, aligned: bool = True) -> bytes:
    """A file with this header text, padded with blanks to 4096 as a `.kx` file is."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    raw += b" " * (-(LENGTH_BYTES + len(raw)) % 4096 if aligned else 0)
    return len(raw).to_bytes(8, "little") + raw + data


def table(*entries: str, metadata: str = META) -> str:
    return "{" + ",".join([metadata, *entries] if metadata else entries) + "}"


def tensor(name: str = "a", offsets: str = "[0,4]", dtype: str = '"F32"', shape: str = "[1]", more: str = "") -> str:
    return f'"{name}":{{"data_offsets":{offsets},"dtype":{dtype},"shape":{shape}{more}}}'


def about(metadata: str) -> bytes:
    """A file of one tensor with this JSON as its metadata."""
    return framed(table(FOUR, metadata=f'"__metadata__":{metadata}'), DATA)


def parse(file: bytes, *, strict: bool) -> Header:
    """What the reader does: the header alone is handed over."""
    length = int.from_bytes(file[:8], "little")
    return parse_header(file[: LENGTH_BYTES + min(length, len(file))], len(file), strict=strict, source="net.kx")


def zipped() -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("config.json", "{}" * 100)
    return stream.getvalue()


VALID = framed(table(FOUR), DATA)
TWO = '"a":{"data_offsets":[0,64],"dtype":"F32","shape":[16]}', '"b":{"data_offsets":[64,68],"dtype":"F32","shape":[1]}'


@dataclass
class Case:
    """One file that must be refused, and a part of the message."""

    id: str
    file: bytes
    message: str


CASES = [
    Case("1-empty", b"", "is empty"),
    Case("2-seven-bytes", b"\x02\0\0\0\0\0\0", "only 7 bytes"),
    Case("2-nine-bytes", b"\x02\0\0\0\0\0\0\0{", "only 9 bytes"),
    Case("3-length-0", b"\0" * 8 + b"{}", "claims a header of 0 bytes"),
    Case("4-length-1", b"\1" + b"\0" * 7 + b"{}", "claims a header of 1 bytes"),
    Case("5-length-2-63", (2**63).to_bytes(8, "little") + b"{}", "above the limit of 25,000,000"),
    Case("5-length-2-64", b"\xff" * 8 + b"{}", "above the limit of 25,000,000"),
    Case("6-beyond-file", (200).to_bytes(8, "little") + b"{}", "claims a header of 200 bytes and has 10 bytes"),
    Case("8-not-utf8", framed(b'{"\xff\xfe":1}'), "not UTF-8"),
    Case("9-overlong", framed(b'{"\xc0\x80":1}'), "not UTF-8"),
    Case("10-leading-blank", framed(" " + table(FOUR), DATA), "does not start with"),
    Case("11-tab-padding", framed(table(FOUR) + "\t", DATA), "not start|ends with byte 0x09|only blanks"),
    Case("11-newline-padding", framed(table(FOUR) + " " * 50 + "\n", DATA), "ends with byte 0x0a"),
    Case("11-nul-padding", framed(table(FOUR) + "\0", DATA), "ends with byte 0x00"),
    Case("12-byte-order-mark", framed("\ufeff" + table(FOUR), DATA), "does not start with"),
    Case("13-trailing", VALID + b"\0", "1 bytes after its last tensor"),
    Case("14-missing", VALID[:-1], "1 bytes of tensor data are missing"),
    Case("15-hole", framed(table(tensor(), tensor("b", "[8,12]")), DATA * 3), "a hole between tensor 'a' and"),
    Case("15-hole-at-start", framed(table(tensor("a", "[4,8]")), DATA * 2), "a hole between the start and tensor 'a'"),
    Case(
        "16-overlap",
        framed(table(tensor("a", "[0,4]"), tensor("b", "[2,6]")), DATA * 2),
        "overlap",
    ),
    Case("17-same-range", framed(table(tensor(), tensor("b")), DATA), "an overlap between tensor"),
    Case("18-reversed", framed(table(tensor("a", "[4,0]")), DATA), "a begin and an end"),
    Case("19-negative", framed(table(tensor("a", "[-4,0]")), DATA), "a begin and an end"),
    Case("20-float-offset", framed(table(tensor("a", "[0,4.0]")), DATA), "number '4.0'"),
    Case("20-bool-offset", framed(table(tensor("a", "[false,4]")), DATA), "a begin and an end"),
    Case("20-three-offsets", framed(table(tensor("a", "[0,4,4]")), DATA), "a begin and an end"),
    Case("20-text-offset", framed(table(tensor("a", '["0","4"]')), DATA), "a begin and an end"),
    Case("21-minus-zero", framed(table(tensor("a", "[-0,4]")), DATA), "number -0"),
    Case("22-offset-2-64", framed(table(tensor("a", "[0,18446744073709551616]")), DATA), "beyond plus or minus"),
    Case("22-offset-wraps", framed(table(tensor("a", "[0,18446744073709551620]")), DATA), "beyond plus or minus"),
    Case("23-size", framed(table(tensor(shape="[2]")), DATA), r"has 4 bytes; F32\[2\] needs 8"),
    Case("24-product", framed(table(tensor(shape="[2,18446744073709551614]")), DATA), "beyond plus or minus"),
    Case("24-product-wraps", framed(table(tensor(shape="[140737488355328,131073]")), DATA), "above the limit"),
    Case("25-zero-trick", framed(table(tensor("a", "[0,0]", shape="[0,9223372036854775807]"))), "beyond plus or minus"),
    Case("25-zero-dim", framed(table(tensor("a", "[0,0]", shape="[0,281474976710656]"))), "dim: .* above the limit"),
    Case("25-zero-product", framed(table(tensor("a", "[0,0]", shape="[0,70368744177664,70368744177664]"))), "product"),
    Case("26-rank-65", framed(table(tensor(shape=json.dumps([1] * 65))), DATA), "rank: 65 is above the limit of 32"),
    Case("26-rank-million", framed(table(tensor(shape="[" + "1," * 999_999 + "1]")), DATA), "rank: 1,000,000"),
    Case("27-dtype", framed(table(tensor(dtype='"F33"')), DATA), "dtype 'F33' is unknown"),
    Case("27-dtype-case", framed(table(tensor(dtype='"f32"')), DATA), "dtype 'f32' is unknown"),
    Case("27-dtype-list", framed(table(tensor(dtype='["F32"]')), DATA), "is unknown"),
    Case("28-odd-f4", framed(table(tensor("a", "[0,2]", '"F4"', "[3]")), b"\0\0"), r"F4\[3\] needs 1.5"),
    Case("29-duplicate-tensor", framed(table(tensor(), tensor(dtype='"I32"')), DATA), "key 'a' twice"),
    Case("29-duplicate-escaped", framed(table(tensor(), tensor("\\u0061", dtype='"I32"')), DATA), "key 'a' twice"),
    Case(
        "30-duplicate-metadata-key",
        about('{"kx":"1","kx":"2"}'),
        "key 'kx' twice",
    ),
    Case("31-duplicate-metadata", framed(table(META, FOUR), DATA), "key '__metadata__' twice"),
    Case(
        "33-metadata-number",
        about('{"kx":1}'),
        "'kx' in __metadata__ is not a string",
    ),
    Case("33-metadata-null-value", about('{"kx":null}'), "is not a string"),
    Case("33-metadata-null", about("null"), "is not an object"),
    Case("33-metadata-list", about("[]"), "is not an object"),
    Case("34-unknown-field", framed(table(tensor(more=',"strides":[1]')), DATA), "exactly the fields"),
    Case("34-missing-field", framed(table('"a":{"data_offsets":[0,4],"dtype":"F32"}'), DATA), "exactly the fields"),
    Case("34-duplicate-field", framed(table(tensor(more=',"shape":[1]')), DATA), "key 'shape' twice"),
    Case("34-entry-null", framed(table('"a":null'), DATA), "exactly the fields"),
    Case("35-name-empty", framed(table(tensor("")), DATA), "is empty"),
    Case("35-name-nul", framed(table(tensor("a\\u0000b")), DATA), r"U\+0000"),
    Case("35-name-control", framed(table(tensor("a\\u001b[31m")), DATA), r"U\+001B"),
    Case("35-name-delete", framed(table(tensor("a\x7f")), DATA), r"U\+007F"),
    Case("35-name-c1", framed(table(tensor("a\x9b")), DATA), r"U\+009B"),
    Case("35-name-bidi", framed(table(tensor("a\u202eb")), DATA), r"U\+202E"),
    Case("35-name-surrogate", framed(table(tensor("a\\ud800")), DATA), "surrogate"),
    Case("35-name-surrogate-raw", framed(table(tensor("a\ud800")), DATA), "not UTF-8"),
    Case("35-name-513", framed(table(tensor("n" * 513)), DATA), "513 is above the limit of 512"),
    Case("35-name-megabyte", framed(table(tensor("n" * 1_000_000)), DATA), "above the limit of 512"),
    Case("35-name-twins", framed(table(tensor("e\u0301"), tensor("é", "[4,8]")), DATA * 2), "form C|look the same"),
    Case("35-name-reserved", framed(table(tensor("__kx__x")), DATA), "reserved"),
    Case("38-zip-appended", VALID + zipped(), "bytes after its last tensor"),
    Case("38-elf-prefix", b"\x7fELF\x02\x01\x01\x00" + VALID, "it is an executable"),
    Case("39-gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00" + b"x" * 50, "it is gzip data"),
    Case("39-zip", zipped(), "it is a zip archive"),
    Case("39-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
    Case("39-hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "it is an HDF5 file"),
    Case("39-onnx", b"\x08\x0a\x12\x07pytorch\x1a\x03" + b"x" * 100, "it is an ONNX model"),
    Case("39-pickle", b"\x80\x02}q\x00." + b"x" * 20, "it is a Python pickle"),
    Case("39-web-page", b"<!DOCTYPE html><html>sign in</html>", "it is a web page"),
    Case("39-gguf", b"GGUF\x03\x00\x00\x00" + b"\0" * 40, "it is a GGUF file"),
    Case("41-brackets", framed("{" + '"a":[' * 200_000 + "}"), "nesting: 200,001"),
    Case("43-nan", framed(table(tensor(shape="[NaN]")), DATA), "NaN"),
    Case("44-digits", framed(table(tensor(shape="[" + "9" * 10_000_000 + "]")), DATA), "beyond plus or minus"),
    Case("not-json", framed("{]}"), "not JSON"),
    Case("top-level-list", framed("[]"), "does not start with"),
    Case("two-documents", framed("{}{}"), "not JSON"),
]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
@pytest.mark.parametrize("strict", [True, False], ids=["kx", "safetensors"])
def test_refused_in_both_modes(case: Case, strict: bool) -> None:
    with bounded(), pytest.raises(FormatError, match=case.message) as caught:
        parse(case.file, strict=strict)
    message = str(caught.value)
    assert message.startswith("net.kx")
    assert len(message) < 400
    assert message.isprintable()


def test_7_header_above_25_million_bytes() -> None:
    with pytest.raises(LimitError, match="header bytes: 25,000,001 is above the limit of 25,000,000"):
        parse_header((25_000_001).to_bytes(8, "little") + b"{", 30_000_000)


def test_36_tensors_are_counted_before_they_are_built() -> None:
    entries = ",".join(f'"{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(420_000))
    file = framed("{" + entries + "}")
    with bounded(), pytest.raises(LimitError, match="tensors: 420,000 is above the limit of 200,000"):
        parse(file, strict=False)


def test_42_structure_is_counted_before_it_is_built() -> None:
    file = framed('{"a":[' + "[]," * 3_300_000 + "[]]}")
    with bounded(), pytest.raises(LimitError, match="above the limit of 5,200,000"):
        parse(file, strict=False)


STRICT_ONLY = [
    Case("no-metadata", framed(table(FOUR, metadata=""), DATA), "without a kx architecture"),
    Case("no-kx", about('{"format":"pt"}'), "without a kx architecture"),
    Case("other-metadata", about('{"kx":"{}","x":"y"}'), "unknown key 'x'"),
    Case("blank-in-json", framed(table(FOUR).replace(":[", ": [", 1), DATA), "not canonical JSON"),
    Case("key-order", framed("{" + FOUR + "," + META + "}", DATA), "not canonical JSON"),
    Case(
        "field-order", framed(table('"a":{"dtype":"U8","data_offsets":[0,4],"shape":[4]}'), DATA), "not canonical JSON"
    ),
    Case("escape", framed(table(tensor("\\u0061")), DATA), "not canonical JSON"),
    Case("not-nfc", framed(table(tensor("e\u0301")), DATA), "normal form C"),
    Case("unaligned", framed(table(FOUR), DATA, aligned=False), "next multiple of 4096"),
    Case("padding", framed(table(FOUR) + " " * 4096, DATA), "next multiple of 4096"),
    Case(
        "order",
        framed(table(tensor(), tensor("b", "[4,68]", shape="[16]")), b"\0" * 68),
        "tensor 'b' lies at 4 and not at 0",
    ),
]


@pytest.mark.parametrize("case", STRICT_ONLY, ids=[case.id for case in STRICT_ONLY])
def test_valid_safetensors_that_are_no_kx_file(case: Case) -> None:
    with pytest.raises(FormatError, match=case.message):
        parse(case.file, strict=True)
    reference = dict(deserialize(case.file))  # the official reader agrees that the file is valid
    header = parse(case.file, strict=False)
    found = {name: (entry.dtype, list(entry.shape)) for name, entry in header.entries.items()}
    assert found == {name: (info["dtype"], info["shape"]) for name, info in reference.items()}


def test_a_kx_header_is_what_the_specification_says() -> None:
    entries = lay_out([("b", "F32", (1,)), ("a", "F32", (16,))])
    assert build_header(entries, {"kx": "{}", "format": "pt"}) + b"\0" * 68 == framed(table(*TWO), b"\0" * 68)
    header = parse(framed(table(*TWO), b"\0" * 68), strict=True)
    assert header.data_offset == 4096
    assert header.metadata == {"format": "pt", "kx": "{}"}
    assert header.entries["b"] == ("b", "F32", (1,), 64, 68)
    assert header.entries["b"].nbytes == 4


def test_layout_order_keeps_multiples_of_64_first_and_elements_aligned() -> None:
    tensors = [
        ("tiny", "U8", (3,)),
        ("flag", "BOOL", ()),
        ("wide", "F64", (5,)),
        ("half", "F16", (3,)),
        ("z", "F32", (16,)),
        ("bytes", "U8", (128,)),
        ("empty", "F32", (0, 7)),
        ("y", "F32", (32, 16)),
    ]
    entries = lay_out(tensors)
    assert [entry.name for entry in entries] == ["empty", "y", "z", "bytes", "wide", "half", "flag", "tiny"]
    assert [entry.begin for entry in entries] == [0, 0, 2048, 2112, 2240, 2280, 2286, 2287]
    assert lay_out(reversed(tensors)) == entries


def test_header_bytes_do_not_depend_on_the_order_of_the_input() -> None:
    tensors = [(f"layer.{i}", "F32", (i,)) for i in range(20)]
    first = build_header(lay_out(tensors), {"format": "pt", "kx": "{}"})
    second = build_header(lay_out(reversed(tensors)), {"kx": "{}", "format": "pt"})
    assert first == second


def test_an_empty_file_and_an_empty_tensor_are_valid() -> None:
    assert not parse(framed(table()), strict=True).entries
    header = parse(framed(table(tensor("a", "[0,0]", shape="[0,3]"))), strict=True)
    assert header.entries["a"].shape == (0, 3)


def test_too_many_tensors_are_not_written() -> None:
    entries = lay_out((str(i), "U8", (0,)) for i in range(200_001))
    with pytest.raises(LimitError, match="200,001"):
        build_header(entries, {})


@pytest.mark.parametrize("position", range(8, 8 + len(table(*TWO))))
def test_every_changed_byte_of_a_header_is_refused_or_is_another_canonical_file(position: int) -> None:
    file = bytearray(framed(table(*TWO), b"\0" * 68))
    original = file[position]
    for value in {original ^ 1, original ^ 0x20, original ^ 0x80, 0x20, 0x22, 0x30}:
        file[position] = value
        try:
            header = parse(bytes(file), strict=True)
        except FormatError:
            continue
        entries = lay_out((entry.name, entry.dtype, entry.shape) for entry in header.entries.values())
        assert build_header(entries, header.metadata) == bytes(file[: header.data_offset])


@pytest.mark.parametrize(
    "text",
    [
        '{"__metadata__":{"format":"pt"}',
        '{"__metadata__":{"kx":"a"}',
        '{"a":{"dtype":"F32","__metadata__":{"kx":"a"},"shape":[],"data_offsets":[0,4]}}',
        '{"a":{"data_offsets":[0,4],"__metadata__":{"kx":"a"},"dtype":"F32","shape":[]}}',
        '{"a":{"data_offsets":[0,4],:["dtype":"F32","shape":[]},"b":{"data_offsets":4,8],"dtype":"F32","shape":[]}}',
        '{"a":{"data_offsets":[0,4],"dtype":"F32","shape":[]},}',
        '{"a":{"data_offsets":[00,4],"dtype":"F32","shape":[]}}',
        '{"a":{"data_offsets":[,4],"dtype":"F32","shape":[]}}',
        '{"a":{"data_offsets":[0,99999999999999999999],"dtype":"F32","shape":[]}}',
        '{"a":{"data_offsets":[0,4],"dtype":"F32","shape":[01]}}',
        '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},,}',
    ],
)
def test_what_is_nearly_in_the_usual_spelling_is_refused(text: str) -> None:
    for strict in (True, False):
        padded = text.ljust(4088) if strict else text
        raw = len(padded).to_bytes(8, "little") + padded.encode()
        for size in (0, 4, 8):
            with pytest.raises(FormatError):
                parse_header(raw, len(raw) + size, strict=strict)
