//! How many bits each layer gets: the integer program of HAWQ-V3 (Yao et al. 2021, arXiv 2011.10680), solved exactly.
//!
//! ```text
//! minimise    sum_i perturbation_i(b_i)                    one choice b_i for each layer i
//! subject to  sum_i cost_ik(b_i) <= limit_k                for every budget k: bytes, bit operations, latency, ...
//!             b_i = b_j                                    for tied layers, such as the two that a residual adds
//! ```
//!
//! The solver goes through the layers and keeps the partial assignments that no other dominates (at most its costs and its perturbation;
//! Nemhauser and Ullmann 1969), without those that a lower bound rules out: for each budget alone, the linear relaxation of what is left.

use std::cmp::Ordering;

/// The most partial assignments that are kept at once.
const MOST_STATES: usize = 1 << 16;

/// Sums of costs are rounded: a budget counts as kept where it is exceeded by less than this part of it.
const ROUNDING: f64 = 1e-12;

/// One way to quantize a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The width of its weights.
    pub bits: u32,
    /// By how much the loss rises, at least 0.
    pub perturbation: f64,
    /// What it costs of each budget, at least 0, in the order of [`Problem::limits`].
    pub costs: Vec<f64>,
}

/// What to allocate, and under which limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problem {
    /// The choices of each layer.
    pub layers: Vec<Vec<Choice>>,
    /// The limit of each budget.
    pub limits: Vec<f64>,
    /// Sets of layers that must have equal widths.
    pub ties: Vec<Vec<usize>>,
}

/// The optimum.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// The width of each layer.
    pub bits: Vec<u32>,
    /// The sum of the perturbations.
    pub perturbation: f64,
    /// What it takes of each budget.
    pub costs: Vec<f64>,
}

/// Why there is no allocation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AllocationError {
    /// A number that is negative, infinite or NaN.
    #[error("layer {layer}: {what} is {value}; expected a finite number from 0 on")]
    Number {
        /// The layer.
        layer: usize,
        /// What the number is.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// A layer whose choices cannot be chosen from.
    #[error("layer {layer}: {reason}")]
    Layer {
        /// The layer.
        layer: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit that is no number.
    #[error("the limit of budget {budget} is NaN")]
    Limit {
        /// The budget.
        budget: usize,
    },
    /// Even the cheapest choices exceed a budget, alone or together.
    #[error(
        "no allocation keeps the budgets {limits:?}; the least of each that any needs is {least:?}"
    )]
    Infeasible {
        /// The limits.
        limits: Vec<f64>,
        /// What the cheapest choices take of each budget.
        least: Vec<f64>,
    },
    /// Too many assignments, none better than the others in everything.
    #[error(
        "more than {MOST_STATES} partial allocations are incomparable: give fewer layers, choices or budgets"
    )]
    TooLarge,
}

impl AllocationError {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Number { .. } | Self::Layer { .. } | Self::Limit { .. } => "ERR_ALLOCATION_INPUT",
            Self::Infeasible { .. } => "ERR_ALLOCATION_INFEASIBLE",
            Self::TooLarge => "ERR_ALLOCATION_TOO_LARGE",
        }
    }
}

impl Problem {
    /// The allocation of the least perturbation; among equal ones that of the least cost of the first budget, then of the next.
    ///
    /// # Errors
    /// `ERR_ALLOCATION_INPUT` where the problem is none, `ERR_ALLOCATION_INFEASIBLE` where no allocation keeps the budgets,
    /// `ERR_ALLOCATION_TOO_LARGE` where more partial allocations are incomparable than fit into memory.
    pub fn solve(&self) -> Result<Allocation, AllocationError> {
        self.check()?;
        let groups = self.groups()?;
        let bounds: Vec<Relaxation> =
            (0..self.limits.len()).map(|budget| Relaxation::new(&groups, budget)).collect();
        let limits: Vec<f64> =
            self.limits.iter().map(|&limit| limit + limit.abs() * ROUNDING).collect();
        // The least perturbation that is still possible, from each group on, without budgets.
        let mut rest = vec![0.0; groups.len() + 1];
        for (index, group) in groups.iter().enumerate().rev() {
            rest[index] =
                rest[index + 1] + least(group.choices.iter().map(|choice| choice.perturbation));
        }

        let mut best: Option<State> = None;
        let start = State { perturbation: 0.0, costs: vec![0.0; limits.len()], taken: None };
        let mut states = vec![start];
        let mut trail: Vec<(Option<usize>, usize)> = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            // A dive from every survivor finds good whole allocations early, and these rule others out.
            let mut next = Vec::with_capacity(states.len() * group.choices.len());
            for state in &states {
                for (pick, choice) in group.choices.iter().enumerate() {
                    let perturbation = state.perturbation + choice.perturbation;
                    let costs: Vec<f64> =
                        state.costs.iter().zip(&choice.costs).map(|(a, b)| a + b).collect();
                    let mut bound = perturbation + rest[index + 1];
                    let mut feasible = true;
                    for ((relaxation, &limit), &cost) in bounds.iter().zip(&limits).zip(&costs) {
                        match relaxation.least_perturbation(index + 1, limit - cost) {
                            Some(least) => bound = bound.max(perturbation + least),
                            None => feasible = false,
                        }
                    }
                    let hopeless = best
                        .as_ref()
                        .is_some_and(|best| bound > best.perturbation * (1.0 + ROUNDING));
                    if feasible && !hopeless {
                        next.push((State { perturbation, costs, taken: state.taken }, pick));
                    }
                }
            }
            next.sort_by(|(a, _), (b, _)| a.order(b));
            states.clear();
            for (mut state, pick) in next {
                // In this order the last one has the least cost of all where there is one budget.
                let rivals = if limits.len() > 1 { 0 } else { states.len().saturating_sub(1) };
                if states[rivals..].iter().any(|kept| kept.dominates(&state)) {
                    continue;
                }
                if states.len() == MOST_STATES {
                    return Err(AllocationError::TooLarge);
                }
                trail.push((state.taken, pick));
                state.taken = Some(trail.len() - 1);
                states.push(state);
            }
            for state in &states {
                let whole = dive(&groups[index + 1..], &limits, state);
                if let Some(whole) = whole
                    && best.as_ref().is_none_or(|best| whole.perturbation < best.perturbation)
                {
                    best = Some(whole);
                }
            }
        }
        let Some(optimum) = states.into_iter().min_by(State::order) else {
            let least = (0..limits.len())
                .map(|k| {
                    groups.iter().map(|group| least(group.choices.iter().map(|c| c.costs[k]))).sum()
                })
                .collect();
            return Err(AllocationError::Infeasible { limits: self.limits.clone(), least });
        };
        Ok(self.allocation(&groups, &trail, optimum.taken))
    }

    fn allocation(
        &self,
        groups: &[Group],
        trail: &[(Option<usize>, usize)],
        mut taken: Option<usize>,
    ) -> Allocation {
        let mut picks = vec![0; self.layers.len()];
        for group in groups.iter().rev() {
            let (before, pick) = trail[taken.expect("one step for each group")];
            for &(layer, ref order) in &group.layers {
                picks[layer] = order[pick];
            }
            taken = before;
        }
        let chosen = || self.layers.iter().zip(&picks).map(|(choices, &pick)| &choices[pick]);
        Allocation {
            bits: chosen().map(|choice| choice.bits).collect(),
            perturbation: chosen().map(|choice| choice.perturbation).sum(),
            costs: (0..self.limits.len())
                .map(|k| chosen().map(|choice| choice.costs[k]).sum())
                .collect(),
        }
    }

    fn check(&self) -> Result<(), AllocationError> {
        for (layer, choices) in self.layers.iter().enumerate() {
            let wrong = |reason: String| Err(AllocationError::Layer { layer, reason });
            if choices.is_empty() {
                return wrong("there is no choice".into());
            }
            for (index, choice) in choices.iter().enumerate() {
                if choice.costs.len() != self.limits.len() {
                    let (costs, limits) = (choice.costs.len(), self.limits.len());
                    return wrong(format!(
                        "{costs} costs at {} bits for {limits} budgets",
                        choice.bits
                    ));
                }
                if choices[..index].iter().any(|other| other.bits == choice.bits) {
                    return wrong(format!("{} bits can be chosen twice", choice.bits));
                }
                let mut numbers = vec![("a perturbation", choice.perturbation)];
                numbers.extend(choice.costs.iter().map(|&cost| ("a cost", cost)));
                for (what, value) in numbers {
                    if !(value.is_finite() && value >= 0.0) {
                        return Err(AllocationError::Number { layer, what, value });
                    }
                }
            }
        }
        match self.limits.iter().position(|limit| limit.is_nan()) {
            Some(budget) => Err(AllocationError::Limit { budget }),
            None => Ok(()),
        }
    }

    /// Tied layers, one group each, with the widths that all of them can have.
    fn groups(&self) -> Result<Vec<Group>, AllocationError> {
        let count = self.layers.len();
        let mut root: Vec<usize> = (0..count).collect();
        for tie in &self.ties {
            for &layer in tie {
                if layer >= count {
                    let reason = format!("a tie names it, but there are {count} layers");
                    return Err(AllocationError::Layer { layer, reason });
                }
                let (from, to) = (root[layer], root[tie[0]]);
                root.iter_mut().filter(|root| **root == from).for_each(|root| *root = to);
            }
        }
        let mut groups = Vec::new();
        for name in 0..count {
            let members: Vec<usize> = (0..count).filter(|&layer| root[layer] == name).collect();
            let Some((&first, others)) = members.split_first() else { continue };
            let mut layers: Vec<(usize, Vec<usize>)> =
                members.iter().map(|&layer| (layer, Vec::new())).collect();
            let mut choices = Vec::new();
            for (pick, choice) in self.layers[first].iter().enumerate() {
                let place =
                    |layer: usize| self.layers[layer].iter().position(|c| c.bits == choice.bits);
                let Some(places) =
                    others.iter().map(|&layer| place(layer)).collect::<Option<Vec<_>>>()
                else {
                    continue;
                };
                let mut sum = choice.clone();
                layers[0].1.push(pick);
                for ((layer, order), place) in layers[1..].iter_mut().zip(places) {
                    order.push(place);
                    let other = &self.layers[*layer][place];
                    sum.perturbation += other.perturbation;
                    sum.costs.iter_mut().zip(&other.costs).for_each(|(sum, cost)| *sum += cost);
                }
                choices.push(sum);
            }
            if choices.is_empty() {
                let reason = "it has no width in common with the layers that it is tied to".into();
                return Err(AllocationError::Layer { layer: first, reason });
            }
            groups.push(Group { layers, choices });
        }
        Ok(groups)
    }
}

/// Layers that are chosen for at once.
struct Group {
    /// Each layer with the places of `choices` among its own.
    layers: Vec<(usize, Vec<usize>)>,
    choices: Vec<Choice>,
}

/// A partial assignment.
#[derive(Clone)]
struct State {
    perturbation: f64,
    costs: Vec<f64>,
    /// Its last step in the trail.
    taken: Option<usize>,
}

impl State {
    fn order(&self, other: &Self) -> Ordering {
        let numbers = |state: &Self| state.costs.clone();
        self.perturbation.total_cmp(&other.perturbation).then_with(|| {
            let (a, b) = (numbers(self), numbers(other));
            a.iter()
                .zip(&b)
                .map(|(a, b)| a.total_cmp(b))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }

    fn dominates(&self, other: &Self) -> bool {
        self.perturbation <= other.perturbation
            && self.costs.iter().zip(&other.costs).all(|(a, b)| a <= b)
    }
}

fn least(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(f64::INFINITY, f64::min)
}

/// A whole allocation from a partial one: each further group takes the choice of the least perturbation for which the cheapest choices of
/// the rest still fit.
fn dive(rest: &[Group], limits: &[f64], from: &State) -> Option<State> {
    let mut state = from.clone();
    let mut reserve: Vec<f64> = (0..limits.len())
        .map(|k| {
            rest.iter().map(|group| least(group.choices.iter().map(|choice| choice.costs[k]))).sum()
        })
        .collect();
    for group in rest {
        for (k, reserve) in reserve.iter_mut().enumerate() {
            *reserve -= least(group.choices.iter().map(|choice| choice.costs[k]));
        }
        let fits = |choice: &&Choice| {
            (0..limits.len())
                .all(|k| state.costs[k] + choice.costs[k] + reserve[k].max(0.0) <= limits[k])
        };
        let choice = group
            .choices
            .iter()
            .filter(fits)
            .min_by(|a, b| a.perturbation.total_cmp(&b.perturbation))?;
        state.perturbation += choice.perturbation;
        state.costs.iter_mut().zip(&choice.costs).for_each(|(sum, cost)| *sum += cost);
    }
    state.costs.iter().zip(limits).all(|(cost, limit)| cost <= limit).then_some(state)
}

/// The linear relaxation of the groups from each on under one budget: choices may be mixed. Its optimum takes the cheapest choices and then the steps
/// along each group's lower convex hull in the order of their gain per cost (Sinha and Zoltners 1979).
struct Relaxation {
    /// For the groups from each index on.
    from: Vec<Tail>,
}

struct Tail {
    /// Cost and perturbation of the cheapest choices.
    cost: f64,
    perturbation: f64,
    /// Cost and gain of each step, the steepest first.
    steps: Vec<(f64, f64)>,
}

impl Relaxation {
    fn new(groups: &[Group], budget: usize) -> Self {
        let mut from = vec![Tail { cost: 0.0, perturbation: 0.0, steps: Vec::new() }];
        for group in groups.iter().rev() {
            let mut points: Vec<(f64, f64)> = group
                .choices
                .iter()
                .map(|choice| (choice.costs[budget], choice.perturbation))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let mut hull: Vec<(f64, f64)> = Vec::new();
            for point in points {
                if hull.last().is_some_and(|last| last.1 <= point.1) {
                    continue;
                }
                while let [.., a, b] = hull[..]
                    && (a.1 - b.1) * (point.0 - b.0) <= (b.1 - point.1) * (b.0 - a.0)
                {
                    hull.pop();
                }
                hull.push(point);
            }
            let last = from.last().expect("the empty tail");
            let mut steps = last.steps.clone();
            steps
                .extend(hull.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[0].1 - pair[1].1)));
            steps.sort_by(|a, b| (b.1 * a.0).total_cmp(&(a.1 * b.0)));
            let tail = Tail {
                cost: last.cost + hull[0].0,
                perturbation: last.perturbation + hull[0].1,
                steps,
            };
            from.push(tail);
        }
        from.reverse();
        Self { from }
    }

    /// A lower bound of the perturbation of the groups from `index` on within `limit`. `None` where even the cheapest choices exceed it.
    fn least_perturbation(&self, index: usize, limit: f64) -> Option<f64> {
        let tail = &self.from[index];
        let mut room = limit - tail.cost;
        // What the order of additions may differ by.
        let slack = ROUNDING * (tail.cost + limit.abs());
        if room < -slack {
            return None;
        }
        room += slack;
        let mut perturbation = tail.perturbation;
        for &(cost, gain) in &tail.steps {
            if cost <= room {
                room -= cost;
                perturbation -= gain;
            } else {
                return Some(perturbation - gain * (room / cost));
            }
        }
        Some(perturbation)
    }
}
