use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use strongroom_types::limits::{DEV_CERTIFICATE_NAMES_MAX, TLS_FILE_BYTES_MAX};

use super::*;
use crate::config::ClientCertificates;
use crate::env::SystemEnv;
use crate::watch::FileWatch;
use strongroom_types::Env;

/// Certificates in a directory of their own, which is removed with them.
pub(crate) struct Scratch {
    pub(crate) directory: PathBuf,
    pub(crate) made: DevCertificates,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("strongroom-tls-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let made = make_dev_certificates(&directory, &[], SystemEnv::new().now()).unwrap();
        Self { directory, made }
    }

    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.made.server.clone()),
            key: Some(self.made.server_key.clone()),
            ..TlsConfig::default()
        }
    }

    /// With certificates of clients checked against this CA.
    pub(crate) fn config_with_clients(&self, wanted: ClientCertificates) -> TlsConfig {
        TlsConfig {
            client_ca: Some(self.made.ca.clone()),
            client_certificates: Some(wanted),
            ..self.config()
        }
    }

    pub(crate) fn load(&self) -> Arc<Tls> {
        Tls::load(&self.config()).unwrap().unwrap()
    }

    /// Puts another deployment's certificate and key in the place of these.
    pub(crate) fn replace_by(&self, other: &Self) {
        fs::copy(&other.made.server, &self.made.server).unwrap();
        fs::copy(&other.made.server_key, &self.made.server_key).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn refusal(config: &TlsConfig) -> String {
    Tls::load(config).unwrap_err().to_string()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_that_others_may_use_is_refused() {
    let scratch = Scratch::new();
    for mode in [0o644, 0o604, 0o602, 0o601, 0o620] {
        chmod(&scratch.made.server_key, mode);
        let refused = refusal(&scratch.config());
        assert!(refused.contains("server-key.pem") && refused.contains(&format!("{mode:04o}")), "{refused}");
    }
    for mode in [0o600, 0o400, 0o640, 0o440] {
        chmod(&scratch.made.server_key, mode);
        assert!(Tls::load(&scratch.config()).is_ok(), "{mode:o}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let scratch = Scratch::new();
    let config = TlsConfig { key: Some(scratch.made.client_key.clone()), ..scratch.config() };
    let refused = refusal(&config);
    assert!(refused.contains("server.pem") && refused.contains("client-key.pem"), "{refused}");
}

#[test]
fn files_of_the_wrong_kind_are_refused() {
    let scratch = Scratch::new();
    let swapped = TlsConfig {
        certificate: Some(scratch.made.server_key.clone()),
        key: Some(scratch.made.server_key.clone()),
        ..TlsConfig::default()
    };
    assert!(refusal(&swapped).contains("holds no certificate"));
    chmod(&scratch.made.server, 0o600);
    let no_key = TlsConfig { key: Some(scratch.made.server.clone()), ..scratch.config() };
    assert!(refusal(&no_key).contains("holds no private key"));
    let no_ca = TlsConfig { client_ca: Some(scratch.made.client_key.clone()), ..scratch.config() };
    assert!(refusal(&no_ca).contains("holds no certificate"));
    let missing = TlsConfig { key: Some(scratch.directory.join("missing")), ..scratch.config() };
    assert!(refusal(&missing).starts_with("cannot read `"));
    fs::write(&scratch.made.server, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    assert!(refusal(&scratch.config()).contains("no certificate that can be read"));
}

#[test]
fn a_file_one_byte_too_large_is_refused() {
    let scratch = Scratch::new();
    let mut text = fs::read(&scratch.made.server).unwrap();
    text.resize(TLS_FILE_BYTES_MAX, b'\n');
    fs::write(&scratch.made.server, &text).unwrap();
    assert!(Tls::load(&scratch.config()).is_ok());
    text.push(b'\n');
    fs::write(&scratch.made.server, &text).unwrap();
    assert!(refusal(&scratch.config()).contains("is larger than 1048576 bytes"));
}

#[test]
fn without_files_there_is_no_tls() {
    assert!(Tls::load(&TlsConfig::default()).unwrap().is_none());
}

#[test]
fn the_end_of_the_certificate_is_known() {
    let scratch = Scratch::new();
    let now = SystemEnv::new().now().as_secs();
    let days = (scratch.load().current().not_after.as_secs() - now) / (24 * 60 * 60);
    assert!((396..=397).contains(&days), "{days}");
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let tls = scratch.load();
    let before = tls.current().server;
    fs::copy(&other.made.server, &scratch.made.server).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Mismatch { .. })));
    fs::remove_file(&scratch.made.server).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Read { .. })));
    assert!(Arc::ptr_eq(&before, &tls.current().server));
    assert_eq!(tls.failed_reloads.load(Ordering::Relaxed), 2);
    scratch.replace_by(&other);
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &tls.current().server));
}

#[test]
fn changed_files_are_found_without_a_signal() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let tls = scratch.load();
    let before = tls.current().server;
    let watched: Arc<dyn Watched> = Arc::clone(&tls) as _;
    let _watch = FileWatch::start(vec![watched], Duration::from_millis(1)).unwrap();
    scratch.replace_by(&other);
    let begun = Instant::now();
    while Arc::ptr_eq(&before, &tls.current().server) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_overwritten_by_certificates_for_trying_out() {
    let scratch = Scratch::new();
    let before = fs::read(&scratch.made.server_key).unwrap();
    fs::remove_file(&scratch.made.ca).unwrap();
    let refused = make_dev_certificates(&scratch.directory, &[], Timestamp::default()).unwrap_err();
    assert!(matches!(refused, DevCertificateError::AlreadyExists { .. }), "{refused}");
    assert_eq!(fs::read(&scratch.made.server_key).unwrap(), before);
    assert!(!scratch.made.ca.exists());
}

#[test]
fn keys_for_trying_out_are_their_owners_alone() {
    let scratch = Scratch::new();
    for path in [&scratch.made.server_key, &scratch.made.client_key] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Of the CA there is the certificate and no key.
    let names = fs::read_dir(&scratch.directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "client-key.pem", "client.pem", "server-key.pem", "server.pem"]);
}

#[test]
fn what_is_no_name_of_a_host_gets_no_certificate() {
    let directory = std::env::temp_dir().join(format!("strongroom-tls-{}-names", std::process::id()));
    let make = |names: &[String]| make_dev_certificates(&directory, names, Timestamp::default());
    for name in ["", "a b", "a..b", "-a", "a-", "a_b", "https://a", "kms.example:4599", "bücher", "*."] {
        let refused = make(&[name.to_owned()]);
        assert!(matches!(refused, Err(DevCertificateError::Name { .. })), "{name}");
    }
    let many = |count: usize| (0..count).map(|n| format!("host-{n}")).collect::<Vec<_>>();
    let refused = make(&many(DEV_CERTIFICATE_NAMES_MAX - 2));
    assert!(matches!(refused, Err(DevCertificateError::TooManyNames)));
    assert!(!directory.exists());
    let made = make(&["localhost", "kms.example", "*.example", "192.0.2.1"].map(str::to_owned)).unwrap();
    assert_eq!(made.names, ["localhost", "127.0.0.1", "::1", "kms.example", "*.example", "192.0.2.1"]);
    fs::remove_dir_all(&directory).unwrap();
    assert!(make(&many(DEV_CERTIFICATE_NAMES_MAX - 3)).is_ok());
    fs::remove_dir_all(&directory).unwrap();
}
