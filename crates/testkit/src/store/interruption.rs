//! What comes between a reading and what follows from it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

type Meant = (String, Box<dyn FnOnce() + Send>);

/// Happens once, after the next row has been read whose address begins so.
#[derive(Default)]
pub(super) struct Interruption(Mutex<Option<Meant>>);

impl Interruption {
    pub(super) fn plan(&self, prefix: &str, what: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((prefix.to_owned(), Box::new(what)));
    }

    pub(super) fn is_planned(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Without a lock held while it happens: it may read, too.
    pub(super) fn happen(&self, address: &str) {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let what = planned.take_if(|(prefix, _)| address.starts_with(prefix.as_str()));
        drop(planned);
        if let Some((_, what)) = what {
            what();
        }
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interruption").field(&self.is_planned()).finish()
    }
}
