use std::path::Path;

use proptest::prelude::*;

use super::{MAGIC, PREFIX};
use crate::error::IntegerError;
use crate::example;
use crate::graph::Graph;
use crc32fast::hash as crc32;

fn read(bytes: &[u8]) -> Result<Graph, IntegerError> {
    Graph::from_bytes(Path::new("test.dyadic"), bytes)
}

/// The same file with another header, of a right length and checksum.
fn with_header(bytes: &[u8], edit: impl FnOnce(&str) -> String) -> Vec<u8> {
    let len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[PREFIX..PREFIX + len]).unwrap();
    let header = edit(header);
    let mut out = bytes[..12].to_vec();
    out.extend_from_slice(&u32::try_from(header.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&bytes[16..PREFIX]);
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&bytes[PREFIX + len..bytes.len() - 4]);
    out.extend_from_slice(&crc32(&out).to_le_bytes());
    out
}

fn assert_refused(bytes: &[u8], code: &str, part: &str) {
    let error = read(bytes).expect_err("refused");
    assert_eq!(error.code(), code, "{error}");
    let message = error.to_string();
    assert!(message.starts_with("test.dyadic: ") && message.contains(part), "{message}");
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let bytes = example::all(1)[0].to_bytes();
    assert_refused(b"", "ERR_INTEGER_MAGIC", "begins with");
    assert_refused(b"GGUF....", "ERR_INTEGER_MAGIC", "begins with");
    assert_refused(&MAGIC, "ERR_INTEGER_TRUNCATED", "prefix");
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert_refused(&newer, "ERR_INTEGER_VERSION", "is 2, expected 1");
    let mut longer = bytes.clone();
    longer.push(0);
    assert_refused(&longer, "ERR_INTEGER_TRAILING_BYTES", "checksum");
    let mut header = bytes.clone();
    header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_refused(&header, "ERR_INTEGER_TRUNCATED", "header");
    let mut data = bytes.clone();
    data[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_refused(&data, "ERR_INTEGER_TRUNCATED", "data");
}

#[test]
fn numbers_with_fraction_or_exponent_are_refused() {
    let bytes = example::all(1)[0].to_bytes();
    for (from, to) in [
        ("\"heads\":3", "\"heads\":3.0"),
        ("\"heads\":3", "\"heads\":3e0"),
        ("\"epsilon\":100", "\"epsilon\":1e2"),
        ("\"heads\":3", "\"heads\":-3"),
        ("\"heads\":3", "\"heads\":3,\"extra\":1"),
        ("\"mode\":\"exact\"", "\"mode\":\"other\""),
        ("\"input\":[10,8,1]", "\"input\":[10,8]"),
    ] {
        let edited = with_header(&bytes, |header| {
            assert!(header.contains(from), "{header}");
            header.replacen(from, to, 1)
        });
        assert_refused(&edited, "ERR_INTEGER_HEADER", "header");
    }
}

/// Sizes that no memory has are refused before memory is asked for.
#[test]
fn sizes_are_bounded_by_the_file() {
    let bytes = example::all(1)[0].to_bytes();
    for huge in ["18446744073709551615", "4294967296", "100000"] {
        let edited = with_header(&bytes, |header| {
            header.replacen("\"outputs\":12", &format!("\"outputs\":{huge}"), 1)
        });
        assert_refused(&edited, "ERR_INTEGER_TRUNCATED", "data of node 1");
    }
    let edited = with_header(&bytes, |header| {
        header.replacen("\"input\":[10,8,1]", "\"input\":[4000000000,4000000000,1]", 1)
    });
    assert_refused(&edited, "ERR_INTEGER_GRAPH", "16777216 elements");
    let edited = with_header(&bytes, |header| header.replacen("\"heads\":3", "\"heads\":5", 1));
    assert_refused(&edited, "ERR_INTEGER_GRAPH", "5 heads");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_graph_survives_its_file(seed: u64) {
        for graph in example::all(seed) {
            let bytes = graph.to_bytes();
            prop_assert!(Graph::is_file(&bytes));
            let again = read(&bytes).unwrap();
            prop_assert_eq!(&again, &graph);
            prop_assert_eq!(again.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_cut_file_is_refused(seed in 0_u64..4, at: prop::sample::Index) {
        let bytes = example::all(seed)[1].to_bytes();
        let code = read(&bytes[..at.index(bytes.len())]).expect_err("refused").code();
        prop_assert!(matches!(code, "ERR_INTEGER_MAGIC" | "ERR_INTEGER_TRUNCATED"), "{}", code);
    }

    #[test]
    fn a_changed_bit_is_noticed(seed in 0_u64..4, at: prop::sample::Index, bit in 0_u32..8) {
        let mut bytes = example::all(seed)[0].to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes).is_err());
    }
}
