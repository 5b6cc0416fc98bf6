//! What configs, requests and ticks of one worker hold together, under the names that `std` has for it in one thread.
//!
//! In wasm all of it belongs to the one thread of its VM. A native host has its workers in one process, where an idle
//! worker is ticked by another thread: there a count is atomic, and a borrow is a lock. No borrow ever waits for
//! another thread: the host lets one thread at a time at a worker, and a borrow that is taken fails as in a `RefCell`.

#[cfg(target_arch = "wasm32")]
mod cells {
    pub(crate) use core::cell::{Cell, RefCell, RefMut};
    pub use std::rc::Rc;
}

#[cfg(not(target_arch = "wasm32"))]
mod cells {
    pub use std::sync::Arc as Rc;
    use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

    pub(crate) type RefMut<'c, T> = MutexGuard<'c, T>;

    /// The value is borrowed.
    #[derive(Debug)]
    pub(crate) struct Borrowed;

    /// As `std::cell::RefCell`, for more than one thread.
    #[derive(Debug, Default)]
    pub(crate) struct RefCell<T>(Mutex<T>);

    impl<T> From<T> for RefCell<T> {
        fn from(value: T) -> Self {
            Self::new(value)
        }
    }

    impl<T> RefCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn try_borrow(&self) -> Result<MutexGuard<'_, T>, Borrowed> {
            self.try_borrow_mut()
        }

        pub(crate) fn try_borrow_mut(&self) -> Result<MutexGuard<'_, T>, Borrowed> {
            match self.0.try_lock() {
                Ok(value) => Ok(value),
                Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => Err(Borrowed),
            }
        }
    }

    /// As `std::cell::Cell`, for more than one thread.
    #[derive(Debug, Default)]
    pub(crate) struct Cell<T>(Mutex<T>);

    impl<T> From<T> for Cell<T> {
        fn from(value: T) -> Self {
            Self(Mutex::new(value))
        }
    }

    impl<T: Copy + Default> Cell<T> {
        pub(crate) fn get(&self) -> T {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn set(&self, value: T) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
        }

        pub(crate) fn take(&self) -> T {
            core::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

pub use cells::Rc;
pub(crate) use cells::{Cell, RefCell, RefMut};
