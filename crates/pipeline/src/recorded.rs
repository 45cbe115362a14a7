//! Which rows of an earlier process's outbox the journal has already.
//!
//! To know that, the journal of the last hour has to be read, and of a busy hour that is a lot. So a thread reads while
//! requests are served: the rows are safe in the store, and what this process commits is handed to the drainer by the
//! committing thread and needs no asking.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use strongroom_audit::{Event, EventError, ReadError, event_ids_since};
use strongroom_records::{Records, RecordsError};
use strongroom_types::{RegionName, RequestId, Timestamp};

use crate::outbox::each_page;

/// How far the clock may have been set back between two processes without a record being appended twice.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(3600);
/// How long after a first failure it is tried again; after each further one twice as long.
const RETRY_AFTER: Duration = Duration::from_millis(200);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The ids of events that are in the journal and in the outbox.
pub(crate) type Recorded = HashSet<RequestId>;

/// The question, put to a thread of its own, which ends when this is dropped or has been answered.
pub(crate) struct Inquiry {
    answers: Receiver<Result<Recorded, Failed>>,
    _stop: Sender<()>,
}

/// The journal or the outbox could not be read, as the log says; it will be tried again.
pub(crate) struct Failed;

#[derive(Debug, thiserror::Error)]
enum InquiryError {
    #[error("cannot read the audit journal")]
    Journal(#[from] ReadError),
    #[error("cannot read the outbox")]
    Records(#[from] RecordsError),
    #[error("an outbox row holds no event")]
    Row(#[from] EventError),
}

impl Inquiry {
    pub(crate) fn start(
        records: Arc<Records>,
        journal: PathBuf,
        regions: Vec<RegionName>,
    ) -> std::io::Result<Self> {
        let (answer, answers) = channel();
        let (stop, stopped) = channel::<()>();
        let ask = move || {
            let mut pause = RETRY_AFTER;
            loop {
                let asked = inquire(&records, &journal, &regions);
                let is_answered = asked.is_ok();
                let asked = asked.map_err(|error| {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "audit records of an earlier process stay in the outbox for now");
                    Failed
                });
                let is_heard = answer.send(asked).is_ok();
                let is_stopped = || stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected);
                if is_answered || !is_heard || is_stopped() {
                    return;
                }
                pause = pause.saturating_mul(2).min(RETRY_AFTER_MAX);
            }
        };
        std::thread::Builder::new().name("outbox-inquiry".into()).spawn(ask)?;
        Ok(Self { answers, _stop: stop })
    }

    /// The answer, if it is there by now.
    pub(crate) fn answer(&self) -> Option<Recorded> {
        match self.answers.try_recv() {
            Ok(Ok(recorded)) => Some(recorded),
            Ok(Err(Failed)) | Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Waits for the answer, or for a failure.
    pub(crate) fn wait(self) -> Result<Recorded, Failed> {
        // Failures of before are not what is waited for.
        let mut answer = self.answers.try_iter().last();
        if !matches!(answer, Some(Ok(_))) {
            answer = self.answers.recv().ok();
        }
        answer.unwrap_or(Err(Failed))
    }
}

fn inquire(
    records: &Records,
    journal: &std::path::Path,
    regions: &[RegionName],
) -> Result<Recorded, InquiryError> {
    let mut ids = HashSet::new();
    let mut oldest = Timestamp::from_millis(u64::MAX);
    each_page(records, regions, |page| {
        for row in &page {
            oldest = oldest.min(row.created);
            ids.insert(Event::decode(&row.event)?.id);
        }
        Ok::<(), InquiryError>(())
    })?;
    if ids.is_empty() {
        return Ok(Recorded::new());
    }
    // The clock may have been set back since: reach further than the rows say.
    let since = oldest.saturating_sub(CLOCK_STEP_MAX);
    Ok(event_ids_since(journal, since, |id| ids.contains(id))?)
}
