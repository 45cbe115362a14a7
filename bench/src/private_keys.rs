//! What private keys cost: signatures of the service beside the same cryptography alone, and what Encrypt suffers while they
//! are made.
//!
//! The cryptography alone is AWS-LC signing on as many threads as there are cores. HTTP needs those cores too: a request that
//! costs nothing else takes some of them from every signature. So beside the ratio to the cryptography there is one to what is
//! left of it when each signature also pays for an answer of the bare server. And one of processor time alone, which leaves out
//! what the load generator takes of the same cores: what the service would have if clients ran elsewhere.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, ML_DSA_65_SIGNING, PqdsaKeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use strongroom_types::limits::HEAVY_THREADS_NICE;

use crate::child::Server;
use crate::compare::{Scratch, places_of};
use crate::connection::Connection;
use crate::error::{BenchError, io_error};
use crate::load::{Load, Pace};
use crate::meter::cores;
use crate::operation::{Operation, Subject};
use crate::options::KeysOptions;
use crate::report::{judge, median};
use crate::service::Deployment;
use crate::usage::processor_time;

/// Of 32 bytes, in base64.
const MESSAGE: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const RAW_MESSAGE: &[u8] = b"0123456789abcdef0123456789abcdef";
const ENCRYPT_CONNECTIONS: u16 = 8;
/// Of the Encrypt requests whose latency is looked at: little, so that it is theirs and not a queue's.
const ENCRYPTS_PER_SECOND: f64 = 1000.0;
const P99_GROWTH_MAX: f64 = 3.0;

/// Makes a key and signs with it once for each call; `None` if there can be none.
type Sign = Option<Box<dyn Fn() -> bool + Send + Sync>>;

struct Kind {
    spec: &'static str,
    algorithm: &'static str,
    ratio_min: f64,
    raw: fn() -> Sign,
}

const KINDS: [Kind; 6] = [
    Kind {
        spec: "RSA_2048",
        algorithm: "RSASSA_PKCS1_V1_5_SHA_256",
        ratio_min: 0.85,
        raw: || rsa(KeySize::Rsa2048),
    },
    Kind {
        spec: "RSA_3072",
        algorithm: "RSASSA_PKCS1_V1_5_SHA_256",
        ratio_min: 0.85,
        raw: || rsa(KeySize::Rsa3072),
    },
    Kind {
        spec: "RSA_4096",
        algorithm: "RSASSA_PKCS1_V1_5_SHA_256",
        ratio_min: 0.85,
        raw: || rsa(KeySize::Rsa4096),
    },
    Kind { spec: "ECC_NIST_P256", algorithm: "ECDSA_SHA_256", ratio_min: 0.5, raw: p256 },
    Kind { spec: "ECC_NIST_EDWARDS25519", algorithm: "ED25519_SHA_512", ratio_min: 0.5, raw: ed25519 },
    Kind { spec: "ML_DSA_65", algorithm: "ML_DSA_SHAKE_256", ratio_min: 0.5, raw: ml_dsa },
];

/// What stands for Encrypt beside RSA_4096 among the parts.
const BESIDE: &str = "beside";

/// A part of the measurement, by its name.
pub(crate) fn parse_part(name: &str) -> Result<String, String> {
    let mut names = KINDS.iter().map(|kind| kind.spec).chain([BESIDE]);
    if names.any(|known| known == name) {
        Ok(name.to_owned())
    } else {
        Err(format!("neither a key spec that is measured nor `{BESIDE}`"))
    }
}

fn rsa(size: KeySize) -> Sign {
    let pair = RsaKeyPair::generate(size).ok()?;
    let random = SystemRandom::new();
    Some(Box::new(move || {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, RAW_MESSAGE, &mut signature).is_ok()
    }))
}

fn p256() -> Sign {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
    let random = SystemRandom::new();
    Some(Box::new(move || pair.sign(&random, RAW_MESSAGE).is_ok()))
}

fn ed25519() -> Sign {
    let seed = Ed25519KeyPair::generate().ok()?.seed().ok()?.as_be_bytes().ok()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).ok()?;
    Some(Box::new(move || pair.sign(RAW_MESSAGE).as_ref().len() == 64))
}

fn ml_dsa() -> Sign {
    let pair = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).ok()?;
    Some(Box::new(move || {
        let mut signature = vec![0; pair.algorithm().signature_len()];
        pair.sign(RAW_MESSAGE, &mut signature).is_ok()
    }))
}

pub(crate) fn run(options: &KeysOptions) -> Result<(), BenchError> {
    let (program, parent) = places_of(&options.run)?;
    let scratch = Scratch::make(&parent)?;
    let deployment = Deployment::make(&program, scratch.path())?;
    let (service, _) = deployment.serve()?;
    let bench = Bench { deployment: &deployment, service: &service, options };
    println!("signatures per second at {} connections, on {} cores", options.connections, cores());
    println!(
        "spec                      service        raw  service/raw   service/(raw and HTTP)   CPU us   raw us  raw/CPU"
    );
    let is_wanted =
        |part: &str| options.parts.is_empty() || options.parts.iter().any(|wanted| wanted == part);
    for kind in KINDS.iter().filter(|kind| is_wanted(kind.spec)) {
        println!("{}", bench.signatures(kind, scratch.path())?);
    }
    if is_wanted(BESIDE) {
        println!("{}", bench.beside(scratch.path())?);
    }
    service.stop()
}

/// What a round of load took.
struct Taken {
    per_second: f64,
    p99_micros: f64,
    /// Processor time of the server for each answer.
    cpu_micros: f64,
}

struct Bench<'a> {
    deployment: &'a Deployment,
    service: &'a Server,
    options: &'a KeysOptions,
}

impl Bench<'_> {
    fn signatures(&self, kind: &Kind, directory: &Path) -> Result<String, BenchError> {
        eprintln!("measuring {}", kind.spec);
        let key_id = self.make_key(&json!({ "KeySpec": kind.spec, "KeyUsage": "SIGN_VERIFY" }))?;
        let body =
            json!({ "KeyId": key_id, "Message": MESSAGE, "SigningAlgorithm": kind.algorithm }).to_string();
        let request = self.deployment.signer.request(self.service.address(), "Sign", &body, 0)?;
        let reply = Connection::open(self.service.address())
            .map_err(io_error("connect to the service"))?
            .ask(&request)?;
        // What the bare server is asked has the name of an operation that it knows; all else is the same.
        let bare = bare_server(reply.body.len(), directory, None)?;
        let raw = (kind.raw)().ok_or(BenchError::NoKey { spec: kind.spec })?;
        let (mut of_service, mut of_bare, mut of_raw) = (Vec::new(), Vec::new(), Vec::new());
        let mut cpu = Vec::new();
        for _ in 0..self.options.run.rounds {
            let connections = self.options.connections;
            let signed = self.load(self.service, "Sign", &body, connections, Pace::FlatOut)?;
            of_service.push(signed.per_second);
            cpu.push(signed.cpu_micros);
            of_raw.push(per_second(&*raw, self.options.run.seconds_per_round));
            of_bare.push(self.load(&bare, "DescribeKey", &body, connections, Pace::FlatOut)?.per_second);
        }
        let [service, raw, bare, cpu] =
            [of_service, of_raw, of_bare, cpu].map(|rounds| median(rounds.into_iter()));
        let raw_micros = cores() as f64 * 1e6 / raw;
        let both = 1.0 / (1.0 / raw + 1.0 / bare);
        let Kind { spec, ratio_min, .. } = kind;
        let (of_raw, of_both) = (service / raw, service / both);
        Ok(format!(
            "{spec:<22} {service:>10.0} {raw:>10.0}         {of_raw:.2}   {of_both:.2}  {cpu:>28.0} {raw_micros:>8.0}     {:.2}  \
             (at least {ratio_min} of raw: {}, of both: {})",
            raw_micros / cpu,
            judge(of_raw >= *ratio_min),
            judge(of_both >= *ratio_min)
        ))
    }

    /// Encrypt, now and then, on an idle server and beside private keys of the slowest kind. And what a machine makes of it
    /// that has nothing to do with the service: the bare server that syncs, beside threads that do nothing but sign.
    fn beside(&self, directory: &Path) -> Result<String, BenchError> {
        eprintln!("measuring Encrypt beside RSA_4096");
        let encrypting = Subject { key_id: self.make_key(&json!({}))?, ..Subject::default() };
        let encrypt = Operation::Encrypt.body(&encrypting);
        let slow = json!({ "KeySpec": "RSA_4096", "KeyUsage": "SIGN_VERIFY" });
        let key_id = self.make_key(&slow)?;
        let sign = json!({ "KeyId": key_id, "Message": MESSAGE, "SigningAlgorithm": "RSASSA_PSS_SHA_256" })
            .to_string();
        let slow = slow.to_string();
        let request = self.deployment.signer.request(self.service.address(), "Encrypt", &encrypt, 0)?;
        let reply = Connection::open(self.service.address())
            .map_err(io_error("connect to the service"))?
            .ask(&request)?;
        let bare = bare_server(reply.body.len(), directory, Some(&directory.join("bare-journal")))?;
        let raw = rsa(KeySize::Rsa4096).ok_or(BenchError::NoKey { spec: "RSA_4096" })?;
        let (mut idle, mut busy) = (Vec::new(), Vec::new());
        let (mut bare_idle, mut bare_busy) = (Vec::new(), Vec::new());
        for _ in 0..self.options.run.rounds {
            bare_idle.push(self.now_and_then(&bare, "DescribeKey", &encrypt)?);
            bare_busy.push(beside_threads(&*raw, || self.now_and_then(&bare, "DescribeKey", &encrypt))?);
            idle.push(self.now_and_then(self.service, "Encrypt", &encrypt)?);
            let is_over = AtomicBool::new(false);
            let among_others = thread::scope(|scope| {
                let signing: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| self.keep_asking("Sign", &sign, &is_over))).collect();
                let making: Vec<_> =
                    (0..2).map(|_| scope.spawn(|| self.keep_asking("CreateKey", &slow, &is_over))).collect();
                thread::sleep(Duration::from_millis(300));
                let measured = self.now_and_then(self.service, "Encrypt", &encrypt);
                is_over.store(true, Ordering::Relaxed);
                for asking in signing.into_iter().chain(making) {
                    asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                }
                measured
            });
            busy.push(among_others?);
        }
        let [idle, busy, bare_idle, bare_busy] =
            [idle, busy, bare_idle, bare_busy].map(|rounds| median(rounds.into_iter()));
        let growth = busy / idle;
        let judged = judge(growth <= P99_GROWTH_MAX);
        Ok(format!(
            "p99 of Encrypt: {idle:.0} us idle, {busy:.0} us while RSA_4096 signs and is created, {growth:.1} times as long \
             (at most {P99_GROWTH_MAX}: {judged}); a bare server that syncs: {bare_idle:.0} us idle, {bare_busy:.0} us beside \
             RSA_4096 signing on all cores, {:.1} times as long",
            bare_busy / bare_idle
        ))
    }

    /// The p99 at a low pace.
    fn now_and_then(&self, server: &Server, operation: &str, body: &str) -> Result<f64, BenchError> {
        let pace = Pace::PerSecond(ENCRYPTS_PER_SECOND);
        Ok(self.load(server, operation, body, ENCRYPT_CONNECTIONS, pace)?.p99_micros)
    }

    /// One request after the other until it is over.
    fn keep_asking(&self, operation: &str, body: &str, is_over: &AtomicBool) -> Result<(), BenchError> {
        let mut connection =
            Connection::open(self.service.address()).map_err(io_error("connect to the service"))?;
        while !is_over.load(Ordering::Relaxed) {
            let request = self.deployment.signer.request(self.service.address(), operation, body, 0)?;
            connection.ask(&request)?;
        }
        Ok(())
    }

    fn load(
        &self,
        server: &Server,
        operation: &str,
        body: &str,
        connections: u16,
        pace: Pace,
    ) -> Result<Taken, BenchError> {
        let sign = |number| {
            self.deployment.signer.request(server.address(), operation, body, number).map(|one| vec![one])
        };
        let requests = (0..usize::from(connections)).map(sign).collect::<Result<Vec<_>, _>>()?;
        let length = self.options.run.seconds_per_round;
        let load = Load {
            address: server.address(),
            requests: &requests,
            threads: cores().div_ceil(2),
            length,
            pace,
        };
        let loaded = load.run(|| processor_time(server.pid()))?;
        let answers = loaded.latencies.count() as f64;
        let cpu = loaded.after.saturating_sub(loaded.before);
        Ok(Taken {
            per_second: answers / length.as_secs_f64(),
            p99_micros: loaded.latencies.quantile_micros(0.99),
            cpu_micros: cpu.as_secs_f64() * 1e6 / answers.max(1.0),
        })
    }

    fn make_key(&self, body: &Value) -> Result<String, BenchError> {
        let address = self.service.address();
        let request = self.deployment.signer.request(address, "CreateKey", &body.to_string(), 0)?;
        let mut connection = Connection::open(address).map_err(io_error("connect to the service"))?;
        crate::service::ask_field(&mut connection, &request, Operation::CreateKey, "/KeyMetadata/KeyId")
    }
}

/// The bare server, with replies of this size. With `journal`, it syncs that file before each answer.
fn bare_server(bytes: usize, directory: &Path, journal: Option<&Path>) -> Result<Server, BenchError> {
    let address = crate::child::free_address()?;
    let mut words = vec![
        "bare".into(),
        "--listen".into(),
        address.to_string().into(),
        format!("--reply=DescribeKey={bytes}").into(),
    ];
    if let Some(journal) = journal {
        words.extend(["--journal".into(), journal.into()]);
    }
    let own = std::env::current_exe().map_err(io_error("find this program"))?;
    let mut bare = Server::spawn("bare server", address, &own, &words, directory.join("bare.log"))?;
    let request =
        "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: TrentService.DescribeKey\r\nContent-Length: 0\r\n\r\n";
    bare.wait_for_answer(request.as_bytes())?;
    Ok(bare)
}

/// What comes of a measurement beside as many threads as cores that sign all the time, ranked as the service ranks those.
fn beside_threads<T>(sign: &(dyn Fn() -> bool + Sync), measure: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                let _ = rustix::process::setpriority_process(None, HEAVY_THREADS_NICE);
                let mut signed = true;
                while signed && !is_over.load(Ordering::Relaxed) {
                    signed = sign();
                }
            });
        }
        thread::sleep(Duration::from_millis(50));
        let measured = measure();
        is_over.store(true, Ordering::Relaxed);
        measured
    })
}

/// How often all cores together do it in a second.
fn per_second(sign: &(dyn Fn() -> bool + Sync), length: Duration) -> f64 {
    let end = Instant::now() + length;
    let done: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores())
            .map(|_| {
                scope.spawn(move || {
                    let mut done = 0_u64;
                    while Instant::now() < end {
                        done += u64::from(sign());
                    }
                    done
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    });
    done as f64 / length.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_signs() {
        for kind in KINDS {
            let sign = (kind.raw)().unwrap();
            assert!(sign(), "{}", kind.spec);
        }
    }

    #[test]
    fn signatures_that_fail_do_not_count() {
        assert_eq!(per_second(&|| false, Duration::from_millis(5)), 0.0);
        assert!(per_second(&|| true, Duration::from_millis(5)) > 0.0);
    }
}
