//! The accuracy table of `docs/formats.md` against figures that were computed independently (2^19 samples, round to nearest).

#[path = "../examples/accuracy_table/table.rs"]
mod table;

use table::{COLUMNS, ROWS, Samples};

/// What other samples of the same size differ by.
const TOLERANCE_DB: f64 = 0.15;

#[test]
fn every_known_figure_is_reproduced() {
    let samples = Samples::new();
    let columns = [COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[5]];
    let mut compared = 0;
    for (format, known) in ROWS {
        for (column, known) in columns.into_iter().zip(known) {
            let Some(known) = known else { continue };
            let actual = samples.sqnr_db(format, column);
            assert!(
                (actual - known).abs() <= TOLERANCE_DB,
                "{format}, {}: {actual:.2} dB, known {known}",
                column.name
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 93);
}

/// What makes rotations worth while, without any model: they help MXFP4 and int4 against outliers and hurt NVFP4.
#[test]
fn rotation_helps_power_of_two_scales_and_hurts_nvfp4() {
    let samples = Samples::new();
    let gain = |format| samples.sqnr_db(format, COLUMNS[4]) - samples.sqnr_db(format, COLUMNS[3]);
    assert!((gain("mxfp4") - 3.9).abs() < 0.3);
    assert!(gain("int4:g32:f16") > 6.0);
    assert!((gain("nvfp4") + 1.0).abs() < 0.3);
}

/// Row 5: a ue5m3 scale needs no scale of the tensor; a ue4m3 scale does.
#[test]
fn row_5_ue5m3_scales_survive_any_magnitude() {
    let samples = Samples::new();
    let nvfp4 = samples.sqnr_db("nvfp4", COLUMNS[0]);
    for exponent in [-12, -6, 0, 6, 12] {
        let at = |format| samples.scaled_sqnr_db(format, COLUMNS[0], 2f32.powi(exponent));
        assert!((at("e2m1:g16:ue5m3") - nvfp4).abs() < 0.05, "2^{exponent}");
        if exponent.abs() == 12 {
            assert!(at("e2m1:g16:ue4m3") < nvfp4 - 3.0, "2^{exponent}");
        }
    }
}
