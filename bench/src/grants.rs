//! What many grants on a key cost: Encrypt under a key that is only open by grants, of which it has one, beside one that has
//! fifty thousand. Both keys are of one service and are loaded in turns; the ratio of the medians is what counts.

use serde_json::{Value, json};

use crate::child::Server;
use crate::compare::{Scratch, places_of};
use crate::connection::Connection;
use crate::error::{BenchError, io_error};
use crate::load::Pace;
use crate::meter::{Meter, cores};
use crate::operation::{Operation, Subject};
use crate::options::GrantsOptions;
use crate::report::median;
use crate::service::Deployment;

/// As in the contexts of [`Operation::body`].
const TENANT: u64 = 0x0123_4567_89ab_cdef;
const ROOT: &str = "arn:aws:iam::111122223333:root";
/// Nothing that uses the key.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*",
    "Action":["kms:CreateGrant","kms:PutKeyPolicy"],"Resource":"*"}}"#;

pub(crate) fn run(options: &GrantsOptions) -> Result<(), BenchError> {
    let (program, parent) = places_of(&options.run)?;
    let scratch = Scratch::make(&parent)?;
    let deployment = Deployment::make(&program, scratch.path())?;
    let (service, _) = deployment.serve()?;
    let bench = Bench { deployment: &deployment, service: &service, options };
    let [one, many] = [bench.key_with(1)?, bench.key_with(options.grants)?];
    println!("Encrypt by a grant, requests per second: with one grant on the key, with {}", options.grants);
    for connections in options.connections.iter().copied() {
        let (mut of_one, mut of_many) = (Vec::new(), Vec::new());
        for number in 0..options.run.rounds {
            // Each goes first in every other round.
            if number % 2 == 0 {
                of_one.push(bench.round(&one, connections)?);
                of_many.push(bench.round(&many, connections)?);
            } else {
                of_many.push(bench.round(&many, connections)?);
                of_one.push(bench.round(&one, connections)?);
            }
        }
        let (one, many) = (median(of_one.into_iter()), median(of_many.into_iter()));
        println!("{connections:>4} connections {one:>10.0} {many:>10.0}  ratio {:.3}", many / one);
    }
    service.stop()
}

struct Bench<'a> {
    deployment: &'a Deployment,
    service: &'a Server,
    options: &'a GrantsOptions,
}

impl Bench<'_> {
    /// A key that is closed but for its grants. One of them is for the context of [`Operation::body`].
    fn key_with(&self, grants: u32) -> Result<[Subject; 1], BenchError> {
        eprintln!("making a key with {grants} grants");
        let answer = self.ask("CreateKey", &json!({ "Policy": POLICY }))?;
        let key_id = answer.pointer("/KeyMetadata/KeyId").and_then(Value::as_str).unwrap_or_default();
        let key_id = key_id.to_owned();
        self.make_grants(&key_id, grants)?;
        Ok([Subject { key_id, ..Subject::default() }])
    }

    /// One after the other: changes of one key wait for each other, and some would be turned away.
    fn make_grants(&self, key_id: &str, grants: u32) -> Result<(), BenchError> {
        let mut connection = self.connect()?;
        for number in 0..grants {
            let tenant = format!("{:016x}", TENANT + u64::from(number));
            let context = json!({ "purpose": "bench", "tenant": tenant });
            let body = json!({
                "KeyId": key_id, "GranteePrincipal": ROOT, "Operations": ["Encrypt", "Decrypt"],
                "Constraints": { "EncryptionContextEquals": context },
            });
            self.ask_on(&mut connection, "CreateGrant", &body)?;
        }
        Ok(())
    }

    /// Answers per second.
    fn round(&self, subject: &[Subject; 1], connections: u16) -> Result<f64, BenchError> {
        let signer = &self.deployment.signer;
        let length = self.options.run.seconds_per_round;
        let meter = Meter { signer, generator_threads: cores().div_ceil(2), length };
        let round = meter.round(self.service, Operation::Encrypt, subject, connections, Pace::FlatOut)?;
        Ok(round.per_second)
    }

    fn connect(&self) -> Result<Connection, BenchError> {
        Connection::open(self.service.address()).map_err(io_error("connect to the service"))
    }

    fn ask(&self, operation: &'static str, body: &Value) -> Result<Value, BenchError> {
        self.ask_on(&mut self.connect()?, operation, body)
    }

    fn ask_on(
        &self,
        connection: &mut Connection,
        operation: &'static str,
        body: &Value,
    ) -> Result<Value, BenchError> {
        let request =
            self.deployment.signer.request(self.service.address(), operation, &body.to_string(), 0)?;
        let answer = connection.ask(&request)?;
        let read: Option<Value> = serde_json::from_slice(&answer.body).ok();
        read.filter(|value| value.get("__type").is_none()).ok_or_else(|| {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            BenchError::NoField { operation, pointer: "", body }
        })
    }
}
