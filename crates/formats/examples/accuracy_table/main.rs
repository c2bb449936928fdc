//! Prints the signal to quantization noise ratio of the formats on synthetic tensors, as the Markdown table of `docs/formats.md`:
//! `cargo run --release -p dyadic-formats --example accuracy_table`.
#![expect(clippy::print_stdout, reason = "a program that prints")]

mod table;

use table::{COLUMNS, ROWS, Samples};

fn main() {
    let samples = Samples::new();
    println!("| format | {} |", COLUMNS.map(|column| column.name).join(" | "));
    println!("|---{}|", "|---".repeat(COLUMNS.len()));
    for (format, _) in ROWS {
        let cells = COLUMNS.map(|column| format!("{:.2}", samples.sqnr_db(format, column)));
        println!("| `{format}` | {} |", cells.join(" | "));
    }
}
