//! GetPublicKey.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Key, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_wire::{GetPublicKeyReply, GetPublicKeyRequest};

use crate::fault;
use crate::lifecycle::ReadyKey;
use crate::lookup::{self, Accept};
use crate::specs::{self, Algorithms};

pub(crate) struct GetPublicKey;

impl Operation for GetPublicKey {
    type Request = GetPublicKeyRequest;
    type Rows = Key;
    type Reply = GetPublicKeyReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::Any, Action::GetPublicKey)?;
        let checks = Checks::one(Check::key(Action::GetPublicKey, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { key_reference: Some(&request.key_id), ..RequestFacts::default() }
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let key = permit.rows();
        if !key.spec().is_asymmetric() {
            return Err(fault::no_public_key(key.arn(), key.spec()));
        }
        ReadyKey::check(key)?;
        let lists = Algorithms::of(key.spec(), key.usage());
        let spec = specs::wire_spec(key.spec());
        Ok(Done::reply(GetPublicKeyReply {
            key_id: Some(key.arn_text().to_owned()),
            public_key: Some(specs::public_key(key)?.as_der().to_vec()),
            customer_master_key_spec: Some(spec),
            key_spec: Some(spec),
            key_usage: Some(specs::wire_usage(key.usage())),
            encryption_algorithms: lists.encryption,
            signing_algorithms: lists.signing,
            key_agreement_algorithms: lists.agreement,
            encapsulation_algorithms: lists.encapsulation,
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}
