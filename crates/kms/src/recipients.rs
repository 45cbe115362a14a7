//! Plaintexts on their way out: to whoever asked, or enveloped for an attested recipient and for nobody else.

use strongroom_crypto::RecipientKey;
use strongroom_pipeline::Fault;
use strongroom_types::{MaterialId, Plaintext};

use crate::fault;

/// One of the two is there.
pub(crate) struct Given {
    pub(crate) ciphertext_for_recipient: Option<Vec<u8>>,
    pub(crate) plaintext: Option<Plaintext>,
}

/// The plaintext as it may leave. Enveloped, it is wiped here.
pub(crate) fn give(recipient: Option<&RecipientKey>, plaintext: Plaintext) -> Result<Given, Fault> {
    let Some(recipient) = recipient else {
        return Ok(Given { ciphertext_for_recipient: None, plaintext: Some(plaintext) });
    };
    let envelope = recipient.envelop(&plaintext).map_err(fault::crypto)?;
    Ok(Given { ciphertext_for_recipient: Some(envelope), plaintext: None })
}

/// AWS leaves it out of answers to attested recipients.
pub(crate) fn material_id(recipient: Option<&RecipientKey>, id: Option<MaterialId>) -> Option<String> {
    id.filter(|_| recipient.is_none()).map(|id| id.to_string())
}
