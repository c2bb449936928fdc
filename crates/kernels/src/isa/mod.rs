//! Instruction sets: what this CPU has, and which of it may be used.
//!
//! CPUs are grouped into a few clusters, ordered by preference. A kernel belongs to one cluster and may use every feature of it; no feature
//! is tested below the level of [`Isa::is_supported`].

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// A cluster of CPU features that kernels are compiled for, in rising order of preference on one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust. The specification that every other cluster equals bit for bit.
    Scalar,
    /// AVX2, FMA and F16C (Haswell, Zen 1).
    Avx2,
    /// AVX2 with the 256-bit integer dot product (Alder Lake, Zen 5).
    AvxVnni,
    /// AVX-512 F, BW, DQ, VL, VNNI, VBMI, VPOPCNTDQ (Ice Lake, Zen 4).
    Avx512,
    /// 64-bit Arm with NEON (Cortex-A72, Raspberry Pi 4).
    Neon,
    /// NEON with the 4-way integer dot product (Cortex-A76, Raspberry Pi 5).
    NeonDotprod,
    /// The same with the 8-bit matrix product (Neoverse V1, Apple M2).
    NeonI8mm,
}

impl Isa {
    /// All clusters, the most portable first.
    pub const ALL: [Self; 7] = [
        Self::Scalar,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Neon,
        Self::NeonDotprod,
        Self::NeonI8mm,
    ];

    /// The name that `DYADIC_ISA` and the kernel names use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon_dotprod",
            Self::NeonI8mm => "neon_i8mm",
        }
    }

    /// Whether this CPU has every feature of the cluster.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_supported() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_supported()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vpopcntdq")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod => {
                Self::Neon.is_supported() && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => {
                Self::NeonDotprod.is_supported() && std::arch::is_aarch64_feature_detected!("i8mm")
            }
            #[allow(unreachable_patterns, reason = "the clusters of other architectures")]
            _ => false,
        }
    }

    /// Whether a CPU of cluster `self` also runs kernels of cluster `other`.
    #[must_use]
    pub const fn includes(self, other: Self) -> bool {
        match other {
            Self::Scalar => true,
            Self::Avx2 => matches!(self, Self::Avx2 | Self::AvxVnni | Self::Avx512),
            // Some AVX-512 CPUs lack AVX-VNNI (Ice Lake, Zen 4).
            Self::AvxVnni => matches!(self, Self::AvxVnni),
            Self::Avx512 => matches!(self, Self::Avx512),
            Self::Neon => matches!(self, Self::Neon | Self::NeonDotprod | Self::NeonI8mm),
            Self::NeonDotprod => matches!(self, Self::NeonDotprod | Self::NeonI8mm),
            Self::NeonI8mm => matches!(self, Self::NeonI8mm),
        }
    }

    /// The clusters that this CPU supports, the most portable first.
    pub fn supported() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_supported())
    }

    /// The preferred cluster of this CPU, whatever `DYADIC_ISA` says.
    #[must_use]
    pub fn best() -> Self {
        Self::supported().last().unwrap_or(Self::Scalar)
    }

    /// The cluster in use: `DYADIC_ISA` where that is set, else the best.
    ///
    /// # Errors
    /// Names the value where `DYADIC_ISA` is no cluster or one that this CPU lacks.
    pub fn active() -> Result<Self, IsaError> {
        static ACTIVE: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        ACTIVE
            .get_or_init(|| match std::env::var("DYADIC_ISA") {
                Ok(name) if !name.is_empty() => {
                    let isa: Self = name.parse()?;
                    if isa.is_supported() { Ok(isa) } else { Err(IsaError::Unsupported(isa)) }
                }
                _ => Ok(Self::best()),
            })
            .clone()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown(name.to_owned()))
    }
}

/// Why an instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsaError {
    /// No cluster has this name.
    Unknown(String),
    /// This CPU lacks a feature of the cluster.
    Unsupported(Isa),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |isas: &mut dyn Iterator<Item = Isa>| {
            isas.map(Isa::name).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Unknown(name) => write!(
                f,
                "unknown instruction set '{name}'; one of: {}",
                names(&mut Isa::ALL.into_iter())
            ),
            Self::Unsupported(isa) => write!(
                f,
                "this CPU does not support the instruction set '{isa}'; it has: {}",
                names(&mut Isa::supported())
            ),
        }
    }
}

impl std::error::Error for IsaError {}

impl IsaError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "ERR_ISA_UNKNOWN",
            Self::Unsupported(_) => "ERR_ISA_UNSUPPORTED",
        }
    }
}
