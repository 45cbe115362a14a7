//! What can go wrong below the level of a caller's request.

/// A failure that belongs in the server's log: it names the thing, never its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// An alphabet for random text that is too short, too long, not ASCII, or names a character twice.
    #[error("an alphabet has 2 to 128 different ASCII characters")]
    Alphabet,
    #[error("{what} is malformed or of an unknown version")]
    Malformed { what: &'static str },
    #[error("there is no domain key version {version} for `{scope}`")]
    MissingDomainKey { scope: String, version: u32 },
    #[error("there are no domain keys for `{scope}`")]
    MissingScope { scope: String },
    #[error("there is no {purpose} key")]
    MissingServiceKey { purpose: &'static str },
    #[error("the cryptographic module failed")]
    Module,
    #[error("the FIPS module does not do this")]
    NotInModule,
    /// Altered, moved to another place, or sealed under another key: authentication does not say which.
    #[error("{what} does not authenticate")]
    NotAuthentic { what: &'static str },
    #[error("{what} is larger than {max_bytes} bytes")]
    TooLarge { max_bytes: usize, what: &'static str },
    /// A key was asked for what its kind cannot do.
    #[error("the key cannot do what it is asked for")]
    Unsuited,
}
