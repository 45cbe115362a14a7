//! Adding a region to a deployment, while nobody serves it.

use std::borrow::Cow;
use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_records::{DomainKeyRow, Records, RowScope, Writes};
use strongroom_types::{Env, RegionName};

use crate::assembly::{AskPassphrase, AssemblyError, Places, Sealed, open_root, part, read_root};
use crate::env::SystemEnv;
use crate::initialise::known_partition;
use crate::offline::{Offline, OfflineError, record};

/// Makes the region's domain key and its rows, in one batch. The next `serve` serves it.
pub fn add_region(
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    region: &RegionName,
) -> Result<(), OfflineError> {
    known_partition(region)?;
    let env: Arc<dyn Env> = Arc::new(SystemEnv::new());
    let sealed = Sealed::lock(places)?;
    let root = open_root(&read_root(places)?, passphrase)?;
    let mut keyring = sealed.keyring(&*root)?;
    if keyring.has_region(region) {
        return Err(OfflineError::KnownRegion { region: region.clone() });
    }
    let home = keyring.regions().next().cloned().ok_or(AssemblyError::NoDeployment)?;
    let entry = keyring.add_region(&*root, region).map_err(part("make the region's domain key"))?;
    let mut writes = Writes::default();
    // Without this row the domain key would be taken to be as old as the deployment.
    let scope = RowScope::Region(region.clone());
    let row = DomainKeyRow { version: 1, since: env.now(), spent: false };
    writes.create(DomainKeyRow::address(&scope), row);
    let details = vec![(Cow::Borrowed("region"), Value::from(region.as_str()))];
    record(&mut writes, &*env, &home, "AddRegion", details);
    Records::add_region(sealed.store(), &keyring, region, &entry, writes)?;
    // What starts next finds the record in the outbox and takes it to the journal.
    Offline::take_up(places, sealed.open(root, keyring), env)?.close()
}
