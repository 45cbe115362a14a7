use std::collections::BTreeSet;
use std::error::Error;

use strongroom_types::limits::AUDIT_SEGMENT_BYTES;

use super::*;

const SAMPLE: &str = include_str!("../../../../docs/strongroom.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("some.toml"), text)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn with(overrides: Overrides) -> Result<Config, ConfigError> {
    Config::load(None, &overrides)
}

/// A file that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("strongroom-config-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_unknown_field_is_refused_with_its_line_and_the_known_ones() {
    let message = refusal("log_level = \"info\"\n\nlisten_on = \"127.0.0.1:1\"\n");
    assert!(
        message.starts_with(
            "`some.toml`, line 3, field `listen_on`: unknown field `listen_on`, expected one of"
        ),
        "{message}"
    );
    assert!(message.contains("`listen`"), "{message}");
}

#[test]
fn a_field_of_the_wrong_kind_is_refused_with_its_line() {
    assert_eq!(
        refusal("# a comment\nthreads = \"many\"\n"),
        "`some.toml`, line 2, field `threads`: invalid type: string \"many\", expected i64"
    );
    assert_eq!(
        refusal("listen = \"localhost\"\n"),
        "`some.toml`, line 1, field `listen`: `localhost` is not an address and a port such as 127.0.0.1:4599 or \
         [::1]:4599"
    );
    let message = refusal("log_format = \"xml\"");
    assert!(
        message.contains("field `log_format`") && message.contains("expected `json` or `text`"),
        "{message}"
    );
}

#[test]
fn numbers_one_past_either_limit_are_refused() {
    assert_eq!(
        refusal("connections_max = 0"),
        "`some.toml`, line 1, field `connections_max`: `0` is not a number from 1 to 1000000"
    );
    for text in [
        "threads = -1",
        "threads = 1025",
        "connections_max = 1000001",
        "connections_per_source_max = -1",
        "connections_per_source_max = 1000001",
        "requests_max = 0",
        "requests_max = 4001",
        "header_timeout_secs = 0",
        "header_timeout_secs = 3601",
        "body_timeout_secs = 0",
        "body_timeout_secs = 3601",
        "idle_timeout_secs = 0",
        "idle_timeout_secs = 86401",
        "shutdown_grace_secs = 3601",
        "journal_segment_mib = 0",
        "journal_segment_mib = 4097",
        "cache_rows_max = 999",
        "cache_rows_max = 100000001",
    ] {
        assert!(refusal(text).contains("is not a number from"), "{text}");
    }
}

#[test]
fn numbers_at_the_limits_are_accepted() {
    for text in [
        "threads = 1024",
        "connections_max = 1",
        "connections_max = 1000000",
        "header_timeout_secs = 3600",
        "shutdown_grace_secs = 0",
        "journal_segment_mib = 4096",
        "cache_rows_max = 1000",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
    assert_eq!(parse("journal_segment_mib = 4096").unwrap().journal_segment_bytes(), 4 << 30);
}

#[test]
fn sm2_regions_are_names_of_regions() {
    let refused = refusal("listen = \"127.0.0.1:1\"\nsm2_regions = [\"eu-west-1\", \"EU\"]\n");
    assert!(refused.contains("line 2, field `sm2_regions`"), "{refused}");
    assert!(refusal("sm2_regions = \"cn-*\"").contains("field `sm2_regions`"));
    assert_eq!(parse("").unwrap().sm2_regions.len(), 2);
    assert_eq!(parse("sm2_regions = []").unwrap().sm2_regions, []);
    let named = parse("sm2_regions = [\"eu-west-1\"]").unwrap().sm2_regions;
    assert_eq!(named, [RegionName::parse("eu-west-1").unwrap()]);
}

#[test]
fn a_layer_of_hardening_is_one_of_three_words() {
    let refused = refusal("[hardening]\nlandlock = true\n");
    assert!(refused.contains("line 2, field `landlock`"), "{refused}");
    assert!(refusal("[hardening]\nseccomp = \"on\"\n").contains("`if-available`"));
    assert!(refusal("[hardening]\napparmor = \"off\"\n").contains("unknown field `apparmor`"));
    let hardening = parse("[hardening]\nlandlock = \"required\"\nseccomp = \"off\"\n").unwrap().hardening;
    assert_eq!(hardening, HardeningConfig { landlock: Layer::Required, seccomp: Layer::Off });
    let default = HardeningConfig { landlock: Layer::IfAvailable, seccomp: Layer::IfAvailable };
    assert_eq!(parse("").unwrap().hardening, default);
}

#[test]
fn a_group_needs_a_user_and_the_command_line_wins() {
    let named = |user: Option<&str>, group: Option<&str>| Overrides {
        user: user.map(str::to_owned),
        group: group.map(str::to_owned),
        ..Overrides::default()
    };
    assert!(matches!(with(named(None, Some("keys"))), Err(ConfigError::GroupWithoutUser)));
    let config = with(named(Some("strong"), Some("keys"))).unwrap();
    assert_eq!((config.user.as_str(), config.group.as_str()), ("strong", "keys"));
    let file = Scratch::new("user", b"user = \"file\"\ngroup = \"files\"\n");
    let config = Config::load(Some(&file.0), &named(Some("line"), None)).unwrap();
    assert_eq!((config.user.as_str(), config.group.as_str()), ("line", "files"));
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    let message = refusal("threads = 1\nlisten\n");
    assert!(message.starts_with("`some.toml`, line 2"), "{message}");
    assert!(refusal("threads = 1\nthreads = 2\n").contains("line 2, field `threads`: duplicate key"));
}

#[test]
fn an_address_that_others_reach_is_refused_without_the_flag() {
    for listen in ["0.0.0.0:4599", "192.0.2.1:4599", "[::]:4599", "[::ffff:192.0.2.1]:4599"] {
        let listen: SocketAddr = listen.parse().unwrap();
        let refused =
            with(Overrides { listen: Some(listen), ..Overrides::default() }).unwrap_err().to_string();
        assert!(
            refused.contains(&listen.to_string()) && refused.contains("--insecure-plaintext"),
            "{refused}"
        );
        let accepted =
            with(Overrides { listen: Some(listen), insecure_plaintext: true, ..Overrides::default() })
                .unwrap();
        assert_eq!(accepted.listen, listen);
    }
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let listen = Some(listen.parse().unwrap());
        assert!(with(Overrides { listen, ..Overrides::default() }).is_ok(), "{listen:?}");
    }
}

#[test]
fn with_tls_any_address_may_be_listened_on() {
    let listen = Some("0.0.0.0:4599".parse().unwrap());
    let tls =
        TlsConfig { certificate: Some("c.pem".into()), key: Some("k.pem".into()), ..TlsConfig::default() };
    let config = with(Overrides { listen, tls: tls.clone(), ..Overrides::default() }).unwrap();
    assert_eq!(config.tls, tls);
    assert!(config.tls.is_on() && !Config::default().tls.is_on());
}

#[test]
fn half_a_tls_table_is_refused() {
    for (text, given, missing) in [
        ("certificate = 'c'", "certificate", "key"),
        ("key = 'k'", "key", "certificate"),
        ("client_ca = 'a'", "client_ca", "certificate"),
        (
            "certificate = 'c'\nkey = 'k'\nclient_certificates = 'optional'",
            "client_certificates",
            "client_ca",
        ),
    ] {
        let refused = parse(&format!("[tls]\n{text}\n")).unwrap().check().unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("`{given}` of `[tls]` is set and `{missing}` is not; set both or neither")
        );
    }
    assert!(refusal("[tls]\nclient_certificates = 'maybe'").contains("`optional` or `required`"));
    assert!(refusal("[tls]\nca = 'c'").contains("unknown field `ca`"));
}

#[test]
fn flags_of_tls_lie_over_the_file() {
    let file = Scratch::new("tls", b"[tls]\ncertificate = 'c'\nkey = 'k'\nclient_ca = 'a'\n");
    let tls = TlsConfig { key: Some("other".into()), ..TlsConfig::default() };
    let config = Config::load(Some(&file.0), &Overrides { tls, ..Overrides::default() }).unwrap();
    let expected = TlsConfig {
        certificate: Some("c".into()),
        key: Some("other".into()),
        client_ca: Some("a".into()),
        client_certificates: None,
    };
    assert_eq!(config.tls, expected);
}

#[test]
fn the_sample_names_every_field_of_tls() {
    let message = refusal("[tls]\nno_such_field = 1");
    let known = message.rsplit_once("expected one of").unwrap().1.split('`').skip(1).step_by(2);
    let shown = SAMPLE.split_once("\n[tls]").unwrap().1;
    for name in known {
        assert!(shown.contains(&format!("\n# {name} = ")), "{name}");
    }
}

#[test]
fn documents_are_believed_no_longer_than_their_certificates() {
    for text in ["document_age_max_secs = 0", "document_age_max_secs = 10801", "roots = 'a.pem'", "root = []"]
    {
        assert!(parse(&format!("[attestation]\n{text}\n")).is_err(), "{text}");
    }
    let config = parse("[attestation]\nroots = ['a.pem', 'b.pem']\ndocument_age_max_secs = 10800\n").unwrap();
    assert_eq!(config.attestation.roots, [PathBuf::from("a.pem"), PathBuf::from("b.pem")]);
    assert_eq!(config.attestation.document_age_max(), Duration::from_secs(10_800));
    assert!(parse("").unwrap().attestation.roots.is_empty());
}

#[test]
fn the_sample_names_every_field_of_attestation() {
    let message = refusal("[attestation]\nno_such_field = 1");
    let known = message.rsplit_once("expected").unwrap().1.split('`').skip(1).step_by(2);
    let shown = SAMPLE.split_once("\n[attestation]").unwrap().1;
    for name in known {
        assert!(shown.contains(&format!("\n{name} = ")), "{name}");
    }
}

#[test]
fn a_bound_is_never_lowered_below_its_smallest() {
    let bound: Bounded<1, 9> = Bounded(5);
    assert_eq!([0, 3, 7].map(|limit| bound.at_most(limit).as_u32()), [1, 3, 5]);
}

#[test]
fn one_address_for_both_listeners_is_refused() {
    let both = |address: &str| {
        let address = Some(address.parse().unwrap());
        with(Overrides { listen: address, admin_listen: address, ..Overrides::default() })
    };
    assert!(both("127.0.0.1:4599").unwrap_err().to_string().contains("another port"));
    assert!(both("127.0.0.1:0").is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let path = Path::new("/nonexistent/strongroom.toml");
    let error = Config::load(Some(path), &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("`/nonexistent/strongroom.toml`"), "{error}");
    assert!(error.source().is_some());
    let binary = Scratch::new("binary", &[0xff, 0xfe]);
    assert!(matches!(Config::load(Some(&binary.0), &Overrides::default()), Err(ConfigError::Read { .. })));
}

#[test]
fn a_file_one_byte_past_the_limit_is_refused() {
    let mut content = vec![b'#'; CONFIG_BYTES_MAX];
    let file = Scratch::new("at-limit", &content);
    assert_eq!(Config::load(Some(&file.0), &Overrides::default()).unwrap(), Config::default());
    content.push(b'#');
    let file = Scratch::new("past-limit", &content);
    assert!(matches!(Config::load(Some(&file.0), &Overrides::default()), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn the_command_line_lies_over_the_file_and_the_file_over_the_defaults() {
    let file = Scratch::new("layers", b"threads = 3\nlog_level = \"warn\"\ninsecure_plaintext = true\n");
    let overrides = Overrides {
        admin_listen: Some("127.0.0.1:9".parse().unwrap()),
        log_format: Some(LogFormat::Json),
        log_level: Some(LogLevel::Debug),
        ..Overrides::default()
    };
    let expected = Config {
        threads: Bounded(3),
        log_level: LogLevel::Debug,
        insecure_plaintext: true,
        admin_listen: "127.0.0.1:9".parse().unwrap(),
        log_format: LogFormat::Json,
        ..Config::default()
    };
    assert_eq!(Config::load(Some(&file.0), &overrides).unwrap(), expected);
}

#[test]
fn no_file_and_an_empty_file_are_the_defaults() {
    assert_eq!(with(Overrides::default()).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(Config::default().journal_segment_bytes(), AUDIT_SEGMENT_BYTES);
}

#[test]
fn the_sample_shows_every_field_with_its_default() {
    assert_eq!(parse(SAMPLE).unwrap(), Config::default());
    // The refusal of an unknown field lists the known ones.
    let message = refusal("no_such_field = 1");
    let known: BTreeSet<&str> =
        message.rsplit_once("expected one of").unwrap().1.split('`').skip(1).step_by(2).collect();
    let shown: toml::Table = SAMPLE.parse().unwrap();
    assert_eq!(shown.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

#[test]
fn flags_are_parsed_as_the_file_is() {
    assert!("xml".parse::<LogFormat>().is_err() && "loud".parse::<LogLevel>().is_err());
    for name in ["text", "json"] {
        let flag: LogFormat = name.parse().unwrap();
        assert_eq!(parse(&format!("log_format = {name:?}")).unwrap().log_format, flag);
    }
    for name in ["error", "warn", "info", "debug", "trace"] {
        let flag: LogLevel = name.parse().unwrap();
        assert_eq!(parse(&format!("log_level = {name:?}")).unwrap().log_level, flag);
    }
    assert!("1025".parse::<Bounded<0, 1024>>().is_err() && "two".parse::<Bounded<0, 1024>>().is_err());
    assert_eq!("1024".parse::<Bounded<0, 1024>>().unwrap().to_string(), "1024");
}

#[test]
fn zero_threads_are_as_many_as_cores() {
    assert!(Config::default().thread_count() >= 1);
    assert_eq!(parse("threads = 3").unwrap().thread_count(), 3);
}
