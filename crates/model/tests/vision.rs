//! The two networks of Fashion-MNIST: float against the framework that trained them, integers against floats.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dyadic_integer::{Graph, IntegerModel, Mode, ModelOptions, Op, Width};
use dyadic_kernels::{Isa, Kernels};
use dyadic_model::safetensors::SafetensorsFile;
use dyadic_model::vision::{
    Budgets, FloatVision, QuantizeOptions, Sensitivity, WeightBits, quantize, read,
};
use dyadic_quant::simulate::simulate;
use dyadic_tensor::pool::Pool;

const MODELS: [&str; 2] = ["fashion-cnn", "fashion-vit"];
const IMAGE: usize = 784;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Images or labels of an IDX file, without its header.
fn idx(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(root().join("__test__/golden/fashion-mnist").join(name)).expect(name);
    let header = 4 + 4 * usize::from(bytes[3]);
    bytes[header..].to_vec()
}

fn load(model: &str) -> (FloatVision, Pool, Vec<Option<f32>>) {
    let path = root().join("models").join(model).join("model.safetensors");
    let file = read(&SafetensorsFile::open(&path).expect("opens")).expect("a vision model");
    let pool = Pool::new(NonZeroUsize::new(2).unwrap());
    let kernels = Kernels::for_isa(Isa::best()).unwrap();
    let vision = FloatVision::new(kernels, (&pool, 2), file.graph).expect("weights");
    (vision, pool, file.ranges)
}

fn quantized(model: &str, mode: Mode, weight_bits: WeightBits) -> (Graph, FloatVision, Pool) {
    let (mut vision, pool, ranges) = load(model);
    let options = QuantizeOptions { mode, weight_bits, ..QuantizeOptions::default() };
    let images = idx("train-64-images-idx3-ubyte");
    let mut progress = |_: &'static str, _: f64| ControlFlow::Continue(());
    let graph = quantize(&mut vision, (&pool, 2), &ranges, &images, &options, &mut progress);
    (graph.expect("an integer graph").expect("not ended"), vision, pool)
}

fn best<T: PartialOrd>(logits: &[T]) -> usize {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

/// The logits of the first test images, of the integers.
fn integer_logits(graph: &Graph, count: usize) -> Vec<i32> {
    let images = &idx("t10k-200-images-idx3-ubyte")[..count * IMAGE];
    let model = IntegerModel::new(graph.clone(), &ModelOptions::default()).expect("a model");
    let mut logits = vec![0; count * 10];
    model.logits(images, &mut logits, &AtomicBool::new(false)).expect("logits");
    logits
}

/// The best label of each image, of the integers and of the floats.
fn predictions(graph: &Graph, vision: &FloatVision, pool: &Pool, count: usize) -> [Vec<usize>; 2] {
    let images = &idx("t10k-200-images-idx3-ubyte")[..count * IMAGE];
    let float = vision.logits((pool, 2), images).expect("logits");
    [
        integer_logits(graph, count).chunks(10).map(best).collect(),
        float.chunks(10).map(best).collect(),
    ]
}

/// That the first test images have the same logits in integers and in f64.
fn assert_equal_to_simulation(model: &str, mode: Mode, bits: u32, images: &[u8]) {
    let (graph, _, pool) = quantized(model, mode, WeightBits::Uniform(bits));
    let runner = IntegerModel::new(graph.clone(), &ModelOptions::default()).expect("a model");
    let mut images: Vec<&[u8]> = images.chunks(IMAGE).collect();
    pool.for_each_mut(2, &mut images, |index, image| {
        let mut logits = vec![0; 10];
        runner.logits(image, &mut logits, &AtomicBool::new(false)).expect("logits");
        let simulated = simulate(&graph, image).pop().expect("logits");
        let integers: Vec<f64> = logits.iter().map(|&logit| logit.into()).collect();
        assert_eq!(integers, simulated, "{model}, {mode:?}, {bits} bits, image {index}");
    });
}

/// The integer graph and the fake-quantised one, evaluated in f64 with every sum below 2^53, are equal bit for bit.
#[test]
fn integers_equal_the_fake_quantised_graph_bit_for_bit() {
    let images = idx("t10k-200-images-idx3-ubyte");
    for (model, mode, bits, count) in [
        ("fashion-vit", Mode::Exact, 8, 100),
        ("fashion-vit", Mode::Exact, 4, 10),
        ("fashion-vit", Mode::Ivit, 8, 30),
        ("fashion-vit", Mode::Ibert, 8, 30),
        ("fashion-cnn", Mode::Exact, 8, 20),
    ] {
        assert_equal_to_simulation(model, mode, bits, &images[..count * IMAGE]);
    }
}

/// All 10,000 test images, in the folder that `DYADIC_FASHION` names.
#[test]
#[ignore = "takes minutes, and needs Fashion-MNIST"]
fn integers_equal_the_fake_quantised_graph_on_all_images() {
    let Some(folder) = std::env::var_os("DYADIC_FASHION") else {
        return dyadic_testkit::skip::skip("needs DYADIC_FASHION, the folder of the test images");
    };
    let bytes = std::fs::read(Path::new(&folder).join("t10k-images-idx3-ubyte")).expect("images");
    for mode in [Mode::Exact, Mode::Ivit] {
        assert_equal_to_simulation("fashion-vit", mode, 8, &bytes[16..]);
    }
}

fn equal(a: &[usize], b: &[usize]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}

fn labels() -> Vec<usize> {
    idx("t10k-200-labels-idx1-ubyte").into_iter().map(usize::from).collect()
}

/// Logits that `PyTorch` gave for the first test images.
#[test]
fn floats_give_the_logits_of_the_training_framework() {
    for model in MODELS {
        let (vision, pool, _) = load(model);
        let text =
            std::fs::read_to_string(root().join("models").join(model).join("golden-logits.json"));
        let golden: Vec<Vec<f64>> = serde_json::from_str(&text.expect("a file")).expect("JSON");
        let images = &idx("t10k-200-images-idx3-ubyte")[..golden.len() * IMAGE];
        let logits = vision.logits((&pool, 2), images).expect("logits");
        for (image, (logits, golden)) in logits.chunks(10).zip(&golden).enumerate() {
            let largest = golden.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
            for (&logit, &expected) in logits.iter().zip(golden) {
                let error = (f64::from(logit) - expected).abs() / largest;
                assert!(error < 1e-4, "{model}, image {image}: {logit} against {expected}");
            }
        }
    }
}

/// Rows 14 and 24 of the papers: the integer graph of a convolutional network, all weights and activations 8 bits, is as right as the floats.
#[test]
fn rows_14_and_24_an_int8_convolutional_network_loses_nothing() {
    let (graph, vision, pool) = quantized("fashion-cnn", Mode::Exact, WeightBits::Uniform(8));
    let (integer, float) =
        graph.nodes().split_last().map_or((&[][..], None), |(last, rest)| (rest, Some(last)));
    assert!(integer.iter().all(|node| node.width == Width::I8));
    assert_eq!(float.map(|node| node.width), Some(Width::I32));
    let [integer, float] = predictions(&graph, &vision, &pool, 200);
    // 0.2 points of 10,000 images are less than one of these 200; one is allowed.
    assert!(equal(&integer, &labels()) + 1 >= equal(&float, &labels()));
    assert!(equal(&integer, &float) >= 197, "{} of 200", equal(&integer, &float));
}

/// Row 22 of the papers: every mode of the vision transformer agrees with the floats.
#[test]
fn row_22_integer_transformers_agree_with_the_floats() {
    for (mode, least) in [(Mode::Exact, 97), (Mode::Ivit, 93), (Mode::Ibert, 90)] {
        let (graph, vision, pool) = quantized("fashion-vit", mode, WeightBits::Uniform(8));
        let [integer, float] = predictions(&graph, &vision, &pool, 100);
        let same = equal(&integer, &float);
        assert!(same >= least, "{mode:?}: {same} of 100");
    }
}

/// Row 14: the exact integer program spends half of what lies between 4 and 8 bits, and not more.
#[test]
fn row_14_mixed_widths_keep_their_budgets() {
    let bytes = |graph: &Graph| -> usize {
        let matrices = graph.nodes().iter().filter_map(|node| match &node.op {
            Op::Conv2d { matrix, .. } | Op::Linear { matrix } => Some(matrix),
            _ => None,
        });
        matrices.map(|matrix| matrix.codes.len() * matrix.bits as usize / 8).sum()
    };
    let model = "fashion-cnn";
    let least = bytes(&quantized(model, Mode::Exact, WeightBits::Uniform(4)).0);
    let most = bytes(&quantized(model, Mode::Exact, WeightBits::Uniform(8)).0);
    for sensitivity in [Sensitivity::Outputs, Sensitivity::Hutchinson { probes: 2, seed: 1 }] {
        let budgets = Budgets { size: Some(0.5), bit_operations: Some(0.9), latency: None };
        let weight_bits = WeightBits::Mixed { sensitivity, budgets };
        let (graph, vision, pool) = quantized(model, Mode::Exact, weight_bits);
        let mixed = bytes(&graph);
        assert!(mixed > least && 2 * mixed <= least + most, "{least} {mixed} {most}");
        let [integer, float] = predictions(&graph, &vision, &pool, 100);
        assert!(equal(&integer, &float) >= 90, "{}", equal(&integer, &float));
    }
}

#[test]
fn progress_can_end_the_work_and_what_is_missing_is_named() {
    let (mut vision, pool, ranges) = load("fashion-cnn");
    let images = idx("train-64-images-idx3-ubyte");
    let options = QuantizeOptions::default();
    let mut calls = 0;
    let mut progress = |_: &'static str, _: f64| {
        calls += 1;
        ControlFlow::Break(())
    };
    let graph = quantize(&mut vision, (&pool, 1), &ranges, &images, &options, &mut progress);
    assert_eq!((graph.expect("no error"), calls), (None, 1));
    let mut on = |_: &'static str, _: f64| ControlFlow::Continue(());
    let none = quantize(&mut vision, (&pool, 1), &ranges, &[], &options, &mut on);
    assert_eq!(none.expect_err("no images").code(), "ERR_CALIBRATION");
    let budgets = Budgets { size: Some(0.5), ..Budgets::default() };
    let sensitivity = Sensitivity::Traces(vec![1.0]);
    let weight_bits = WeightBits::Mixed { sensitivity, budgets };
    let options = QuantizeOptions { weight_bits, ..options };
    let traces = quantize(&mut vision, (&pool, 1), &ranges, &images, &options, &mut on);
    assert_eq!(traces.expect_err("one trace").code(), "ERR_SHAPE");
}
