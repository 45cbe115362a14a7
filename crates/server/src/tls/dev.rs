//! Certificates for trying TLS out: a CA, a certificate for the server, one for a client.
//!
//! The CA's key is dropped as soon as it has signed both: whoever is made to trust this CA trusts two certificates and
//! nobody who finds a file later. For anything but trying out, use the certificates of your own CA.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use strongroom_types::Timestamp;
use strongroom_types::limits::DEV_CERTIFICATE_NAMES_MAX;
use zeroize::Zeroizing;

/// What browsers and operating systems take for a server's certificate at most.
const LIFETIME: Duration = Duration::from_secs(397 * 24 * 60 * 60);
/// Certificates begin a little earlier, for clients whose clocks are behind.
const EARLIER: Duration = Duration::from_secs(60 * 60);

/// Where everything was put.
#[derive(Debug)]
pub struct DevCertificates {
    pub ca: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    pub client: PathBuf,
    pub client_key: PathBuf,
    /// The names and addresses that the server's certificate holds for.
    pub names: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DevCertificateError {
    #[error("`{path}` exists already and is not overwritten; name another directory")]
    AlreadyExists { path: PathBuf },
    #[error("the certificates cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("`{name}` is neither a host name nor an address")]
    Name { name: String },
    #[error("a certificate can have at most {DEV_CERTIFICATE_NAMES_MAX} names")]
    TooManyNames,
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: io::Error },
}

/// Makes everything in `directory`, which is made if it is missing. The server's certificate is for this machine and the
/// further `names`.
pub fn make_dev_certificates(
    directory: &Path,
    names: &[String],
    now: Timestamp,
) -> Result<DevCertificates, DevCertificateError> {
    let mut all = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for name in names.iter().filter(|name| !is_name_of_this_machine(name)) {
        check_name(name)?;
        all.push(name.clone());
    }
    if all.len() > DEV_CERTIFICATE_NAMES_MAX {
        return Err(DevCertificateError::TooManyNames);
    }
    let path = |name: &str| directory.join(name);
    let made = DevCertificates {
        ca: path("ca.pem"),
        server: path("server.pem"),
        server_key: path("server-key.pem"),
        client: path("client.pem"),
        client_key: path("client-key.pem"),
        names: all,
    };
    let paths = [&made.ca, &made.server, &made.server_key, &made.client, &made.client_key];
    if let Some(path) = paths.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(DevCertificateError::AlreadyExists { path: path.clone() });
    }
    fs::create_dir_all(directory)
        .map_err(|source| DevCertificateError::Write { path: directory.to_owned(), source })?;
    write_all(&made, now)?;
    Ok(made)
}

fn write_all(made: &DevCertificates, now: Timestamp) -> Result<(), DevCertificateError> {
    let ca = CertifiedIssuer::self_signed(ca_params(now)?, KeyPair::generate()?)?;
    let server = leaf_params("Strongroom server", &made.names, ExtendedKeyUsagePurpose::ServerAuth, now)?;
    let client = leaf_params("Strongroom client", &[], ExtendedKeyUsagePurpose::ClientAuth, now)?;
    write(&made.ca, ca.pem().as_bytes(), 0o644)?;
    for (params, certificate, key) in
        [(server, &made.server, &made.server_key), (client, &made.client, &made.client_key)]
    {
        let pair = KeyPair::generate()?;
        let pem = params.signed_by(&pair, &ca)?.pem();
        write(certificate, pem.as_bytes(), 0o644)?;
        write(key, Zeroizing::new(pair.serialize_pem()).as_bytes(), 0o600)?;
    }
    Ok(())
}

fn ca_params(now: Timestamp) -> Result<CertificateParams, DevCertificateError> {
    let mut params = params("Strongroom CA for trying out", &[], now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(
    common_name: &str,
    names: &[String],
    usage: ExtendedKeyUsagePurpose,
    now: Timestamp,
) -> Result<CertificateParams, DevCertificateError> {
    let mut params = params(common_name, names, now)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

fn params(
    common_name: &str,
    names: &[String],
    now: Timestamp,
) -> Result<CertificateParams, DevCertificateError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.as_secs()).saturating_sub(EARLIER);
    params.not_after = epoch + Duration::from_secs(now.as_secs()).saturating_add(LIFETIME);
    Ok(params)
}

fn is_name_of_this_machine(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

/// A host name as clients look it up (RFC 1123 section 2.1), one leading `*.` allowed, or an address.
fn check_name(name: &str) -> Result<(), DevCertificateError> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_host = host.len() <= 253 && host.split('.').all(is_label);
    if is_host || name.parse::<IpAddr>().is_ok() {
        Ok(())
    } else {
        Err(DevCertificateError::Name { name: name.to_owned() })
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DevCertificateError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => DevCertificateError::AlreadyExists { path: path.to_owned() },
        _ => DevCertificateError::Write { path: path.to_owned(), source },
    })
}
