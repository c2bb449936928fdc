//! Layouts and sums of low-bit products as an independent implementation computed them (`golden-lut.json`).

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small integers")]

use dyadic_kernels::matmul::activations::ActivationBlock;
use dyadic_kernels::matmul::int8_lut::Int8Tables;
use dyadic_kernels::matmul::layout::{Codes, Grouping, LayoutSpec, TILE_ROWS};
use dyadic_kernels::matmul::lut::{TableBlock, to_planes};
use dyadic_kernels::matmul::{LayoutId, OutputColumns};
use dyadic_kernels::{Isa, Kernels};
use serde_json::Value;

/// Rows of the problem; it has 32 columns, one block.
const ROWS: usize = 8;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/golden-lut.json")).unwrap()
}

fn integers(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(values) => values.iter().flat_map(integers).collect(),
        value => vec![value.as_i64().unwrap()],
    }
}

/// The bytes of a list of strings of hexadecimal digits.
fn bytes(value: &Value) -> Vec<u8> {
    let hex: String = value.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A layout of unsigned integers, and a tile of these codes under scales of 1.
fn tile(id: LayoutId, zero_point: u8, codes: &[i64]) -> (LayoutSpec, Vec<u8>) {
    let spec = *id.spec();
    let Codes::Unsigned { bits, .. } = spec.codes else { panic!("unsigned integers") };
    let codes_of = Codes::Unsigned { bits, zero_point };
    let spec = LayoutSpec { codes: codes_of, grouping: Grouping::DEFAULT, ..spec };
    let mut tile = vec![0; spec.tile_bytes(1).unwrap()];
    for (row, codes) in codes.chunks_exact(32).enumerate() {
        let quad =
            |quad: usize| u32::from_le_bytes(std::array::from_fn(|j| codes[4 * quad + j] as u8));
        spec.store_codes(&mut tile, 0, row, &std::array::from_fn(quad));
        spec.store_grouped_scale(&mut tile, 0, 0, row, (1.0, 0.0));
    }
    (spec, tile)
}

fn activations(golden: &Value) -> ActivationBlock {
    let codes = integers(&golden["problem"]["act_i8"]);
    ActivationBlock::new(std::array::from_fn(|k| codes[k] as i8), 1.0)
}

fn code_bytes<'a>(spec: &LayoutSpec, tile: &'a [u8]) -> &'a [u8] {
    &tile[spec.block_offset(0)..][..spec.code_bytes()]
}

/// The integer products of the first rows, by dot products and by tables, on every instruction set.
fn products(golden: &Value, spec: &LayoutSpec, tile: &[u8]) -> Vec<i64> {
    let block = activations(golden);
    let tables = TableBlock::new(&block.codes);
    let mut planes = tile.to_vec();
    to_planes(spec, &mut planes, 1);
    let mut results = Vec::new();
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        let mut out = [0.0f32; TILE_ROWS];
        kernels.matmul(spec, tile, 1, &[block], &mut OutputColumns::new(&mut out, TILE_ROWS));
        results.push(out);
        let mut columns = OutputColumns::new(&mut out, TILE_ROWS);
        kernels.matmul_by_tables(spec, &planes, 1, &[block], &[tables], &mut columns);
        results.push(out);
    }
    assert!(results.iter().all(|result| *result == results[0]));
    results[0][..ROWS].iter().map(|&y| y as i64).collect()
}

#[test]
fn layout_vnni16_2bit() {
    let golden = golden();
    let (spec, tile) = tile(LayoutId::U2Grouped, 0, &integers(&golden["problem"]["codes2"]));
    let layout = &golden["layout_vnni16_2bit"];
    assert_eq!(code_bytes(&spec, &tile), bytes(&layout["bytes"]));
    let sums: Vec<i64> =
        integers(&layout["u8xs8_acc"]).chunks_exact(2).map(|halves| halves.iter().sum()).collect();
    assert_eq!(products(&golden, &spec, &tile), sums);
}

#[test]
fn layout_vnni16_4bit() {
    let golden = golden();
    let layout = &golden["layout_vnni16_4bit"];
    let (spec, tile) = tile(LayoutId::U4Grouped, 0, &integers(&layout["codes4"]));
    assert_eq!(code_bytes(&spec, &tile), bytes(&layout["bytes"]));
    assert_eq!(products(&golden, &spec, &tile), integers(&layout["u8xs8_acc"]));
}

#[test]
fn layout_planepair16() {
    let golden = golden();
    let (spec, mut tile) = tile(LayoutId::U2Grouped, 0, &integers(&golden["problem"]["codes2"]));
    to_planes(&spec, &mut tile, 1);
    assert_eq!(code_bytes(&spec, &tile), bytes(&golden["layout_planepair16"]["bytes"]));
}

#[test]
fn ternary_products() {
    let golden = golden();
    let codes: Vec<i64> =
        integers(&golden["problem"]["ternary"]).into_iter().map(|t| t + 1).collect();
    let (spec, tile) = tile(LayoutId::U2Grouped, 1, &codes);
    assert_eq!(products(&golden, &spec, &tile), integers(&golden["ternary"]["y_int"]));
}

#[test]
fn one_bit_products() {
    let golden = golden();
    let spec = LayoutSpec { grouping: Grouping::DEFAULT, ..*LayoutId::BipolarGrouped.spec() };
    let mut tile = vec![0; spec.tile_bytes(1).unwrap()];
    for (row, bits) in integers(&golden["one_bit_g8"]["bits"]).chunks_exact(32).enumerate() {
        let quad =
            |quad: usize| u32::from_le_bytes(std::array::from_fn(|j| bits[4 * quad + j] as u8));
        spec.store_codes(&mut tile, 0, row, &std::array::from_fn(quad));
        spec.store_grouped_scale(&mut tile, 0, 0, row, (1.0, 0.0));
    }
    assert_eq!(products(&golden, &spec, &tile), integers(&golden["one_bit_g8"]["y_int"]));
}

/// Tables of ±1 (T-MAC's, and the mirrored half of the LUT Tensor Core, row 56 of the papers) follow from those of subsets.
#[test]
fn paper_56_bitplane_and_mirror_tables() {
    let golden = golden();
    let tables = TableBlock::new(&activations(&golden).codes);
    let signed = |group: usize, n: usize| {
        i64::from(2 * tables.subset_sum(group, n) - tables.subset_sum(group, 15))
    };
    let expected = integers(&golden["bitplane"]["T_i16"]);
    let half = integers(&golden["mirror"]["half"]);
    for group in 0..8 {
        for n in 0..16 {
            assert_eq!(signed(group, n), expected[16 * group + n]);
            assert_eq!(signed(group, n), -signed(group, 15 - n));
            let mirrored = half[8 * group + (if n >= 8 { n } else { !n } & 7)];
            assert_eq!(signed(group, n), if n >= 8 { mirrored } else { -mirrored });
        }
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

/// T-MAC's tables of 8 bits, and the product that its sums give under scales and zero points for 16 columns.
#[test]
fn tmac_i8_table() {
    let golden = golden();
    let (problem, expected) = (&golden["problem"], &golden["tmac_i8_table"]);
    let x: Vec<f32> = numbers(&problem["act_f32"]).into_iter().map(|x| x as f32).collect();
    let (scales, zeros) = (numbers(&problem["scales_f16"]), numbers(&problem["zeros"]));
    let codes = integers(&problem["codes2"]);
    for isa in Isa::supported() {
        let mut tables = [Int8Tables::ZERO];
        Kernels::for_isa(isa).unwrap().int8_tables(&x, 1, &mut tables);
        let [tables] = tables;
        let entries: Vec<i64> =
            tables.entries.as_flattened().iter().map(|&entry| entry.into()).collect();
        assert_eq!(entries, integers(&expected["T_i8"]), "{isa}");
        let table_scale = expected["table_scale"].as_f64().unwrap();
        assert!((2.0 * f64::from(tables.half_scale) / table_scale - 1.0).abs() < 1e-6);
        for (row, y) in numbers(&expected["y"]).into_iter().enumerate() {
            let mut sum = 0.0;
            for half in 0..2 {
                let mut of_half = 0;
                for group in 4 * half..4 * half + 4 {
                    let four = &codes[32 * row + 4 * group..][..4];
                    for plane in 0..2 {
                        let nibble = four
                            .iter()
                            .rev()
                            .fold(0, |nibble, code| 2 * nibble + (code >> plane & 1));
                        of_half += i32::from(tables.entries[group][nibble as usize]) << plane;
                    }
                }
                let a: f64 = x[16 * half..][..16].iter().map(|&x| f64::from(x)).sum();
                let at = 2 * row + half;
                let of_tables = f64::from(tables.half_scale) * f64::from(of_half);
                sum += scales[at] * (of_tables + (1.5 - zeros[at]) * a);
            }
            assert!((sum - y).abs() < 1e-6, "row {row}: {sum}, not {y}");
        }
    }
}

/// `2 Σ a (u − z) = Σ_b 2^b P_b + (2^n − 1 − 2 z) A`, of each group of 16 columns.
#[test]
fn bitplane_sums() {
    let golden = golden();
    let tables = TableBlock::new(&activations(&golden).codes);
    let nibbles = integers(&golden["bitplane"]["nib"]);
    let sums = integers(&golden["bitplane"]["P"]);
    let activation_sums = integers(&golden["bitplane"]["A"]);
    for row in 0..ROWS {
        for half in 0..2 {
            for plane in 0..2 {
                let mut sum = -activation_sums[half];
                for group in 4 * half..4 * half + 4 {
                    let nibble = nibbles[(row * 2 + plane) * 8 + group];
                    sum += 2 * i64::from(tables.subset_sum(group, nibble as usize));
                }
                // Rows, then groups of 16 columns, then planes.
                assert_eq!(sum, sums[(row * 2 + half) * 2 + plane], "row {row}");
            }
        }
    }
}
