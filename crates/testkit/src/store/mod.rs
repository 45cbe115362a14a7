//! A store in memory that fails as it is told.

mod fault;
mod interruption;
mod memory;

pub use fault::{Call, Fault, FaultRates};
pub use memory::{Counters, MemoryStore};
