//! Bit allocation: published optima, and brute force.

use dyadic_quant::allocate::{AllocationError, Choice, Problem};
use proptest::prelude::*;

#[path = "../../kernels/tests/support/mod.rs"]
mod support;

/// Every allocation, one after the other: the least perturbation within the limits.
fn brute_force(problem: &Problem) -> Option<f64> {
    let count: usize = problem.layers.iter().map(Vec::len).product();
    let mut best: Option<f64> = None;
    for mut index in 0..count {
        let mut chosen = Vec::new();
        for choices in &problem.layers {
            chosen.push(&choices[index % choices.len()]);
            index /= choices.len();
        }
        let tied = problem
            .ties
            .iter()
            .all(|tie| tie.iter().all(|&i| chosen[i].bits == chosen[tie[0]].bits));
        let fits =
            problem.limits.iter().enumerate().all(|(k, limit)| {
                chosen.iter().map(|choice| choice.costs[k]).sum::<f64>() <= *limit
            });
        let perturbation = chosen.iter().map(|choice| choice.perturbation).sum();
        if tied && fits && best.is_none_or(|best| perturbation < best) {
            best = Some(perturbation);
        }
    }
    best
}

/// Row 14 of the papers: the measurements of the authors' repository, and the optima of an exhaustive search over all 2^16 allocations.
#[test]
fn hawq_v3_resnet18_has_its_nine_optima() {
    let golden = support::golden("hawq_ilp_resnet18");
    let numbers = |key: &str| support::numbers(&golden[key]);
    let [trace, params, macs] = ["trace", "params", "macs"].map(numbers);
    let size: Vec<f64> = params.iter().map(|params| params / f64::from(1 << 20)).collect();
    let gmacs: Vec<f64> = macs.iter().map(|macs| macs / 1e6).collect();
    let scaled = |numbers: &[f64], factor: f64| -> Vec<f64> {
        numbers.iter().map(|number| number * factor).collect()
    };
    let ties = golden["ties"].as_array().expect("ties");
    let ties = ties
        .iter()
        .map(|tie| [0, 1].map(|i| usize::try_from(tie[i].as_u64().unwrap()).unwrap()).to_vec());
    let ties: Vec<Vec<usize>> = ties.collect();
    let [d4, d8, lat4, lat8] = ["d4", "d8", "lat4", "lat8"].map(numbers);
    let mut found = 0;
    for (name, cost4, cost8) in [
        ("size", scaled(&size, 0.5), size.clone()),
        ("bops", scaled(&gmacs, 1.0 / 64.0), scaled(&gmacs, 1.0 / 16.0)),
        ("latency", lat4, lat8),
    ] {
        for optimum in golden[name].as_array().expect(name) {
            let number = |key: &str| optimum[key].as_f64().expect(key);
            let layers = (0..trace.len()).map(|i| {
                let choice = |bits, distance: &[f64], cost: &[f64]| Choice {
                    bits,
                    perturbation: trace[i] * distance[i],
                    costs: vec![cost[i]],
                };
                vec![choice(4, &d4, &cost4), choice(8, &d8, &cost8)]
            });
            let problem = Problem {
                layers: layers.collect(),
                limits: vec![number("limit")],
                ties: ties.clone(),
            };
            let allocation = problem.solve().expect("feasible");
            let bits: Vec<u64> = allocation.bits.iter().map(|&bits| bits.into()).collect();
            assert_eq!(serde_json::json!(bits), optimum["bits"], "{name} {}", number("alpha"));
            assert!((allocation.perturbation - number("perturbation")).abs() < 1e-9);
            assert!((allocation.costs[0] - number("cost")).abs() < 1e-9 * number("cost"));
            found += 1;
        }
    }
    assert_eq!(found, 9);
}

fn problems() -> impl Strategy<Value = Problem> {
    // Small whole numbers make equal sums, which floats never would.
    let number = prop_oneof![(0_u32..8).prop_map(f64::from), 0.0..10.0];
    let layer = move |budgets: usize| {
        let choice = (number.clone(), prop::collection::vec(number.clone(), budgets));
        prop::collection::vec(choice, 1..4).prop_map(|choices| {
            (2..)
                .zip(choices)
                .map(|(bits, (perturbation, costs))| Choice { bits, perturbation, costs })
                .collect::<Vec<_>>()
        })
    };
    (0_usize..4, 1_usize..8).prop_flat_map(move |(budgets, layers)| {
        let limits = prop::collection::vec(0.0..40.0, budgets);
        let ties = prop::collection::vec(prop::collection::vec(0..layers, 1..3), 0..3);
        (prop::collection::vec(layer(budgets), layers), limits, ties)
            .prop_map(|(layers, limits, ties)| Problem { layers, limits, ties })
    })
}

proptest! {
    #[test]
    fn the_optimum_is_that_of_brute_force(problem in problems()) {
        match (problem.solve(), brute_force(&problem)) {
            (Ok(allocation), Some(best)) => {
                prop_assert!((allocation.perturbation - best).abs() <= 1e-9, "{} {best}", allocation.perturbation);
                for (cost, limit) in allocation.costs.iter().zip(&problem.limits) {
                    prop_assert!(*cost <= limit * (1.0 + 1e-12));
                }
                for tie in &problem.ties {
                    prop_assert!(tie.iter().all(|&i| allocation.bits[i] == allocation.bits[tie[0]]));
                }
            }
            (Err(AllocationError::Infeasible { .. } | AllocationError::Layer { .. }), None) => {}
            (solved, best) => prop_assert!(false, "{solved:?} against {best:?}"),
        }
    }
}

/// Two hundred equal layers have 10^59 equal optima: only one of each kind may be looked at.
#[test]
fn equal_layers_are_not_permuted() {
    let choice = |bits, perturbation, cost| Choice { bits, perturbation, costs: vec![cost] };
    let layer = vec![choice(4, 3.0, 1.0), choice(8, 1.0, 2.0)];
    let problem = Problem { layers: vec![layer; 200], limits: vec![300.5], ties: Vec::new() };
    let allocation = problem.solve().expect("feasible");
    assert_eq!(allocation.bits.iter().filter(|&&bits| bits == 8).count(), 100);
    assert_eq!(allocation.perturbation, 400.0);
}

#[test]
fn what_is_no_problem_is_named() {
    let choice =
        |bits, perturbation, costs: &[f64]| Choice { bits, perturbation, costs: costs.to_vec() };
    let problem = |layers: &[Vec<Choice>], limits: &[f64], ties: &[Vec<usize>]| {
        Problem { layers: layers.to_vec(), limits: limits.to_vec(), ties: ties.to_vec() }.solve()
    };
    let one = vec![choice(4, 1.0, &[1.0])];
    for (code, result) in [
        ("ERR_ALLOCATION_INPUT", problem(&[vec![]], &[1.0], &[])),
        ("ERR_ALLOCATION_INPUT", problem(&[vec![choice(4, -1.0, &[1.0])]], &[1.0], &[])),
        ("ERR_ALLOCATION_INPUT", problem(&[vec![choice(4, 1.0, &[f64::NAN])]], &[1.0], &[])),
        ("ERR_ALLOCATION_INPUT", problem(std::slice::from_ref(&one), &[], &[])),
        ("ERR_ALLOCATION_INPUT", problem(std::slice::from_ref(&one), &[f64::NAN], &[])),
        ("ERR_ALLOCATION_INPUT", problem(std::slice::from_ref(&one), &[1.0], &[vec![1]])),
        ("ERR_ALLOCATION_INPUT", problem(&[vec![one[0].clone(), one[0].clone()]], &[1.0], &[])),
        (
            "ERR_ALLOCATION_INPUT",
            problem(&[one.clone(), vec![choice(8, 1.0, &[1.0])]], &[9.0], &[vec![0, 1]]),
        ),
        ("ERR_ALLOCATION_INFEASIBLE", problem(&[one], &[0.5], &[])),
    ] {
        assert_eq!(result.expect_err(code).code(), code);
    }
}
