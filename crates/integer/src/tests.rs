use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use dyadic_kernels::Isa;
use dyadic_testkit::Rng;

use crate::example::{self, CLASSES};
use crate::{Graph, IntegerModel, ModelOptions, Op, Value};

fn images(graph: &Graph, count: usize) -> Vec<u8> {
    let mut rng = Rng::new(7);
    (0..count * graph.input().elements()).map(|_| rng.below(256).to_le_bytes()[0]).collect()
}

fn logits(model: &IntegerModel, pixels: &[u8], count: usize) -> Vec<i32> {
    let mut logits = vec![0; count * CLASSES];
    model.logits(pixels, &mut logits, &AtomicBool::new(false)).expect("logits");
    logits
}

fn model(graph: &Graph, isa: Isa, threads: usize) -> IntegerModel {
    let options = ModelOptions { threads: NonZeroUsize::new(threads), isa: Some(isa) };
    IntegerModel::new(graph.clone(), &options).expect("a model")
}

#[test]
fn instruction_sets_threads_and_batches_give_the_same_logits() {
    for seed in 0..3 {
        for graph in example::all(seed) {
            let count = 7;
            let pixels = images(&graph, count);
            let expected = logits(&model(&graph, Isa::Scalar, 1), &pixels, count);
            // The logits depend on the image.
            assert!(
                expected.chunks(CLASSES).any(|row| row != &expected[..CLASSES]),
                "{expected:?}"
            );
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_supported()) {
                for threads in [1, 2, 5] {
                    let model = model(&graph, isa, threads);
                    assert_eq!(logits(&model, &pixels, count), expected, "{isa:?} {threads}");
                    let alone: Vec<i32> = pixels
                        .chunks(graph.input().elements())
                        .flat_map(|image| logits(&model, image, 1))
                        .collect();
                    assert_eq!(alone, expected, "{isa:?} {threads}, one by one");
                }
            }
        }
    }
}

#[test]
fn values_are_shown_in_order_and_keep_their_ranges() {
    for graph in example::all(3) {
        let model = model(&graph, Isa::Scalar, 1);
        let pixels = images(&graph, 1);
        let mut seen = 0;
        model
            .observe(&pixels, &mut |node, value| {
                assert_eq!(node, seen);
                seen += 1;
                let elements = graph.shapes()[node].elements();
                let is_input = graph.nodes()[node].op == Op::Input;
                match value {
                    Value::I8(x) => {
                        assert_eq!(x.len(), elements);
                        assert!(is_input || !x.contains(&i8::MIN));
                    }
                    Value::I16(x) => assert!(x.len() == elements && !x.contains(&i16::MIN)),
                    Value::I32(x) => assert_eq!(x, logits(&model, &pixels, 1)),
                }
            })
            .expect("values");
        assert_eq!(seen, graph.nodes().len());
    }
}

#[test]
fn a_stopped_call_says_so_and_the_next_is_right() {
    let graph = &example::all(4)[0];
    let model = model(graph, Isa::Scalar, 2);
    let pixels = images(graph, 4);
    let expected = logits(&model, &pixels, 4);
    let error = model.logits(&pixels, &mut [0; 4 * CLASSES], &AtomicBool::new(true));
    assert_eq!(error.expect_err("stopped").code(), "ERR_ABORTED");
    assert_eq!(logits(&model, &pixels, 4), expected);
}

#[test]
fn a_call_that_is_stopped_under_way_leaves_the_rest() {
    let graph = &example::all(4)[0];
    let count = 100_000;
    let pixels = images(graph, 1).repeat(count);
    for threads in [1, 2] {
        let model = model(graph, Isa::Scalar, threads);
        let stop = AtomicBool::new(false);
        let mut logits = vec![i32::MIN; count * CLASSES];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                stop.store(true, Ordering::Relaxed);
            });
            let error = model.logits(&pixels, &mut logits, &stop).expect_err("stopped");
            assert_eq!(error.code(), "ERR_ABORTED");
        });
        assert!(logits.contains(&i32::MIN), "nothing was left, {threads} threads");
    }
}

#[test]
fn pixels_that_are_no_images_are_refused() {
    let graph = &example::all(5)[0];
    let model = model(graph, Isa::Scalar, 1);
    for bytes in [0, 1, 79, 81] {
        let error = model.logits(&vec![0; bytes], &mut [0; CLASSES], &AtomicBool::new(false));
        assert_eq!(error.expect_err("refused").code(), "ERR_SHAPE", "{bytes}");
    }
}
