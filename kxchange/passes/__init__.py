"""Graph -> Graph (or Model -> Model): one pass, one file.

Every pass keeps what a graph computes, the types of its outputs and the identity of the nodes that it does not touch,
and gives back the very same object where there was nothing to do.

For lifts: `canonicalize` runs `simplify`, `recompose` (dissolved composite ops put back whole; its parts are the files
``recompose_*``) and `merge_common_subexpressions` to a fixed point; `remove_dead_code` drops what nothing reads.

For targets: `legalize` expands what a target does not take, `cancel_transposes` removes transposes that meet,
`fold_constants` and `fold_parameters` compute what does not depend on the inputs, `retype` changes the floating type.
"""
