"""What proves that specs and converters do what they say: samples, conformance checks, comparison."""

from __future__ import annotations

from kxchange.testing.same import assert_same as assert_same
