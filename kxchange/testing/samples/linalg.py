"""Samples of matrix products."""

from __future__ import annotations

from kxchange.testing.samples import integers, normal, samples
from kxchange.types import DType

batch, seq = ("batch", 2), ("seq", 3)

samples("matmul", [normal(batch, 3, 4), normal(4, 5)])
samples("matmul", [normal(batch, 1, seq, 4), normal(6, 4, seq)], note="broadcast")
samples("matmul", [normal(4), normal(4)], note="R16")
samples("matmul", [normal(4), normal(batch, 4, 5)], note="row")
samples("matmul", [normal(batch, 3, 4), normal(4)], note="column")
samples("matmul", [normal(2, 0), normal(0, 3)], note="R20")
samples("matmul", [integers(-9, 9, 2, 3, dtype=DType.INT32), integers(-9, 9, 3, 2, dtype=DType.INT32)], note="integer")
samples("matmul", [integers(100, 127, 1, 3, dtype=DType.INT8), integers(1, 5, 3, 1, dtype=DType.INT8)], note="wraps")
samples("matmul", [normal(2, 3, dtype=DType.COMPLEX64), normal(3, 2, dtype=DType.COMPLEX64)], note="complex")

samples("linear", [normal(batch, seq, 4), normal(5, 4), normal(5)])
samples("linear", [normal(batch, 4), normal(5, 4), None], note="no-bias")
samples("linear", [normal(4), normal(4, 4), normal(4)], note="T11")

samples("einsum", [normal(batch, 3, 4), normal(batch, 4, 5)], {"equation": "bik,bkj->bij"})
samples("einsum", [normal(batch, seq, 2, 4), normal(batch, 5, 2, 4)], {"equation": "bqhd,bkhd->bhqk"}, note="attention")
samples("einsum", [normal(2, 3), normal(4, 3)], {"equation": "ik,jk->ji"})
samples("einsum", [normal(2, 3, 4), normal(4, 5, 3)], {"equation": "abc,cdb->da"}, note="two-inner")
samples("einsum", [normal(2, seq), normal(seq)], {"equation": "ij,j->ij"}, note="batch-only")
samples("einsum", [normal(2), normal(3)], {"equation": "i,j->ji"}, note="outer")
samples("einsum", [normal(2, 3), normal(2, 3)], {"equation": "ij,ij->"}, note="inner")
samples("einsum", [normal(2, 5), normal(3, 4)], {"equation": "ab,cd->ac"}, note="summed-alone")
samples("einsum", [normal(seq, seq)], {"equation": "ii->i"}, note="diagonal")
samples("einsum", [normal(3, 3)], {"equation": "ii->"}, note="trace")
samples("einsum", [normal(2, seq, 2, seq)], {"equation": "jiji->ij"}, note="two-diagonals")
samples("einsum", [normal(3, 3, 2), normal(2, 3)], {"equation": "iik,ki->k"}, note="diagonal-product")
samples("einsum", [normal(batch, 3)], {"equation": "ij->ji"}, note="transpose")
samples("einsum", [normal(2, 3), normal(3, 4), normal(4, 2)], {"equation": "ij,jk,kl->il"}, note="chain")
samples("einsum", [normal(2, 3), normal(2, 4), normal(2)], {"equation": "bi,bj,b->ij"}, note="three-way")
samples("einsum", [normal(), normal(2)], {"equation": ",i->i"}, note="scalar")
samples("einsum", [integers(-3, 4, 2, 3), integers(-3, 4, 3, 2)], {"equation": "ij,jk->ik"}, note="integer")
samples("einsum", [normal(2, 0), normal(0, 3)], {"equation": "ij,jk->ik"}, note="R20")
