//! Packed weights, operations over whole tensors, and the thread pool.
