//! The bytes of every row, and the promise that rows of a later version of this format can be read.
//!
//! The bytes were put together by an encoder of CBOR (RFC 8949) that knows nothing of this code. A released row never
//! changes them: a new field gets a new index.

use strongroom_policy::{GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms, Principal};
use strongroom_types::{
    EncryptionContext, GrantId, KeySpec, KeyUsage, MaterialId, RequestId, Tag, TagKey, TagValue, UniqueId,
    UniqueIdKind,
};

use super::*;
use crate::tables::Row;
use crate::{
    Address, DomainKeyRow, GrantRow, IdentityNameRow, IdentityRow, KeyOrigin, KeyState, KeyUsageRow, KeyUse,
    NamedPolicy, NewIdentity, OrphanedGrantsRow, PolicyBinding, RetirableRow, RowScope, StateRow,
    TrackedOperation, UsageTrackingRow,
};

const KEY_USAGE: &str = "\
    a50082501234abcd12ab34cd56ef1234567890abf4010b021b0000019b76daa8000350111111111111111111111111111111\
    11045022222222222222222222222222222222";
const USAGE_TRACKING: &str = "a2001903e8011b0000019b76daa800";
const DEPLOYMENT: &str = "a30001011b0000019b76daa80002826c65752d63656e7472616c2d316975732d656173742d31";
const ANCHORED_DEPLOYMENT: &str =
    "a40001011b0000019b76daa80002826c65752d63656e7472616c2d316975732d656173742d31031b0000019b76daa800";
const ACCOUNT: &str = "a2006c313131313232323233333333011b0000019b76daa800";
const ACCESS_KEY_OF_ROOT: &str = "\
    a40074414b4941494f53464f444e4e374558414d504c45018200816c3131313132323232333333330246736563726574031b\
    0000019b76daa800";
const ACCESS_KEY_OF_OPERATOR: &str =
    "a40074414b4941494f53464f444e4e374558414d504c45018201800246736563726574031b0000019b76daa800";
const ACCOUNT_KEY: &str = "a10082501234abcd12ab34cd56ef1234567890abf4";
const ALIAS: &str = "a30082501234abcd12ab34cd56ef1234567890abf4011b0000019b76daa800021b0000019b76daa801";
const KEY: &str = "\
    ab0082501234abcd12ab34cd56ef1234567890abf4016c313131313232323233333333021b0000019b76daa8000300040005\
    000601076c666f72207061796d656e74730878677b2256657273696f6e223a22323031322d31302d3137222c225374617465\
    6d656e74223a7b22456666656374223a22416c6c6f77222c225072696e636970616c223a222a222c22416374696f6e223a22\
    6b6d733a2a222c225265736f75726365223a222a227d7d098269616c6961732f6170706e616c6961732f7465616d2f617070\
    0a82a3005820aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0143010203021b0000019b76\
    daa800a3005820bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb01420405021b0000019b76\
    daa801";
/// What [`KEY`] has more, in state PendingDeletion, with a deletion date and tags.
const DELETION_DATE_AND_TAGS: &str = "\
    0b1b0000019b76daa8010c83826b436f73742043656e7465726538373635348265456d7074796082647465616d67c3a9717569\
    7065";
const ACCESS_KEY_OF_USER: &str = "\
    a40074414b4941494f53464f444e4e374558414d504c45018202826c31313131323232323333333375414944414141414141\
    4141414141414141414141410246736563726574031b0000019b76daa800";
const USER: &str = "\
    a70075414944414141414141414141414141414141414141016c31313131323232323333333302687465616d2f426f62031b\
    0000019b76daa800048182647465616d637265640581a200646d61696e0178407b2253746174656d656e74223a7b22456666\
    656374223a22416c6c6f77222c22416374696f6e223a226b6d733a2a222c225265736f75726365223a222a227d7d0678407b\
    2253746174656d656e74223a7b22456666656374223a22416c6c6f77222c22416374696f6e223a226b6d733a2a222c225265\
    736f75726365223a222a227d7d";
const ROLE: &str = "\
    a5007541524f414141414141414141414141414141414141016c3131313132323232333333330263417070031b0000019b76\
    daa8000580";
const IDENTITY_NAME: &str = "\
    a10075414944414141414141414141414141414141414141";
/// What [`KEY`] has more, with a policy that names a user.
const BINDINGS: &str = "\
    158182781a3131313132323232333333332f757365722f7465616d2f426f6275414944414141414141414141414141414141\
    414141";
const DOMAIN_KEY: &str = "a30002011b0000019b76daa80002f5";
const GRANT: &str = "\
    a80082501234abcd12ab34cd56ef1234567890abf401582041159e8b3ba1d752f56a0f89b678921a62626262626262626262\
    626262626262021b0000019b76daa800031b0000019b76daa800045063636363636363636363636363636363058200781e61\
    726e3a6177733a69616d3a3a3131313132323232333333333a726f6f74076c31313131323232323333333308a10082674465\
    637279707467456e6372797074";
const GRANT_TO_SERVICE: &str = "\
    aa0082501234abcd12ab34cd56ef1234567890abf4015820b5093a44877bfdb550c1c029bfdb8e3562626262626262626262\
    626262626262021b0000019b76daa801031b0000019b76daa800045063636363636363636363636363636363058201781c6c\
    6f67732e75732d656173742d312e616d617a6f6e6177732e636f6d068200781e61726e3a6177733a69616d3a3a3131313132\
    323232333333333a726f6f74076c31313131323232323333333308a400816b4372656174654772616e740182826161613182\
    6162613202818261616131037361726e3a6177733a73333a3a3a6275636b65740968666f722d6c6f6773";
const RETIRABLE: &str = "\
    a3008200781e61726e3a6177733a69616d3a3a3131313132323232333333333a726f6f740182501234abcd12ab34cd56ef12\
    34567890abf402582041159e8b3ba1d752f56a0f89b678921a62626262626262626262626262626262";
const ORPHANED_GRANTS: &str = "a20082501234abcd12ab34cd56ef1234567890abf4011b0000019b76daa800";
/// What [`KEY`] has more when it has grants.
const GRANTS: &str = "1407";
const OUTBOX: &str = "a2001b0000019b76daa80001456576656e74";
const STATE: &str = "a2005820cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc0107";

const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const LATER: Timestamp = Timestamp::from_millis(CREATED.as_millis() + 1);
/// Member 99, an array of a number and a text, as a later version might add.
const UNKNOWN_MEMBER: &str = "1863820161 78";

fn key_id() -> KeyId {
    KeyId::parse(KEY_ID).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode<R: Row>(address: &Address, hex: &str) -> R {
    R::decode(address, &bytes(hex)).unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// The row has these bytes, and they are this row; with one more member they still are; cut short, followed by
/// something or at another address they are not.
fn golden<R: Row>(row: R, address: &Address, elsewhere: &Address, golden: &str) {
    assert_eq!(hex(&row.encode()), golden);
    assert_eq!(hex(&decode::<R>(address, golden).encode()), golden);
    let whole = bytes(golden);
    let with_unknown = [&[whole[0] + 1], &whole[1..], &bytes(UNKNOWN_MEMBER)].concat();
    assert_eq!(hex(&decode::<R>(address, &hex(&with_unknown)).encode()), golden);
    for length in 0..whole.len() {
        assert!(R::decode(address, &whole[..length]).is_err(), "{length} bytes");
    }
    assert!(R::decode(address, &[&whole[..], &[0xf6]].concat()).is_err());
    assert!(R::decode(elsewhere, &whole).is_err(), "{elsewhere}");
}

fn at(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn deployment_rows() {
    let row = DeploymentRow {
        format: 1,
        created: CREATED,
        regions: vec![eu(), us()],
        anchored_millis: Some(CREATED.as_millis()),
    };
    let elsewhere = at("deployment/global/other");
    golden(row.clone(), &DeploymentRow::address(), &elsewhere, ANCHORED_DEPLOYMENT);
    let row = DeploymentRow { anchored_millis: None, ..row };
    golden(row, &DeploymentRow::address(), &elsewhere, DEPLOYMENT);
    let mut next_format = bytes(DEPLOYMENT);
    next_format[2] = 2;
    assert!(DeploymentRow::decode(&DeploymentRow::address(), &next_format).is_err());
}

#[test]
fn account_rows() {
    let row = AccountRow { account: account(), created: CREATED };
    golden(row, &AccountRow::address(account()), &AccountRow::address(numbered(1)), ACCOUNT);
}

#[test]
fn access_key_rows() {
    let row = |principal| AccessKeyRow {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        principal,
        secret: Credential::new(b"secret".to_vec()),
        created: CREATED,
    };
    let (here, elsewhere) =
        (AccessKeyRow::address(&access_key_id()), at("access-key/global/AKIAIOSFODNN8EXAMPLE"));
    golden(row(PrincipalRow::AccountRoot { account: account() }), &here, &elsewhere, ACCESS_KEY_OF_ROOT);
    golden(row(PrincipalRow::Operator), &here, &elsewhere, ACCESS_KEY_OF_OPERATOR);
    let user = PrincipalRow::User { account: account(), unique_id: user_id() };
    golden(row(user), &here, &elsewhere, ACCESS_KEY_OF_USER);
    let decoded: AccessKeyRow = decode(&here, ACCESS_KEY_OF_ROOT);
    assert_eq!(decoded.secret.expose(), b"secret");
    assert_eq!(decoded.principal, PrincipalRow::AccountRoot { account: account() });
    let unknown_principal = ACCESS_KEY_OF_OPERATOR.replace("820180", "820380");
    assert!(AccessKeyRow::decode(&here, &bytes(&unknown_principal)).is_err());
}

fn user_id() -> UniqueId {
    UniqueId::parse("AIDAAAAAAAAAAAAAAAAAA").unwrap()
}

#[test]
fn identity_rows() {
    const POLICY: &str = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;
    let role_id = UniqueId::parse("AROAAAAAAAAAAAAAAAAAA").unwrap();
    let new = |unique_id, path_and_name: &str| NewIdentity {
        unique_id,
        account: account(),
        path_and_name: path_and_name.to_owned(),
        created: CREATED,
        tags: Vec::new(),
        policies: Vec::new(),
        boundary: None,
    };
    let user = IdentityRow::new(NewIdentity {
        tags: vec![tag("team", "red")],
        policies: vec![NamedPolicy { name: "main".to_owned(), text: POLICY.to_owned() }],
        boundary: Some(POLICY.to_owned()),
        ..new(user_id(), "team/Bob")
    });
    let (user_address, role_address) = (IdentityRow::address(&user_id()), IdentityRow::address(&role_id));
    golden(user.unwrap(), &user_address, &role_address, USER);
    golden(IdentityRow::new(new(role_id, "App")).unwrap(), &role_address, &user_address, ROLE);
    let read: IdentityRow = decode(&user_address, USER);
    assert_eq!((read.name(), read.path_and_name(), read.account()), ("Bob", "team/Bob", account()));
    assert_eq!((read.policies().identity.len(), read.policies().boundary.is_some()), (1, true));
    for (old, new, what) in [
        (&*hex(b"\"kms:*\""), &*hex(b"\"kms:?*"), "policy"),
        (&hex(b"team\x63red"), &hex(b"te*m\x63red"), "tag"),
        (&hex(b"AIDAAAAAAAAAAAAAAAAAA"), &hex(b"AIDAAAAAAAAAAAAAAAAA1"), "unique id"),
    ] {
        let altered = USER.replacen(old, new, 1);
        assert_ne!(altered, USER, "{what}");
        assert!(IdentityRow::decode(&user_address, &bytes(&altered)).is_err(), "{what}");
    }
}

#[test]
fn identity_name_rows() {
    let here = IdentityNameRow::address(account(), UniqueIdKind::User, "Bob");
    assert_eq!(here.as_str(), "identity-name/global/111122223333/user/bob");
    let elsewhere = IdentityNameRow::address(account(), UniqueIdKind::Role, "Bob");
    golden(IdentityNameRow { unique_id: user_id() }, &here, &elsewhere, IDENTITY_NAME);
}

#[test]
fn key_rows_whose_policy_names_a_user() {
    let address = KeyRow::address(&us(), &key_id());
    let whole = hex(&bytes(&format!("{}{BINDINGS}", KEY.replacen("ab", "ac", 1))));
    let mut row: KeyRow = decode(&address, KEY);
    assert!(row.policy_bindings().is_empty());
    let binding = PolicyBinding { name: "111122223333/user/team/Bob".to_owned(), unique_id: user_id() };
    row.bind_policy(vec![binding]);
    golden(row, &address, &KeyRow::address(&us(), &KeyId::single_region([0; 16])), &whole);
    let altered = whole.replacen(&hex(b"AIDA"), &hex(b"AIDa"), 1);
    assert!(KeyRow::decode(&address, &bytes(&altered)).is_err());
}

/// Without a binding, a policy that names a user means nobody, whoever has the name.
#[test]
fn a_name_without_its_binding_is_nobody_s() {
    let text = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/team/Bob"},"Action":"kms:*","Resource":"*"}}"#;
    let mut row: KeyRow = decode(&KeyRow::address(&us(), &key_id()), KEY);
    row.set_policy(text.to_owned(), strongroom_policy::KeyPolicy::parse(text).unwrap());
    let allows = |row: &KeyRow, unique_id: UniqueId| {
        let principal = Principal::User(strongroom_policy::Identity {
            account: account(),
            path_and_name: "team/Bob".into(),
            unique_id: unique_id.as_str().into(),
        });
        let question = strongroom_policy::Question {
            action: strongroom_policy::Action::Encrypt,
            facts: &strongroom_policy::NoFacts,
            key: row.arn(),
            key_text: row.arn_text(),
            principal: &principal,
        };
        row.policy().decide_key_policy(&question) != strongroom_policy::KeyPolicyVerdict::NoMatch
    };
    assert!(!allows(&row, user_id()));
    row.bind_policy(vec![PolicyBinding {
        name: "111122223333/user/team/Bob".to_owned(),
        unique_id: user_id(),
    }]);
    assert!(!allows(&row, UniqueId::from_random(UniqueIdKind::User, [1; 16])));
    assert!(allows(&row, user_id()));
    let address = KeyRow::address(&us(), &key_id());
    let reread = KeyRow::decode(&address, &row.encode()).unwrap();
    assert!(allows(&reread, user_id()));
    row.set_policy(text.to_owned(), strongroom_policy::KeyPolicy::parse(text).unwrap());
    assert!(!allows(&row, user_id()));
}

#[test]
fn account_key_rows() {
    let address = AccountKeyRow::address(&us(), account(), &key_id());
    let elsewhere = AccountKeyRow::address(&us(), account(), &KeyId::single_region([0; 16]));
    golden(AccountKeyRow { key_id: key_id() }, &address, &elsewhere, ACCOUNT_KEY);
}

#[test]
fn alias_rows() {
    let row = AliasRow { target: key_id(), created: CREATED, updated: LATER };
    let address = AliasRow::address(&us(), account(), &alias_name("alias/team/app"));
    golden(row, &address, &at("alias/us-east-1/111122223333/team/app"), ALIAS);
}

#[test]
fn outbox_rows() {
    let row = OutboxRow { created: CREATED, event: b"event".to_vec() };
    golden(row, &at(&format!("outbox/us-east-1/{KEY_ID}")), &at("outbox/us-east-1/request"), OUTBOX);
}

#[test]
fn state_rows() {
    let row = StateRow { set_hash: [0xcc; 32], rows: 7 };
    golden(row, &StateRow::address(&RowScope::Global), &at("state/global/columns"), STATE);
}

#[test]
fn domain_key_rows() {
    let row = DomainKeyRow { version: 2, since: CREATED, spent: true };
    let address = DomainKeyRow::address(&RowScope::Region(us()));
    golden(row, &address, &at("domain-key/us-east-1/other"), DOMAIN_KEY);
}

#[test]
fn key_rows() {
    let address = KeyRow::address(&us(), &key_id());
    let row: KeyRow = decode(&address, KEY);
    assert_eq!((row.key_id(), row.account(), row.created()), (key_id(), account(), CREATED));
    assert_eq!(row.arn().to_string(), format!("arn:aws:kms:us-east-1:111122223333:key/{KEY_ID}"));
    assert_eq!((row.spec(), row.usage()), (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt));
    assert_eq!((row.origin(), row.state()), (KeyOrigin::AwsKms, KeyState::Disabled));
    assert_eq!(row.description(), "for payments");
    assert_eq!(row.aliases(), [alias_name("alias/app"), alias_name("alias/team/app")]);
    let materials: Vec<_> =
        row.materials().iter().map(|m| (m.id, m.wrapped.as_bytes().to_vec(), m.created)).collect();
    let [first, second] = [0xaa, 0xbb].map(|byte| MaterialId::from_bytes([byte; 32]));
    assert_eq!(materials, [(first, vec![1, 2, 3], CREATED), (second, vec![4, 5], LATER)]);
    assert_eq!(row.current_material().map(|material| material.id), Some(second));
    let question = strongroom_policy::Question {
        action: strongroom_policy::Action::Encrypt,
        facts: &strongroom_policy::NoFacts,
        key: row.arn(),
        key_text: row.arn_text(),
        principal: &Principal::AccountRoot(account()),
    };
    assert!(matches!(
        row.policy().decide_key_policy(&question),
        strongroom_policy::KeyPolicyVerdict::Allow { .. }
    ));
    let elsewhere = KeyRow::address(&us(), &KeyId::single_region([0; 16]));
    golden(row, &address, &elsewhere, KEY);
}

#[test]
fn key_rows_that_are_pending_deletion_and_tagged() {
    let address = KeyRow::address(&us(), &key_id());
    let golden_bytes = pending_deletion_and_tagged();
    let row: KeyRow = decode(&address, &golden_bytes);
    assert_eq!((row.state(), row.deletion_date()), (KeyState::PendingDeletion, Some(LATER)));
    let tags =
        [("Cost Center", "87654"), ("Empty", ""), ("team", "équipe")].map(|(key, value)| tag(key, value));
    assert_eq!(row.tags(), tags);
    let mut made: KeyRow = decode(&address, KEY);
    assert_eq!((made.deletion_date(), made.tags()), (None, &[][..]));
    made.schedule_deletion(LATER);
    for tag in [2, 0, 1].map(|at| tags[at].clone()) {
        made.set_tag(tag);
    }
    let elsewhere = KeyRow::address(&us(), &KeyId::single_region([0; 16]));
    golden(made.clone(), &address, &elsewhere, &golden_bytes);
    // A key that is neither is written as it was before there were these fields.
    made.set_state(KeyState::Disabled);
    for tag in &tags {
        made.remove_tag(&tag.key);
    }
    assert_eq!(hex(&made.encode()), KEY);
}

/// [`KEY`] as a signing key on P-256, with a public key.
fn asymmetric() -> String {
    let altered = KEY.replacen("03000400", "03080401", 1).replacen("ab", "ac", 1);
    hex(&bytes(&format!("{altered}0d43300102")))
}

#[test]
fn key_rows_of_asymmetric_keys() {
    let address = KeyRow::address(&us(), &key_id());
    let row: KeyRow = decode(&address, &asymmetric());
    assert_eq!((row.spec(), row.usage()), (KeySpec::EccNistP256, KeyUsage::SignVerify));
    assert_eq!(row.public_key().map(strongroom_crypto::PublicKey::as_der), Some(&[0x30, 1, 2][..]));
    let elsewhere = KeyRow::address(&us(), &KeyId::single_region([0; 16]));
    golden(row, &address, &elsewhere, &asymmetric());
    for (old, new, what) in [
        ("03080401", "03010402", "an HMAC key has no public key"),
        ("03080401", "03080400", "P-256 does not encrypt"),
        ("0d43300102", "0d6330313230", "a text"),
    ] {
        let altered = asymmetric().replacen(old, new, 1);
        assert_ne!(altered, asymmetric(), "{what}");
        assert!(KeyRow::decode(&address, &bytes(&altered)).is_err(), "{what}");
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: TagKey::parse(key).unwrap(), value: TagValue::parse(value).unwrap() }
}

/// [`KEY`] with two more members, in another state.
fn pending_deletion_and_tagged() -> String {
    let pending = KEY.replacen("0601", "0602", 1).replacen("ab", "ad", 1);
    hex(&bytes(&format!("{pending}{DELETION_DATE_AND_TAGS}")))
}

#[test]
fn deletion_dates_and_tags_say_no_more_than_they_can_mean() {
    let address = KeyRow::address(&us(), &key_id());
    let whole = pending_deletion_and_tagged();
    for (old, new, what) in [
        ("0602", "0601", "a deletion date on a key that is not pending deletion"),
        (&hex(b"Cost Center"), &hex(b"Cost,Center"), "the alphabet of keys"),
        (&hex(b"87654"), &hex(b"8765*"), "the alphabet of values"),
        (&hex(b"Empty"), &hex(b"Aaaaa"), "the order of keys"),
        ("8265456d70747960", "8360456d70747960", "pairs"),
    ] {
        let altered = whole.replacen(old, new, 1);
        assert_ne!(altered, whole, "{what}");
        assert!(KeyRow::decode(&address, &bytes(&altered)).is_err(), "{what}");
    }
}

#[test]
fn a_tag_is_set_in_its_place_and_replaced_by_its_key() {
    let mut row: KeyRow = decode(&KeyRow::address(&us(), &key_id()), KEY);
    for (key, value) in [("b", "1"), ("a", "2"), ("B", "3"), ("b", "4")] {
        row.set_tag(tag(key, value));
    }
    assert_eq!(row.tags(), [tag("B", "3"), tag("a", "2"), tag("b", "4")]);
    row.remove_tag(&TagKey::parse("c").unwrap());
    row.remove_tag(&TagKey::parse("a").unwrap());
    assert_eq!(row.tags(), [tag("B", "3"), tag("b", "4")]);
}

#[test]
fn a_key_row_says_no_more_than_it_can_mean() {
    let address = KeyRow::address(&us(), &key_id());
    for (old, new, what) in [
        ("03000400", "03140400", "spec"),
        ("04000500", "04050500", "usage"),
        ("04000500", "04010500", "a usage of another spec"),
        ("05000601", "05010601", "origin"),
        ("06010", "06080", "state"),
        (&hex(b"\"kms:*\""), &hex(b"\"kms:?*"), "policy"),
        (&hex(b"alias/app"), &hex(b"alias!app"), "alias"),
    ] {
        let altered = KEY.replacen(old, new, 1);
        assert_ne!(altered, KEY, "{what}");
        assert!(KeyRow::decode(&address, &bytes(&altered)).is_err(), "{what}");
    }
    let global = at(&format!("key/global/{KEY_ID}"));
    assert!(KeyRow::decode(&global, &bytes(KEY)).is_err(), "a key belongs to a region");
}

#[test]
fn members_that_a_later_material_or_principal_may_have_are_skipped() {
    let address = KeyRow::address(&us(), &key_id());
    // The second material is the last thing in the row: a map of three.
    let at_material = KEY.rfind("a3005820").unwrap();
    let later = format!("{}a4{}{UNKNOWN_MEMBER}", &KEY[..at_material], &KEY[at_material + 2..]);
    assert_eq!(hex(&decode::<KeyRow>(&address, &later).encode()), KEY);
    let here = AccessKeyRow::address(&access_key_id());
    let later = ACCESS_KEY_OF_OPERATOR.replace("820180", "82018102");
    assert_eq!(decode::<AccessKeyRow>(&here, &later).principal, PrincipalRow::Operator);
}

#[test]
fn every_state_has_its_code() {
    let address = KeyRow::address(&us(), &key_id());
    let names: Vec<_> = (0..8)
        .map(|code| {
            let altered = KEY.replacen("06010", &format!("060{code}0"), 1);
            decode::<KeyRow>(&address, &altered).state().as_str()
        })
        .collect();
    let expected =
        "Enabled Disabled PendingDeletion PendingImport PendingReplicaDeletion Unavailable Creating Updating";
    assert_eq!(names.join(" "), expected);
    assert_eq!(KeyState::ALL.len(), 8);
}

const ARN: &str = "arn:aws:iam::111122223333:root";
const SERVICE: &str = "logs.us-east-1.amazonaws.com";

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).unwrap()
}

fn grant_id(grantee: &GrantPrincipal) -> GrantId {
    GrantId::from_halves(GrantRow::grantee_tag(&key_id(), grantee), [0x62; 16])
}

fn plain_grant() -> GrantRow {
    let grantee = GrantPrincipal::Caller(ARN.into());
    GrantRow {
        key_id: key_id(),
        grant_id: grant_id(&grantee),
        created: CREATED,
        key_created: CREATED,
        serial: [0x63; 16],
        grantee,
        retiring: None,
        issuing_account: account(),
        terms: GrantTerms {
            constraints: GrantConstraints::default(),
            operations: vec![GrantOperation::Decrypt, GrantOperation::Encrypt],
        },
        name: None,
    }
}

#[test]
fn grant_rows() {
    let row = plain_grant();
    let elsewhere = |row: &GrantRow| GrantRow::address(&us(), &KeyId::single_region([1; 16]), &row.grant_id);
    let address = GrantRow::address(&us(), &key_id(), &row.grant_id);
    assert_eq!(
        address.as_str(),
        "grant/us-east-1/1234abcd-12ab-34cd-56ef-1234567890ab/41159e8b3ba1d752f56a0f89b678921a62626262626262626262626262626262"
    );
    golden(row.clone(), &address, &elsewhere(&row), GRANT);
    let grantee = GrantPrincipal::Service(SERVICE.into());
    let constraints = GrantConstraints {
        context_equals: Some(context(&[("a", "1"), ("b", "2")])),
        context_subset: Some(context(&[("a", "1")])),
        source_arn: Some("arn:aws:s3:::bucket".into()),
    };
    let row = GrantRow {
        grant_id: grant_id(&grantee),
        created: LATER,
        grantee,
        retiring: Some(GrantPrincipal::Caller(ARN.into())),
        terms: GrantTerms { constraints, operations: vec![GrantOperation::CreateGrant] },
        name: Some("for-logs".to_owned()),
        ..row
    };
    let address = GrantRow::address(&us(), &key_id(), &row.grant_id);
    golden(row.clone(), &address, &elsewhere(&row), GRANT_TO_SERVICE);
}

#[test]
fn a_grant_row_says_no_more_than_it_can_mean() {
    let here = |grantee| GrantRow::address(&us(), &key_id(), &grant_id(&grantee));
    let (plain, service) =
        (here(GrantPrincipal::Caller(ARN.into())), here(GrantPrincipal::Service(SERVICE.into())));
    for (address, golden, old, new, what) in [
        (&plain, GRANT, &*hex(b"Encrypt"), &*hex(b"Encrypy"), "an operation"),
        (&plain, GRANT, &*hex(b":root"), &*hex(b":roo7"), "another grantee under this id"),
        (&plain, GRANT, "0582 00", "0582 02", "a kind of principal"),
        (&service, GRANT_TO_SERVICE, "0373 6172", "0473 6172", "a constraint of a later version"),
        (&service, GRANT_TO_SERVICE, "0281 8261", "0181 8261", "a constraint twice"),
        (&service, GRANT_TO_SERVICE, "8261 626132", "8261 616132", "a context with a name twice"),
    ] {
        let altered = golden.replacen(&old.replace(' ', ""), &new.replace(' ', ""), 1);
        assert_ne!(altered, golden, "{what}");
        assert!(GrantRow::decode(address, &bytes(&altered)).is_err(), "{what}");
    }
}

#[test]
fn index_rows_of_grants() {
    let retiring = GrantPrincipal::Caller(ARN.into());
    let grant_id = grant_id(&retiring);
    let address = RetirableRow::address(&us(), &retiring, &key_id(), &grant_id);
    let prefix = "retirable/us-east-1/e7c65f2567b2057979869a18097e92c7/";
    assert_eq!(RetirableRow::prefix(&us(), &retiring), prefix);
    assert_eq!(address.as_str(), format!("{prefix}{KEY_ID}/{grant_id}"));
    let elsewhere = at(&format!("retirable/us-east-1/{}/{KEY_ID}/{grant_id}", "0".repeat(32)));
    golden(RetirableRow { retiring, key_id: key_id(), grant_id }, &address, &elsewhere, RETIRABLE);
    let address = OrphanedGrantsRow::address(&us(), &key_id(), CREATED);
    let elsewhere = OrphanedGrantsRow::address(&us(), &key_id(), LATER);
    golden(
        OrphanedGrantsRow { key_id: key_id(), key_created: CREATED },
        &address,
        &elsewhere,
        ORPHANED_GRANTS,
    );
}

#[test]
fn the_rows_of_last_uses_have_their_golden_bytes() {
    let last = KeyUse {
        operation: TrackedOperation::Sign,
        at: CREATED,
        event_id: RequestId::from_bytes([0x11; 16]),
        request_id: RequestId::from_bytes([0x22; 16]),
    };
    let address = KeyUsageRow::address(&us(), &key_id());
    assert_eq!(address.as_str(), format!("key-usage/us-east-1/{KEY_ID}"));
    let elsewhere = at("key-usage/us-east-1/1234abcd-12ab-34cd-56ef-1234567890ac");
    golden(KeyUsageRow::new(key_id(), last), &address, &elsewhere, KEY_USAGE);
    let address = UsageTrackingRow::address();
    assert_eq!(address.as_str(), "usage-tracking/global/journal");
    let row = UsageTrackingRow { sequence: 1000, since: CREATED };
    golden(row, &address, &at("usage-tracking/global/other"), USAGE_TRACKING);
}

/// The numbers are in rows: none changes its meaning.
#[test]
fn tracked_operations_have_their_numbers() {
    let names: Vec<_> = TrackedOperation::ALL.iter().map(|operation| operation.name()).collect();
    assert_eq!(
        names,
        [
            "Decapsulate",
            "Decrypt",
            "DeriveSharedSecret",
            "Encapsulate",
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateMac",
            "ReEncrypt",
            "Sign",
            "Verify",
            "VerifyMac",
        ]
    );
    for (number, operation) in TrackedOperation::ALL.iter().enumerate() {
        assert_eq!(usize::from(operation.number()), number);
        assert_eq!(TrackedOperation::from_number(operation.number()), Some(*operation));
        assert_eq!(TrackedOperation::from_name(operation.name()), Some(*operation));
    }
    assert_eq!(TrackedOperation::from_number(14), None);
    assert_eq!(TrackedOperation::from_name("GetPublicKey"), None);
}

#[test]
fn a_key_counts_its_grants() {
    let address = KeyRow::address(&us(), &key_id());
    let mut row: KeyRow = decode(&address, KEY);
    row.discount_grant();
    assert_eq!((row.grants(), hex(&row.encode())), (0, hex(&bytes(KEY))));
    (0..7).for_each(|_| row.count_grant());
    let counted = format!("{}{GRANTS}", KEY.replacen("ab", "ac", 1));
    assert_eq!(hex(&row.encode()), hex(&bytes(&counted)));
    assert_eq!(decode::<KeyRow>(&address, &counted).grants(), 7);
    (0..7).for_each(|_| row.discount_grant());
    assert_eq!(hex(&row.encode()), hex(&bytes(KEY)));
}
