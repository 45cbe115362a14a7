//! Pages: limits and markers.
//!
//! A marker is opaque, authenticated and bound to the caller's account, the operation, the region and the parameters
//! that chose the list; it is of no use anywhere else and expires after a day.

use strongroom_crypto::MarkerBinding;
use strongroom_pipeline::{Caller, Fault, World};
use strongroom_types::AccountId;

use crate::fault;

/// How many entries a page may have. The model's own maximum is wider than the service's.
pub(crate) fn page_size(limit: Option<u32>, default: usize, max: usize) -> Result<usize, Fault> {
    let Some(limit) = limit else { return Ok(default) };
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    if size > max {
        let constraint = format_args!("have value less than or equal to {max}");
        return Err(fault::constraint(limit, "limit", constraint));
    }
    // The wire refuses zero.
    Ok(size.max(1))
}

/// What a list's markers are bound to.
pub(crate) struct List<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) account: AccountId,
    pub(crate) operation: &'static str,
    /// The parameters that chose the list, in any fixed encoding.
    pub(crate) parameters: &'a [u8],
}

impl List<'_> {
    fn binding(&self) -> MarkerBinding<'_> {
        MarkerBinding {
            account: self.account,
            operation: self.operation,
            region: self.caller.region(),
            parameters: self.parameters,
        }
    }

    /// The position that a marker holds.
    pub(crate) fn open(&self, marker: &str, world: &World<'_>) -> Result<String, Fault> {
        let invalid = |_| fault::invalid_marker();
        let position =
            world.keyring.open_marker(&self.binding(), marker, world.env.now()).map_err(invalid)?;
        String::from_utf8(position).map_err(|_| fault::invalid_marker())
    }

    /// A marker for the entry after which the next page begins.
    pub(crate) fn seal(&self, position: &str, world: &World<'_>) -> Result<String, Fault> {
        world
            .keyring
            .seal_marker(&self.binding(), position.as_bytes(), world.env.now())
            .map_err(fault::crypto)
    }
}
