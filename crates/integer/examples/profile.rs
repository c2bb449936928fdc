//! How long each operation of a network takes: the least time of many runs over one image, in nanoseconds.
//!
//! ```text
//! cargo run --release -p dyadic-integer --example profile -- MODEL.dyadic [THREADS [ISA]]
//! ```

#![expect(clippy::print_stdout, reason = "a program")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use dyadic_integer::{Graph, IntegerModel, ModelOptions};

const RUNS: usize = 2000;
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, rest @ ..] = &arguments[..] else {
        return Err("usage: profile MODEL.dyadic [THREADS [ISA]]".into());
    };
    let options = ModelOptions {
        threads: Some(rest.first().map_or(Ok(std::num::NonZeroUsize::MIN), |text| text.parse())?),
        isa: rest.get(1).map(|text| text.parse()).transpose()?,
    };
    let path = Path::new(path);
    let model = IntegerModel::new(Graph::from_bytes(path, &std::fs::read(path)?)?, &options)?;
    let nodes = model.graph().nodes();
    let image = model.graph().input().elements();
    let pixels: Vec<u8> = (0..BATCH * image).map(|i| (i * 37 % 256).to_le_bytes()[0]).collect();

    let mut least = vec![u128::MAX; nodes.len()];
    for _ in 0..RUNS {
        let mut before = Instant::now();
        model.observe(&pixels[..image], &mut |node, _| {
            least[node] = least[node].min(before.elapsed().as_nanos());
            before = Instant::now();
        })?;
    }
    for (node, least) in nodes.iter().zip(&least) {
        println!("{least:8}  {:12} {}", node.op.name(), node.name);
    }
    let mut names: Vec<&str> = nodes.iter().map(|node| node.op.name()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let times = nodes.iter().zip(&least).filter(|(node, _)| node.op.name() == name);
        println!("{:8}  {name}", times.map(|(_, least)| least).sum::<u128>());
    }
    println!("{:8}  the sum", least.iter().sum::<u128>());

    let stop = AtomicBool::new(false);
    let mut logits = vec![0; BATCH * model.graph().classes()];
    for batch in [1, BATCH] {
        let mut times: Vec<u128> = (0..RUNS / batch)
            .map(|_| {
                let before = Instant::now();
                let logits = &mut logits[..batch * model.graph().classes()];
                model.logits(&pixels[..batch * image], logits, &stop).expect("logits");
                before.elapsed().as_nanos() / batch as u128
            })
            .collect();
        times.sort_unstable();
        println!(
            "{:8}  least of an image, {} median, batch {batch}",
            times[0],
            times[times.len() / 2]
        );
    }
    Ok(())
}
