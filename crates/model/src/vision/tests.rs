//! Reading and running graphs of floats.

use std::num::NonZeroUsize;

use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;
use dyadic_testkit::{Rng, ulp};
use serde_json::{Value, json};

use super::*;
use crate::ModelError;
use crate::dtype::Dtype;
use crate::safetensors::{SafetensorsFile, SafetensorsWriter};

type Tensors = Vec<(&'static str, Vec<usize>, Vec<f32>)>;

/// A safetensors file of f32 tensors with a description.
fn file(description: &Value, tensors: &Tensors) -> SafetensorsFile {
    let mut writer = SafetensorsWriter::new();
    writer.metadata("dyadic", &description.to_string());
    for (name, shape, data) in tensors {
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        writer.tensor(name, shape, Dtype::F32, bytes).expect("a tensor");
    }
    SafetensorsFile::from_bytes("test.safetensors", writer.to_bytes()).expect("a file")
}

fn description(labels: usize, nodes: &[Value]) -> Value {
    json!({
        "version": 1,
        "name": "test",
        "labels": vec!["x"; labels],
        "input": { "height": 5, "width": 4, "channels": 2, "mean": 128, "scale": 128 },
        "nodes": nodes,
    })
}

fn random(
    rng: &mut Rng,
    name: &'static str,
    shape: &[usize],
) -> (&'static str, Vec<usize>, Vec<f32>) {
    (name, shape.to_vec(), rng.normal_vec(shape.iter().product(), 0.5))
}

/// A convolution with batch normalisation, pools, joins and a linear layer, against loops in f64.
#[test]
fn convolutions_and_pools_are_those_of_their_definitions() {
    let mut rng = Rng::new(1);
    let mut tensors: Tensors = [
        ("conv.weight", vec![3, 2, 3, 2]),
        ("conv.bias", vec![3]),
        ("conv.bn.weight", vec![3]),
        ("conv.bn.bias", vec![3]),
        ("conv.bn.mean", vec![3]),
        ("head.weight", vec![4, 6]),
        ("head.bias", vec![4]),
    ]
    .map(|(name, shape)| random(&mut rng, name, &shape))
    .into();
    tensors.push(("conv.bn.variance", vec![3], vec![0.5, 2.0, 1.0]));
    // 5 x 4 padded to 7 x 6 has 3 x 3 windows of 3 x 2 two apart.
    let conv = json!({ "op": "conv2d", "inputs": [0], "weights": "conv", "stride": 2, "padding": 1, "relu": true, "epsilon": 1e-3 });
    let nodes = [
        json!({ "op": "input" }),
        conv,
        json!({ "op": "multiply", "inputs": [1, 1] }),
        json!({ "op": "max_pool", "inputs": [1], "window": 3 }),
        json!({ "op": "average_pool", "inputs": [2], "window": 3 }),
        json!({ "op": "concat", "inputs": [3, 4] }),
        json!({ "op": "linear", "inputs": [5], "weights": "head" }),
    ];
    let VisionFile { graph, .. } = read(&file(&description(4, &nodes), &tensors)).expect("a graph");
    let pool = Pool::new(NonZeroUsize::new(2).unwrap());
    let pixels: Vec<u8> = (0..40 * 35).map(|_| rng.below(256).try_into().unwrap()).collect();

    let tensor = |name: &str, index: usize| -> f64 {
        tensors.iter().find(|tensor| tensor.0 == name).expect(name).2[index].into()
    };
    let mut expected = Vec::new();
    for image in pixels.chunks(40) {
        let mut features = [0.0; 6];
        for output in 0..3 {
            for (row, column) in (0..9).map(|i| (i / 3, i % 3)) {
                let mut sum = tensor("conv.bias", output);
                for (input, y, x) in (0..12).map(|i| (i / 6, i / 2 % 3, i % 2)) {
                    let (y_in, x_in) = (row * 2 + y, column * 2 + x);
                    if (1..6).contains(&y_in) && (1..5).contains(&x_in) {
                        let pixel = image[((y_in - 1) * 4 + x_in - 1) * 2 + input];
                        let weight = tensor("conv.weight", ((output * 2 + input) * 3 + y) * 2 + x);
                        sum += weight * (f64::from(pixel) - 128.0) / 128.0;
                    }
                }
                let part = |name: &str| tensor(&format!("conv.bn.{name}"), output);
                let unit = (sum - part("mean")) / (part("variance") + 1e-3).sqrt();
                let value = (unit * part("weight") + part("bias")).max(0.0);
                features[output] = f64::max(features[output], value);
                features[3 + output] += value * value / 9.0;
            }
        }
        for output in 0..4 {
            let products = (0..6).map(|i| tensor("head.weight", output * 6 + i) * features[i]);
            expected.push(products.sum::<f64>() + tensor("head.bias", output));
        }
    }
    for isa in [Isa::Scalar, Isa::best()] {
        let kernels = Kernels::for_isa(isa).unwrap();
        let vision = FloatVision::new(kernels, (&pool, 2), graph.clone()).expect("weights");
        let logits = vision.logits((&pool, 2), &pixels).expect("logits");
        assert!(ulp::max_relative_error(&logits, &expected, 1.0) < 1e-5);
        // Images do not see each other, and chunks are the same whichever way they are run.
        let one = vision.logits((&pool, 1), &pixels[80..120]).expect("logits");
        ulp::assert_same_bits(&one, &logits[8..12], "one image");
        let mut seen = vec![0; nodes.len()];
        let observed =
            vision.observe((&pool, 1), &pixels, &mut |node, value| seen[node] += value.len());
        ulp::assert_same_bits(&observed.expect("logits"), &logits, "observed");
        assert_eq!(seen, [1400, 945, 945, 105, 105, 210, 140]);
    }
}

#[test]
fn a_wrong_number_of_pixels_is_refused() {
    let nodes = [json!({ "op": "input" })];
    let VisionFile { graph, .. } = read(&file(&description(40, &nodes), &vec![])).expect("a graph");
    let pool = Pool::new(NonZeroUsize::MIN);
    let vision = FloatVision::new(Kernels::for_isa(Isa::Scalar).unwrap(), (&pool, 1), graph);
    let vision = vision.expect("no weights");
    let error = vision.logits((&pool, 1), &[0; 41]).expect_err("41 pixels");
    assert_eq!(error.code(), "ERR_SHAPE");
    assert!(vision.logits((&pool, 1), &[]).expect("no images").is_empty());
}

#[test]
fn hostile_files_are_refused_with_the_name_of_what_is_wrong() {
    let mut rng = Rng::new(2);
    let matrix = || vec![("a.weight", vec![3, 2], vec![1.0; 6])];
    let input = json!({ "op": "input" });
    let linear = json!({ "op": "linear", "inputs": [0], "weights": "a" });
    let code = |description: &Value, tensors: &Tensors| {
        let error = read(&file(description, tensors)).expect_err("a refusal");
        assert!(error.to_string().contains("test.safetensors"), "{error}");
        error.code()
    };
    let with = |nodes: &[Value], tensors: &Tensors| code(&description(60, nodes), tensors);
    assert!(read(&file(&description(60, &[input.clone(), linear.clone()]), &matrix())).is_ok());

    let twice =
        [input.clone(), linear.clone(), json!({ "op": "linear", "inputs": [0], "weights": "a" })];
    assert_eq!(with(&twice, &matrix()), "ERR_VISION_TENSOR");
    assert_eq!(with(&[input.clone(), linear.clone()], &vec![]), "ERR_SAFETENSORS_TENSOR");
    let nan = vec![("a.weight", vec![3, 2], vec![f32::NAN; 6])];
    assert_eq!(with(&[input.clone(), linear.clone()], &nan), "ERR_VISION_TENSOR");
    let wide = vec![random(&mut rng, "a.weight", &[3, 7])];
    assert_eq!(with(&[input.clone(), linear.clone()], &wide), "ERR_VISION_NODE");
    assert_eq!(with(&[linear], &matrix()), "ERR_VISION_METADATA");
    for (node, expected) in [
        (json!({ "op": "add", "inputs": [0] }), "ERR_VISION_NODE"),
        (json!({ "op": "add", "inputs": [0, 1] }), "ERR_VISION_NODE"),
        (json!({ "op": "add", "inputs": [0, 4_000_000_000_u32] }), "ERR_VISION_NODE"),
        (json!({ "op": "add", "inputs": [0, -1] }), "ERR_VISION_METADATA"),
        (json!({ "op": "attention", "inputs": [0], "heads": 0 }), "ERR_VISION_NODE"),
        (json!({ "op": "attention", "inputs": [0] }), "ERR_VISION_METADATA"),
        (json!({ "op": "max_pool", "inputs": [0], "window": 9 }), "ERR_VISION_NODE"),
        (json!({ "op": "max_pool", "inputs": [0], "window": 2, "stride": 0 }), "ERR_VISION_NODE"),
        (json!({ "op": "conv2d", "inputs": [0], "weights": "a" }), "ERR_VISION_TENSOR"),
        (
            json!({ "op": "layer_norm", "inputs": [0], "weights": "b", "epsilon": 0 }),
            "ERR_SAFETENSORS_TENSOR",
        ),
        (json!({ "op": "unheard_of", "inputs": [0] }), "ERR_VISION_METADATA"),
        (json!({ "op": "gelu", "inputs": [0] }), "ERR_VISION_METADATA"),
        (json!({ "op": "gelu", "inputs": [0], "range": -1.0 }), "ERR_VISION_METADATA"),
    ] {
        assert_eq!(with(&[input.clone(), node.clone()], &matrix()), expected, "{node}");
    }
    // Each doubles the channels of the one before: 2^64 and more elements.
    let mut doubling = vec![input];
    doubling.extend((0..80).map(|i| json!({ "op": "concat", "inputs": [i, i] })));
    assert_eq!(with(&doubling, &vec![]), "ERR_VISION_NODE");
    let filter = vec![("a.weight", vec![1, 2, 3, 3], vec![1.0; 18])];
    let far = json!({ "op": "conv2d", "inputs": [0], "weights": "a", "padding": u64::MAX / 2 });
    assert_eq!(with(&[json!({ "op": "input" }), far], &filter), "ERR_VISION_NODE");
    let mut version = description(40, &[json!({ "op": "input" })]);
    version["version"] = json!(2);
    assert_eq!(code(&version, &vec![]), "ERR_VISION_METADATA");
    assert_eq!(code(&json!("text"), &vec![]), "ERR_VISION_METADATA");

    let bytes = SafetensorsWriter::new().to_bytes();
    let plain = SafetensorsFile::from_bytes("plain.safetensors", bytes).expect("a file");
    let error: ModelError = read(&plain).expect_err("no graph");
    assert_eq!(error.code(), "ERR_VISION_NO_GRAPH");
}
