//! What can go wrong in this crate.

use dyadic_kernels::IsaError;
use dyadic_tensor::TensorError;

/// Any error of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegerError {
    /// A node that does not fit to the others, or whose sums could leave their widths.
    #[error("node {node} (\"{name}\", {op}): {reason}")]
    Node {
        /// The node.
        node: usize,
        /// Its name.
        name: String,
        /// What it does.
        op: &'static str,
        /// What was expected, and what was found.
        reason: String,
    },
    /// A graph that is none as a whole.
    #[error("the graph {reason}")]
    Graph {
        /// What was expected, and what was found.
        reason: String,
    },
    /// A file that is damaged or of another kind.
    #[error("{file}: {kind}")]
    File {
        /// The path of the file.
        file: String,
        /// What is wrong with it.
        kind: Box<FileErrorKind>,
    },
    /// Pixels that are no images of the model.
    #[error("{found} {what}; expected {expected}")]
    Length {
        /// What there are too few or too many of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The caller ended the work.
    #[error("the operation was aborted")]
    Aborted,
    /// An instruction set that this CPU has not.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// The thread pool could not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl IntegerError {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Node { .. } | Self::Graph { .. } => "ERR_INTEGER_GRAPH",
            Self::File { kind, .. } => kind.code(),
            Self::Length { .. } => "ERR_SHAPE",
            Self::Aborted => "ERR_ABORTED",
            Self::Isa(error) => error.code(),
            Self::Tensor(error) => error.code(),
        }
    }
}

/// What can be wrong with a file of integers. Offsets count bytes from the beginning of the file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// It does not begin as such a file does.
    #[error("not a file of integers: it begins with {found:02x?}, expected {expected:02x?}")]
    Magic {
        /// Its first bytes.
        found: Vec<u8>,
        /// What they should be.
        expected: Vec<u8>,
    },
    /// A version that this program does not read.
    #[error("the version at offset 8 is {found}, expected {expected}")]
    Version {
        /// That of the file.
        found: u32,
        /// What can be read.
        expected: u32,
    },
    /// The file ends inside something.
    #[error(
        "the file ends inside the {field}: {needed} bytes expected at offset {offset}, {available} found"
    )]
    Truncated {
        /// What the bytes would be.
        field: String,
        /// Where they begin.
        offset: u64,
        /// How many it takes.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// There are bytes that belong to nothing.
    #[error("the {field} ends at offset {expected}, the file goes on to {found}")]
    TrailingBytes {
        /// What comes last.
        field: &'static str,
        /// Where it ends.
        expected: u64,
        /// Where the file ends.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error(
        "the checksum at offset {offset} is {found:08x}, expected {expected:08x}: the file is damaged"
    )]
    Checksum {
        /// Where it stands.
        offset: u64,
        /// What stands there.
        found: u32,
        /// That of the bytes before it.
        expected: u32,
    },
    /// The header is not the JSON that it should be.
    #[error("the header at offset 24: {reason}")]
    Header {
        /// What the JSON reader found, and where.
        reason: String,
    },
    /// A node of the header that cannot be.
    #[error("the header, node {node}, \"{field}\": {reason}")]
    Node {
        /// Its index.
        node: usize,
        /// The field.
        field: &'static str,
        /// What was expected, and what was found.
        reason: String,
    },
    /// The graph is not one that can be run.
    #[error("{0}")]
    Graph(IntegerError),
}

impl FileErrorKind {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Magic { .. } => "ERR_INTEGER_MAGIC",
            Self::Version { .. } => "ERR_INTEGER_VERSION",
            Self::Truncated { .. } => "ERR_INTEGER_TRUNCATED",
            Self::TrailingBytes { .. } => "ERR_INTEGER_TRAILING_BYTES",
            Self::Checksum { .. } => "ERR_INTEGER_CHECKSUM",
            Self::Header { .. } | Self::Node { .. } => "ERR_INTEGER_HEADER",
            Self::Graph(error) => error.code(),
        }
    }
}
