//! Ciphertext blobs.

use strongroom_crypto::{Blob, DecryptError};
use strongroom_types::{EncryptionContext, Plaintext};

use crate::input::Input;
use crate::world::{World, world};

/// A blob that was made once, under the context `purpose = fuzz`.
const BLOB: &[u8] = include_bytes!("../fixture/blob");
const PLAINTEXT: &[u8] = b"a plaintext of 30 bytes, fixed";

/// The first byte says how: the bytes themselves as a blob; the fixed blob, changed; a blob made of the input, changed.
///
/// Only what was encrypted opens, and only under its context.
pub(crate) fn blob(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 3 {
        0 => check_only(BLOB, &context(), PLAINTEXT, input.rest()),
        1 => check_only(BLOB, &context(), PLAINTEXT, &input.edited(BLOB)),
        _ => made(input),
    }
}

fn context() -> EncryptionContext {
    EncryptionContext::new(vec![("purpose".to_owned(), "fuzz".to_owned())]).expect("a small context")
}

fn made(mut input: Input<'_>) {
    let World { keyring, region, .. } = world();
    let (made_under, asked_under) = (input.context(), input.context());
    let plaintext = input.field();
    let blob = keyring.encrypt(region, &world().key(), &made_under, plaintext).expect("a small plaintext");
    check_only(&blob, &made_under, plaintext, &blob);
    if asked_under != made_under {
        assert_eq!(open(&blob, &asked_under).map(|_| ()), Err(DecryptError::Invalid), "another context");
    }
    check_only(&blob, &made_under, plaintext, &input.edited(&blob));
}

/// `given` opens if it is `blob`, and only then.
fn check_only(blob: &[u8], context: &EncryptionContext, plaintext: &[u8], given: &[u8]) {
    match open(given, context) {
        Ok(opened) => {
            assert_eq!(given, blob, "altered, and opened");
            assert_eq!(opened.expose(), plaintext);
        }
        Err(error) => {
            assert_ne!(given, blob, "{error}");
            assert_eq!(error, DecryptError::Invalid);
        }
    }
}

fn open(given: &[u8], context: &EncryptionContext) -> Result<Plaintext, DecryptError> {
    let World { keyring, region, key_id, material_id, wrapped, .. } = world();
    // Callers are told the same of what is no blob.
    let blob = Blob::parse(given).map_err(|_| DecryptError::Invalid)?;
    let materials = [(material_id, wrapped)];
    keyring.decrypt(region, key_id, materials, &blob, context).map(|(plaintext, opened_by)| {
        assert_eq!(opened_by, *material_id);
        plaintext
    })
}
