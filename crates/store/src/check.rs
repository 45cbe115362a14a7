//! The limits of a store, the same for every backend: each calls these functions before it does anything else.

use strongroom_types::limits::{
    BATCH_OPS_MAX, BATCH_PRECONDITIONS_MAX, GROUP_BATCHES_MAX, ROW_ADDRESS_BYTES_MAX, ROW_VALUE_BYTES_MAX,
    ROW_VERSION_MAX, SCAN_ROWS_MAX,
};

use crate::{Batch, Expect, Op, Precondition, StoreError};

impl Batch {
    /// Refuses a batch that would refuse its group.
    pub fn check(&self) -> Result<(), StoreError> {
        let found = self.preconditions.len();
        if found > BATCH_PRECONDITIONS_MAX {
            return Err(StoreError::TooManyPreconditions { found });
        }
        self.preconditions.iter().try_for_each(precondition)?;
        ops(&self.ops)
    }
}

/// An address of one to 512 bytes.
pub fn address(address: &str) -> Result<(), StoreError> {
    if address.is_empty() {
        return Err(StoreError::AddressEmpty);
    }
    bounded(address)
}

pub fn group(batches: &[Batch]) -> Result<(), StoreError> {
    let found = batches.len();
    if found > GROUP_BATCHES_MAX {
        return Err(StoreError::TooManyBatches { found });
    }
    batches.iter().try_for_each(Batch::check)
}

/// The operations of one batch, or those that end a group.
pub fn ops(ops: &[Op]) -> Result<(), StoreError> {
    let found = ops.len();
    if found > BATCH_OPS_MAX {
        return Err(StoreError::TooManyOps { found });
    }
    for op in ops {
        address(op.address())?;
        if let Op::Put { address, version, value } = op {
            self::version(address, *version)?;
            let length = value.len();
            if length > ROW_VALUE_BYTES_MAX {
                return Err(StoreError::ValueTooLarge { address: address.clone(), length });
            }
        }
    }
    Ok(())
}

/// A prefix and a start may be empty, unlike addresses.
pub fn scan(prefix: &str, after: Option<&str>, limit: usize) -> Result<(), StoreError> {
    if limit > SCAN_ROWS_MAX {
        return Err(StoreError::ScanTooLong { limit });
    }
    bounded(prefix)?;
    after.map_or(Ok(()), bounded)
}

fn precondition(precondition: &Precondition) -> Result<(), StoreError> {
    address(&precondition.address)?;
    match precondition.expect {
        Expect::Absent => Ok(()),
        Expect::Version(version) => self::version(&precondition.address, version),
    }
}

fn version(address: &str, version: u64) -> Result<(), StoreError> {
    if version > ROW_VERSION_MAX {
        return Err(StoreError::VersionTooLarge { address: address.to_owned(), version });
    }
    Ok(())
}

fn bounded(address: &str) -> Result<(), StoreError> {
    let length = address.len();
    if length > ROW_ADDRESS_BYTES_MAX {
        let beginning = address.chars().take(64).collect();
        return Err(StoreError::AddressTooLong { beginning, length });
    }
    Ok(())
}
