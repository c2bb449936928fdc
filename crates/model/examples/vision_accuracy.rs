//! Top-1 of a vision model on Fashion-MNIST: float, and quantized in every way, the integer graph evaluated in f64. Prints JSON.
//!
//!     cargo run --release -p dyadic-model --example vision_accuracy -- MODEL.safetensors FOLDER [IMAGES]
//!
//! The folder holds the four files of Fashion-MNIST, unpacked.

#![expect(clippy::print_stdout, reason = "a program")]

use std::ops::ControlFlow;
use std::path::Path;

use dyadic_kernels::Kernels;
use dyadic_model::safetensors::SafetensorsFile;
use dyadic_model::vision::{
    Budgets, FloatVision, QuantizeOptions, Sensitivity, WeightBits, quantize, read,
};
use dyadic_quant::calibrate::RangeMethod;
use dyadic_quant::plan::Mode;
use dyadic_quant::quantized::QuantizedGraph;
use dyadic_quant::simulate::simulate;
use dyadic_tensor::pool::Pool;
use serde_json::json;

const IMAGE: usize = 784;
const CALIBRATION: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, rest @ ..] = &arguments[..] else {
        return Err("usage: vision_accuracy MODEL.safetensors FOLDER [IMAGES]".into());
    };
    let images: usize = rest.first().map_or(Ok(10_000), |images| images.parse())?;
    let load = |name: &str| std::fs::read(Path::new(folder).join(name));
    let (train, test) = (load("train-images-idx3-ubyte")?, load("t10k-images-idx3-ubyte")?);
    let labels = load("t10k-labels-idx1-ubyte")?;
    let (train, test, labels) = (&train[16..], &test[16..][..images * IMAGE], &labels[8..]);
    let pool = Pool::global()?;
    let pool = (pool, pool.threads());
    let file = read(&SafetensorsFile::open(Path::new(model))?)?;
    let mut vision = FloatVision::new(Kernels::active()?, pool, file.graph)?;
    let float = top1(&vision.logits(pool, test)?, labels);
    println!("{}", json!({ "model": model, "images": images, "float32": float }));
    let mixed = |sensitivity| WeightBits::Mixed {
        sensitivity,
        budgets: Budgets { size: Some(0.5), ..Budgets::default() },
    };
    for (name, mode, weight_bits) in [
        ("exact W8A8", Mode::Exact, WeightBits::Uniform(8)),
        ("exact W4A8", Mode::Exact, WeightBits::Uniform(4)),
        ("exact W4/8 ‖ΔY‖²", Mode::Exact, mixed(Sensitivity::Outputs)),
        (
            "exact W4/8 Hutchinson",
            Mode::Exact,
            mixed(Sensitivity::Hutchinson { probes: 8, seed: 1 }),
        ),
        ("ivit W8A8", Mode::Ivit, WeightBits::Uniform(8)),
        ("ibert W8A8", Mode::Ibert, WeightBits::Uniform(8)),
    ] {
        for range in [RangeMethod::MinMax, RangeMethod::Percentile(99.99), RangeMethod::Mse] {
            let options = QuantizeOptions { mode, weight_bits: weight_bits.clone(), range };
            let pixels = &train[..CALIBRATION * IMAGE];
            let mut progress = |_: &'static str, _: f64| ControlFlow::Continue(());
            let graph = quantize(&mut vision, pool, &file.ranges, pixels, &options, &mut progress)?;
            let graph = graph.ok_or("ended")?;
            let accuracy = top1(&logits(pool, &graph, test), labels);
            println!(
                "{}",
                json!({ "what": name, "range": format!("{range:?}"), "top1": accuracy })
            );
        }
    }
    Ok(())
}

fn logits((pool, threads): (&Pool, usize), graph: &QuantizedGraph, pixels: &[u8]) -> Vec<f32> {
    let mut images: Vec<_> = pixels.chunks(IMAGE).map(|pixels| (pixels, Vec::new())).collect();
    pool.for_each_mut(threads, &mut images, |_, (pixels, logits)| {
        *logits = simulate(graph, pixels).pop().unwrap_or_default();
    });
    #[expect(clippy::cast_possible_truncation, reason = "only the order matters")]
    let logits = images.into_iter().flat_map(|(_, logits)| logits).map(|x| x as f32).collect();
    logits
}

fn top1(logits: &[f32], labels: &[u8]) -> f64 {
    let right = logits.chunks(10).zip(labels).filter(|(logits, label)| {
        let best = (0..10).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
        best == usize::from(**label)
    });
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let percent = 100.0 * right.count() as f64 / (logits.len() / 10) as f64;
    percent
}
