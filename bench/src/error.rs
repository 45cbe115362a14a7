//! Why a measurement came to nothing.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use strongroom_sigv4::SignatureError;

use crate::reply::ReplyError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("the {name} ended early; its last words:\n{last_words}")]
    ChildEnded { name: &'static str, last_words: String },
    #[error("the {name} has not answered for {seconds} seconds; its last words:\n{last_words}")]
    ChildSilent { name: &'static str, seconds: u64, last_words: String },
    #[error("the credentials file `{}` is not what `strongroom init` writes", path.display())]
    Credentials { path: PathBuf },
    #[error("cannot {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the reply to {operation} has no text at `{pointer}`: {body}")]
    NoField { operation: &'static str, pointer: &'static str, body: String },
    #[error("no key of the spec {spec} can be made here")]
    NoKey { spec: &'static str },
    #[error("another run is going on in the same directory; each would disturb the other")]
    OtherRun,
    #[error("a policy of the bench is none: {0}")]
    Policy(String),
    #[error("a request was answered with status {status}: {body}")]
    Refused { status: u16, body: String },
    #[error("what came back is no reply")]
    Reply(#[from] ReplyError),
    #[error("cannot sign a request")]
    Sign(#[from] SignatureError),
    #[error("no reply came for {seconds} seconds")]
    Timeout { seconds: u64 },
    #[error(
        "{operation} is answered with {service} bytes by the service and {bare} by the bare server; the comparison \
         would not be fair"
    )]
    Unlike { operation: &'static str, service: usize, bare: usize },
}

/// For `map_err`.
pub(crate) fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> BenchError {
    move |source| BenchError::Io { doing, source }
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  because {error}"));
        cause = error.source();
    }
    text
}
