//! The service: every operation of the protocol by name.

use strongroom_pipeline::{Answer, Visit};
use strongroom_wire::{self as wire, Operation};

use crate::aliases::{CreateAlias, DeleteAlias, ListAliases, UpdateAlias};
use crate::data_key_pairs::{GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext};
use crate::data_keys::{GenerateDataKey, GenerateDataKeyWithoutPlaintext};
use crate::deletion::{CancelKeyDeletion, ScheduleKeyDeletion};
use crate::descriptions::UpdateKeyDescription;
use crate::encryption::{Decrypt, Encrypt, ReEncrypt};
use crate::fault;
use crate::grants::{CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant};
use crate::keys::{CreateKey, DescribeKey, ListKeys};
use crate::macs::{GenerateMac, VerifyMac};
use crate::policies::{GetKeyPolicy, ListKeyPolicies, PutKeyPolicy};
use crate::public_keys::GetPublicKey;
use crate::random::GenerateRandom;
use crate::shared_secrets::{Decapsulate, DeriveSharedSecret, Encapsulate};
use crate::signing::{Sign, Verify};
use crate::states::{DisableKey, EnableKey};
use crate::tags::{ListResourceTags, TagResource, UntagResource};
use crate::usage::GetKeyLastUsage;

macro_rules! operations {
    (hot: $($hot:ident),+ ; built: $($built:ident),+ ; not_built: $($name:ident => $request:ident),+ $(,)?) => {
        /// The operations that work. The README's table is compared with it.
        pub const BUILT: &[Operation] = &[$(Operation::$hot,)+ $(Operation::$built),+];

        /// Walks the operation that the visit names. There is no wildcard: an operation that AWS adds to the model does not
        /// compile until it stands here.
        ///
        /// A future is as large as its largest arm and is moved whole. So only the hot operations stand in it; the others
        /// are boxed.
        pub async fn walk(visit: Visit, operation: Operation) -> Answer {
            match operation {
                $(Operation::$hot => visit.walk::<$hot>().await,)+
                $(Operation::$built => Box::pin(visit.walk::<$built>()).await,)+
                $(Operation::$name => {
                    let name = Operation::$name.name();
                    Box::pin(visit.refuse::<wire::$request>(fault::not_built(name))).await
                })+
            }
        }
    };
}

operations! {
    hot: Decrypt, DescribeKey, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom, ReEncrypt;
    built:
    CancelKeyDeletion, CreateAlias, CreateGrant, CreateKey, Decapsulate, DeleteAlias, DeriveSharedSecret, DisableKey,
    EnableKey, Encapsulate, GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext, GenerateMac, GetKeyLastUsage, GetKeyPolicy,
    GetPublicKey, ListAliases, ListGrants, ListKeyPolicies, ListKeys, ListResourceTags, ListRetirableGrants,
    PutKeyPolicy, RetireGrant, RevokeGrant, ScheduleKeyDeletion, Sign, TagResource, UntagResource, UpdateAlias,
    UpdateKeyDescription, Verify, VerifyMac;
    not_built:
    ConnectCustomKeyStore => ConnectCustomKeyStoreRequest,
    CreateCustomKeyStore => CreateCustomKeyStoreRequest,
    DeleteCustomKeyStore => DeleteCustomKeyStoreRequest,
    DeleteImportedKeyMaterial => DeleteImportedKeyMaterialRequest,
    DescribeCustomKeyStores => DescribeCustomKeyStoresRequest,
    DisableKeyRotation => DisableKeyRotationRequest,
    DisconnectCustomKeyStore => DisconnectCustomKeyStoreRequest,
    EnableKeyRotation => EnableKeyRotationRequest,
    GetKeyRotationStatus => GetKeyRotationStatusRequest,
    GetParametersForImport => GetParametersForImportRequest,
    ImportKeyMaterial => ImportKeyMaterialRequest,
    ListKeyRotations => ListKeyRotationsRequest,
    ReplicateKey => ReplicateKeyRequest,
    RotateKeyOnDemand => RotateKeyOnDemandRequest,
    UpdateCustomKeyStore => UpdateCustomKeyStoreRequest,
    UpdatePrimaryRegion => UpdatePrimaryRegionRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operation_is_listed_twice() {
        for (at, operation) in BUILT.iter().enumerate() {
            assert!(!BUILT[at + 1..].contains(operation), "{}", operation.name());
        }
    }
}
