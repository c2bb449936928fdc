//! The front as a picture.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 48.0;
const MOST_OPERATIONS: usize = 14;
const MOST_DIGITS: u32 = 16;

/// Digits against operations: what evolution found, and the best of the classical programs.
pub(crate) fn svg(found: &[(usize, f64)], classical: &[(usize, f64)]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few operations")]
    let x = |operations: usize| {
        MARGIN + (WIDTH - 2.0 * MARGIN) * operations as f64 / MOST_OPERATIONS as f64
    };
    let y =
        |digits: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * digits / f64::from(MOST_DIGITS);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Programs for 2^x: digits against operations</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for digits in (0..=MOST_DIGITS).step_by(4) {
        let at = y(f64::from(digits));
        let right = WIDTH - MARGIN;
        let _ = writeln!(
            out,
            "<line x1=\"{MARGIN}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>"
        );
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{digits}</text>",
            MARGIN - 6.0,
            at + 4.0
        );
    }
    for operations in (0..=MOST_OPERATIONS).step_by(2) {
        let (at, low) = (x(operations), HEIGHT - MARGIN + 18.0);
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{low}\" text-anchor=\"middle\">{operations}</text>"
        );
    }
    let middle = WIDTH / 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">operations</text>",
        HEIGHT - 10.0
    );
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"24\">digits of relative error, 2^x on [0, 1]</text>"
    );
    for (points, colour, name, at) in
        [(classical, "#888", "classical", 0.0), (found, "#c33", "evolved", 18.0)]
    {
        let place =
            |&(operations, digits): &(usize, f64)| format!("{:.1},{:.1}", x(operations), y(digits));
        let line: Vec<String> = points.iter().map(place).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>",
            line.join(" ")
        );
        for &(operations, digits) in points {
            let (cx, cy) = (x(operations), y(digits));
            let _ = writeln!(
                out,
                "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            );
        }
        let label = WIDTH - MARGIN - 90.0;
        let _ = writeln!(
            out,
            "<text x=\"{label}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            HEIGHT - MARGIN - 40.0 + at
        );
    }
    out.push_str("</svg>\n");
    out
}
