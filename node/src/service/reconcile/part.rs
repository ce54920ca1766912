//! Pairs of time and id, as Negentropy wants to see them.

use std::{ops::Range, sync::Arc};

use negentropy::{Bound, Error, Item, NegentropyStorageBase};

use super::Window;

/// A part of sorted pairs.
pub(super) struct Part {
    items: Arc<Vec<Item>>,
    range: Range<usize>,
}

impl Part {
    pub(super) fn of(items: &Arc<Vec<Item>>, window: Window) -> Self {
        let start = items.partition_point(|item| item.timestamp < window.from);
        let end = items.partition_point(|item| item.timestamp < window.to);
        Self {
            items: Arc::clone(items),
            range: start..end.max(start),
        }
    }

    fn items(&self) -> &[Item] {
        self.items.get(self.range.clone()).unwrap_or_default()
    }
}

impl NegentropyStorageBase for Part {
    fn size(&self) -> Result<usize, Error> {
        Ok(self.range.len())
    }

    fn get_item(&self, index: usize) -> Result<Option<Item>, Error> {
        Ok(self.items().get(index).copied())
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        callback: &mut dyn FnMut(Item, usize) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let items = self.items().get(begin..end).ok_or(Error::BadRange)?;
        for (item, index) in items.iter().zip(begin..) {
            if !callback(*item, index)? {
                break;
            }
        }
        Ok(())
    }

    fn find_lower_bound(&self, first: usize, last: usize, value: &Bound) -> usize {
        let items = self.items().get(first..last).unwrap_or_default();
        first + items.partition_point(|item| *item < value.item)
    }
}
