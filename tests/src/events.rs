//! A list that grows in one thread and is waited for in another.

use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Things that happened, in order.
#[derive(Debug)]
pub struct Events<T> {
    items: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Default for Events<T> {
    fn default() -> Events<T> {
        Events { items: Mutex::new(Vec::new()), changed: Condvar::new() }
    }
}

impl<T> Events<T> {
    /// Adds one.
    pub fn push(&self, item: T) {
        self.items().push(item);
        self.changed.notify_all();
    }

    /// Changes what is there.
    pub fn change(&self, with: impl FnOnce(&mut Vec<T>)) {
        with(&mut self.items());
        self.changed.notify_all();
    }

    /// What there is by now.
    pub fn items(&self) -> MutexGuard<'_, Vec<T>> {
        self.items.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many there are by now.
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// Waits until `look` finds what it wants; none when `within` is over.
    pub fn try_wait<R>(&self, within: Duration, mut look: impl FnMut(&[T]) -> Option<R>) -> Option<R> {
        let end = Instant::now() + within;
        let mut items = self.items();
        loop {
            if let Some(found) = look(&items) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            items =
                self.changed.wait_timeout(items, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Waits until `look` finds what it wants; a failed test when `within` is over.
    #[track_caller]
    pub fn wait<R>(&self, within: Duration, what: &str, look: impl FnMut(&[T]) -> Option<R>) -> R {
        match self.try_wait(within, look) {
            Some(found) => found,
            None => panic!("waited {within:?} for {what}; {} came", self.len()),
        }
    }
}
