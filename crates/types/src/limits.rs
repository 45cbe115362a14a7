//! Every limit of the service, in one place. Units and bounds come last in each name.

/// A request head (request line and headers) may not be larger.
pub const REQUEST_HEAD_BYTES_MAX: usize = 64 * 1024;
/// A request may not have more headers.
pub const REQUEST_HEADERS_MAX: usize = 100;
/// A request body may not be larger. The largest legal request (ImportKeyMaterial, a 131,072-character policy escaped
/// in JSON, an attestation document in base64) stays below.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;
/// All bodies of callers who are not yet authenticated share this budget.
pub const UNAUTHENTICATED_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// JSON may not be nested deeper.
pub const JSON_DEPTH_MAX: usize = 64;

/// `kms:Encrypt` takes at most this much plaintext under a symmetric key (AWS KMS API reference, Encrypt).
pub const PLAINTEXT_BYTES_MAX: usize = 4096;
/// A ciphertext blob may not be larger (AWS KMS API reference, Decrypt).
pub const CIPHERTEXT_BYTES_MAX: usize = 6144;
/// GenerateRandom and NumberOfBytes of GenerateDataKey (AWS KMS API reference).
pub const RANDOM_BYTES_MAX: usize = 1024;
/// The canonical encoding of an encryption context may not be larger.
pub const ENCRYPTION_CONTEXT_BYTES_MAX: usize = 8192;
/// A key policy may not have more characters (AWS KMS developer guide, resource quotas).
pub const POLICY_CHARACTERS_MAX: usize = 32_768;
/// Policy variables in one text of a policy. Ours: their values are kept on the stack while the text is matched.
pub const POLICY_VARIABLES_PER_TEXT_MAX: usize = 8;
/// Policies of one user or role, and bytes of each. Ours: they must fit into a row together; AWS's own quotas are
/// smaller (IAM user guide, "IAM and AWS STS quotas").
pub const IDENTITY_POLICIES_MAX: usize = 10;
pub const IDENTITY_POLICY_BYTES_MAX: usize = 10_240;
/// Names and paths of users and roles (IAM user guide, "IAM and AWS STS quotas").
pub const IDENTITY_NAME_CHARACTERS_MAX: usize = 64;
pub const IDENTITY_PATH_CHARACTERS_MAX: usize = 512;
/// Aliases of one key (AWS KMS developer guide, resource quotas).
pub const ALIASES_PER_KEY_MAX: usize = 50;
/// Tags of one key (AWS KMS developer guide, resource quotas).
pub const TAGS_PER_KEY_MAX: usize = 50;
/// Characters of a tag's key and of its value (AWS KMS API reference, Tag).
pub const TAG_KEY_CHARACTERS_MAX: usize = 128;
pub const TAG_VALUE_CHARACTERS_MAX: usize = 256;
/// Grants on one key (AWS KMS developer guide, resource quotas).
pub const GRANTS_PER_KEY_MAX: u32 = 50_000;
/// Pairs of one encryption context constraint of a grant (AWS KMS API reference, GrantConstraints).
pub const GRANT_CONTEXT_PAIRS_MAX: usize = 8;
/// Characters of each value in such a constraint (AWS KMS API reference, GrantConstraints).
pub const GRANT_CONTEXT_VALUE_CHARACTERS_MAX: usize = 384;
/// A grant token may not have more characters. AWS takes up to 8192; those of this service have 152.
pub const GRANT_TOKEN_CHARACTERS_MAX: usize = 256;
/// What all grants kept in memory may occupy, about.
pub const CACHED_GRANTS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Whoever would have to read more grants than this before deciding does so beside the event loops.
pub const GRANTS_READ_AT_ONCE_MAX: u32 = 32;
/// Grants of destroyed keys that are removed in one run of the jobs.
pub const GRANT_SWEEP_ROWS: usize = 10_000;
/// Characters of a description (AWS KMS API reference, CreateKey).
pub const DESCRIPTION_CHARACTERS_MAX: usize = 8192;

/// Page size of ListKeys: default and maximum (AWS KMS API reference).
pub const LIST_KEYS_DEFAULT: usize = 100;
pub const LIST_KEYS_MAX: usize = 1000;
/// Page size of ListAliases: default and maximum (AWS KMS API reference).
pub const LIST_ALIASES_DEFAULT: usize = 50;
pub const LIST_ALIASES_MAX: usize = 100;

/// Page size of ListGrants and ListRetirableGrants: default and maximum (AWS KMS API reference).
pub const LIST_GRANTS_DEFAULT: usize = 50;
pub const LIST_GRANTS_MAX: usize = 100;
/// Index rows that one ListRetirableGrants looks at: those of destroyed keys are passed over.
pub const LIST_RETIRABLE_ROWS_MAX: usize = 1000;
/// Page size of ListResourceTags: default and maximum in one (AWS KMS API reference).
pub const LIST_TAGS_MAX: usize = 50;
/// Page size of ListKeyPolicies: default and maximum (AWS KMS API reference).
pub const LIST_KEY_POLICIES_DEFAULT: usize = 100;
pub const LIST_KEY_POLICIES_MAX: usize = 1000;

/// How long a key is pending deletion (AWS KMS API reference, ScheduleKeyDeletion).
pub const DELETION_WINDOW_DAYS_MIN: u32 = 7;
pub const DELETION_WINDOW_DAYS_DEFAULT: u32 = 30;
pub const DELETION_WINDOW_DAYS_MAX: u32 = 30;

/// Keys that `init` makes from a seed.
pub const SEED_KEYS_MAX: usize = 500;
/// A line of `strongroom policy evaluate`.
pub const POLICY_QUESTION_BYTES_MAX: usize = 1024 * 1024;
/// A seed.
pub const SEED_BYTES_MAX: usize = 1024 * 1024;

/// Signatures may be this far from the server's clock, either way (AWS KMS, clock window).
pub const CLOCK_SKEW_SECS_MAX: u64 = 300;

/// A row's value as the store sees it (sealed) may not be larger.
pub const ROW_VALUE_BYTES_MAX: usize = 256 * 1024;
/// A row's address may not be longer.
pub const ROW_ADDRESS_BYTES_MAX: usize = 512;
/// Operations in one batch.
pub const BATCH_OPS_MAX: usize = 100;
/// Preconditions of one batch.
pub const BATCH_PRECONDITIONS_MAX: usize = 100;
/// Batches in one group commit.
pub const GROUP_BATCHES_MAX: usize = 1024;
/// A row's version may not be greater: the embedded store keeps it as a signed 64-bit integer.
pub const ROW_VERSION_MAX: u64 = i64::MAX as u64;
/// Rows that one scan returns.
pub const SCAN_ROWS_MAX: usize = 1024;
/// A decision is taken again at most this often when the rows it saw have changed before its commit.
pub const DECISION_ATTEMPTS_MAX: usize = 8;

/// One audit record's payload may not be larger.
pub const AUDIT_RECORD_BYTES_MAX: usize = 256 * 1024;
/// Audit records that wait for their sync may not occupy more memory.
pub const AUDIT_PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A segment of the audit journal is closed when it reaches this size.
pub const AUDIT_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// The room in memory that one open request holds for its audit record. A larger record takes more when there is more,
/// and is cut to this size when there is none.
pub const AUDIT_PLACE_BYTES: usize = 16 * 1024;
/// A user agent, an error message or an ARN in an audit record is cut to this length.
pub const AUDIT_TEXT_BYTES_MAX: usize = 1024;
/// Every other single text in an audit record is cut to this length.
pub const AUDIT_NAME_BYTES_MAX: usize = 256;
/// Request parameters, and likewise response elements, of an audit record: larger ones are replaced by a marker (AWS
/// CloudTrail user guide, record contents).
pub const AUDIT_PARAMETERS_BYTES_MAX: usize = 100 * 1024;
/// Additional data of an audit record: larger ones are replaced by a marker (AWS CloudTrail user guide).
pub const AUDIT_ADDITIONAL_BYTES_MAX: usize = 28 * 1024;
/// Values in an audit record may not be nested deeper.
pub const AUDIT_VALUE_DEPTH_MAX: usize = 16;
/// Resources named by one audit record.
pub const AUDIT_RESOURCES_MAX: usize = 6;
/// Events appended to the journal at once.
pub const AUDIT_BATCH_EVENTS_MAX: usize = 100;
/// The text of a note in the journal is cut to this length.
pub const AUDIT_NOTE_BYTES_MAX: usize = 1024;
/// The store's state in a checkpoint may not be longer.
pub const AUDIT_CHECKPOINT_STATE_BYTES_MAX: usize = 8192;
/// A checkpoint is written at least every so many records.
pub const AUDIT_CHECKPOINT_RECORDS: u64 = 10_000;
/// Who waits for a record's sync is told after this time that the disk fails.
pub const AUDIT_SYNC_DEADLINE_SECS: u64 = 5;
/// Failures of callers that are not known yet wait for their writing in a queue of this length.
pub const STRANGER_QUEUE_RECORDS_MAX: usize = 1024;
/// Texts in the record of such a failure are cut to this length.
pub const STRANGER_TEXT_BYTES_MAX: usize = 256;
/// Failures of callers that are not known yet may not occupy more disk.
pub const STRANGER_LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Failures of callers that are not known yet are written at most this often; the rest is counted.
pub const STRANGER_RECORDS_PER_SECOND_MAX: u32 = 100;

/// How long the clock must have shown a later time than a date before anything is destroyed because of it: uptime of this
/// process, so that a clock that is set forward, or wrong at start, destroys nothing at once.
pub const DESTRUCTION_UPTIME_SECS: u64 = 60 * 60;
/// Keys looked at in one run of the jobs for one whose waiting period is over.
pub const DELETION_WALK_KEYS: usize = 2000;
/// A domain key seals for so long; then there is a new version.
pub const DOMAIN_KEY_LIFETIME_SECS: u64 = 30 * 24 * 60 * 60;
/// A domain key seals at least so long, even if material that it wrapped has been destroyed.
pub const DOMAIN_KEY_LIFETIME_SECS_MIN: u64 = 24 * 60 * 60;
/// A domain key is destroyed at least so long after the last row was moved from under it, so that whoever has read such a
/// row has also opened it.
pub const DOMAIN_KEY_GRACE_SECS: u64 = 60;
/// Steps of moving rows under a newer domain key in one run of the jobs; each reads up to 50 rows.
pub const RENEWAL_STEPS: usize = 40;

/// Keys whose last use is in memory and not in its row. What finds no room stands in the journal and is read from there.
pub const KEY_USES_IN_MEMORY_MAX: usize = 131_072;
/// Last uses written in one batch, each against two rows: its own and its key's.
pub const KEY_USES_PER_BATCH: usize = BATCH_PRECONDITIONS_MAX / 2;
/// How often last uses are written to their rows.
pub const KEY_USES_WRITTEN_EVERY_SECS: u64 = 60;
/// The same in records of the journal: after a kill so many, and those of one writing, must be read.
pub const KEY_USES_REPLAY_RECORDS: u64 = 200_000;
/// The pause between two batches, so that the writing does not stand in the way of requests.
pub const KEY_USES_PAUSE_MILLIS: u64 = 10;
/// The writing at an orderly end takes no longer; what is left is read from the journal at the next start.
pub const KEY_USES_LAST_WRITING_SECS: u64 = 5;

/// Access keys of one principal (AWS IAM user guide, quotas): the second one is there while programs change over.
pub const ACCESS_KEYS_PER_PRINCIPAL_MAX: usize = 2;
/// A shared-credentials file that is to be rewritten may not be larger.
pub const CREDENTIALS_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Whoever unseals must have sent the passphrase after this time.
pub const UNSEAL_REQUEST_SECS_MAX: u64 = 10;
/// After a wrong passphrase the next attempt waits so long: they are made one at a time, and each costs 64 MiB.
pub const UNSEAL_PAUSE_SECS: u64 = 1;

/// The header of a backup file may not be larger: it names every version of every key of the keyring.
pub const BACKUP_HEADER_BYTES_MAX: usize = 1024 * 1024;
/// One frame of a backup file holds no more than this, and rows are not cut: the largest row fits.
pub const BACKUP_FRAME_BYTES_MAX: usize = 1024 * 1024;

/// An attestation document may not be larger (AWS KMS API reference, RecipientInfo).
pub const ATTESTATION_DOCUMENT_BYTES_MAX: usize = 262_144;
/// What is signed in it may not be larger ("Nitro Enclaves Attestation Process", section 3.1).
pub const ATTESTATION_PAYLOAD_BYTES_MAX: usize = 16_384;
/// Each certificate in it may not be larger (the same, section 2.2).
pub const ATTESTATION_CERTIFICATE_BYTES_MAX: usize = 1024;
/// Its public key, user data and nonce may not be larger (the same, section 2.2).
pub const ATTESTATION_USER_DATA_BYTES_MAX: usize = 1024;
/// Registers are numbered from 0 to one less (the same, section 2.2).
pub const ATTESTATION_REGISTERS_MAX: u8 = 32;
/// The id of whoever issued it may not be longer. Those of AWS have some 40 bytes.
pub const ATTESTATION_MODULE_ID_BYTES_MAX: usize = 256;
/// Certificates that attestation documents are verified against.
pub const ATTESTATION_ROOTS_MAX: usize = 16;

/// Regions of one deployment.
pub const REGIONS_MAX: usize = 64;
/// Region names are not longer (AWS KMS API reference, RegionType).
pub const REGION_NAME_BYTES_MAX: usize = 32;

/// A root holder wraps nothing larger.
pub const ROOT_SECRET_BYTES_MAX: usize = 64;
/// A root key file may not be larger.
pub const ROOT_FILE_BYTES_MAX: usize = 256;
/// An anchor file may not be larger: a deployment of [`REGIONS_MAX`] regions needs less.
pub const ANCHOR_BYTES_MAX: usize = 8192;
/// A new root passphrase must be longer than what a person types by accident (NIST SP 800-63B, memorized secrets).
pub const ROOT_PASSPHRASE_BYTES_MIN: usize = 8;
pub const ROOT_PASSPHRASE_BYTES_MAX: usize = 1024;
/// Argon2id's memory, as a root key file may ask for it.
pub const ARGON2_MEMORY_KIB_MIN: u32 = 64 * 1024;
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Argon2id's passes, as a root key file may ask for them.
pub const ARGON2_PASSES_MIN: u32 = 1;
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Argon2id's lanes, as a root key file may ask for them.
pub const ARGON2_LANES_MIN: u32 = 1;
pub const ARGON2_LANES_MAX: u32 = 16;
/// A public key in DER may not be larger. The largest that is made, of ML-DSA-87, has 2614 bytes.
pub const PUBLIC_KEY_BYTES_MAX: usize = 8192;
/// What a decision may cost on an event loop: how often its policies may walk over a text, times the bytes of the request. Beyond
/// that it is taken beside, like anything that computes for milliseconds.
pub const DECISION_WALK_BYTES_MAX: usize = 256 * 1024;
/// What is not from the request is no longer than the ARN of a user: path, name and what stands before them (IAM API reference,
/// User).
pub const STORED_TEXT_BYTES_MAX: usize = 640;
/// Threads beside each event loop for what computes or scans for long. More of them would not do more, but leave the loops
/// less of the cores: RSA signatures asked for by the thousand must not slow down everything else.
pub const HEAVY_THREADS_PER_LOOP: usize = 2;
/// How they, and the threads that they start, rank among all (nice(1)): far behind the loops, before what only runs in idle time.
pub const HEAVY_THREADS_NICE: i32 = 15;
/// RSA keys of one size that are made before they are asked for.
pub const POOLED_KEYS_PER_SIZE_MAX: usize = 4;
/// One wrapped key material may not be larger.
pub const WRAPPED_KEY_BYTES_MAX: usize = 8192;
/// The position inside a paging marker may not be larger.
pub const MARKER_POSITION_BYTES_MAX: usize = 600;
/// A paging marker may not have more characters (AWS KMS API reference, MarkerType).
pub const MARKER_CHARACTERS_MAX: usize = 1024;
/// A paging marker is valid for one day.
pub const MARKER_LIFETIME_SECS: u64 = 24 * 60 * 60;

/// A body up to this size counts as small. Nearly every request is.
pub const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;
/// The part of [`UNAUTHENTICATED_BODIES_BYTES_MAX`] that only small bodies may use, so that a few strangers who announce
/// large bodies and send them slowly cannot keep everyone else out.
pub const SMALL_BODIES_BYTES_RESERVED: usize = 16 * 1024 * 1024;
/// A body that is refused is still read, and thrown away, up to this size: a client that is busy sending would otherwise
/// see its connection reset instead of the answer.
pub const REFUSED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What one connection may send before it is answered without needing a place among the large requests.
pub const SMALL_REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Connections that may be sending a large request at once. Each holds a read buffer of up to
/// [`REQUEST_HEAD_BYTES_MAX`].
pub const LARGE_REQUESTS_MAX: usize = 1024;
/// TLS handshakes that wait for their turn, each thread doing one at a time. So many take a few seconds of one thread,
/// which is less than their clients have.
pub const TLS_HANDSHAKES_WAITING_MAX: usize = 8192;
/// What a client may send until its TLS handshake is done.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// A file with certificates or a private key.
pub const TLS_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Names in a certificate for trying out.
pub const DEV_CERTIFICATE_NAMES_MAX: usize = 100;
/// Requests open at once on one HTTP/2 connection (RFC 9113 section 5.1.2 advises no fewer than 100).
pub const HTTP2_STREAMS_MAX: u32 = 100;
/// Headers of one HTTP/2 request as they are counted there (RFC 9113 section 6.5.2): less than
/// [`REQUEST_HEAD_BYTES_MAX`], because one connection may have many.
pub const HTTP2_HEAD_BYTES_MAX: u32 = 32 * 1024;
/// What an HTTP/2 client may send ahead of one request, and of one connection, before it is read.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// The largest HTTP/2 frame taken, the smallest that may be announced (RFC 9113 section 4.2).
pub const HTTP2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// Streams that a client resets before they were looked at, until its connection is closed (CVE-2023-44487).
pub const HTTP2_RESETS_PENDING_MAX: usize = 20;
/// Streams that the server resets for the client's errors, until the connection is closed (CVE-2025-8671).
pub const HTTP2_RESETS_PROVOKED_MAX: usize = 100;
/// The share of one open HTTP/2 request in the budget of bodies, beside its head and its body.
pub const HTTP2_STREAM_BYTES: usize = 2048;
/// Connections to the listener for health and metrics.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// A request head on the listener for health and metrics.
pub const ADMIN_HEAD_BYTES_MAX: usize = 8 * 1024;
/// The configuration file.
pub const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// The name of a service principal is not longer (AWS KMS API reference, CreateGrant, GranteeServicePrincipal).
pub const SERVICE_PRINCIPAL_BYTES_MAX: usize = 128;

/// Parameters in a request's query. AWS KMS has none of its own; a presigned request has seven.
pub const REQUEST_QUERY_PARAMETERS_MAX: usize = 100;
/// An error message repeats at most so many characters of what the caller sent in the parts that carry a signature.
pub const SIGNATURE_ECHO_CHARACTERS_MAX: usize = 1024;

/// A list in a request may not have more items; the model limits only some of its lists, and to fewer.
pub const JSON_LIST_ITEMS_MAX: usize = 1000;
/// A ValidationException repeats at most so much of one value: enough for every value that is one past its limit,
/// policies excepted.
pub const VALIDATION_VALUE_CHARACTERS_MAX: usize = 10_000;
/// A ValidationException spells out violations up to this size; the others are only counted.
pub const VALIDATION_MESSAGE_BYTES_MAX: usize = 64 * 1024;
