//! Top-1 of a vision model on Fashion-MNIST, float and quantized in every way, as JSON; and the file of integers.
//!
//! ```text
//! cargo run --release -p dyadic-model --example vision_accuracy -- MODEL.safetensors FOLDER [OUT.dyadic]
//! ```
//!
//! The folder holds the four files of Fashion-MNIST, unpacked. With `OUT.dyadic` the graph of mode `exact` with 8-bit weights is written there. The
//! first 256 training images calibrate. "simulated" are images whose logits were compared, bit for bit, with those of the graph in f64.

#![expect(clippy::print_stdout, reason = "a program")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dyadic_integer::{Graph, IntegerModel, Mode, ModelOptions};
use dyadic_kernels::Kernels;
use dyadic_model::safetensors::SafetensorsFile;
use dyadic_model::vision::{
    Budgets, FloatVision, QuantizeOptions, Sensitivity, WeightBits, quantize, read,
};
use dyadic_quant::simulate::simulate;
use dyadic_tensor::pool::Pool;
use serde_json::json;

const IMAGE: usize = 784;
const CALIBRATION: usize = 256;
const SIMULATED: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, rest @ ..] = &arguments[..] else {
        return Err("usage: vision_accuracy MODEL.safetensors FOLDER [OUT.dyadic]".into());
    };
    let load = |name: &str| std::fs::read(Path::new(folder).join(name));
    let (train, test) = (load("train-images-idx3-ubyte")?, load("t10k-images-idx3-ubyte")?);
    let labels = load("t10k-labels-idx1-ubyte")?;
    let (calibration, test, labels) =
        (&train[16..][..CALIBRATION * IMAGE], &test[16..], &labels[8..]);
    let pool = Pool::global()?;
    let pool = (pool, pool.threads());
    let file = read(&SafetensorsFile::open(Path::new(model))?)?;
    let mut vision = FloatVision::new(Kernels::active()?, pool, file.graph)?;
    let float: Vec<usize> = vision.logits(pool, test)?.chunks(10).map(best).collect();
    let mixed = |sensitivity| WeightBits::Mixed {
        sensitivity,
        budgets: Budgets { size: Some(0.5), ..Budgets::default() },
    };
    let hutchinson = Sensitivity::Hutchinson { probes: 4, seed: 1 };
    let mut rows = Vec::new();
    for (name, mode, weight_bits) in [
        ("exact W8A8", Mode::Exact, WeightBits::Uniform(8)),
        ("exact W4A8", Mode::Exact, WeightBits::Uniform(4)),
        ("exact W4/W8 by outputs", Mode::Exact, mixed(Sensitivity::Outputs)),
        ("exact W4/W8 by Hutchinson", Mode::Exact, mixed(hutchinson)),
        ("ivit W8A8", Mode::Ivit, WeightBits::Uniform(8)),
        ("ibert W8A8", Mode::Ibert, WeightBits::Uniform(8)),
    ] {
        let options = QuantizeOptions { mode, weight_bits, ..QuantizeOptions::default() };
        let mut progress = |_: &'static str, _: f64| ControlFlow::Continue(());
        let graph =
            quantize(&mut vision, pool, &file.ranges, calibration, &options, &mut progress)?;
        let graph = graph.ok_or("ended")?;
        let bytes = graph.to_bytes();
        if let ([out], "exact W8A8") = (rest, name) {
            std::fs::write(out, &bytes)?;
        }
        let logits = integer_logits(&graph, test)?;
        let simulated = equal_to_simulation(pool, &graph, test, &logits);
        let labelled: Vec<usize> = logits.chunks(10).map(best).collect();
        rows.push(json!({
            "what": name,
            "bytes": bytes.len(),
            "top1": percent(&labelled, labels),
            "agreesWithFloat": labelled.iter().zip(&float).filter(|(a, b)| a == b).count(),
            "simulated": simulated,
            "weightBits": graph.nodes().iter().filter_map(|node| node.op.matrix()).map(|matrix| matrix.bits).collect::<Vec<_>>(),
        }));
    }
    let evaluation = json!({
        "images": labels.len(),
        "calibrationImages": CALIBRATION,
        "float32": percent(&float, labels),
        "integer": rows,
    });
    println!("{}", serde_json::to_string_pretty(&evaluation)?);
    Ok(())
}

fn integer_logits(graph: &Graph, pixels: &[u8]) -> Result<Vec<i32>, Box<dyn std::error::Error>> {
    let model = IntegerModel::new(graph.clone(), &ModelOptions::default())?;
    let mut logits = vec![0; pixels.len() / IMAGE * 10];
    model.logits(pixels, &mut logits, &AtomicBool::new(false))?;
    Ok(logits)
}

/// How many of the first images have the logits of the simulation: all of them, or the program ends.
fn equal_to_simulation(
    (pool, threads): (&Pool, usize),
    graph: &Graph,
    pixels: &[u8],
    logits: &[i32],
) -> usize {
    let images = pixels.chunks(IMAGE).zip(logits.chunks(10)).take(SIMULATED);
    let mut images: Vec<_> = images.collect();
    pool.for_each_mut(threads, &mut images, |index, (pixels, logits)| {
        let simulated = simulate(graph, pixels).pop().unwrap_or_default();
        let equal = simulated.iter().zip(logits.iter()).all(|(&a, &b)| a == f64::from(b));
        assert!(equal, "image {index}: {simulated:?} against {logits:?}");
    });
    images.len()
}

fn best<T: PartialOrd>(logits: &[T]) -> usize {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

fn percent(found: &[usize], labels: &[u8]) -> f64 {
    let right = found.iter().zip(labels).filter(|(found, label)| **found == usize::from(**label));
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let percent = 100.0 * right.count() as f64 / labels.len() as f64;
    percent
}
