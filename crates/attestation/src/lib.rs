//! Attestation documents of Nitro enclaves and of NitroTPM, verified.
//!
//! [`Verifier::verify`] takes the bytes of a request and gives an [`Attestation`] only if a certificate that leads to a
//! trusted root has signed them, lately. No other way to an `Attestation` exists, so whatever is told of one was signed.
//!
//! What it holds a document to is in AWS's "Nitro Enclaves Attestation Process" (aws-nitro-enclaves-nsm-api,
//! `docs/attestation_process.md`, sections 2.2 and 3) and in "Validate a NitroTPM Attestation Document" (EC2 user guide).
//! The way from the certificate to the root is `webpki`'s to find and to check; signatures are AWS-LC's.
//!
//! What it deliberately does not do: read a clock or files, remember documents (the same one may come again while it is
//! fresh: TLS and the request's signature see to replay, and only the recipient can open the answer), look at
//! revocation lists (there are none), or judge registers: that is what policies are for.

mod attestation;
mod chain;
mod document;
mod error;
mod roots;
mod verifier;

pub use attestation::{Attestation, Platform};
pub use error::{AttestationError, RootError};
pub use roots::Roots;
pub use verifier::Verifier;

#[cfg(test)]
mod tests;
