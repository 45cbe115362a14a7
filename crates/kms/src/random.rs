//! GenerateRandom.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_wire::{GenerateRandomReply, GenerateRandomRequest, RecipientInfo};

use crate::fault;
use crate::recipients;

pub(crate) struct GenerateRandom;

impl Operation for GenerateRandom {
    type Request = GenerateRandomRequest;
    type Rows = ();
    type Reply = GenerateRandomReply;

    const KIND: Kind = Kind::Read;

    fn targets(_: &Self::Request, _: &mut Reader<'_>) -> Result<Targets<()>, Fault> {
        let check = Check::Account { action: Action::GenerateRandom };
        Ok(Targets { rows: (), checks: Checks::one(check) })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let request = permit.request();
        if request.custom_key_store_id.is_some() {
            return Err(fault::not_built("GenerateRandom with CustomKeyStoreId"));
        }
        // Optional in the model, required in effect.
        let size = request.number_of_bytes.ok_or_else(|| fault::validation("NumberOfBytes is required."))?;
        let size = usize::try_from(size).map_err(|_| fault::validation("NumberOfBytes is required."))?;
        let plaintext = strongroom_crypto::random_plaintext(size).map_err(fault::crypto)?;
        let given = recipients::give(permit.recipient(), plaintext)?;
        Ok(Done::reply(GenerateRandomReply {
            plaintext: given.plaintext,
            ciphertext_for_recipient: given.ciphertext_for_recipient,
        }))
    }

    fn recipient(request: &Self::Request) -> Option<&RecipientInfo> {
        request.recipient.as_ref()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let size = request.number_of_bytes.map(|size| ("numberOfBytes", Value::Integer(size.into())));
        size.into_iter().collect()
    }
}
