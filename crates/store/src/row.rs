//! What goes into a store and what comes out.

use std::fmt;

/// A row without its address.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    pub version: u64,
    pub value: Vec<u8>,
}

/// What must be true of an address for a batch to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no row.
    Absent,
    /// There is a row, and this is its version.
    Version(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    pub address: String,
    pub expect: Expect,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Removes the row, if there is one.
    Delete { address: String },
    /// Writes the row, whether or not there was one. The version is the caller's choice.
    Put { address: String, version: u64, value: Vec<u8> },
}

/// Changes that are applied together, in order, or not at all. A later operation on the same address wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub preconditions: Vec<Precondition>,
    pub ops: Vec<Op>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    Applied,
    /// Nothing of the batch was applied. `address` is that of its first precondition that did not hold.
    Conflict {
        address: String,
    },
}

/// What became of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupCommit {
    /// The store's revision after the group; unchanged if no batch was applied.
    pub revision: u64,
    /// One for each batch, in their order.
    pub outcomes: Vec<BatchOutcome>,
}

impl Expect {
    /// Whether `found`, the version of the row at the address, is as expected.
    pub fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

impl Op {
    pub fn address(&self) -> &str {
        match self {
            Self::Delete { address } | Self::Put { address, .. } => address,
        }
    }
}

impl BatchOutcome {
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied)
    }
}

/// The size of the value instead of the value: it may be a quarter of a mebibyte, and it is nobody's reading.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row(version {}, {} bytes)", self.version, self.value.len())
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { address } => write!(f, "Delete({address})"),
            Self::Put { address, version, value } => {
                write!(f, "Put({address}, version {version}, {} bytes)", value.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_hold_only_for_what_they_name() {
        let cases = [
            (Expect::Absent, None, true),
            (Expect::Absent, Some(0), false),
            (Expect::Version(1), None, false),
            (Expect::Version(1), Some(2), false),
            (Expect::Version(0), None, false),
            (Expect::Version(1), Some(1), true),
        ];
        for (expect, found, holds) in cases {
            assert_eq!(expect.holds(found), holds, "{expect:?} {found:?}");
        }
    }

    #[test]
    fn debug_tells_sizes_not_values() {
        let row = Row { version: 3, value: b"sesame".to_vec() };
        assert_eq!(format!("{row:?}"), "Row(version 3, 6 bytes)");
        let put = Op::Put { address: "a/b".into(), version: 3, value: b"sesame".to_vec() };
        assert_eq!(format!("{put:?}"), "Put(a/b, version 3, 6 bytes)");
        assert_eq!(format!("{:?}", Op::Delete { address: "a/b".into() }), "Delete(a/b)");
    }
}
