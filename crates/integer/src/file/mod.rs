//! The file that holds a graph: integers and texts, nothing else. `docs/design/integer-only.md` describes it byte by byte.
//!
//! ```text
//! 0    magic "DYADIC\r\n"
//! 8    u32 version = 1
//! 12   u32 length of the header
//! 16   u64 length of the data
//! 24   header: JSON, padded with spaces to a multiple of 8 bytes
//!      data: the arrays of the nodes in order, each padded with zeros to a multiple of 8 bytes
//!      u32 CRC-32 of all bytes before it
//! ```
//!
//! Numbers are little-endian. A graph has one file: what is read and written again is the same bytes.

mod data;
mod header;
mod read;
mod write;

/// How a file begins. The line end is damaged by whatever takes it for a text.
const MAGIC: [u8; 8] = *b"DYADIC\r\n";

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes before the header.
const PREFIX: usize = 24;

/// Header and arrays are padded to a multiple of this.
const ALIGNMENT: usize = 8;

#[cfg(test)]
mod tests;
