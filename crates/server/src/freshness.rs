//! Is this the store, and the journal, that the deployment has seen last?
//!
//! Three witnesses are heard before anything is written: the anchor outside of the data directory, the newest signed
//! checkpoint of the journal, and the deployment row, which says whether there must be an anchor. `serve` refuses a store
//! that is behind what they saw unless its operator accepts that; `check` reports it.

use std::path::PathBuf;

use strongroom_audit::{Survey, survey};
use strongroom_crypto::CryptoError;
use strongroom_records::{Anchor, Behind, DeploymentRow, Standing, stored_row, stored_standing};
use strongroom_types::Timestamp;

use crate::anchor;
use crate::assembly::{AssemblyError, Opened, Places, io_at, part};
use crate::signer::Signer;

/// What the witnesses say.
#[derive(Debug)]
pub struct Freshness {
    /// The anchor, if there is one that can be trusted.
    pub anchor: Option<Anchor>,
    /// Why this is not what was seen last; empty if it is.
    pub findings: Vec<Finding>,
}

/// One reason to think that the store or the journal was put back, or that nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("the anchor `{}` cannot be trusted: {source}; it is damaged, or another deployment's", path.display())]
    AnchorBad { path: PathBuf, source: CryptoError },
    #[error(
        "there is no anchor `{}`, and this deployment has one since {}",
        path.display(),
        since.to_extended_iso8601()
    )]
    AnchorMissing { path: PathBuf, since: Timestamp },
    /// The anchor saw a later store.
    #[error("the anchor of {} saw more: {behind}", at.to_extended_iso8601())]
    BehindAnchor { at: Timestamp, behind: Behind },
    /// The journal has a signed checkpoint of a later store.
    #[error("the audit journal's checkpoint of {} saw more: {behind}", at.to_extended_iso8601())]
    BehindJournal { at: Timestamp, behind: Behind },
    #[error("record {sequence} of the audit journal is not the one that the anchor of {} saw", at.to_extended_iso8601())]
    JournalChanged { at: Timestamp, sequence: u64 },
    #[error(
        "the audit journal ends with record {found}, and the anchor of {} saw record {seen}",
        at.to_extended_iso8601()
    )]
    JournalCut { at: Timestamp, found: u64, seen: u64 },
}

impl Finding {
    /// Nothing but that the data are older than the anchor: true of every copy that was made earlier.
    pub fn is_age(&self) -> bool {
        matches!(self, Self::BehindAnchor { .. } | Self::JournalCut { .. })
    }
}

impl Freshness {
    /// Hears the witnesses. An error is a store, a journal or an anchor that cannot be read at all.
    pub fn judge(places: &Places, opened: &Opened) -> Result<Self, AssemblyError> {
        let (store, keyring) = (&*opened.store, &*opened.keyring);
        let standing = stored_standing(store, keyring, &opened.regions).map_err(part("take up the store"))?;
        let row = stored_row::<DeploymentRow>(store, keyring, &DeploymentRow::address());
        let row = row.map_err(part("read the deployment row"))?;
        let path = places.anchor();
        let bytes = anchor::read(&path).map_err(io_at("read the anchor", &path))?;
        let mut findings = Vec::new();
        let since = row.and_then(|row| row.anchored_millis).map(Timestamp::from_millis);
        let anchor = match (bytes.map(|bytes| Anchor::open(keyring, &bytes)), since) {
            (Some(Ok(anchor)), _) => Some(anchor),
            (Some(Err(source)), _) => {
                findings.push(Finding::AnchorBad { path, source });
                None
            }
            (None, Some(since)) => {
                findings.push(Finding::AnchorMissing { path, since });
                None
            }
            // A deployment of a version that had no anchors.
            (None, None) => None,
        };
        let signer = Signer::new(opened.keyring.clone()).map_err(part("verify checkpoints"))?;
        let sequence = anchor.as_ref().map(|anchor| anchor.journal_sequence).filter(|sequence| *sequence > 0);
        let survey = survey(&places.journal(), &signer, sequence).map_err(part("read the audit journal"))?;
        if let Some(anchor) = &anchor {
            findings.extend(against_anchor(anchor, &standing, &survey));
        }
        if !findings.iter().any(|finding| matches!(finding, Finding::BehindAnchor { .. })) {
            findings.extend(against_checkpoint(&standing, &survey));
        }
        Ok(Self { anchor, findings })
    }
}

fn against_anchor(anchor: &Anchor, standing: &Standing, survey: &Survey) -> Vec<Finding> {
    let at = anchor.written;
    let behind = standing.behind(&anchor.standing).into_iter();
    let mut findings: Vec<Finding> = behind.map(|behind| Finding::BehindAnchor { at, behind }).collect();
    let (seen, found) = (anchor.journal_sequence, survey.end.sequence);
    if seen > found {
        findings.push(Finding::JournalCut { at, found, seen });
    } else if survey.link.is_some_and(|link| link != anchor.journal_link) {
        findings.push(Finding::JournalChanged { at, sequence: seen });
    }
    findings
}

fn against_checkpoint(standing: &Standing, survey: &Survey) -> Vec<Finding> {
    let Some(checkpoint) = &survey.checkpoint else { return Vec::new() };
    let Some(seen) = Standing::parse(&checkpoint.state) else {
        tracing::warn!(
            sequence = checkpoint.sequence,
            "an audit checkpoint names the store in an unknown form"
        );
        return Vec::new();
    };
    let at = checkpoint.time;
    standing.behind(&seen).into_iter().map(|behind| Finding::BehindJournal { at, behind }).collect()
}
