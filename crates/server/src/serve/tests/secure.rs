//! The main listener with TLS, and clients of rustls.

use std::path::Path;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use strongroom_types::limits::TLS_HANDSHAKE_BYTES_MAX;

use super::*;
use crate::config::{ClientCertificates, TlsConfig};
use crate::tls::tests::Scratch;

type Stream = StreamOwned<ClientConnection, Client>;

fn start(config: &TlsConfig) -> (Server, Arc<Tls>) {
    start_with(config, |_| {})
}

fn start_with(config: &TlsConfig, change: impl FnOnce(&mut Settings)) -> (Server, Arc<Tls>) {
    let tls = Tls::load(config).unwrap().unwrap();
    (Server::start_secure(Some(Arc::clone(&tls)), change), tls)
}

/// A client that trusts the CA, and shows a certificate if there is one.
struct Dialer {
    config: ClientConfig,
}

impl Dialer {
    fn new(scratch: &Scratch) -> Self {
        Self::with(scratch, &[&TLS13, &TLS12], None)
    }

    fn with(
        scratch: &Scratch,
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<&Scratch>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&scratch.made.ca)).unwrap();
        let provider = crate::tls::provider();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from_pem_file(&shown.made.client_key).unwrap();
                builder.with_client_auth_cert(vec![certificate(&shown.made.client)], key).unwrap()
            }
        };
        Self { config }
    }

    /// A handshake that is complete, or the error that it came to.
    fn dial(&self, server: &Server) -> io::Result<Stream> {
        let tcp = Client::connect(server.address).unwrap();
        tcp.set_read_timeout(Some(NEVER)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// Sends a request and returns the body of its answer; `None` if the connection was closed instead.
fn ask(stream: &mut Stream, path: &str) -> Option<String> {
    let request = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim_end().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(String::from_utf8(body).unwrap())
}

#[test]
fn a_client_in_the_clear_gets_no_answer() {
    let scratch = Scratch::new();
    let (server, _) = start(&scratch.config());
    let mut connection = server.connect();
    connection.post("/echo", "x");
    let mut rest = Vec::new();
    let _ = connection.0.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(ask(&mut Dialer::new(&scratch).dial(&server).unwrap(), "/echo").unwrap(), "x");
}

#[test]
fn the_hybrid_group_is_preferred_and_the_service_hears_of_it() {
    let scratch = Scratch::new();
    let (server, _) = start(&scratch.config());
    let mut stream = Dialer::new(&scratch).dial(&server).unwrap();
    assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = stream.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    assert_eq!(
        ask(&mut stream, "/tls").unwrap(),
        "Some(Tls { version: \"TLSv1.3\", cipher_suite: \"TLS_AES_256_GCM_SHA384\", key_exchange: \
         Some(\"X25519MLKEM768\") })"
    );
}

#[test]
fn clients_without_the_hybrid_group_and_of_tls_1_2_are_served() {
    let scratch = Scratch::new();
    let (server, _) = start(&scratch.config());
    let mut dialer = Dialer::with(&scratch, &[&TLS12], None);
    assert_eq!(
        ask(&mut dialer.dial(&server).unwrap(), "/tls").unwrap(),
        "Some(Tls { version: \"TLSv1.2\", cipher_suite: \"ECDHE-ECDSA-AES256-GCM-SHA384\", key_exchange: \
         Some(\"X25519\") })"
    );
    let provider =
        rustls::crypto::CryptoProvider { kx_groups: vec![kx_group::SECP256R1], ..default_provider() };
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&scratch.made.ca)).unwrap();
    dialer.config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert!(ask(&mut dialer.dial(&server).unwrap(), "/tls").unwrap().contains("secp256r1"));
}

#[test]
fn http2_is_preferred_and_no_other_protocol_is_spoken() {
    let scratch = Scratch::new();
    let (server, _) = start(&scratch.config());
    let agreed = |offered: &[&str]| {
        let mut dialer = Dialer::new(&scratch);
        dialer.config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        dialer.dial(&server).map(|stream| stream.conn.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert!(agreed(&["ftp"]).is_err());
    assert_eq!(agreed(&["http/1.1", "h2"]).unwrap().unwrap(), b"h2");
    assert_eq!(agreed(&["http/1.1"]).unwrap().unwrap(), b"http/1.1");
    assert_eq!(agreed(&[]).unwrap(), None);
}

#[test]
fn a_required_certificate_of_the_client_is_required() {
    let (scratch, stranger) = (Scratch::new(), Scratch::new());
    let (server, _) = start(&scratch.config_with_clients(ClientCertificates::Required));
    // In TLS 1.3 the client learns of the refusal when it reads.
    for shown in [None, Some(&stranger)] {
        let refused = Dialer::with(&scratch, &[&TLS13], shown).dial(&server);
        assert!(refused.ok().and_then(|mut stream| ask(&mut stream, "/echo")).is_none());
        assert!(Dialer::with(&scratch, &[&TLS12], shown).dial(&server).is_err());
    }
    for versions in [&TLS13, &TLS12] {
        let mut stream = Dialer::with(&scratch, &[versions], Some(&scratch)).dial(&server).unwrap();
        assert_eq!(ask(&mut stream, "/echo").unwrap(), "x");
    }
}

#[test]
fn an_optional_certificate_of_the_client_is_still_checked() {
    let (scratch, stranger) = (Scratch::new(), Scratch::new());
    let (server, _) = start(&scratch.config_with_clients(ClientCertificates::Optional));
    let foreign = Dialer::with(&scratch, &[&TLS13], Some(&stranger)).dial(&server);
    assert!(foreign.ok().and_then(|mut stream| ask(&mut stream, "/echo")).is_none());
    for shown in [None, Some(&scratch)] {
        let mut stream = Dialer::with(&scratch, &[&TLS13], shown).dial(&server).unwrap();
        assert_eq!(ask(&mut stream, "/echo").unwrap(), "x");
    }
}

#[test]
fn a_new_certificate_is_for_new_connections_and_old_ones_go_on() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let (server, tls) = start(&scratch.config());
    let mut open = Dialer::new(&scratch).dial(&server).unwrap();
    assert_eq!(ask(&mut open, "/echo").unwrap(), "x");
    scratch.replace_by(&other);
    tls.reload().unwrap();
    assert_eq!(ask(&mut open, "/echo").unwrap(), "x");
    assert!(Dialer::new(&scratch).dial(&server).is_err());
    assert_eq!(ask(&mut Dialer::new(&other).dial(&server).unwrap(), "/echo").unwrap(), "x");
}

#[test]
fn sessions_are_resumed_until_the_files_are_read_again() {
    let scratch = Scratch::new();
    let (server, tls) = start(&scratch.config());
    for versions in [&TLS13, &TLS12] {
        let mut dialer = Dialer::with(&scratch, &[versions], None);
        dialer.config.resumption = Resumption::in_memory_sessions(8);
        // Tickets of TLS 1.3 come with the first answer.
        let kind = || {
            let mut stream = dialer.dial(&server).unwrap();
            ask(&mut stream, "/echo").unwrap();
            stream.conn.handshake_kind().unwrap()
        };
        assert_eq!(kind(), HandshakeKind::Full);
        assert_eq!(kind(), HandshakeKind::Resumed);
        tls.reload().unwrap();
        assert_eq!(kind(), HandshakeKind::Full);
        assert!(!dialer.config.enable_early_data);
    }
}

#[test]
fn early_data_is_not_offered() {
    let scratch = Scratch::new();
    let (server, _) = start(&scratch.config());
    let mut dialer = Dialer::with(&scratch, &[&TLS13], None);
    dialer.config.enable_early_data = true;
    ask(&mut dialer.dial(&server).unwrap(), "/echo").unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut again = ClientConnection::new(Arc::new(dialer.config.clone()), name).unwrap();
    assert!(again.early_data().is_none());
}

#[test]
fn a_handshake_that_is_not_finished_is_over_when_its_time_is() {
    let scratch = Scratch::new();
    let (server, tls) = start_with(&scratch.config(), |settings| settings.timeouts.header = SHORT);
    let mut silent = server.connect();
    assert!(silent.is_closed());
    let name = ServerName::try_from("localhost").unwrap();
    let config = Arc::new(Dialer::new(&scratch).config);
    let mut hello = Vec::new();
    ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
    let mut half = server.connect();
    half.send(&hello[..hello.len() / 2]);
    let mut rest = Vec::new();
    let _ = half.0.read_to_end(&mut rest);
    // The whole hello gets its answer, and then nothing.
    let mut whole = server.connect();
    whole.send(&hello);
    let _ = whole.0.read_to_end(&mut rest);
    assert!(!rest.is_empty());
    // Counted just after the connection is closed.
    while tls.failed_handshakes() < 3 {
        thread::yield_now();
    }
    assert_eq!(tls.failed_handshakes(), 3);
}

#[test]
fn a_handshake_one_byte_too_large_is_refused() {
    let scratch = Scratch::new();
    let (server, tls) = start(&scratch.config());
    // A hello that claims 60,000 bytes, in records of TLS 1.2's largest size.
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(TLS_HANDSHAKE_BYTES_MAX, 0);
    let (first, second) = hello.split_at(8000);
    let mut records = Vec::new();
    for part in [first, &second[..second.len() - 10]] {
        records.extend([22, 3, 3]);
        records.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        records.extend(part);
    }
    assert_eq!(records.len(), TLS_HANDSHAKE_BYTES_MAX);
    let mut client = server.connect();
    client.send(&records);
    let mut other = Dialer::new(&scratch).dial(&server).unwrap();
    assert_eq!(ask(&mut other, "/echo").unwrap(), "x");
    assert_eq!(tls.failed_handshakes(), 0);
    client.send([22]);
    assert!(client.is_closed());
    while tls.failed_handshakes() < 1 {
        thread::yield_now();
    }
}

#[test]
fn handshakes_that_do_not_move_keep_nobody_out() {
    let scratch = Scratch::new();
    let (server, _) = start(&scratch.config());
    let mut open = Dialer::new(&scratch).dial(&server).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let config = Arc::new(Dialer::new(&scratch).config);
    // More than there are turns: those that wait for their clients have had theirs.
    let _stuck: Vec<_> = (0..50)
        .map(|_| {
            let mut hello = Vec::new();
            ClientConnection::new(Arc::clone(&config), name.clone()).unwrap().write_tls(&mut hello).unwrap();
            let mut connection = server.connect();
            connection.send(&hello);
            connection
        })
        .collect();
    assert_eq!(ask(&mut open, "/echo").unwrap(), "x");
    assert_eq!(ask(&mut Dialer::new(&scratch).dial(&server).unwrap(), "/echo").unwrap(), "x");
}

#[test]
fn a_shutdown_ends_handshakes_and_idle_connections() {
    let scratch = Scratch::new();
    let (mut server, _) = start(&scratch.config());
    let mut idle = Dialer::new(&scratch).dial(&server).unwrap();
    assert_eq!(ask(&mut idle, "/echo").unwrap(), "x");
    let mut half = server.connect();
    half.send([22, 3, 1]);
    let mut http2 = Dialer::new(&scratch);
    http2.config.alpn_protocols = vec![b"h2".to_vec()];
    let mut http2 = http2.dial(&server).unwrap();
    http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    // The server's own settings: from here on it is an open HTTP/2 connection.
    http2.read_exact(&mut [0; 9]).unwrap();
    server.shutdown.trigger();
    assert!(ask(&mut idle, "/echo").is_none());
    assert!(half.is_closed());
    let mut rest = Vec::new();
    let _ = http2.read_to_end(&mut rest);
    server.wait_for_the_end().unwrap();
}
