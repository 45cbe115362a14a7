//! Seeds: what is refused of them, and that what they make is what the API would have made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Deployment, EU, OWNER, ROOT, ROOT_EU, US, base64, bytes, key_arn};
use serde_json::{Value, json};
use strongroom_audit::{Event, to_cloudtrail};
use strongroom_kms::{Seed, SeedError, SeedKey};
use strongroom_records::OutboxRow;
use strongroom_types::limits::SEED_KEYS_MAX;
use strongroom_types::{AccountId, Credential, RegionName};

const ONE: &str = "11111111-1111-4111-8111-111111111111";
/// No version of UUID that CreateKey makes: a seed may have any.
const TWO: &str = "22222222-2222-2222-2222-222222222222";

fn key(id: &str) -> SeedKey {
    SeedKey { id: id.to_owned(), region: Some(US.to_owned()), ..SeedKey::default() }
}

fn check(keys: Vec<SeedKey>) -> Result<Seed, SeedError> {
    Seed::check(keys, AccountId::parse(OWNER).unwrap(), &common::regions())
}

fn material(bytes: &[u8]) -> Option<Credential> {
    Some(Credential::new(base64(bytes).into_bytes()))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn tags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_is_wrong_is_refused_by_table_and_field() {
    let locked_out = common::policy("Allow", common::root_of(OWNER), json!("kms:Encrypt"));
    let stranger = common::policy("Allow", common::root_of("999988887777"), json!("kms:*"));
    let open = |more: SeedKey| SeedKey { id: TWO.to_owned(), region: Some(US.to_owned()), ..more };
    let fifty_one: Vec<_> = (0..51).map(|number| format!("alias/{number}")).collect();
    for (second, field, problem) in [
        (key("x"), "id", "is not a key id"),
        (key("mrk-11111111111141118111111111111111"), "id", "multi-Region keys are not built yet"),
        (key(ONE), "id", "is the id of two keys"),
        (SeedKey { region: None, ..key(TWO) }, "region", "several regions"),
        (
            SeedKey { region: Some("ap-south-1".to_owned()), ..key(TWO) },
            "region",
            "has no region `ap-south-1`",
        ),
        (SeedKey { region: Some("Nowhere".to_owned()), ..key(TWO) }, "region", "`Nowhere`"),
        (open(SeedKey { description: Some("d".repeat(8193)), ..key("") }), "description", "more than 8192"),
        (open(SeedKey { policy: Some("{".to_owned()), ..key("") }), "policy", "line 1"),
        (open(SeedKey { policy: Some(locked_out), ..key("") }), "policy", "will not allow you to update"),
        (open(SeedKey { policy: Some(stranger), ..key("") }), "policy", "invalid principals"),
        (open(SeedKey { tags: tags(&[("aws:x", "")]), ..key("") }), "tags", "are reserved"),
        (open(SeedKey { tags: tags(&[("a", ""), ("a", "")]), ..key("") }), "tags", "Duplicate tag keys"),
        (open(SeedKey { aliases: names(&["app"]), ..key("") }), "aliases", "must start with the prefix"),
        (open(SeedKey { aliases: names(&["alias/aws/x"]), ..key("") }), "aliases", "NotAuthorizedException"),
        (open(SeedKey { aliases: names(&["alias/one"]), ..key("") }), "aliases", "`alias/one` stands twice"),
        (open(SeedKey { aliases: fifty_one, ..key("") }), "aliases", "at most 50 aliases"),
        (open(SeedKey { material: material(&[7; 31]), ..key("") }), "material", "not 32 bytes in base64"),
        (open(SeedKey { material: material(&[7; 33]), ..key("") }), "material", "not 32 bytes in base64"),
        (
            open(SeedKey { material: Some(Credential::new(b"?".to_vec())), ..key("") }),
            "material",
            "not 32 bytes in base64",
        ),
    ] {
        let first = SeedKey { aliases: names(&["alias/one"]), ..key(ONE) };
        let Err(error) = check(vec![first, second]) else { panic!("{field}: {problem}") };
        let told = error.to_string();
        assert!(told.starts_with(&format!("table `[[key]]` number 2, field `{field}`: ")), "{told}");
        assert!(told.contains(problem), "{told}");
    }
}

#[test]
fn a_seed_has_500_keys_and_no_more() {
    let keys =
        |count: usize| (0..count).map(|number| key(&format!("{number:08}-0000-4000-8000-000000000000")));
    let Err(error) = check(keys(SEED_KEYS_MAX + 1).collect()) else { panic!("too many keys") };
    assert_eq!(error, SeedError::TooManyKeys { found: SEED_KEYS_MAX + 1 });
    let deployment = Deployment::seeded(Some(check(keys(SEED_KEYS_MAX).collect()).unwrap()));
    deployment.assert_clean();
    let listed = deployment.ok(ROOT, "ListKeys", json!({ "Limit": 1000 }));
    assert_eq!(listed["Keys"].as_array().unwrap().len(), SEED_KEYS_MAX);
}

#[test]
fn a_region_may_be_left_out_where_there_is_one() {
    let regions = [RegionName::parse(EU).unwrap()];
    let seed =
        Seed::check(vec![SeedKey { region: None, ..key(ONE) }], AccountId::parse(OWNER).unwrap(), &regions);
    assert_eq!(seed.unwrap().counts(), (1, 0));
}

fn whole() -> Vec<SeedKey> {
    let policy = common::policy("Allow", json!("*"), json!("kms:*"));
    vec![
        SeedKey {
            aliases: names(&["alias/b", "alias/a"]),
            description: Some("seeded".to_owned()),
            material: material(&[7; 32]),
            policy: Some(policy),
            tags: tags(&[("team", "payments"), ("Stage", "")]),
            ..key(ONE)
        },
        SeedKey { region: Some(EU.to_owned()), aliases: names(&["alias/a"]), ..key(TWO) },
    ]
}

#[test]
fn what_a_seed_makes_is_what_the_api_would_have_made() {
    let deployment = Deployment::seeded(Some(check(whole()).unwrap()));
    deployment.assert_clean();
    let described = &deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": "alias/a" }))["KeyMetadata"];
    assert_eq!(described["Arn"], json!(key_arn(US, OWNER, ONE)));
    assert_eq!((&described["Description"], &described["KeyState"]), (&json!("seeded"), &json!("Enabled")));
    let expected =
        json!([{ "TagKey": "Stage", "TagValue": "" }, { "TagKey": "team", "TagValue": "payments" }]);
    assert_eq!(deployment.ok(ROOT, "ListResourceTags", json!({ "KeyId": ONE }))["Tags"], expected);
    let policy = common::text(&deployment.ok(ROOT, "GetKeyPolicy", json!({ "KeyId": ONE }))["Policy"]);
    assert_eq!(policy, common::policy("Allow", json!("*"), json!("kms:*")));
    let elsewhere = deployment.ok(ROOT_EU, "DescribeKey", json!({ "KeyId": "alias/a" }));
    assert_eq!(elsewhere["KeyMetadata"]["Arn"], json!(key_arn(EU, OWNER, TWO)));
    assert_eq!(deployment.refused(ROOT, "DescribeKey", json!({ "KeyId": TWO })).error, "NotFoundException");
    // And it can be changed like any other.
    deployment.ok(ROOT, "DeleteAlias", json!({ "AliasName": "alias/b" }));
    deployment.ok(ROOT, "ScheduleKeyDeletion", json!({ "KeyId": ONE }));
    deployment.assert_clean();
}

#[test]
fn fixed_material_opens_blobs_of_every_deployment_that_has_it() {
    let [one, other] = [(); 2].map(|()| Deployment::seeded(Some(check(whole()).unwrap())));
    let blob = one.encrypt(ROOT, ONE, b"the same");
    let opened = other.ok(ROOT, "Decrypt", json!({ "CiphertextBlob": blob }));
    assert_eq!(bytes(&opened["Plaintext"]), b"the same");
    // Material that was not given is its deployment's own.
    let blob = one.encrypt(ROOT_EU, TWO, b"its own");
    let told = other.refused(ROOT_EU, "Decrypt", json!({ "CiphertextBlob": blob }));
    assert_eq!(told.error, "InvalidCiphertextException");
}

#[test]
fn each_key_and_alias_has_its_record_without_the_material() {
    let deployment = Deployment::seeded(Some(check(whole()).unwrap()));
    let mut found = Vec::new();
    for region in common::regions() {
        let rows = deployment.records.scan::<OutboxRow>(&OutboxRow::prefix(&region), None, 100).unwrap();
        for row in &rows {
            let event = Event::decode(&row.event).unwrap();
            found.push(serde_json::to_value(to_cloudtrail(&event)).unwrap());
        }
    }
    let text = json!(found).to_string();
    assert!(text.contains(ONE) && !text.contains(&base64(&[7; 32])));
    let of =
        |name: &str| found.iter().filter(|event| event["eventName"] == json!(name)).collect::<Vec<&Value>>();
    assert_eq!((of("CreateKey").len(), of("CreateAlias").len(), found.len()), (2, 3, 5));
    let arn = json!(key_arn(US, OWNER, ONE));
    let made = of("CreateKey").into_iter().find(|event| event["resources"][0]["ARN"] == arn).unwrap();
    assert_eq!(made["eventType"], json!("AwsServiceEvent"));
    assert_eq!(made["sourceIPAddress"], json!("strongroom init"));
    assert_eq!(made["serviceEventDetails"], json!({ "fixedMaterial": true, "seeded": true }));
    assert_eq!(made["requestParameters"]["tags"][0], json!({ "tagKey": "team", "tagValue": "payments" }));
}
