//! From PEM files to a rustls configuration.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use strongroom_types::Timestamp;
use strongroom_types::limits::TLS_FILE_BYTES_MAX;
use x509_cert::der::Decode;
use zeroize::{Zeroize, Zeroizing};

use super::Loaded;
use crate::config::{ClientCertificates, TlsConfig};
use crate::watch::{Look, look_at};

/// Any right of others, and the group's right to write. A group that may read is how certificates are commonly shared
/// with the services that show them.
const FOREIGN_RIGHTS: u32 = 0o027;

/// In the order of preference (RFC 7301 section 3.2: the server's).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{path}` is no certificate that can be read; it must be X.509 in PEM form")]
    Certificate { path: PathBuf, source: x509_cert::der::Error },
    #[error("`{path}` does not hold certificates that clients can be checked against")]
    ClientCa { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`{certificate}` and `{key}` cannot be used together; is it the key of the first certificate?")]
    Mismatch { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("`{path}` holds no {what} in PEM form")]
    Missing { path: PathBuf, what: &'static str },
    #[error("`{path}` has mode {mode:04o}: others than its owner and group may use it; run `chmod 600`")]
    PermissionsTooOpen { path: PathBuf, mode: u32 },
    #[error("cannot read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` is larger than {TLS_FILE_BYTES_MAX} bytes; is it the right file?")]
    TooLarge { path: PathBuf },
    #[error("the TLS library cannot be set up")]
    Library(#[from] rustls::Error),
}

pub(super) fn load(config: &TlsConfig) -> Result<Loaded, TlsError> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else {
        // `Config::check` has refused one without the other, and `Tls::load` has asked for both.
        let path = config.certificate.clone().or_else(|| config.key.clone()).unwrap_or_default();
        return Err(TlsError::Missing { path, what: "certificate and key" });
    };
    let look = look(config);
    let chain = certificates(certificate)?;
    let not_after = earliest_end(certificate, &chain)?;
    let private_key = private_key(key)?;
    let provider = Arc::new(provider());
    let verifier = client_verifier(config, &provider)?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private_key)
        .map_err(|source| TlsError::Mismatch {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        })?;
    server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    server.session_storage = Arc::new(NoServerSessionStorage {});
    // New with every load: a ticket carries the client certificate that was accepted, and must not outlive its CA.
    server.ticketer = Ticketer::new()?;
    server.max_early_data_size = 0;
    Ok(Loaded { server: Arc::new(server), not_after, look })
}

pub(super) fn look(config: &TlsConfig) -> Look {
    [&config.certificate, &config.key, &config.client_ca]
        .into_iter()
        .map(|path| path.as_deref().and_then(look_at))
        .collect()
}

/// AWS-LC, with the hybrid group first: who records traffic today cannot read it with a quantum computer later.
pub(crate) fn provider() -> CryptoProvider {
    let mut provider = CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..default_provider()
    };
    if strongroom_crypto::IS_FIPS {
        provider.kx_groups.retain(|group| group.fips());
        provider.cipher_suites.retain(|suite| suite.fips());
    }
    provider
}

fn client_verifier(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = &config.client_ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
    let failed = |source| TlsError::ClientCa { path: path.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| failed(error.into()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match config.client_certificates {
        Some(ClientCertificates::Optional) => builder.allow_unauthenticated(),
        Some(ClientCertificates::Required) | None => builder,
    };
    builder.build().map_err(|error| failed(error.into()))
}

/// Those in a PEM file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path, |_| Ok(()))?;
    let missing = |_| TlsError::Missing { path: path.to_owned(), what: "certificate" };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(missing)?;
    if certificates.is_empty() {
        return Err(TlsError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

/// The key's bytes are wiped here; AWS-LC keeps and frees its own form of them.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path, |mode| match mode & FOREIGN_RIGHTS {
        0 => Ok(()),
        _ => Err(TlsError::PermissionsTooOpen { path: path.to_owned(), mode }),
    })?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| TlsError::Missing { path: path.to_owned(), what: "private key" })
}

/// The end of the chain's certificate that ends first.
fn earliest_end(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Timestamp, TlsError> {
    let mut earliest = u64::MAX;
    for certificate in chain {
        let parsed = x509_cert::Certificate::from_der(certificate)
            .map_err(|source| TlsError::Certificate { path: path.to_owned(), source })?;
        let end = parsed.tbs_certificate().validity().not_after.to_unix_duration();
        earliest = earliest.min(end.as_secs());
    }
    Ok(Timestamp::from_secs(earliest))
}

/// The whole file, whose mode is judged by what was opened, not by what the path names a moment later.
fn read(
    path: &Path,
    judge_mode: impl FnOnce(u32) -> Result<(), TlsError>,
) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    judge_mode(mode)?;
    // One byte more than the largest file, and never grown: growing would leave an unwiped copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(TLS_FILE_BYTES_MAX + 1));
    let limit = u64::try_from(TLS_FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    (&mut file).take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > TLS_FILE_BYTES_MAX {
        bytes.zeroize();
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
