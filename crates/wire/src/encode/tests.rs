use proptest::prelude::*;

use super::*;
use crate::*;

fn body(reply: &impl WireReply) -> String {
    let mut out = Vec::new();
    reply.encode(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn absent_members_are_left_out() {
    assert_eq!(body(&EncryptReply::default()), "{}");
    let reply = EncryptReply { key_id: Some("k".into()), ..EncryptReply::default() };
    assert_eq!(body(&reply), r#"{"KeyId":"k"}"#);
}

#[test]
fn empty_shapes_and_no_shape_differ() {
    assert_eq!(body(&NoReply), "");
    assert_eq!(body(&DeleteCustomKeyStoreReply), "{}");
}

#[test]
fn a_data_key_is_written_in_the_models_order() {
    let reply = GenerateDataKeyReply {
        ciphertext_blob: Some(vec![0, 255, 254]),
        plaintext: Some(Plaintext::new(b"sesame!!".to_vec())),
        key_id: Some("arn:aws:kms:us-east-1:111122223333:key/x".into()),
        ciphertext_for_recipient: None,
        key_material_id: Some("00ff".into()),
    };
    assert_eq!(
        body(&reply),
        r#"{"CiphertextBlob":"AP/+","Plaintext":"c2VzYW1lISE=","KeyId":"arn:aws:kms:us-east-1:111122223333:key/x","KeyMaterialId":"00ff"}"#
    );
    assert_eq!(format!("{:?}", reply.plaintext), "Some(Plaintext(..))");
    assert!(format!("{reply:?}").contains("ciphertext_blob: Some(3 bytes)"));
}

#[test]
fn every_kind_of_value_has_its_form() {
    let metadata = KeyMetadata {
        aws_account_id: Some("111122223333".into()),
        key_id: "k".into(),
        creation_date: Some(Timestamp::from_millis(1_773_253_425_560)),
        enabled: Some(false),
        description: Some(String::new()),
        key_state: Some(KeyState::PendingReplicaDeletion),
        customer_master_key_spec: Some(KeySpec::MlDsa44),
        signing_algorithms: Some(vec![SigningAlgorithmSpec::MlDsaShake256]),
        multi_region_configuration: Some(MultiRegionConfiguration {
            replica_keys: Some(vec![
                MultiRegionKey::default(),
                MultiRegionKey { arn: None, region: Some("r".into()) },
            ]),
            ..MultiRegionConfiguration::default()
        }),
        pending_deletion_window_in_days: Some(30),
        ..KeyMetadata::default()
    };
    assert_eq!(
        body(&DescribeKeyReply { key_metadata: Some(metadata) }),
        concat!(
            r#"{"KeyMetadata":{"AWSAccountId":"111122223333","KeyId":"k","CreationDate":1773253425.560,"Enabled":false,"#,
            r#""Description":"","KeyState":"PendingReplicaDeletion","CustomerMasterKeySpec":"ML_DSA_44","#,
            r#""SigningAlgorithms":["ML_DSA_SHAKE_256"],"#,
            r#""MultiRegionConfiguration":{"ReplicaKeys":[{},{"Region":"r"}]},"PendingDeletionWindowInDays":30}}"#,
        )
    );
}

#[test]
fn lists_and_contexts_have_commas_between_only() {
    let context = |pairs: &[(&str, &str)]| {
        EncryptionContext::new(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()).unwrap()
    };
    let grant = GrantListEntry {
        constraints: Some(GrantConstraints {
            encryption_context_subset: Some(context(&[("b", "\"2\""), ("a", "1")])),
            encryption_context_equals: Some(context(&[])),
            source_arn: None,
        }),
        operations: Some(vec![GrantOperation::Encrypt, GrantOperation::Decrypt]),
        ..GrantListEntry::default()
    };
    let reply = ListGrantsReply { grants: Some(vec![grant]), next_marker: None, truncated: Some(true) };
    assert_eq!(
        body(&reply),
        concat!(
            r#"{"Grants":[{"Operations":["Encrypt","Decrypt"],"Constraints":{"EncryptionContextSubset":"#,
            r#"{"a":"1","b":"\"2\""},"EncryptionContextEquals":{}}}],"Truncated":true}"#,
        )
    );
    assert_eq!(body(&ListKeysReply { keys: Some(vec![]), ..ListKeysReply::default() }), r#"{"Keys":[]}"#);
}

#[test]
fn a_credential_in_a_reply_is_its_text() {
    let proxy = XksProxyConfigurationType {
        access_key_id: Some(Credential::new(b"ABC\"".to_vec())),
        ..XksProxyConfigurationType::default()
    };
    let mut out = Vec::new();
    proxy.write(&mut out);
    assert_eq!(out, br#"{"AccessKeyId":"ABC\""}"#);
    assert!(!format!("{proxy:?}").contains("ABC"));
}

#[test]
fn nothing_is_cut_from_what_was_there() {
    let mut out = b"head ".to_vec();
    DeleteCustomKeyStoreReply.encode(&mut out);
    assert_eq!(out, b"head {}");
}

proptest! {
    #[test]
    fn texts_survive_any_parser(text: String) {
        let mut out = Vec::new();
        text.write(&mut out);
        prop_assert!(out.len() <= text.size());
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    /// The owner of the buffer can wipe it only if it never moved.
    #[test]
    fn a_reply_stays_within_its_size_hint(
        plaintext: Vec<u8>, ciphertext: Vec<u8>, key_id in "\\PC{0,40}[\u{0}-\u{7f}]{0,20}", algorithm in 0_usize..4, before in 0_usize..9
    ) {
        let reply = DecryptReply {
            key_id: Some(key_id),
            plaintext: Some(Plaintext::new(plaintext)),
            encryption_algorithm: EncryptionAlgorithmSpec::ALL.get(algorithm).copied(),
            ciphertext_for_recipient: Some(ciphertext),
            key_material_id: None,
        };
        let mut out = Vec::with_capacity(before + reply.size_hint());
        out.resize(before, b' ');
        let (place, capacity) = (out.as_ptr(), out.capacity());
        reply.encode(&mut out);
        prop_assert_eq!((out.as_ptr(), out.capacity()), (place, capacity));
        prop_assert!(out.len() <= before + reply.size_hint());
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }

    #[test]
    fn sizes_of_numbers_and_times_are_upper_bounds(number: u32, millis: u64) {
        let (mut out, at) = (Vec::new(), Timestamp::from_millis(millis));
        number.write(&mut out);
        prop_assert!(out.len() <= number.size());
        out.clear();
        at.write(&mut out);
        prop_assert!(out.len() <= at.size());
    }
}

#[test]
fn the_largest_values_fit_their_sizes() {
    let mut out = Vec::new();
    Timestamp::from_millis(u64::MAX).write(&mut out);
    assert_eq!(out.len(), Timestamp::default().size());
    out.clear();
    u32::MAX.write(&mut out);
    assert_eq!(out.len(), 0_u32.size());
}
