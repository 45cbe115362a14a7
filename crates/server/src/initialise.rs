//! Making a deployment: its directories, its root key and keyring, its first rows.

use strongroom_crypto::{FileRoot, Keyring, PassphraseRoot, RootHolder};
use strongroom_kms::Seed;
use strongroom_records::{
    AccessKeyRow, AccountRow, Anchor, DeploymentRow, PrincipalRow, Records, UsageTrackingRow, Writes,
};
use strongroom_store::{SqliteStore, Store};
use strongroom_types::{AccessKeyId, AccountId, Credential, Env, RegionName};

use crate::anchor;
use crate::assembly::{AssemblyError, Places, io_at, lock, part, private_directory};
use crate::credentials_file::{CredentialsDraft, PROFILE_OPERATOR, PROFILE_ROOT};

/// What a new deployment is to be.
pub struct NewDeployment {
    pub account: AccountId,
    pub regions: Vec<RegionName>,
    /// With a passphrase the root key is wrapped by it; without, the file is the key.
    pub passphrase: Option<Credential>,
    pub root_credential: NewCredential,
    pub operator_credential: NewCredential,
    /// Keys and aliases to begin with.
    pub seed: Option<Seed>,
}

/// An access key to be written into a new deployment.
pub struct NewCredential {
    pub access_key_id: AccessKeyId,
    pub secret: Credential,
}

const ACCESS_KEY_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl NewCredential {
    /// A random credential of AWS's shape: `AKIA` and sixteen characters, and a secret of forty.
    pub fn random() -> Result<Self, AssemblyError> {
        let failed = part("make a credential");
        let id = strongroom_crypto::random_text(ACCESS_KEY_ALPHABET, 16).map_err(failed)?;
        let id = format!("AKIA{}", String::from_utf8_lossy(id.expose()));
        let access_key_id = AccessKeyId::parse(&id).map_err(part("make a credential"))?;
        let secret =
            strongroom_crypto::random_text(SECRET_ALPHABET, 40).map_err(part("make a credential"))?;
        Ok(Self { access_key_id, secret })
    }
}

/// Makes a deployment. Refuses to touch one that exists.
///
/// The root directory is written first and the store last, in one transaction: an `init` that was interrupted has not
/// initialised the data directory.
pub fn initialise(places: &Places, mut new: NewDeployment, env: &dyn Env) -> Result<(), AssemblyError> {
    if places.is_initialised() {
        return Err(AssemblyError::AlreadyInitialised { path: places.data.clone() });
    }
    for region in &new.regions {
        known_partition(region)?;
    }
    private_directory(&places.data)?;
    let _lock = lock(places)?;
    if places.root_key().exists() {
        return Err(AssemblyError::ForeignRoot { data: places.data.clone(), root: places.root.clone() });
    }
    let anchor_path = places.anchor();
    if anchor_path.exists() {
        return Err(AssemblyError::ForeignAnchor { data: places.data.clone(), path: anchor_path });
    }
    private_directory(&places.root)?;
    private_directory(&places.journal())?;
    let path = places.root_key();
    let root: Box<dyn RootHolder> = match &new.passphrase {
        Some(passphrase) => {
            Box::new(PassphraseRoot::create(&path, passphrase).map_err(part("make the root key"))?)
        }
        None => Box::new(FileRoot::create(&path).map_err(part("make the root key"))?),
    };
    let (keyring, entries) = Keyring::create(&*root, &new.regions).map_err(part("make the keyring"))?;
    write_credentials(places, &new)?;
    let (regions, seed) = (new.regions.clone(), new.seed.take());
    let mut writes = first_rows(new, env);
    if let Some(seed) = seed {
        seed.plan(&keyring, env, &mut writes).map_err(part("make the seed's keys"))?;
    }
    let rows = Records::prepare(&keyring, &entries, &regions, writes).map_err(part("make the first rows"))?;
    // Before the rows: a deployment that says that it has an anchor has one.
    let anchor = Anchor {
        written: env.now(),
        journal_sequence: 0,
        journal_link: [0; 32],
        standing: rows.standing().clone(),
    };
    let sealed = anchor.seal(&keyring).map_err(part("make the anchor"))?;
    anchor::replace(&anchor_path, &sealed)
        .map_err(|source| AssemblyError::Anchor { path: anchor_path, source })?;
    let store = SqliteStore::create(&places.data).map_err(part("make the store"))?;
    rows.write(&store).map_err(part("write the first rows"))?;
    store.close().map_err(part("close the store"))
}

/// Refuses a region of a partition whose ARNs would be wrong here.
pub(crate) fn known_partition(region: &RegionName) -> Result<(), AssemblyError> {
    match region.foreign_partition() {
        Some(partition) => Err(AssemblyError::Partition { partition, region: region.clone() }),
        None => Ok(()),
    }
}

fn first_rows(new: NewDeployment, env: &dyn Env) -> Writes {
    let created = env.now();
    let account = new.account;
    let mut writes = Writes::default();
    // The journal is empty, so nothing is missed.
    let tracking = UsageTrackingRow { sequence: 0, since: created };
    writes.create(UsageTrackingRow::address(), tracking);
    let row = DeploymentRow {
        format: DeploymentRow::FORMAT,
        created,
        regions: new.regions,
        anchored_millis: Some(created.as_millis()),
    };
    writes.create(DeploymentRow::address(), row);
    writes.create(AccountRow::address(account), AccountRow { account, created });
    let credentials = [
        (new.root_credential, PrincipalRow::AccountRoot { account }),
        (new.operator_credential, PrincipalRow::Operator),
    ];
    for (NewCredential { access_key_id, secret }, principal) in credentials {
        let address = AccessKeyRow::address(&access_key_id);
        let access_key_id = access_key_id.as_str().to_owned();
        writes.create(address, AccessKeyRow { access_key_id, principal, secret, created });
    }
    writes
}

/// An AWS shared-credentials file: `[default]` is the account's root, `[operator]` the deployment's operator.
fn write_credentials(places: &Places, new: &NewDeployment) -> Result<(), AssemblyError> {
    let path = places.credentials();
    for (profile, credential) in
        [(PROFILE_ROOT, &new.root_credential), (PROFILE_OPERATOR, &new.operator_credential)]
    {
        CredentialsDraft::write(&path, profile, credential)
            .and_then(CredentialsDraft::install)
            .map_err(io_at("write", &path))?;
    }
    Ok(())
}
