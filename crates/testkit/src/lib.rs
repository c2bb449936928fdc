//! References, error measures, guard pages and case generators for the tests of the other crates.
