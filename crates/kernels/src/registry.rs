//! Every kernel as a value.
//!
//! An op is a contract ([`Op`]); a kernel is one implementation of it for one instruction set ([`Kernel`]). [`Kernels`] holds one chosen
//! kernel of each op; callers hold a `&'static Kernels` and call the safe methods that the op modules add to it.

use std::sync::OnceLock;

use crate::isa::{Isa, IsaError};

/// One implementation of an op for one instruction set. `F` is an `unsafe fn` pointer type.
#[derive(Clone, Copy)]
pub struct Kernel<F> {
    /// Its name by the grammar of `crates/kernels/README.md`: `op_dtypes__isa` or `op_dtypes__isa_variant`.
    pub name: &'static str,
    /// The instruction set that it needs.
    pub isa: Isa,
    /// The implementation. May be called where `isa.is_supported()` and the op's contract holds.
    pub function: F,
}

/// The kernels of one op, the scalar specification first, then in rising order of preference.
pub struct Op<F: 'static> {
    /// The name of the op: the part of the kernel names before the double underscore.
    pub name: &'static str,
    /// All its kernels that are compiled for this architecture.
    pub kernels: &'static [Kernel<F>],
}

impl<F: Copy> Op<F> {
    /// The preferred kernel that a CPU of cluster `isa` runs.
    ///
    /// # Panics
    /// Where the op has no scalar kernel: a mistake in its table.
    #[must_use]
    pub fn select(&self, isa: Isa) -> Kernel<F> {
        *self
            .kernels
            .iter()
            .rfind(|kernel| isa.includes(kernel.isa))
            .expect("every op has a scalar kernel")
    }

    /// The kernels that this CPU can run: what tests iterate over.
    pub fn supported(&self) -> impl Iterator<Item = &'static Kernel<F>> {
        self.kernels.iter().filter(|kernel| kernel.isa.is_supported())
    }
}

impl<F> Op<F> {
    fn list(&self) -> impl Iterator<Item = KernelInfo> {
        self.kernels.iter().map(|kernel| KernelInfo::of(self, kernel))
    }
}

/// What a listing says of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// The name of the op.
    pub op: &'static str,
    /// The name of the kernel.
    pub name: &'static str,
    /// The instruction set that it needs.
    pub isa: Isa,
}

impl KernelInfo {
    fn of<F>(op: &Op<F>, kernel: &Kernel<F>) -> Self {
        Self { op: op.name, name: kernel.name, isa: kernel.isa }
    }
}

/// The table of an op with a kernel for each instruction set; those of other architectures need not exist.
macro_rules! op_table {
    ($name:literal, scalar: $scalar:expr, avx2: $avx2:expr, avx512: $avx512:expr $(, neon: $neon:expr)?) => {
        $crate::registry::Op {
            name: $name,
            kernels: &[
                $crate::registry::Kernel {
                    name: concat!($name, "__scalar"),
                    isa: $crate::isa::Isa::Scalar,
                    function: $scalar,
                },
                #[cfg(target_arch = "x86_64")]
                $crate::registry::Kernel {
                    name: concat!($name, "__avx2"),
                    isa: $crate::isa::Isa::Avx2,
                    function: $avx2,
                },
                #[cfg(target_arch = "x86_64")]
                $crate::registry::Kernel {
                    name: concat!($name, "__avx512"),
                    isa: $crate::isa::Isa::Avx512,
                    function: $avx512,
                },
                $(#[cfg(target_arch = "aarch64")]
                $crate::registry::Kernel {
                    name: concat!($name, "__neon"),
                    isa: $crate::isa::Isa::Neon,
                    function: $neon,
                },)?
            ],
        }
    };
}

pub(crate) use op_table;

/// Declares [`Kernels`]: one line an op, `field: op module :: OP static, function type`, then one line for each family of ops that share a
/// function type, `field: op module :: OPS static array, function type`.
macro_rules! kernel_set {
    (
        $($(#[$doc:meta])* $field:ident: $($path:ident)::+ as $function:ty;)*
        [families]
        $($(#[$family_doc:meta])* $family:ident: $($family_path:ident)::+ as $family_function:ty;)*
    ) => {
        /// One kernel of each op, chosen for one instruction set.
        pub struct Kernels {
            isa: Isa,
            $($(#[$doc])* pub(crate) $field: Kernel<$function>,)*
            $($(#[$family_doc])* pub(crate) $family: Vec<Kernel<$family_function>>,)*
        }

        impl Kernels {
            fn new(isa: Isa) -> Self {
                Self {
                    isa,
                    $($field: $($path)::+.select(isa),)*
                    $($family: $($family_path)::+.iter().map(|op| op.select(isa)).collect(),)*
                }
            }

            /// The chosen kernels, in the order of the ops.
            #[must_use]
            pub fn list(&self) -> Vec<KernelInfo> {
                let mut list = vec![$(KernelInfo::of(&$($path)::+, &self.$field)),*];
                $(for (op, kernel) in $($family_path)::+.iter().zip(&self.$family) {
                    list.push(KernelInfo::of(op, kernel));
                })*
                list
            }
        }

        /// Every kernel that is compiled for this architecture.
        #[must_use]
        pub fn all() -> Vec<KernelInfo> {
            let mut all = Vec::new();
            $(all.extend($($path)::+.list());)*
            $(all.extend($($family_path)::+.iter().flat_map(Op::list));)*
            all
        }
    };
}

kernel_set! {
    add: crate::activation::ADD as crate::activation::AddFn;
    amax: crate::convert::AMAX as crate::convert::AmaxFn;
    bitplane: crate::bitplane::OP as crate::bitplane::BitplaneFn;
    byte_tables: crate::matmul::byte_lut::TABLES as crate::matmul::byte_lut::TablesFn;
    byte_quads: crate::matmul::byte_lut::QUADS as crate::matmul::byte_lut::QuadsFn;
    bf16_to_f32: crate::convert::BF16_TO_F32 as crate::convert::Bf16ToF32Fn;
    f32_to_bf16: crate::convert::F32_TO_BF16 as crate::convert::F32ToBf16Fn;
    add_rms_norm: crate::norm::ADD_RMS_NORM as crate::norm::AddRmsNormFn;
    attention_f16: crate::attention::ATTENTION_F16 as crate::attention::AttentionF16Fn;
    attention_i8: crate::attention::ATTENTION_I8 as crate::attention::AttentionI8Fn;
    attention_f32: crate::attention::ATTENTION_F32 as crate::attention::AttentionF32Fn;
    exp_scale: crate::softmax::EXP_SCALE as crate::softmax::ExpScaleFn;
    exp_store: crate::softmax::EXP_STORE as crate::softmax::ExpStoreFn;
    exp_sum: crate::softmax::EXP_SUM as crate::softmax::ExpSumFn;
    ext_exp_scale: crate::softmax::EXT_EXP_SCALE as crate::softmax::ExtExpScaleFn;
    ext_exp_sum: crate::softmax::EXT_EXP_SUM as crate::softmax::ExtExpSumFn;
    f16_to_f32: crate::convert::F16_TO_F32 as crate::convert::F16ToF32Fn;
    f32_to_f16: crate::convert::F32_TO_F16 as crate::convert::F32ToF16Fn;
    int8_tables: crate::matmul::int8_lut::TABLES as crate::matmul::int8_lut::TablesFn;
    l2_norm: crate::norm::L2_NORM as crate::norm::L2NormFn;
    layer_norm: crate::norm::LAYER_NORM as crate::norm::LayerNormFn;
    log_bessel_i: crate::bessel::LOG_BESSEL_I as crate::bessel::LogBesselIFn;
    log_bessel_k: crate::bessel::LOG_BESSEL_K as crate::bessel::LogBesselKFn;
    matmul_codes: crate::matmul::weight_only::OP as crate::matmul::weight_only::MatmulCodesFn;
    max: crate::softmax::MAX as crate::softmax::MaxFn;
    narrow_u8: crate::softmax::NARROW_U8 as crate::softmax::NarrowU8Fn;
    online_sum: crate::softmax::ONLINE_SUM as crate::softmax::OnlineSumFn;
    quantize_activations: crate::quantize_activations::OP as crate::quantize_activations::QuantizeActivationsFn;
    rms_norm: crate::norm::RMS_NORM as crate::norm::RmsNormFn;
    roofline_multiply: crate::roofline::MULTIPLY as crate::roofline::MultiplyFn;
    roofline_read: crate::roofline::READ as crate::roofline::ReadFn;
    rope: crate::rope::ROPE as crate::rope::RopeFn;
    scale: crate::softmax::SCALE as crate::softmax::ScaleFn;
    soft_cap: crate::activation::SOFT_CAP as crate::activation::SoftCapFn;
    subtract: crate::softmax::SUBTRACT as crate::softmax::SubtractFn;
    stream: crate::convert::STREAM as crate::convert::StreamFn;
    silu_mul: crate::activation::SILU_MUL as crate::activation::SiluMulFn;
    store_kv_f16: crate::attention::STORE_KV_F16 as crate::attention::StoreKvF16Fn;
    add_i8: crate::integer::elementwise::ADD_I8 as crate::integer::elementwise::AddI8Fn;
    add_i16: crate::integer::elementwise::ADD_I16 as crate::integer::elementwise::AddI16Fn;
    average_pool: crate::integer::pool::AVERAGE_POOL as crate::integer::pool::AveragePoolFn;
    clamp_i8: crate::integer::elementwise::CLAMP_I8 as crate::integer::elementwise::ClampI8Fn;
    clamp_i16: crate::integer::elementwise::CLAMP_I16 as crate::integer::elementwise::ClampI16Fn;
    divide: crate::integer::attention::DIVIDE as crate::integer::attention::DivideFn;
    dot_dfp16: crate::integer::dfp::DOT_DFP16 as crate::integer::dfp::DotDfp16Fn;
    exponentials: crate::integer::attention::EXPONENTIALS as crate::integer::attention::ExponentialsFn;
    i_layer_norm_i8: crate::integer::norm::I_LAYER_NORM_I8 as crate::integer::norm::ILayerNormI8Fn;
    i_layer_norm_i16: crate::integer::norm::I_LAYER_NORM_I16 as crate::integer::norm::ILayerNormI16Fn;
    layer_norm_i8: crate::integer::norm::LAYER_NORM_I8 as crate::integer::norm::LayerNormI8Fn;
    layer_norm_i16: crate::integer::norm::LAYER_NORM_I16 as crate::integer::norm::LayerNormI16Fn;
    linear_i8: crate::integer::linear::OP as crate::integer::linear::LinearFn;
    lookup_i8: crate::integer::lookup::LOOKUP_I8 as crate::integer::lookup::LookupI8Fn;
    lookup_i16: crate::integer::lookup::LOOKUP_I16 as crate::integer::lookup::LookupI16Fn;
    max_pool: crate::integer::pool::MAX_POOL as crate::integer::pool::MaxPoolFn;
    multiply_i8: crate::integer::elementwise::MULTIPLY_I8 as crate::integer::elementwise::MultiplyI8Fn;
    multiply_i16: crate::integer::elementwise::MULTIPLY_I16 as crate::integer::elementwise::MultiplyI16Fn;
    requantize_i8_i8: crate::integer::requantize::REQUANTIZE_I8_I8 as crate::integer::requantize::RequantizeI8I8Fn;
    requantize_i8_i16: crate::integer::requantize::REQUANTIZE_I8_I16 as crate::integer::requantize::RequantizeI8I16Fn;
    requantize_i16_i8: crate::integer::requantize::REQUANTIZE_I16_I8 as crate::integer::requantize::RequantizeI16I8Fn;
    requantize_i16_i16: crate::integer::requantize::REQUANTIZE_I16_I16 as crate::integer::requantize::RequantizeI16I16Fn;
    requantize_i32_i8: crate::integer::requantize::REQUANTIZE_I32_I8 as crate::integer::requantize::RequantizeI32I8Fn;
    requantize_i32_i16: crate::integer::requantize::REQUANTIZE_I32_I16 as crate::integer::requantize::RequantizeI32I16Fn;
    requantize_i32_i32: crate::integer::requantize::REQUANTIZE_I32_I32 as crate::integer::requantize::RequantizeI32I32Fn;
    shiftmax_i8: crate::integer::softmax::SHIFTMAX_I8 as crate::integer::softmax::ShiftmaxI8Fn;
    shiftmax_i16: crate::integer::softmax::SHIFTMAX_I16 as crate::integer::softmax::ShiftmaxI16Fn;
    softmax_u8: crate::integer::softmax::SOFTMAX_U8 as crate::integer::softmax::SoftmaxU8Fn;
    softmax_u15: crate::integer::softmax::SOFTMAX_U15 as crate::integer::softmax::SoftmaxU15Fn;
    widen_i8: crate::softmax::WIDEN_I8 as crate::softmax::WidenI8Fn;
    weighted_sum: crate::integer::attention::WEIGHTED_SUM as crate::integer::attention::WeightedSumFn;
    [families]
    byte_lut: crate::matmul::byte_lut::OPS as crate::matmul::byte_lut::ByteLutFn;
    functions: crate::activation::function::OPS as crate::activation::function::FunctionFn;
    decode: crate::convert::OPS_DECODE as crate::convert::DecodeFn;
    decode_groups: crate::convert::OPS_DECODE_GROUPS as crate::convert::DecodeGroupsFn;
    encode: crate::convert::OPS_ENCODE as crate::convert::EncodeFn;
    encode_groups: crate::convert::OPS_ENCODE_GROUPS as crate::convert::EncodeGroupsFn;
    encode_random: crate::convert::OPS_ENCODE_RANDOM as crate::convert::EncodeRandomFn;
    pack: crate::convert::OPS_PACK as crate::convert::PackFn;
    unpack: crate::convert::OPS_UNPACK as crate::convert::UnpackFn;
    int8_lut: crate::matmul::int8_lut::OPS as crate::matmul::int8_lut::Int8LutFn;
    popcount: crate::matmul::popcount::OPS as crate::matmul::popcount::PopcountFn;
    lut: crate::matmul::lut::OPS as crate::matmul::lut::LutFn;
    matmul: crate::matmul::OPS as crate::matmul::MatmulFn;
    matmul_float: crate::matmul::float::OPS as crate::matmul::float::MatmulFloatFn;
}

impl Kernels {
    /// The kernels of the instruction set in use ([`Isa::active`]).
    ///
    /// # Errors
    /// Where `DYADIC_ISA` names no instruction set of this CPU.
    pub fn active() -> Result<&'static Self, IsaError> {
        Self::for_isa(Isa::active()?)
    }

    /// The kernels of a given instruction set.
    ///
    /// # Errors
    /// Where this CPU does not support it.
    pub fn for_isa(isa: Isa) -> Result<&'static Self, IsaError> {
        static SETS: [OnceLock<Kernels>; Isa::ALL.len()] =
            [const { OnceLock::new() }; Isa::ALL.len()];
        if !isa.is_supported() {
            return Err(IsaError::Unsupported(isa));
        }
        Ok(SETS[isa as usize].get_or_init(|| Self::new(isa)))
    }

    /// The instruction set that these kernels were chosen for.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }
}
