//! The `[hardening]` table: what confines the process once it serves.

use serde::Deserialize;

/// Both layers are in force where the kernel has them, unless somebody says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardeningConfig {
    /// Files and ports.
    pub landlock: Layer,
    /// System calls.
    pub seccomp: Layer,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A kernel without it is logged, and served on.
    #[default]
    IfAvailable,
    Off,
    /// A kernel without it is a reason not to start.
    Required,
}
