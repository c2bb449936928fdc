"""The Cast vectors of the ONNX standard, as codes on both sides, for crates/formats/tests/oracles.rs.

    pip install onnx ml_dtypes numpy
    python scripts/oracle_onnx.py > crates/formats/tests/golden/onnx-cast.json

Made with onnx 1.23.2, numpy 2.4.6.
"""

import json
import warnings

import numpy as np
from onnx import TensorProto
from onnx.backend.test.loader import load_model_tests

NAMES = {
    "FLOAT": "f32",
    "FLOAT16": "f16",
    "BFLOAT16": "bf16",
    "FLOAT8E4M3FN": "e4m3fn",
    "FLOAT8E4M3FNUZ": "e4m3fnuz",
    "FLOAT8E5M2": "e5m2",
    "FLOAT8E5M2FNUZ": "e5m2fnuz",
    "FLOAT8E8M0": "e8m0",
    "FLOAT4E2M1": "e2m1",
    "INT4": "int4full",
    "UINT4": "uint4",
    "INT2": "int2full",
    "UINT2": "uint2",
}


BITS = {"f32": 32, "f16": 16, "bf16": 16, "int4full": 4, "uint4": 4, "e2m1": 4, "int2full": 2, "uint2": 2}


def codes(tensor, name):
    """The codes of a TensorProto: packed without gaps, least significant bits first."""
    bits = BITS.get(name, 8)
    count = int(np.prod(list(tensor.dims)))
    string = int.from_bytes(tensor.raw_data, "little")
    return [string >> (i * bits) & ((1 << bits) - 1) for i in range(count)]


def main():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    out = {}
    for case in cases:
        if not case.name.startswith("test_cast_"):
            continue
        node = case.model.graph.node[0]
        target = TensorProto.DataType.Name(next(a.i for a in node.attribute if a.name == "to"))
        source = TensorProto.DataType.Name(case.model.graph.input[0].type.tensor_type.elem_type)
        if source not in NAMES or target not in NAMES:
            continue
        attributes = {a.name: a.s.decode() if a.s else a.i for a in node.attribute if a.name != "to"}
        (inputs,), (outputs,) = case.data_sets[0]
        out[case.name] = {
            "from": NAMES[source],
            "to": NAMES[target],
            "saturate": attributes.get("saturate", 1) == 1,
            "round_mode": attributes.get("round_mode", ""),
            "input": codes(inputs, NAMES[source]),
            "output": codes(outputs, NAMES[target]),
        }
    print(json.dumps(out, indent=0))


main()
