//! One request, during one call of Envoy: its headers, what Envoy knows of it, and what can be changed.
//!
//! What Envoy lends is good until the call ends or something is changed. So what lends takes `&self` and what changes
//! takes `&mut self`: the compiler sees to it that nothing is read after a change. The filter state is apart: its values
//! are copied and never lent, so that keeping another one changes nothing that is.

use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use super::abi::{self, Attribute, FilterPtr, Given, Headers, Lent, Line};
use super::config::{Kind, MetricId, values};

/// Envoy's side of a request, during one call.
#[derive(Debug)]
pub struct StreamHandle<'s> {
    ptr: FilterPtr,
    during: PhantomData<&'s mut ()>,
}

/// Room for as many headers as nearly all requests have; more of them are put on the heap.
const FEW: usize = 64;

/// Room for the places of headers, so that getting them all is one call and no allocation.
pub struct Room {
    few: [MaybeUninit<Line<Lent>>; FEW],
    many: Vec<Line<Lent>>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { few: [MaybeUninit::uninit(); FEW], many: Vec::new() }
    }
}

impl StreamHandle<'_> {
    /// The handle of the call that Envoy makes now.
    ///
    /// # Safety
    ///
    /// `ptr` is what Envoy passed to the call, on this thread, and the handle ends with the call. There is no other
    /// handle of this request meanwhile.
    pub(super) unsafe fn new(ptr: FilterPtr) -> Self {
        Self { ptr, during: PhantomData }
    }

    /// All headers, in order.
    pub fn headers<'h>(
        &'h self,
        of: Headers,
        room: &'h mut Room,
    ) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone {
        let lines = self.all(of, room);
        lines.iter().map(|line| {
            // SAFETY: Envoy filled the line in, and what it lends stays until something is changed, which the borrow
            // of `self` prevents.
            let name = unsafe { line.name.bytes() };
            // SAFETY: as the name.
            (name, unsafe { line.value.bytes() })
        })
    }

    fn all<'h>(&'h self, of: Headers, room: &'h mut Room) -> &'h [Line<Lent>] {
        // SAFETY: the handle's pointer is good during the call it is for.
        let count = unsafe { abi::get_headers_size(self.ptr, of) };
        if count == 0 {
            return &[];
        }
        if count <= FEW {
            let lines = room.few.as_mut_ptr().cast::<Line<Lent>>();
            // SAFETY: there is room for `count` lines, which is how many Envoy writes: nothing changed since it said so.
            if !unsafe { abi::get_headers(self.ptr, of, lines) } {
                return &[];
            }
            // SAFETY: Envoy has written `count` lines, and they belong to `room`.
            return unsafe { core::slice::from_raw_parts(lines, count) };
        }
        room.many.clear();
        room.many.resize(count, Line { name: Lent::NONE, value: Lent::NONE });
        // SAFETY: as above, with the room on the heap.
        if unsafe { abi::get_headers(self.ptr, of, room.many.as_mut_ptr()) } { &room.many } else { &[] }
    }

    /// The value of a header at this place among those of its name.
    #[must_use]
    pub fn header(&self, of: Headers, name: &[u8], place: usize) -> Option<&[u8]> {
        self.lent(|ptr, value| {
            // SAFETY: name and value live during the call; the count is not asked for.
            unsafe { abi::get_header(ptr, of, Given::new(name), value, place, core::ptr::null_mut()) }
        })
    }

    /// A text that Envoy knows of the request.
    #[must_use]
    pub fn text(&self, of: Attribute) -> Option<&[u8]> {
        // SAFETY: the value lives during the call.
        self.lent(|ptr, value| unsafe { abi::get_attribute_string(ptr, of, value) })
    }

    /// A number that Envoy knows of the request.
    #[must_use]
    pub fn number(&self, of: Attribute) -> Option<u64> {
        let mut value = 0;
        // SAFETY: the handle's pointer is good during the call it is for; `value` is ours.
        unsafe { abi::get_attribute_int(self.ptr, of, &raw mut value) }.then_some(value)
    }

    /// A value of the filter state that a module has set. Copied: to keep another one would take it away.
    #[must_use]
    pub fn state(&self, key: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: key and value live during the call.
        self.lent(|ptr, value| unsafe { abi::get_state(ptr, Given::new(key), value) }).map(<[u8]>::to_vec)
    }

    /// Any value of the filter state, as text. Copied: Envoy makes it up for the call.
    #[must_use]
    pub fn typed_state(&self, key: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: key and value live during the call.
        self.lent(|ptr, value| unsafe { abi::get_typed_state(ptr, Given::new(key), value) }).map(<[u8]>::to_vec)
    }

    fn lent(&self, get: impl FnOnce(FilterPtr, *mut Lent) -> bool) -> Option<&[u8]> {
        let mut value = Lent::NONE;
        if !get(self.ptr, &raw mut value) || value.ptr.is_null() {
            return None;
        }
        // SAFETY: Envoy filled it in, and what it lends stays until something is changed, which the borrow prevents.
        Some(unsafe { value.bytes() })
    }

    /// Sets a header to this one value. Returns whether Envoy did.
    pub fn set_header(&mut self, of: Headers, name: &[u8], value: &[u8]) -> bool {
        // SAFETY: the handle's pointer is good during the call it is for; Envoy copies both.
        unsafe { abi::set_header(self.ptr, of, Given::new(name), Given::new(value)) }
    }

    /// Adds a value to a header. Returns whether Envoy did.
    pub fn add_header(&mut self, of: Headers, name: &[u8], value: &[u8]) -> bool {
        // SAFETY: as in `set_header`.
        unsafe { abi::add_header(self.ptr, of, Given::new(name), Given::new(value)) }
    }

    /// Removes all headers of this name. Returns whether they are gone.
    pub fn remove_header(&mut self, of: Headers, name: &[u8]) -> bool {
        // SAFETY: as in `set_header`; no value means that the header is to be removed.
        unsafe { abi::set_header(self.ptr, of, Given::new(name), Given::NONE) }
    }

    /// Answers the request instead of the upstream, as Envoy's own answers are.
    pub fn respond(&mut self, status: u32, headers: &[(&[u8], &[u8])], body: &[u8], details: &[u8]) {
        let lines = lines(headers);
        let (body, details) = (Given::new(body), Given::new(details));
        // SAFETY: all that is given lives until the call returns, and Envoy copies it.
        unsafe { abi::send_response(self.ptr, status, lines.as_ptr(), lines.len(), body, details) };
    }

    /// Answers the request with headers alone, as they are; `:status` is one of them.
    pub fn respond_with_headers(&mut self, headers: &[(&[u8], &[u8])]) {
        let lines = lines(headers);
        // SAFETY: as in `respond`.
        unsafe { abi::send_response_headers(self.ptr, lines.as_ptr(), lines.len(), true) };
    }

    /// Has the route chosen anew.
    pub fn clear_route_cache(&mut self) {
        // SAFETY: the handle's pointer is good during the call it is for.
        unsafe { abi::clear_route_cache(self.ptr) };
    }

    /// Keeps a value in the filter state. Returns whether Envoy did.
    #[must_use]
    pub fn set_state(&self, key: &[u8], value: &[u8]) -> bool {
        // SAFETY: Envoy copies both, and nothing that is lent belongs to the filter state.
        unsafe { abi::set_state(self.ptr, Given::new(key), Given::new(value)) }
    }

    /// As [`Self::set_state`], and over internal redirects where Envoy can: from 1.40 on.
    #[must_use]
    pub fn set_state_of_request(&self, key: &[u8], value: &[u8]) -> bool {
        let Some(set) = abi::set_state_for() else { return self.set_state(key, value) };
        // SAFETY: as in `set_state`; the numbers are those of the ABI.
        unsafe { set(self.ptr, Given::new(key), Given::new(value), abi::REQUEST, abi::NOT_SHARED) }
    }

    /// As [`ConfigHandle::tell`](super::config::ConfigHandle::tell), on the request's own thread.
    pub fn tell(&mut self, metric: MetricId, labels: &[Box<str>], value: u64) -> bool {
        let change = match metric.kind {
            Kind::Counter => abi::increment,
            Kind::Gauge => abi::set,
            Kind::Histogram => abi::record,
        };
        let (given, count) = values(labels);
        // SAFETY: as in `ConfigHandle::tell`.
        unsafe { change(self.ptr, metric.number, given.as_ptr(), count, value) == abi::DONE }
    }
}

/// Headers as the ABI has them.
fn lines(headers: &[(&[u8], &[u8])]) -> Vec<Line<Given>> {
    headers.iter().map(|(name, value)| Line { name: Given::new(name), value: Given::new(value) }).collect()
}
