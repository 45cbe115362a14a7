//! TagResource, UntagResource and ListResourceTags, and what every operation that takes tags asks of them.
//!
//! Source: AWS KMS developer guide, "Tags in AWS KMS"; AWS KMS API reference, Tag. What policies
//! ask for, the tags of the request and those of the key, stands in what a decision sees.

use std::collections::HashSet;
use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Caller, Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, Loaded};
use strongroom_types::{Tag, TagKey, TagValue, limits};
use strongroom_wire::{
    ListResourceTagsReply, ListResourceTagsRequest, NoReply, Tag as WireTag, TagResourceRequest,
    UntagResourceRequest,
};

use crate::fault;
use crate::lifecycle::{self, StateClass};
use crate::lookup::{self, Accept};
use crate::paging::{List, page_size};
use crate::policies::key_changed;

pub(crate) struct ListResourceTags;
pub(crate) struct TagResource;
pub(crate) struct UntagResource;

/// The tags of a request, if they may stand on a key together.
pub(crate) fn read(tags: &[WireTag]) -> Result<Vec<Tag>, Fault> {
    let mut names = HashSet::new();
    if !tags.iter().all(|tag| names.insert(tag.tag_key.as_str())) {
        return Err(fault::tag("Duplicate tag keys"));
    }
    if tags.len() > limits::TAGS_PER_KEY_MAX {
        return Err(too_many());
    }
    let parsed = tags.iter().map(|tag| {
        let value = TagValue::parse(&tag.tag_value).map_err(|_| invalid())?;
        Ok(Tag { key: own_key(&tag.tag_key)?, value })
    });
    parsed.collect()
}

/// The name of a tag that a caller may set and remove: not one of AWS's own.
fn own_key(text: &str) -> Result<TagKey, Fault> {
    let key = TagKey::parse(text).map_err(|_| invalid())?;
    if key.is_reserved() {
        return Err(fault::tag("Tags beginning with aws: are reserved"));
    }
    Ok(key)
}

/// The wire has checked the lengths; what is left is the alphabet.
fn invalid() -> Fault {
    fault::tag("Invalid tag")
}

fn too_many() -> Fault {
    fault::tag("Too many tags")
}

/// Tags as the audit trail tells them.
pub(crate) fn recorded(tags: &[WireTag]) -> Value<'_> {
    Value::List(tags.iter().map(recorded_tag).collect::<Vec<_>>().into())
}

fn recorded_tag(tag: &WireTag) -> Value<'_> {
    let fields = [("tagKey", tag.tag_key.as_str()), ("tagValue", tag.tag_value.as_str())];
    Value::Map(fields.map(|(name, text)| (name.into(), Value::from(text))).to_vec().into())
}

fn targets(
    key_id: &str,
    action: Action,
    reader: &mut Reader<'_>,
) -> Result<Targets<Arc<Loaded<KeyRow>>>, Fault> {
    let key = lookup::find(reader, key_id, Accept::KeysOnly, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

/// Writes the key's row if its tags have changed.
fn retagged(key: &Loaded<KeyRow>, row: KeyRow) -> Done<NoReply> {
    let mut done = key_changed(key);
    if row.tags() != key.tags() {
        done.writes.update(key, row);
    }
    done
}

impl Operation for TagResource {
    type Request = TagResourceRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        targets(&request.key_id, Action::TagResource, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { tags: Some(&request.tags), ..RequestFacts::default() }
    }

    /// All of the tags are set, or none.
    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let key = permit.rows();
        lifecycle::check(key, StateClass::Edit)?;
        let mut row = (***key).clone();
        for tag in read(&permit.request().tags)? {
            row.set_tag(tag);
        }
        if row.tags().len() > limits::TAGS_PER_KEY_MAX {
            return Err(too_many());
        }
        Ok(retagged(key, row))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str())), ("tags", recorded(&request.tags))]
    }
}

impl Operation for UntagResource {
    type Request = UntagResourceRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        targets(&request.key_id, Action::UntagResource, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { tag_keys: Some(&request.tag_keys), ..RequestFacts::default() }
    }

    /// A tag that the key does not have is as good as removed.
    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let key = permit.rows();
        lifecycle::check(key, StateClass::Edit)?;
        let mut row = (***key).clone();
        for name in &permit.request().tag_keys {
            row.remove_tag(&own_key(name)?);
        }
        Ok(retagged(key, row))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let names: Vec<_> = request.tag_keys.iter().map(|name| Value::from(name.as_str())).collect();
        vec![("keyId", Value::from(request.key_id.as_str())), ("tagKeys", Value::List(names.into()))]
    }
}

/// The key whose tags are asked for, and how many of them.
pub(crate) struct TagPage {
    key: Arc<Loaded<KeyRow>>,
    size: usize,
}

impl Operation for ListResourceTags {
    type Request = ListResourceTagsRequest;
    type Rows = TagPage;
    type Reply = ListResourceTagsReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<TagPage>, Fault> {
        let size = page_size(request.limit, limits::LIST_TAGS_MAX, limits::LIST_TAGS_MAX)?;
        let Targets { rows: key, checks } = targets(&request.key_id, Action::ListResourceTags, reader)?;
        Ok(Targets { rows: TagPage { key, size }, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let TagPage { key, size } = permit.rows();
        let list = list_of(permit.caller(), key);
        let after = match &permit.request().marker {
            Some(marker) => {
                let position = list.open(marker, world)?;
                Some(TagKey::parse(&position).map_err(|_| fault::invalid_marker())?)
            }
            None => None,
        };
        let first = after.map_or(0, |after| key.tags().partition_point(|tag| tag.key <= after));
        let rest = key.tags().get(first..).unwrap_or_default();
        let page = rest.get(..*size).unwrap_or(rest);
        let truncated = rest.len() > page.len();
        let next_marker = match page.last() {
            Some(last) if truncated => Some(list.seal(last.key.as_str(), world)?),
            _ => None,
        };
        Ok(Done::reply(ListResourceTagsReply {
            tags: Some(page.iter().map(on_the_wire).collect()),
            next_marker,
            truncated: Some(truncated),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let key_id = ("keyId", Value::from(request.key_id.as_str()));
        let limit = request.limit.map(|limit| ("limit", Value::Integer(limit.into())));
        [key_id].into_iter().chain(limit).collect()
    }
}

fn on_the_wire(tag: &Tag) -> WireTag {
    WireTag { tag_key: tag.key.as_str().to_owned(), tag_value: tag.value.as_str().to_owned() }
}

/// The list that a ListResourceTags request pages through: the tags of one key, whatever form its name has.
fn list_of<'a>(caller: &'a Caller, key: &'a KeyRow) -> List<'a> {
    let parameters = key.arn_text().as_bytes();
    List { caller, account: key.account(), operation: "ListResourceTags", parameters }
}
