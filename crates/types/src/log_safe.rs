//! What may be written to a log.

/// A marker: the `Display` of an implementor holds no secret and nothing a caller sent that is sensitive.
///
/// Implement it for ids, counts and states. Never for a request body, a plaintext or a credential; the wire types
/// that AWS's model marks `sensitive` must not have it.
pub trait LogSafe: std::fmt::Display {}

impl LogSafe for u32 {}
impl LogSafe for u64 {}
impl LogSafe for usize {}
impl LogSafe for &'static str {}
