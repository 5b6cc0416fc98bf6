//! An allocator for a module that runs on one thread, and makes and drops the same few small things for each request.
//!
//! Sizes are rounded up to a class; each class has a list of free blocks, so that to allocate and to free are a few
//! instructions. New blocks are cut from new memory, and go back to their class: the memory of a module never shrinks
//! anyway. What is large is rounded up to a power of two, so that what one push has freed fits the next.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

/// Classes are this far apart, which is also the alignment of each block.
const STEP: usize = 16;

/// The largest size in steps; up to there each number of steps is a class.
const STEPS: usize = 64;

/// Beyond that, classes double: from 2 KiB to 1 GiB, which is all that a VM has.
const DOUBLED: u32 = 20;

const CLASSES: usize = STEPS + DOUBLED as usize + 1;

const LARGEST: usize = (STEP * STEPS) << DOUBLED;

/// A page of memory: what is asked for at least, and no alignment is above it.
const PAGE: usize = 64 * 1024;

/// The allocator. Not for more than one thread: only a module of wasm may have it as its global one.
#[derive(Debug)]
pub struct SizeClasses {
    free: [Cell<*mut Block>; CLASSES],
    /// What is left of the last page.
    rest: Cell<*mut u8>,
    left: Cell<usize>,
}

#[derive(Debug)]
struct Block {
    next: *mut Block,
}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: SizeClasses = SizeClasses::new();

// SAFETY: a module of wasm without the threads proposal, which Envoy does not have, is one thread.
#[cfg(target_arch = "wasm32")]
unsafe impl Sync for SizeClasses {}

impl SizeClasses {
    /// An allocator that has taken nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: [const { Cell::new(null_mut()) }; CLASSES], rest: Cell::new(null_mut()), left: Cell::new(0) }
    }

    /// A new block of a class: pages of its own, or cut from one.
    #[cold]
    fn cut(&self, size: usize) -> *mut u8 {
        if size >= PAGE {
            return grow(size);
        }
        if self.left.get() < size {
            let page = grow(PAGE);
            if page.is_null() {
                return page;
            }
            self.rest.set(page);
            self.left.set(PAGE);
        }
        let block = self.rest.get();
        self.left.set(self.left.get().wrapping_sub(size));
        // SAFETY: `size` bytes are left of the page, as was just seen: this is at most one past its end.
        self.rest.set(unsafe { block.add(size) });
        block
    }
}

impl Default for SizeClasses {
    fn default() -> Self {
        Self::new()
    }
}

/// New memory of so many bytes, which are whole pages; null if there is no more.
#[cfg(target_arch = "wasm32")]
fn grow(size: usize) -> *mut u8 {
    let pages = core::arch::wasm32::memory_grow::<0>(size / PAGE);
    if pages == usize::MAX { null_mut() } else { core::ptr::with_exposed_provenance_mut(pages.wrapping_mul(PAGE)) }
}

/// The same for tests in this process.
#[cfg(not(target_arch = "wasm32"))]
fn grow(size: usize) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(size, PAGE) else { return null_mut() };
    // SAFETY: there is no class of size 0.
    unsafe { std::alloc::System.alloc(layout) }
}

/// The class of a layout and the size of its blocks; none for one that no VM can hold.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the size is known where most allocations are made: then the class is, too")]
fn class(layout: Layout) -> Option<(usize, usize)> {
    let mut size = layout.size();
    if layout.align() > STEP {
        size = size.max(PAGE); // which stands at the beginning of one
    }
    if layout.align() > PAGE || size > LARGEST {
        return None;
    }
    let steps = size.div_ceil(STEP);
    if steps <= STEPS {
        return Some((steps, steps.wrapping_mul(STEP)));
    }
    let doubled = steps.div_ceil(STEPS).next_power_of_two();
    let place = usize::try_from(doubled.trailing_zeros()).unwrap_or_default();
    Some((STEPS.wrapping_add(place), doubled.wrapping_mul(STEP * STEPS)))
}

// SAFETY: a block is at least as large as its layout, aligned to `STEP` or to `PAGE`, and in use once: it is cut once,
// and is on the list of its class only while it is free. Both ways from a layout to its class are the same function.
unsafe impl GlobalAlloc for SizeClasses {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, size)) = class(layout) else { return null_mut() };
        let Some(head) = self.free.get(class) else { return null_mut() };
        let Some(block) = NonNull::new(head.get()) else { return self.cut(size) };
        // SAFETY: a block on a list is free, and holds what `dealloc` wrote into it.
        head.set(unsafe { block.as_ref() }.next);
        block.as_ptr().cast()
    }

    #[inline]
    #[allow(clippy::cast_ptr_alignment, reason = "a block is aligned to 16")]
    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        if let Some((class, _)) = class(layout)
            && let Some(head) = self.free.get(class)
        {
            let block = data.cast::<Block>();
            // SAFETY: the block is not in use any more, and is large enough and aligned for a pointer.
            unsafe { block.write(Block { next: head.get() }) };
            head.set(block);
        }
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` rounded up to the alignment is no more than `isize::MAX`.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class(layout) == class(new) {
            return data;
        }
        // SAFETY: the caller promises that `size` is not 0.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both are at least as large as the smaller size, and are not the same block.
            unsafe { moved.copy_from_nonoverlapping(data, layout.size().min(size)) };
            // SAFETY: it came from here, with this layout.
            unsafe { self.dealloc(data, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap_or(Layout::new::<u8>())
    }

    #[test]
    fn classes_are_as_large_as_what_they_hold() {
        let mut last = 0;
        let large = (10..=DOUBLED + 10).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]);
        for size in (1..=2_000).chain(large.filter(|size| (2_000..=LARGEST).contains(size))) {
            let (place, block) = class(layout(size, 8)).unwrap_or_default();
            assert!(block >= size && block < size * 2 + STEP && place < CLASSES, "{size}: {place}, {block}");
            assert!(place == last || place == last + 1, "{size}");
            last = place;
        }
        assert_eq!(last, CLASSES - 1);
        assert_eq!(class(layout(8, 32)), class(layout(PAGE, 1)), "a page is aligned to all that is");
        assert_eq!([class(layout(LARGEST + 1, 1)), class(layout(8, 2 * PAGE))], [None; 2]);
    }

    #[test]
    fn blocks_keep_what_is_written_and_are_used_again() {
        let heap = SizeClasses::new();
        let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut state = 7_u32;
        // Miri looks at each byte.
        let rounds = if cfg!(miri) { 60 } else { 2_000_u32 };
        for round in 0..rounds {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = (state >> 8) as usize % 3_000 * if round % 50 == 0 { 10 } else { 1 } + 1;
            let layout = layout(size, [1, 4, 8, 16, 64][(state >> 4) as usize % 5]);
            // SAFETY: the size is not 0.
            let data = unsafe { heap.alloc(layout) };
            assert!(!data.is_null() && data.addr().is_multiple_of(layout.align()));
            let mark = round.to_le_bytes()[0];
            // SAFETY: it was allocated with this size.
            unsafe { data.write_bytes(mark, size) };
            held.push((data, layout, mark));
            if !state.is_multiple_of(3) {
                let (data, layout, mark) = held.swap_remove(state as usize % held.len());
                let size = layout.size() / 2 + (state >> 20) as usize % 200 + 1;
                // SAFETY: it was allocated here with this layout.
                let data = unsafe { heap.realloc(data, layout, size) };
                // SAFETY: so many bytes were written and kept.
                let kept = unsafe { core::slice::from_raw_parts(data, size.min(layout.size())) };
                assert!(kept.iter().all(|byte| *byte == mark));
                // SAFETY: it was allocated here with this layout.
                unsafe { heap.dealloc(data, self::layout(size, layout.align())) };
            }
        }
        for (data, layout, mark) in held {
            // SAFETY: so many bytes were written.
            let bytes = unsafe { core::slice::from_raw_parts(data, layout.size()) };
            assert!(bytes.iter().all(|byte| *byte == mark));
            // SAFETY: it was allocated here with this layout.
            unsafe { heap.dealloc(data, layout) };
        }
        let small = layout(24, 8);
        // SAFETY: the size is not 0.
        let one = unsafe { heap.alloc(small) };
        // SAFETY: it was allocated here with this layout.
        unsafe { heap.dealloc(one, small) };
        // SAFETY: the size is not 0.
        assert_eq!(unsafe { heap.alloc(small) }, one);
    }
}
