//! A key that stands for one object, and not for those that are equal to it. It keeps the object, so that its address is not that of
//! another one later.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The object.
#[derive(Debug)]
pub(super) struct ByAddress<T>(Arc<T>);

impl<T> ByAddress<T> {
    pub(super) fn of(object: &Arc<T>) -> Self {
        Self(Arc::clone(object))
    }
}

impl<T> Clone for ByAddress<T> {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl<T> PartialEq for ByAddress<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for ByAddress<T> {}

impl<T> Hash for ByAddress<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
