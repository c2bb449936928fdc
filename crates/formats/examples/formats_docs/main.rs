//! Prints `docs/formats.md`: `npm run docs:formats` writes it.
#![expect(clippy::print_stdout, reason = "a program that prints")]

mod accuracy;
mod document;

fn main() {
    print!("{}{}", document::tables(), document::accuracy_table(&accuracy::Samples::new()));
}
