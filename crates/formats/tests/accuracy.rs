//! The accuracy table of `docs/formats.md` against figures that were computed independently (2^19 samples, round to nearest).

#[path = "../examples/formats_docs/accuracy.rs"]
mod accuracy;
#[path = "../examples/formats_docs/document.rs"]
mod document;

use accuracy::{COLUMNS, ROWS, Samples};

/// What other samples of the same size differ by.
const TOLERANCE_DB: f64 = 0.15;

/// What the page shows, on the machine where it was printed, and what is computed here: logarithms and cosines of the samples differ in their last bits.
const PRINTED_TOLERANCE_DB: f64 = 0.02;

const PAGE: &str = include_str!("../../../docs/formats.md");

#[test]
fn the_page_of_formats_is_up_to_date() {
    let tables = document::tables();
    assert!(PAGE.starts_with(&tables), "docs/formats.md is stale: npm run docs:formats");
}

/// Every figure of the page is what comes out now, and the known ones among them are reproduced.
#[test]
fn every_figure_of_the_page_is_reproduced() {
    let stale = "docs/formats.md is stale: npm run docs:formats";
    let printed = &PAGE[document::tables().len()..];
    let computed = document::accuracy_table(&Samples::new());
    let cells = |page: &str| -> Vec<String> {
        page.split(['|', '\n']).map(|cell| cell.trim().to_owned()).collect()
    };
    let (printed, computed) = (cells(printed), cells(&computed));
    assert_eq!(printed.len(), computed.len(), "{stale}");
    for (printed, computed) in printed.iter().zip(&computed) {
        let near = match (printed.parse::<f64>(), computed.parse::<f64>()) {
            (Ok(printed), Ok(computed)) => (printed - computed).abs() <= PRINTED_TOLERANCE_DB,
            _ => printed == computed,
        };
        assert!(near, "{printed:?} instead of {computed:?}: {stale}");
    }
    let mut compared = 0;
    for (format, known) in ROWS {
        let row = computed.iter().position(|cell| *cell == format!("`{format}`")).expect(stale);
        for (column, known) in [0, 1, 2, 5].into_iter().zip(known) {
            let Some(known) = known else { continue };
            let actual: f64 = computed[row + 2 + column].parse().expect("a figure");
            assert!(
                (actual - known).abs() <= TOLERANCE_DB,
                "{format}, {}: {actual} dB, known {known}",
                COLUMNS[column].name
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
