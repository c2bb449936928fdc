//! Evolves programs for `2^x` on the front of operations against error, after AutoNumerics-Zero (Real et al. 2023, arXiv 2312.08472).
//!
//! `cargo run --release -p dyadic-kernels --example exp2_search -- [SEED] [GENERATIONS] [FILE]`
//!
//! Two searches: in exact arithmetic on [0, 1] with +, -, *, /, where the figure is digits of relative error; and with fused multiply-adds on
//! [-1/2, 1/2], where the constants are then rounded to f32 one by one and the figure is the largest error in ULP over every float of the
//! interval above 2^-11. The same seed finds the same programs. With a file name, they are written there;
//! `docs/exp-search.md` tells how to read it, and `benches/exp2-plot.ts` draws it.

#![expect(clippy::print_stdout, reason = "a tool reports what it does")]

mod evolve;
mod fit;
mod program;
mod round;

use std::fmt::Write as _;

use dyadic_testkit::Rng;
use evolve::{Candidate, MAX_OPERATIONS, Settings, classical, evolve, front};
use fit::{Target, fit};
use program::Program;
use round::Rounded;

/// How many programs of each number of operations are rounded to f32.
const ROUNDED_PROGRAMS: usize = 8;

fn digits(error: f64) -> f64 {
    -error.log10()
}

/// The best classical program of each cost, where it is better than all that cost less.
fn classical_front(fused: bool, target: &Target) -> Vec<(usize, f64)> {
    let mut front: Vec<(usize, f64)> = Vec::new();
    for mut program in classical(fused) {
        let error = fit(&mut program, target);
        let cost = program.operations.len();
        match front.iter_mut().find(|(c, _)| *c == cost) {
            Some((_, best)) => *best = best.min(error),
            None => front.push((cost, error)),
        }
    }
    front.sort_by_key(|&(cost, _)| cost);
    let mut least = f64::INFINITY;
    front.retain(|&(cost, error)| {
        let better = error < least && cost <= MAX_OPERATIONS;
        least = least.min(error);
        better
    });
    front
}

fn json(
    exact: &[Candidate],
    target: &Target,
    known: &[(usize, f64)],
    rounded: &[Rounded],
    (seed, generations): (u64, usize),
) -> String {
    let mut out = format!("{{\n\"seed\":{seed},\"generations\":{generations},\n\"exact\":[");
    for (i, candidate) in exact.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}\n{{\"operations\":{},\"digits\":{:.3},\"program\":\"{}\",\"constants\":{:?}}}",
            candidate.cost(),
            digits(target.largest_error(&candidate.program)),
            candidate.program,
            candidate.program.constants
        );
    }
    out.push_str("\n],\n\"classical\":[");
    for (i, &(operations, error)) in known.iter().enumerate() {
        let (comma, digits) = (if i == 0 { "" } else { "," }, digits(error));
        let _ = write!(out, "{comma}\n{{\"operations\":{operations},\"digits\":{digits:.3}}}");
    }
    out.push_str("\n],\n\"f32\":[");
    for (i, found) in rounded.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let bits: Vec<String> =
            found.constants.iter().map(|c| format!("\"{:08X}\"", c.to_bits())).collect();
        let _ = write!(
            out,
            "{comma}\n{{\"operations\":{},\"maxUlp\":{:.4},\"floatsTested\":{},\"program\":\"{}\",\"constants\":[{}]}}",
            found.program.operations.len(),
            found.error,
            found.tested,
            found.program,
            bits.join(",")
        );
    }
    out.push_str("\n]\n}\n");
    out
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: u64| {
        arguments.get(index).and_then(|argument| argument.parse().ok()).unwrap_or(otherwise)
    };
    let (seed, generations) = (number(0, 1), number(1, 100));
    let generations = usize::try_from(generations).unwrap_or(usize::MAX);
    let mut rng = Rng::new(seed);

    let target = Target::new(0.0, 1.0, 128);
    let settings = Settings { fused: false, population: 60, generations };
    let exact = front(&evolve(settings, &target, &mut rng));
    let known = classical_front(false, &target);
    println!("exact arithmetic on [0, 1]");
    for candidate in &exact {
        let classical = known.iter().find(|(cost, _)| *cost == candidate.cost());
        println!(
            "{:3} operations {:6.2} digits (classical {:6.2})  {}",
            candidate.cost(),
            digits(candidate.error),
            classical.map_or(f64::NAN, |&(_, error)| digits(error)),
            candidate.program
        );
    }

    let centred = Target::new(-0.5, 0.5, 128);
    let fused = evolve(Settings { fused: true, ..settings }, &centred, &mut rng);
    println!("f32 with fused multiply-adds on [-1/2, 1/2]");
    let mut rounded = Vec::new();
    for cost in 3..=8 {
        // Rounding errors decide among programs whose exact errors are small: the best few of each cost are tried.
        let mut programs: Vec<(f64, Program)> = fused
            .iter()
            .filter(|candidate| candidate.cost() == cost)
            .map(|candidate| (candidate.error, candidate.program.clone()))
            .collect();
        programs.extend(classical(true).into_iter().filter_map(|mut program| {
            (program.operations.len() == cost).then(|| (fit(&mut program, &centred), program))
        }));
        programs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = programs.iter().take(ROUNDED_PROGRAMS).map(|(_, program)| program);
        let Some(found) = Rounded::best(best, &mut rng) else { continue };
        println!(
            "{cost:3} operations {:10.3} ULP over {} floats  {}",
            found.error, found.tested, found.program
        );
        rounded.push(found);
    }

    if let Some(file) = arguments.get(2) {
        std::fs::write(file, json(&exact, &target, &known, &rounded, (seed, generations)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use crate::fit::Target;
    use crate::program::Program;
    use crate::round::{error_at, proved_error};
    use crate::{classical_front, digits};

    const FRONT: &str = include_str!("../../../../docs/exp2_front.json");

    /// The programs of a part of the committed front.
    fn lines(part: &str) -> impl Iterator<Item = &'static str> {
        let (_, rest) = FRONT.split_once(&format!("\"{part}\":[")).unwrap();
        let (lines, _) = rest.split_once("\n]").unwrap();
        lines.lines().filter(|line| line.starts_with('{'))
    }

    fn field(line: &str, name: &str, end: char) -> String {
        let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
        rest.trim_start_matches(['"', '[']).split(end).next().unwrap().to_owned()
    }

    /// The programs for f32: `(largest error in ULP, program, constants)`.
    fn found() -> impl Iterator<Item = (f64, Program, Vec<f32>)> {
        lines("f32").map(|line| {
            let constants = field(line, "constants", ']')
                .split(',')
                .map(|bits| {
                    f32::from_bits(u32::from_str_radix(bits.trim_matches('"'), 16).unwrap())
                })
                .collect();
            let program = field(line, "program", '"').parse().unwrap();
            (field(line, "maxUlp", ',').parse().unwrap(), program, constants)
        })
    }

    #[test]
    fn the_committed_programs_have_their_digits() {
        let target = Target::new(0.0, 1.0, 128);
        let mut count = 0;
        for line in lines("exact") {
            let mut program: Program = field(line, "program", '"').parse().unwrap();
            program.constants = field(line, "constants", ']')
                .split(", ")
                .map(|constant| constant.parse().unwrap())
                .collect();
            let operations: usize = field(line, "operations", ',').parse().unwrap();
            assert_eq!(program.operations.len(), operations, "{program}");
            let expected: f64 = field(line, "digits", ',').parse().unwrap();
            let actual = digits(target.largest_error(&program));
            assert!((actual - expected).abs() < 1e-3, "{program}: {actual} digits");
            count += 1;
        }
        assert!(count > 10);
    }

    /// `(B(x²) + x) / (B(x²) - x)` of degree 1 and 2, and of degree 2 squared twice: figures of an independent Remez exchange.
    #[test]
    fn classical_programs_have_their_known_digits() {
        let front = classical_front(false, &Target::new(0.0, 1.0, 128));
        for (operations, known) in [(6, 4.86), (8, 7.40), (10, 11.01)] {
            let &(_, error) = front.iter().find(|&&(cost, _)| cost == operations).unwrap();
            assert!((digits(error) - known).abs() < 0.05, "{operations}: {}", digits(error));
        }
    }

    #[test]
    fn the_committed_programs_keep_their_errors_on_a_sample() {
        let mut rng = Rng::new(7);
        assert!(found().any(|(error, ..)| error < 1.0), "one within an ULP");
        for (error, program, constants) in found() {
            for _ in 0..100_000 {
                let x = rng.uniform(-0.5, 0.5);
                // The proof is of magnitudes from 2^-11 on, and its figure has four decimals.
                if x.abs() >= 4.9e-4 {
                    assert!(
                        error_at(&program, &constants, x) <= error + 1e-4,
                        "{program} at {x:e}"
                    );
                }
            }
        }
    }

    #[test]
    #[ignore = "every float of the interval for each program: minutes"]
    fn the_committed_programs_keep_their_errors_everywhere() {
        for (error, program, constants) in found() {
            let (actual, _) = proved_error(&program, &constants);
            assert!((actual - error).abs() < 1e-4, "{program}: {actual}");
        }
    }
}
