//! Evolution of programs on the front of two objectives: operations and error (NSGA-II, Deb et al. 2002).

use dyadic_testkit::Rng;

use crate::fit::{Target, fit};
use crate::program::{Operand, Operation, Program};

/// The most operations of a program.
pub(crate) const MAX_OPERATIONS: usize = 14;

/// A program and what it is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) program: Program,
    /// The largest relative error in f64.
    pub(crate) error: f64,
}

impl Candidate {
    fn new(mut program: Program, target: &Target) -> Option<Self> {
        program = program.without_dead_code();
        if program.operations.is_empty() || program.operations.len() > MAX_OPERATIONS {
            return None;
        }
        let error = fit(&mut program, target);
        error.is_finite().then_some(Self { program, error })
    }

    /// The number of operations.
    pub(crate) fn cost(&self) -> usize {
        self.program.operations.len()
    }

    fn dominates(&self, other: &Self) -> bool {
        self.cost() <= other.cost()
            && self.error <= other.error
            && (self.cost() < other.cost() || self.error < other.error)
    }
}

/// What a search may use.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Whether a fused multiply-add is one operation.
    pub(crate) fused: bool,
    pub(crate) population: usize,
    pub(crate) generations: usize,
}

/// The population after a seeded search that starts from the classical programs.
pub(crate) fn evolve(settings: Settings, target: &Target, rng: &mut Rng) -> Vec<Candidate> {
    let mut population: Vec<Candidate> = classical(settings.fused)
        .into_iter()
        .filter_map(|program| Candidate::new(program, target))
        .collect();
    for _ in 0..settings.generations {
        let parents = population.len();
        for _ in 0..settings.population {
            let parent = &population[rng.below(parents)];
            let mut program = parent.program.clone();
            for _ in 0..=rng.below(2) {
                mutate(&mut program, settings.fused, rng);
            }
            population.extend(Candidate::new(program, target));
        }
        population = select(population, settings.population);
    }
    population
}

/// The candidates that no other one is better than in both operations and error, one for each number of operations.
pub(crate) fn front(population: &[Candidate]) -> Vec<Candidate> {
    let best = population.iter().filter(|a| !population.iter().any(|b| b.dominates(a)));
    let mut front: Vec<Candidate> = best.cloned().collect();
    front.sort_by_key(Candidate::cost);
    front.dedup_by_key(|candidate| candidate.cost());
    front
}

/// Horner's rule, repeated squaring of it, and the rational form `(B(x^2) + x) / (B(x^2) - x)`.
pub(crate) fn classical(fused: bool) -> Vec<Program> {
    let mut programs = Vec::new();
    for degree in 1..=6 {
        for squarings in 0..=3 {
            programs.push(horner(degree, squarings, fused));
        }
    }
    for degree in 0..=3 {
        for squarings in 0..=3 {
            programs.push(rational(degree, squarings, fused));
        }
    }
    programs
}

fn push(program: &mut Program, operation: Operation) -> Operand {
    program.operations.push(operation);
    Operand::Result(program.operations.len() - 1)
}

fn constant(program: &mut Program, value: f64) -> Operand {
    program.constants.push(value);
    Operand::Constant(program.constants.len() - 1)
}

/// `a * b + c` in one operation or in two.
fn multiply_add(program: &mut Program, a: Operand, b: Operand, c: Operand, fused: bool) -> Operand {
    if fused {
        return push(program, Operation::Fused(a, b, c));
    }
    let product = push(program, Operation::Multiply(a, b));
    push(program, Operation::Add(product, c))
}

fn square(program: &mut Program, mut value: Operand, times: usize) {
    for _ in 0..times {
        value = push(program, Operation::Multiply(value, value));
    }
}

/// A polynomial of `2^(x / 2^squarings)`, squared so often.
fn horner(degree: u32, squarings: u32, fused: bool) -> Program {
    let mut program = Program { operations: Vec::new(), constants: Vec::new() };
    let scale = std::f64::consts::LN_2 / f64::from(1 << squarings);
    let taylor = |k: u32| (1..=k).fold(1.0, |c, k| c * scale / f64::from(k));
    let mut value = constant(&mut program, taylor(degree));
    for k in (0..degree).rev() {
        let c = constant(&mut program, taylor(k));
        value = multiply_add(&mut program, value, Operand::Input, c, fused);
    }
    square(&mut program, value, squarings as usize);
    program
}

/// `(B + x) / (B - x)` with `B` a polynomial of x^2 (the odd continued fraction of tanh), squared `squarings` times.
fn rational(degree: usize, squarings: u32, fused: bool) -> Program {
    let mut program = Program { operations: Vec::new(), constants: Vec::new() };
    let scale = std::f64::consts::LN_2 / f64::from(1 << squarings);
    // coth(s x / 2) x = 2/s + s x^2 / 6 - s^3 x^4 / 360 + s^5 x^6 / 15120
    let series = [2.0 / scale, scale / 6.0, -scale.powi(3) / 360.0, scale.powi(5) / 15_120.0];
    let mut value = constant(&mut program, series[degree]);
    if degree > 0 {
        let x2 = push(&mut program, Operation::Multiply(Operand::Input, Operand::Input));
        for k in (0..degree).rev() {
            let c = constant(&mut program, series[k]);
            value = multiply_add(&mut program, value, x2, c, fused);
        }
    }
    let above = push(&mut program, Operation::Add(value, Operand::Input));
    let below = push(&mut program, Operation::Subtract(value, Operand::Input));
    let quotient = push(&mut program, Operation::Divide(above, below));
    square(&mut program, quotient, squarings as usize);
    program
}

/// One random change. Weights of insertion, removal, rewiring and new kind as in AutoNumerics-Zero: 1, 2, 3, 3.
fn mutate(program: &mut Program, fused: bool, rng: &mut Rng) {
    match rng.below(9) {
        0 => insert(program, fused, rng),
        1 | 2 => remove(program, rng),
        3..=5 => {
            let index = rng.below(program.operations.len());
            let mut operation = program.operations[index];
            let operands = operation.operands_mut().len();
            let operand = random_operand(program, index, rng);
            *operation.operands_mut()[rng.below(operands)] = operand;
            program.operations[index] = operation;
        }
        _ => {
            let index = rng.below(program.operations.len());
            let operands = program.operations[index].operands();
            let operand = |i: usize| operands[i % operands.len()];
            program.operations[index] =
                random_kind([operand(0), operand(1), operand(2)], fused, rng);
        }
    }
}

fn random_kind([a, b, c]: [Operand; 3], fused: bool, rng: &mut Rng) -> Operation {
    match rng.below(if fused { 6 } else { 4 }) {
        0 => Operation::Add(a, b),
        1 => Operation::Subtract(a, b),
        2 => Operation::Multiply(a, b),
        3 => Operation::Divide(a, b),
        _ => Operation::Fused(a, b, c),
    }
}

/// The input, one, a new constant, or a result of before `index`.
fn random_operand(program: &mut Program, index: usize, rng: &mut Rng) -> Operand {
    match rng.below(index + 4) {
        0 => Operand::Input,
        1 => Operand::One,
        2 | 3 => constant(program, f64::from(rng.normal())),
        earlier => Operand::Result(earlier - 4),
    }
}

/// Puts an operation before a random place and makes what stands there read it.
fn insert(program: &mut Program, fused: bool, rng: &mut Rng) {
    let index = rng.below(program.operations.len());
    let operands = [(); 3].map(|()| random_operand(program, index, rng));
    let inserted = random_kind(operands, fused, rng);
    for operation in &mut program.operations[index..] {
        for operand in operation.operands_mut() {
            if let Operand::Result(i) = operand
                && *i >= index
            {
                *i += 1;
            }
        }
    }
    program.operations.insert(index, inserted);
    let mut reader = program.operations[index + 1];
    let count = reader.operands_mut().len();
    *reader.operands_mut()[rng.below(count)] = Operand::Result(index);
    program.operations[index + 1] = reader;
}

/// Takes a random operation out; what read it reads its first operand.
fn remove(program: &mut Program, rng: &mut Rng) {
    if program.operations.len() < 2 {
        return;
    }
    let index = rng.below(program.operations.len());
    let replacement = program.operations.remove(index).operands()[0];
    for operation in &mut program.operations[index..] {
        for operand in operation.operands_mut() {
            match operand {
                Operand::Result(i) if *i == index => *operand = replacement,
                Operand::Result(i) if *i > index => *i -= 1,
                _ => {}
            }
        }
    }
}

/// The best `count`: front after front, the last cut where candidates are crowded. Programs of equal cost and error are one.
fn select(mut population: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    population.sort_by(|a, b| a.cost().cmp(&b.cost()).then(a.error.total_cmp(&b.error)));
    population.dedup_by(|a, b| a.cost() == b.cost() && (a.error / b.error - 1.0).abs() < 1e-6);
    let mut selected = Vec::new();
    while selected.len() < count && !population.is_empty() {
        let (mut front, rest): (Vec<_>, Vec<_>) =
            population.iter().cloned().partition(|a| !population.iter().any(|b| b.dominates(a)));
        population = rest;
        if selected.len() + front.len() > count {
            // Sorted by cost already: neighbours in the order of cost are neighbours on the front.
            let crowding = crowding(&front);
            let mut order: Vec<usize> = (0..front.len()).collect();
            order.sort_by(|&a, &b| crowding[b].total_cmp(&crowding[a]));
            order.truncate(count - selected.len());
            front = order.into_iter().map(|i| front[i].clone()).collect();
        }
        selected.extend(front);
    }
    selected
}

/// How far apart the neighbours of each candidate of a sorted front are; infinite at the ends.
#[expect(clippy::cast_precision_loss, reason = "costs are below 15")]
fn crowding(front: &[Candidate]) -> Vec<f64> {
    let mut distances = vec![f64::INFINITY; front.len()];
    for (distance, window) in distances.iter_mut().skip(1).zip(front.windows(3)) {
        let digits = (window[0].error / window[2].error).log10().abs();
        *distance = (window[2].cost() - window[0].cost()) as f64 + digits;
    }
    distances
}
