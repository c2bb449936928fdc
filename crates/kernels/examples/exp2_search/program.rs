//! Straight-line programs over one input and constants.

use std::fmt;

/// What an operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// The argument of the function.
    Input,
    /// 1, which needs no fitting.
    One,
    /// A constant of the program.
    Constant(usize),
    /// The result of an earlier operation.
    Result(usize),
}

/// One operation: one instruction of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `a + b`
    Add(Operand, Operand),
    /// `a - b`
    Subtract(Operand, Operand),
    /// `a * b`
    Multiply(Operand, Operand),
    /// `a / b`
    Divide(Operand, Operand),
    /// `a * b + c`, rounded once
    Fused(Operand, Operand, Operand),
}

impl Operation {
    /// The operands.
    pub(crate) fn operands(&self) -> Vec<Operand> {
        match *self {
            Self::Add(a, b) | Self::Subtract(a, b) | Self::Multiply(a, b) | Self::Divide(a, b) => {
                vec![a, b]
            }
            Self::Fused(a, b, c) => vec![a, b, c],
        }
    }

    /// The operands, to change.
    pub(crate) fn operands_mut(&mut self) -> Vec<&mut Operand> {
        match self {
            Self::Add(a, b) | Self::Subtract(a, b) | Self::Multiply(a, b) | Self::Divide(a, b) => {
                vec![a, b]
            }
            Self::Fused(a, b, c) => vec![a, b, c],
        }
    }
}

/// A program: its value is the result of the last operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    pub(crate) operations: Vec<Operation>,
    pub(crate) constants: Vec<f64>,
}

impl Program {
    /// The value at `x`, and its derivatives by the constants (forward differentiation), in f64.
    pub(crate) fn value_and_gradient(&self, x: f64) -> (f64, Vec<f64>) {
        let n = self.constants.len();
        let mut results: Vec<(f64, Vec<f64>)> = Vec::with_capacity(self.operations.len());
        for operation in &self.operations {
            let read = |operand: Operand| match operand {
                Operand::Input => (x, vec![0.0; n]),
                Operand::One => (1.0, vec![0.0; n]),
                Operand::Constant(i) => {
                    let mut gradient = vec![0.0; n];
                    gradient[i] = 1.0;
                    (self.constants[i], gradient)
                }
                Operand::Result(i) => results[i].clone(),
            };
            let combine = |u: &[f64], by_u: f64, v: &[f64], by_v: f64| -> Vec<f64> {
                u.iter().zip(v).map(|(u, v)| u * by_u + v * by_v).collect()
            };
            results.push(match *operation {
                Operation::Add(a, b) => {
                    let ((a, da), (b, db)) = (read(a), read(b));
                    (a + b, combine(&da, 1.0, &db, 1.0))
                }
                Operation::Subtract(a, b) => {
                    let ((a, da), (b, db)) = (read(a), read(b));
                    (a - b, combine(&da, 1.0, &db, -1.0))
                }
                Operation::Multiply(a, b) => {
                    let ((a, da), (b, db)) = (read(a), read(b));
                    (a * b, combine(&da, b, &db, a))
                }
                Operation::Divide(a, b) => {
                    let ((a, da), (b, db)) = (read(a), read(b));
                    (a / b, combine(&da, 1.0 / b, &db, -a / (b * b)))
                }
                Operation::Fused(a, b, c) => {
                    let ((a, da), (b, db), (c, dc)) = (read(a), read(b), read(c));
                    let product = combine(&da, b, &db, a);
                    (a * b + c, combine(&product, 1.0, &dc, 1.0))
                }
            });
        }
        results.pop().unwrap_or((f64::NAN, Vec::new()))
    }

    /// The value at `x` in f64.
    pub(crate) fn value(&self, x: f64) -> f64 {
        let mut results = [0.0f64; 64];
        for (index, operation) in self.operations.iter().enumerate() {
            let read = |operand: Operand| match operand {
                Operand::Input => x,
                Operand::One => 1.0,
                Operand::Constant(i) => self.constants[i],
                Operand::Result(i) => results[i],
            };
            results[index] = match *operation {
                Operation::Add(a, b) => read(a) + read(b),
                Operation::Subtract(a, b) => read(a) - read(b),
                Operation::Multiply(a, b) => read(a) * read(b),
                Operation::Divide(a, b) => read(a) / read(b),
                Operation::Fused(a, b, c) => read(a) * read(b) + read(c),
            };
        }
        results[self.operations.len() - 1]
    }

    /// The value at `x` as a processor computes it in f32, with the constants given.
    pub(crate) fn value_f32(&self, constants: &[f32], x: f32) -> f32 {
        let mut results = [0.0f32; 64];
        for (index, operation) in self.operations.iter().enumerate() {
            let read = |operand: Operand| match operand {
                Operand::Input => x,
                Operand::One => 1.0,
                Operand::Constant(i) => constants[i],
                Operand::Result(i) => results[i],
            };
            results[index] = match *operation {
                Operation::Add(a, b) => read(a) + read(b),
                Operation::Subtract(a, b) => read(a) - read(b),
                Operation::Multiply(a, b) => read(a) * read(b),
                Operation::Divide(a, b) => read(a) / read(b),
                Operation::Fused(a, b, c) => read(a).mul_add(read(b), read(c)),
            };
        }
        results[self.operations.len() - 1]
    }

    /// Drops operations and constants that the value does not depend on.
    pub(crate) fn without_dead_code(&self) -> Self {
        let mut used = vec![false; self.operations.len()];
        if let Some(last) = used.last_mut() {
            *last = true;
        }
        for index in (0..self.operations.len()).rev() {
            if used[index] {
                for operand in self.operations[index].operands() {
                    if let Operand::Result(i) = operand {
                        used[i] = true;
                    }
                }
            }
        }
        let (mut places, mut constant_places) =
            (vec![0; used.len()], vec![None; self.constants.len()]);
        let (mut operations, mut constants) = (Vec::new(), Vec::new());
        for (index, operation) in self.operations.iter().enumerate().filter(|&(i, _)| used[i]) {
            let mut operation = *operation;
            for operand in operation.operands_mut() {
                match operand {
                    Operand::Result(i) => *i = places[*i],
                    Operand::Constant(i) => {
                        *i = *constant_places[*i].get_or_insert_with(|| {
                            constants.push(self.constants[*i]);
                            constants.len() - 1
                        });
                    }
                    Operand::Input | Operand::One => {}
                }
            }
            places[index] = operations.len();
            operations.push(operation);
        }
        Self { operations, constants }
    }
}

/// What [`fmt::Display`] writes; all constants are 0.
#[cfg(test)]
impl std::str::FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut program = Self { operations: Vec::new(), constants: Vec::new() };
        for line in text.split("; ") {
            let (_, expression) = line.split_once(" = ").ok_or(line)?;
            let mut operand = |name: &str| -> Result<Operand, String> {
                let index = || name[1..].parse::<usize>().map_err(|_| name.to_owned());
                Ok(match name.as_bytes().first() {
                    Some(b'x') => Operand::Input,
                    Some(b'1') => Operand::One,
                    Some(b'c') => {
                        program.constants.resize(program.constants.len().max(index()? + 1), 0.0);
                        Operand::Constant(index()?)
                    }
                    _ => Operand::Result(index()?),
                })
            };
            let operation = if let Some(inner) = expression.strip_prefix("fma(") {
                let names: Vec<&str> = inner.trim_end_matches(')').split(", ").collect();
                let &[a, b, c] = names.as_slice() else { return Err(line.to_owned()) };
                Operation::Fused(operand(a)?, operand(b)?, operand(c)?)
            } else {
                let names: Vec<&str> = expression.split(' ').collect();
                let &[a, sign, b] = names.as_slice() else { return Err(line.to_owned()) };
                let (a, b) = (operand(a)?, operand(b)?);
                match sign {
                    "+" => Operation::Add(a, b),
                    "-" => Operation::Subtract(a, b),
                    "*" => Operation::Multiply(a, b),
                    "/" => Operation::Divide(a, b),
                    _ => return Err(line.to_owned()),
                }
            };
            program.operations.push(operation);
        }
        Ok(program)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |operand: Operand| match operand {
            Operand::Input => "x".to_owned(),
            Operand::One => "1".to_owned(),
            Operand::Constant(i) => format!("c{i}"),
            Operand::Result(i) => format!("r{i}"),
        };
        for (index, operation) in self.operations.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match *operation {
                Operation::Add(a, b) => {
                    write!(f, "{separator}r{index} = {} + {}", name(a), name(b))
                }
                Operation::Subtract(a, b) => {
                    write!(f, "{separator}r{index} = {} - {}", name(a), name(b))
                }
                Operation::Multiply(a, b) => {
                    write!(f, "{separator}r{index} = {} * {}", name(a), name(b))
                }
                Operation::Divide(a, b) => {
                    write!(f, "{separator}r{index} = {} / {}", name(a), name(b))
                }
                Operation::Fused(a, b, c) => {
                    write!(f, "{separator}r{index} = fma({}, {}, {})", name(a), name(b), name(c))
                }
            }?;
        }
        Ok(())
    }
}
