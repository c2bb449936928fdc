//! Numeric models whose every operation is rounded by an [`Emulator`], or by none.

use dyadic_formats::Emulator;
use dyadic_formats::random::random_bits;

/// Rounds, or does not.
fn round(emulator: &mut Option<Emulator>, value: f64) -> f64 {
    match emulator {
        Some(emulator) => emulator.round(value).expect("formats with infinities and NaN"),
        None => value,
    }
}

/// ẋ = σ (y − x), ẏ = x (ρ − z) − y, ż = x y − β z.
pub(crate) struct Lorenz63 {
    emulator: Option<Emulator>,
}

impl Lorenz63 {
    const STEP: f64 = 1.0 / 256.0;
    /// States before this step depend on the start.
    const SPIN_UP: usize = 2000;

    /// The states of each axis after the spin-up, from a start near (1, 1, 1) that depends on the seed.
    pub(crate) fn run(emulator: Option<Emulator>, seed: u64, steps: usize) -> [Vec<f64>; 3] {
        let mut model = Self { emulator };
        let start = |k| 1.0 + f64::from(random_bits(seed, k)) / 2f64.powi(33);
        let mut state: [f64; 3] = std::array::from_fn(|k| start(k as u64));
        let mut history = [const { Vec::new() }; 3];
        for step in 0..steps + Self::SPIN_UP {
            state = model.step(state);
            if step >= Self::SPIN_UP {
                for (axis, value) in history.iter_mut().zip(state) {
                    axis.push(value);
                }
            }
        }
        history
    }

    fn step(&mut self, state: [f64; 3]) -> [f64; 3] {
        let h = Self::STEP;
        let first = self.derivative(state);
        let second = {
            let at = self.moved(state, first, h / 2.0);
            self.derivative(at)
        };
        let third = {
            let at = self.moved(state, second, h / 2.0);
            self.derivative(at)
        };
        let fourth = {
            let at = self.moved(state, third, h);
            self.derivative(at)
        };
        std::array::from_fn(|k| {
            let inner = self.round(second[k] + third[k]);
            let outer = self.round(first[k] + fourth[k]);
            let slope = self.round(2.0 * inner + outer);
            let change = self.round(slope * h / 6.0);
            self.round(state[k] + change)
        })
    }

    fn moved(&mut self, state: [f64; 3], slope: [f64; 3], h: f64) -> [f64; 3] {
        std::array::from_fn(|k| {
            let change = self.round(slope[k] * h);
            self.round(state[k] + change)
        })
    }

    fn derivative(&mut self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let difference = self.round(y - x);
        let distance = self.round(28.0 - z);
        let (xd, xy) = (self.round(x * distance), self.round(x * y));
        let decay = self.round(8.0 / 3.0 * z);
        [self.round(10.0 * difference), self.round(xd - y), self.round(xy - decay)]
    }

    fn round(&mut self, value: f64) -> f64 {
        round(&mut self.emulator, value)
    }
}

/// A channel of shallow water, periodic, forced by random waves and slowed by friction: ∂u/∂t = −∂η/∂x − r u + F, ∂η/∂t = −∂u/∂x, on a staggered grid by the
/// forward–backward scheme.
pub(crate) struct ShallowWater;

impl ShallowWater {
    const CELLS: usize = 32;
    const STEPS: u64 = 6000;
    const COURANT: f64 = 0.5;
    const FRICTION: f64 = 0.02;

    /// The surface at every fourth step after the first thousand.
    pub(crate) fn run(mut emulator: Option<Emulator>, forcing_seed: u64) -> Vec<f64> {
        let n = Self::CELLS;
        let (mut u, mut eta) = (vec![0.0; n], vec![0.0; n]);
        let mut surfaces = Vec::new();
        for step in 0..Self::STEPS {
            // A wave of one of four lengths with a random phase, held for 50 steps.
            let draw = random_bits(forcing_seed, step / 50);
            let length = f64::from(draw % 4 + 1);
            let phase = std::f64::consts::TAU * f64::from(draw >> 2) / 2f64.powi(30);
            for i in 0..n {
                #[expect(clippy::cast_precision_loss, reason = "few cells")]
                let angle = std::f64::consts::TAU * length * i as f64 / n as f64 + phase;
                let force = round(&mut emulator, 0.02 * angle.sin());
                let slope = round(&mut emulator, eta[(i + 1) % n] - eta[i]);
                let pull = round(&mut emulator, Self::COURANT * slope);
                let drag = round(&mut emulator, Self::FRICTION * u[i]);
                let change = round(&mut emulator, force - pull);
                let change = round(&mut emulator, change - drag);
                u[i] = round(&mut emulator, u[i] + change);
            }
            for i in 0..n {
                let flow = round(&mut emulator, u[i] - u[(i + n - 1) % n]);
                let change = round(&mut emulator, Self::COURANT * flow);
                eta[i] = round(&mut emulator, eta[i] - change);
            }
            if step >= 1000 && step % 4 == 0 {
                surfaces.extend_from_slice(&eta);
            }
        }
        surfaces
    }
}

/// A bar of 17 points at temperature 1 with cold ends, after 20,000 steps of 10^−3: the temperature at its middle.
pub(crate) fn heat_at_the_middle(mut emulator: Option<Emulator>) -> f64 {
    let mut state = [1.0f64; 17];
    (state[0], state[16]) = (0.0, 0.0);
    for _ in 0..20_000 {
        let old = state;
        for i in 1..16 {
            let outer = round(&mut emulator, old[i - 1] + old[i + 1]);
            let curvature = round(&mut emulator, outer - 2.0 * old[i]);
            let change = round(&mut emulator, 1e-3 * curvature);
            state[i] = round(&mut emulator, old[i] + change);
        }
    }
    state[8]
}
