//! Speed of products of packed weights: `cargo bench -p dyadic-tensor --bench products -- [part of a line]`.
//!
//! A line is the least time of many runs, since a shared machine only ever adds to it. GEMV streams a set of matrices that is larger than the second-level
//! cache and is judged by GB/s of packed weights, GEMM by Gop/s (a multiply-add counts as two).

#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a report of measurements")]

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use dyadic_formats::{EncodeOptions, Format, GgufType, Granularity, Scale};
use dyadic_kernels::Kernels;
use dyadic_kernels::bitplane::BitPlanes;
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{
    ActivationKind, Activations, KernelChoice, PackedWeights, Projection, Shape, linear,
};
use dyadic_testkit::Rng;

/// How long a line is measured.
const TIME: Duration = Duration::from_millis(400);

/// The least time of a call of `body`.
fn least(mut body: impl FnMut()) -> f64 {
    body();
    let start = Instant::now();
    let mut least = f64::INFINITY;
    while start.elapsed() < TIME {
        let start = Instant::now();
        body();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

struct Bench {
    kernels: &'static Kernels,
    pool: Pool,
    filter: Option<String>,
}

impl Bench {
    fn pack(&self, format: GgufType, shape: Shape) -> PackedWeights {
        let mut rng = Rng::new(1);
        let len = format.byte_len(shape.rows * shape.columns).expect("whole blocks");
        // Scales that are small whatever the type: bytes below 0x40 make no large f16.
        let mut bytes: Vec<u8> = (0..len).map(|_| rng.next_u8() & 0x3F).collect();
        if !format.is_quantized() {
            let values = rng.normal_vec(shape.rows * shape.columns, 1.0);
            format.encode(&values, &mut bytes).expect("the bytes of these values");
        }
        PackedWeights::pack(self.kernels, &self.pool, 2, format, &bytes, shape)
            .expect("a matrix of that shape")
    }

    /// A matrix in any format: 16 rows of normal numbers, again and again.
    fn pack_any(&self, format: &str, shape: Shape) -> PackedWeights {
        let format = Format::parse(format).expect("the name of a format");
        let values = Rng::new(1).normal_vec(16 * shape.columns, 1.0);
        let mut tensor = format
            .quantize(&values, 16, shape.columns, &EncodeOptions::default())
            .expect("a format that can be encoded");
        let times = shape.rows / 16;
        tensor.rows = shape.rows;
        tensor.codes = tensor.codes.repeat(times);
        if matches!(format.scale, Some(Scale { granularity: Granularity::Group(_), .. })) {
            tensor.scales = tensor.scales.repeat(times);
            tensor.zeros = tensor.zeros.repeat(times);
            tensor.selectors = tensor.selectors.repeat(times);
        }
        PackedWeights::from_quantized(self.kernels, &self.pool, 2, &tensor)
            .expect("a matrix of that shape")
    }

    /// Measures `matrices` matrices of a shape, one after the other.
    fn run(&self, format: GgufType, shape: Shape, tokens: usize, threads: usize, matrices: usize) {
        let name = format!("{format} {shape} x{matrices}, {tokens} tokens, {threads} threads");
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
            return;
        }
        let matrices: Vec<_> = (0..matrices).map(|_| self.pack(format, shape)).collect();
        let kind = matrices[0].activations();
        self.measure(&name, &matrices, shape, tokens, threads, kind);
    }

    /// The same of planar formats, with activations of a kind: by dot products, and by tables where there are such kernels.
    fn run_any(
        &self,
        format: &str,
        shape: Shape,
        tokens: usize,
        kind: ActivationKind,
        matrices: usize,
    ) {
        let name = format!("{format} {shape} x{matrices}, {tokens} tokens, {}", kind.name());
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
            return;
        }
        let mut matrices: Vec<_> = (0..matrices).map(|_| self.pack_any(format, shape)).collect();
        let mut last = "";
        for choice in [KernelChoice::Dot, KernelChoice::Tables] {
            for weights in &mut matrices {
                weights.choose(&self.pool, 2, choice);
            }
            let kernel = matrices[0].kernel_name_for(kind);
            if kernel != last {
                self.measure(&name, &matrices, shape, tokens, 1, kind);
            }
            last = kernel;
        }
        if kind == ActivationKind::Int8G32 && tokens == 1 {
            self.run_rounded(&name, &mut matrices, shape);
        }
        for weights in &mut matrices {
            let trits = weights.to_trits(&self.pool, 2).expect("memory");
            let Some(trits) = trits else { return };
            *weights = trits;
        }
        self.measure(&name, &matrices, shape, tokens, 1, kind);
    }

    /// By rounded tables, and with activations of few bits by population counts, where there are such kernels.
    fn run_rounded(&self, name: &str, matrices: &mut [PackedWeights], shape: Shape) {
        let bipolar =
            (1..=4).map(|bits| (KernelChoice::BitPlanes, ActivationKind::Bipolar { bits }));
        for (choice, kind) in
            [(KernelChoice::Int8Tables, ActivationKind::Int8Tables)].into_iter().chain(bipolar)
        {
            for weights in &mut *matrices {
                weights.choose(&self.pool, 2, choice);
            }
            let kernel = matrices[0].kernel_name_for(kind);
            if kernel.starts_with("int8_lut_") || kernel.starts_with("popcount_") {
                let name = name.replace(ActivationKind::Int8G32.name(), kind.name());
                self.measure(&name, matrices, shape, 1, 1, kind);
            }
        }
        for weights in matrices {
            weights.choose(&self.pool, 2, KernelChoice::Dot);
        }
    }

    /// Products of bipolar integers by population counts, for each pair of widths whose product is at most 8, beside int8.
    fn run_bitplanes(&self, shape: Shape) {
        let codes = |rows: usize, bits: u32| -> Vec<u8> {
            let mut rng = Rng::new(3);
            (0..rows * shape.columns).map(|_| rng.next_u8() >> (8 - bits)).collect()
        };
        for (w, x) in [(1, 1), (1, 2), (2, 2), (1, 4), (2, 3), (2, 4), (1, 8)] {
            let name = format!("bitplanes w{w} a{x} {shape}");
            if self.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
                continue;
            }
            let weights = BitPlanes::new(&codes(shape.rows, w), shape.rows, shape.columns, w);
            let activations = BitPlanes::new(&codes(1, x), 1, shape.columns, x);
            let mut out = vec![0; shape.rows];
            let seconds = least(|| self.kernels.matmul_bitplanes(&weights, &activations, &mut out));
            println!(
                "{name:52} {:9.1} us  {}",
                seconds * 1e6,
                self.kernels.matmul_bitplanes_name()
            );
        }
        self.run_any("int8:g128:f16", shape, 1, ActivationKind::Int8G32, 1);
    }

    fn measure(
        &self,
        name: &str,
        matrices: &[PackedWeights],
        shape: Shape,
        tokens: usize,
        threads: usize,
        kind: ActivationKind,
    ) {
        let x = Rng::new(2).normal_vec(tokens * shape.columns, 1.0);
        let mut activations = Activations::new();
        activations
            .set(&self.pool, threads, self.kernels, &x, shape.columns, kind)
            .expect("activations of that shape");
        let mut out = vec![0.0; tokens * shape.rows];
        let seconds = least(|| {
            for weights in matrices {
                let projection = Projection { weights, bias: None, out: &mut out };
                linear(&self.pool, threads, &activations, &mut [projection])
                    .expect("operands that fit");
            }
        });
        let bytes: usize = matrices.iter().map(PackedWeights::byte_len).sum();
        let ops = 2 * shape.rows * shape.columns * tokens * matrices.len();
        println!(
            "{name:52} {:9.1} us {:7.1} GB/s {:8.1} Gop/s  {}",
            seconds * 1e6 / matrices.len() as f64,
            bytes as f64 / seconds * 1e-9,
            ops as f64 / seconds * 1e-9,
            matrices[0].kernel_name_for(kind),
        );
    }
}

/// The sum of a large array, read by `threads` threads: GB/s.
fn read_bandwidth(pool: &Pool, threads: usize, data: &[u64]) -> f64 {
    let chunks: Vec<_> = data.chunks(1 << 15).collect();
    let seconds = least(|| {
        pool.run(threads, chunks.len(), &|chunk| {
            let mut sums = [0u64; 32];
            for part in chunks[chunk].chunks_exact(32) {
                for (sum, value) in sums.iter_mut().zip(part) {
                    *sum = sum.wrapping_add(*value);
                }
            }
            std::hint::black_box(sums);
        });
    });
    size_of_val(data) as f64 / seconds * 1e-9
}

fn main() {
    // Cargo passes `--bench`.
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let kernels = Kernels::active().expect("DYADIC_ISA names a supported instruction set");
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pool = Pool::new(threads);
    println!("isa {}, {threads} threads", kernels.isa());
    let data = vec![1u64; 24 << 20];
    for threads in [1, threads.get()] {
        println!(
            "read 200 MB, {threads} threads: {:.1} GB/s",
            read_bandwidth(&pool, threads, &data)
        );
    }
    drop(data);
    let bench = Bench { kernels, pool, filter };
    let shape = |rows, columns| Shape { rows, columns };
    let formats = [
        GgufType::Q8_0,
        GgufType::Q6_K,
        GgufType::Q5_K,
        GgufType::Q4_K,
        GgufType::Q4_1,
        GgufType::Q4_0,
        GgufType::IQ4_NL,
        GgufType::Q3_K,
        GgufType::Q2_K,
        GgufType::TQ2_0,
        GgufType::Q2_0,
        GgufType::Q1_0,
        GgufType::F16,
        GgufType::F32,
    ];
    let int8 = ActivationKind::Int8G32;
    for format in [
        "bipolar1:g128:f16",
        "int2:g128:f16",
        "int3:g128:f16",
        "int4:g128:f16",
        "int5:g128:f16",
        "int6:g128:f16",
        "int7:g128:f16",
        "int8:g128:f16",
        "uint4:g128:f16:zp",
        "ternary:tensor:f32",
        "nf4:g64:f16",
        "e4m3fn:g128:f16",
        "mxfp4",
        "w2mix",
        "int4:g16:f16",
    ] {
        // In the second-level cache, and from memory.
        bench.run_any(format, shape(1024, 2048), 1, int8, 1);
        bench.run_any(format, shape(2048, 8192), 1, int8, 8);
        bench.run_any(format, shape(1024, 2048), 1, ActivationKind::F32, 1);
        bench.run_any(format, shape(1024, 2048), 8, int8, 1);
    }
    bench.run_bitplanes(shape(1024, 4096));
    for format in formats {
        for threads in [1, threads.get()] {
            bench.run(format, shape(4096, 4096), 1, threads, 1);
            bench.run(format, shape(2048, 5632), 1, threads, 16);
            for tokens in [4, 8, 128] {
                bench.run(format, shape(1536, 1536), tokens, threads, 1);
            }
        }
    }
    for threads in [1, threads.get()] {
        for (rows, columns) in [(576, 576), (1536, 576), (576, 1536)] {
            for tokens in [1, 128] {
                bench.run(GgufType::Q4_1, shape(rows, columns), tokens, threads, 1);
            }
        }
        bench.run(GgufType::Q4_1, shape(4096, 4096), 128, threads, 1);
    }
}
