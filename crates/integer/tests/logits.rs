//! The shipped network of integers gives the same logits and labels on every machine: `models/fashion-vit/logits.json` has their hashes.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dyadic_integer::{Graph, IntegerModel, ModelOptions};
use dyadic_kernels::Isa;
use serde_json::Value;

const IMAGE: usize = 784;
const CLASSES: usize = 10;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An IDX file without its header.
fn idx(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("a file");
    bytes[4 + 4 * usize::from(bytes[3])..].to_vec()
}

/// FNV-1a of 64 bits, over the logits of all images as little-endian i32.
fn hash(logits: &[i32]) -> String {
    let bytes = logits.iter().flat_map(|logit| logit.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The first of the largest logits.
fn best(logits: &[i32]) -> usize {
    (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

/// That an instruction set gives the logits that all others give, and so the labels.
fn assert_recorded(isa: Isa, images: &[u8], labels: &[u8]) {
    let folder = root().join("models/fashion-vit");
    let text = std::fs::read_to_string(folder.join("logits.json")).expect("a file");
    let recorded: Value = serde_json::from_str(&text).expect("JSON");
    let path = folder.join("model.dyadic");
    let graph = Graph::from_bytes(&path, &std::fs::read(&path).expect("a file"));
    let options = ModelOptions { isa: Some(isa), ..ModelOptions::default() };
    let model = IntegerModel::new(graph.expect("a graph"), &options).expect("a model");
    let mut logits = vec![0; labels.len() * CLASSES];
    model.logits(images, &mut logits, &AtomicBool::new(false)).expect("logits");
    let right = logits
        .chunks(CLASSES)
        .zip(labels)
        .filter(|(logits, label)| best(logits) == usize::from(**label));
    let recorded = &recorded["images"][labels.len().to_string()];
    let found = serde_json::json!({ "fnv1a": hash(&logits), "right": right.count() });
    assert_eq!(found, *recorded, "{isa}, {} images", labels.len());
}

#[test]
fn logits_are_those_of_all_other_machines() {
    let folder = root().join("__test__/golden/fashion-mnist");
    let images = idx(&folder.join("t10k-200-images-idx3-ubyte"));
    let labels = idx(&folder.join("t10k-200-labels-idx1-ubyte"));
    for isa in Isa::supported() {
        assert_recorded(isa, &images[..100 * IMAGE], &labels[..100]);
    }
}

/// All 10,000 test images, in the folder that `DYADIC_FASHION` names, on each instruction set or on that of `DYADIC_ISA`.
#[test]
#[ignore = "takes a minute, and needs Fashion-MNIST"]
fn logits_of_all_images_are_those_of_all_other_machines() {
    let Some(folder) = std::env::var_os("DYADIC_FASHION") else {
        return dyadic_testkit::skip::skip("needs DYADIC_FASHION, the folder of the test images");
    };
    let [images, labels] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
        .map(|name| idx(&Path::new(&folder).join(name)));
    let forced: Option<Isa> =
        std::env::var("DYADIC_ISA").ok().map(|name| name.parse().expect("an instruction set"));
    for isa in Isa::supported().filter(|isa| forced.is_none_or(|forced| forced == *isa)) {
        assert_recorded(isa, &images, &labels);
    }
}
