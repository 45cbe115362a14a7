use super::*;

fn names(pattern: &str) -> Vec<&'static str> {
    ActionSet::matching(pattern).unwrap().iter().map(Action::name).collect()
}

#[test]
fn texts_that_are_no_action_are_refused() {
    for pattern in [
        "",
        "Encrypt",
        "kms",
        "kms:",
        ":Encrypt",
        "*Encrypt",
        "kms:Encrypt:Decrypt",
        "kms: Encrypt",
        " kms:Encrypt",
        "kms:Encrypt\n",
        "kms:${aws:username}",
        "\u{212a}ms:Encrypt",
        "kms:Encr\u{443}pt",
        "kms:\u{ff0a}",
        "\u{ff0a}",
    ] {
        assert_eq!(ActionSet::matching(pattern), None, "{pattern}");
    }
}

#[test]
fn other_services_and_unknown_names_match_nothing() {
    for pattern in
        ["s3:*", "s3:GetObject", "kms:ReEncrypt", "kms:Encryp", "kms:Encrypt?", "kmss:*", "aws-portal:*"]
    {
        assert!(ActionSet::matching(pattern).unwrap().is_empty(), "{pattern}");
    }
}

#[test]
fn patterns_ignore_case() {
    assert_eq!(names("kms:Encrypt"), ["kms:Encrypt"]);
    assert_eq!(names("KMS:eNCRYPT"), ["kms:Encrypt"]);
    assert_eq!(names("Kms:reencrypt*"), ["kms:ReEncryptFrom", "kms:ReEncryptTo"]);
}

#[test]
fn wildcards_match() {
    for pattern in ["*", "**", "kms:*", "KMS:**", "*:*", "k?s:*"] {
        assert_eq!(names(pattern).len(), 58, "{pattern}");
    }
    assert_eq!(names("kms:??crypt"), ["kms:Decrypt", "kms:Encrypt"]);
    assert_eq!(names("kms:Generate*Plaintext").len(), 2);
    assert_eq!(names("kms:*Mac"), ["kms:GenerateMac", "kms:VerifyMac"]);
}

#[test]
fn there_are_58_actions_and_each_has_a_bit_of_its_own() {
    assert_eq!(Action::ALL.len(), 58);
    for action in Action::ALL {
        let set: ActionSet = [*action].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [*action]);
        assert_eq!(names(action.name()), [action.name()]);
    }
    assert!(ActionSet::EMPTY.is_empty());
}

/// The operations of the service model in alphabetical order, without ReEncrypt, and the three that are none.
#[test]
fn names_are_aws_s() {
    let expected = "CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey \
        Decapsulate Decrypt DeleteAlias DeleteCustomKeyStore DeleteImportedKeyMaterial DeriveSharedSecret \
        DescribeCustomKeyStores DescribeKey DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey \
        EnableKeyRotation Encapsulate Encrypt GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext \
        GenerateDataKeyWithoutPlaintext GenerateMac GenerateRandom GetKeyLastUsage GetKeyPolicy GetKeyRotationStatus \
        GetParametersForImport GetPublicKey ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations \
        ListKeys ListResourceTags ListRetirableGrants PutKeyPolicy ReEncryptFrom ReEncryptTo ReplicateKey RetireGrant \
        RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion Sign SynchronizeMultiRegionKey TagResource UntagResource \
        UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion Verify VerifyMac";
    let found: Vec<_> =
        Action::ALL.iter().map(|action| action.name().strip_prefix("kms:").unwrap()).collect();
    assert_eq!(found.join(" "), expected);
}

#[test]
fn other_accounts_may_ask_for_these_and_no_more() {
    let expected = "CreateGrant Decapsulate Decrypt DeriveSharedSecret DescribeKey Encapsulate Encrypt GenerateDataKey \
        GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateDataKeyWithoutPlaintext GenerateMac \
        GetKeyRotationStatus GetPublicKey ListGrants ReEncryptFrom ReEncryptTo RetireGrant RevokeGrant Sign Verify \
        VerifyMac";
    assert_eq!(those(Action::is_cross_account), expected);
}

#[test]
fn the_identity_side_decides_these_alone() {
    let expected = "ConnectCustomKeyStore CreateCustomKeyStore CreateKey DeleteCustomKeyStore DescribeCustomKeyStores \
        DisconnectCustomKeyStore GenerateRandom ListAliases ListKeys ListRetirableGrants UpdateCustomKeyStore";
    assert_eq!(those(Action::is_identity_only), expected);
    assert_eq!(those(Action::has_alias_half), "CreateAlias DeleteAlias UpdateAlias");
}

fn those(predicate: impl Fn(Action) -> bool) -> String {
    let names = Action::ALL.iter().filter(|action| predicate(**action)).map(|action| &action.name()[4..]);
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_set_has_an_action_however_often_it_was_named() {
    let twice: ActionSet = [Action::Encrypt, Action::Encrypt].into_iter().collect();
    assert!(twice.contains(Action::Encrypt) && !twice.is_empty());
    assert!([].into_iter().collect::<ActionSet>().is_empty());
}
