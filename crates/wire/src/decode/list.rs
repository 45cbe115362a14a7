//! Lists.

use serde::de::SeqAccess;
use strongroom_types::limits::JSON_LIST_ITEMS_MAX;

use crate::decode::slot::{Seed, Skipped, Slot};

/// A list while it is read. Items past [`JSON_LIST_ITEMS_MAX`] are counted but not kept: an item of two bytes in the
/// body would otherwise take a hundred in memory.
pub(crate) struct List<T> {
    /// Null stays an item: it is a violation of its own.
    pub(crate) items: Vec<Option<T>>,
    pub(crate) count: usize,
}

impl<'de, T: Slot<'de>> Slot<'de> for List<T> {
    const WANTED: &'static str = "a List";

    fn from_array<A: SeqAccess<'de>>(mut array: A, depth: usize) -> Result<Self, A::Error> {
        let mut list = Self { items: Vec::new(), count: 0 };
        while list.read_item(&mut array, depth + 1)? {
            list.count += 1;
        }
        Ok(list)
    }

    /// `[a, b]`, if every item can be shown.
    fn echo(&self) -> Option<String> {
        let items: Option<Vec<String>> =
            self.items.iter().map(|item| item.as_ref().map_or(Some("null".to_owned()), T::echo)).collect();
        items.map(|items| format!("[{}]", items.join(", ")))
    }
}

impl<'de, T: Slot<'de>> List<T> {
    /// Whether there was one more item.
    fn read_item<A: SeqAccess<'de>>(&mut self, array: &mut A, depth: usize) -> Result<bool, A::Error> {
        if self.items.len() >= JSON_LIST_ITEMS_MAX {
            return Ok(array.next_element_seed(Seed::<Skipped>::at(depth))?.is_some());
        }
        let item = array.next_element_seed(Seed::at(depth))?;
        let found = item.is_some();
        self.items.extend(item);
        Ok(found)
    }
}
