//! Writes the files that fuzzing starts from, in `corpus/<target>/`: a graph of each kind, and pictures.

use std::error::Error;
use std::fs;
use std::path::Path;

/// What the crate's own tests take their networks from.
#[path = "../../src/example.rs"]
mod example;

/// The names by which it calls the crate's types.
mod graph {
    pub(crate) use dyadic_integer::{
        Description, Graph, Matrix, Mode, Node, NormChannel, NormKind, Op, Shape, Softmax, Width,
        Windows,
    };
}

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = |target: &str, name: &str, seed: &[u8]| {
        let folder = here.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), seed)
    };
    for graph in example::all(1) {
        let name = format!("{}-{}", graph.description().mode.name(), graph.nodes().len());
        write("graph", &name, &graph.to_bytes())?;
    }
    write("image", "grey.jpg", include_bytes!("../../tests/golden/grey-178.jpg"))?;
    let garment = here.join("../../../models/fashion-vit/garments/0008-sandal.png");
    Ok(write("image", "garment.png", &fs::read(garment)?)?)
}
