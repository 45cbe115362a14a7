//! AWS Signature Version 4: verify and sign, without I/O.
//!
//! The public specification is the IAM user guide's "AWS Signature Version 4 for API requests", chiefly "Create a
//! signed AWS API request" and "Elements of an AWS API request signature":
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.
//!
//! # The walk
//!
//! 1. [`Claim::parse`] reads who claims to have signed what. It needs no secret and no clock.
//! 2. [`Claim::check_time`] holds the claim against the clock.
//! 3. [`Claim::check_scope`] holds the credential scope against what this deployment serves.
//! 4. The caller finds the secret of [`Claim::access_key_id`] and derives the [`SigningKey`], or has it cached.
//! 5. [`Claim::verify`] computes the signature over the raw request and compares it in constant time.
//!
//! Nothing that a claim says may be believed before step 5 has returned `Ok`.
//!
//! # Order of errors
//!
//! A request that is wrong in several ways is told one of them. AWS's order, as it has been observed from outside, is:
//! both header and query authentication, or neither; missing parameters; the form of the date; the time window; `host`
//! not signed; the algorithm; the form of the credential; all faults of the scope in one message; the access key; the
//! signature; the session token. Ours is the same but for one thing: faults of form come out of `parse`, so the time
//! window comes after the form of the credential and not before `host`. Faults that AWS's public texts do not mention
//! are told by the step that finds them: repeated parameters by `parse`; `x-amz-*` headers that were not signed, and a
//! wrong `x-amz-content-sha256`, by `verify` before the signature.
//!
//! # What it guarantees
//!
//! - A signature is compared as bytes, in constant time. The expected one leaves this crate in no message: unlike AWS,
//!   [`SignatureError::Mismatch`] does not append the canonical request and the string to sign. They would help a
//!   developer, but they would also repeat the session token and everything else in the headers to whoever asks.
//! - `host` and every `x-amz-*` header that was sent are signed. A signed header that was not sent is a mismatch.
//! - No input panics, and work is bounded by the request's size: at most
//!   [`REQUEST_HEADERS_MAX`](strongroom_types::limits::REQUEST_HEADERS_MAX) signed headers and
//!   [`REQUEST_QUERY_PARAMETERS_MAX`](strongroom_types::limits::REQUEST_QUERY_PARAMETERS_MAX) query parameters.
//!
//! # What it deliberately does not do
//!
//! - `UNSIGNED-PAYLOAD`, `STREAMING-*`, SigV4A and the S3 dialect (paths encoded once, not normalised).
//! - A replay cache: SDKs retry with identical requests, so a second use of a signature is not an attack by itself. TLS
//!   keeps signatures from third parties.
//! - Folded header lines (RFC 9112 section 5.2): hyper refuses them before a request exists.
//! - HTTP/2's `:authority`: whoever builds a [`RequestView`] from HTTP/2 puts it into the headers as `host`.
//!
//! The rules by which a request becomes canonical bytes, and where signers differ among themselves, stand in the
//! modules `canonical` and `uri`.

mod authorization;
mod canonical;
mod claim;
mod date;
mod error;
mod key;
mod presigned;
mod sign;
mod signed_headers;
mod uri;

pub use canonical::RequestView;
pub use claim::Claim;
pub use error::SignatureError;
pub use key::SigningKey;
pub use sign::{SigningScope, presign, sign};
