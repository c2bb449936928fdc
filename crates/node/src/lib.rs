//! Node-API boundary: converts between JavaScript values and the crates below, and nothing else.
