//! An allocator for a module that runs on one thread, and makes and drops the same few small things for each request.
//!
//! Sizes are rounded up to a class; each class has a list of free blocks, so that to allocate and to free are a few
//! instructions. New blocks are cut from large pieces of the allocator behind it, which has all that is larger. Blocks
//! go back to their class, and never to the allocator behind: the memory of a module never shrinks anyway.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};
use std::alloc::System;

/// Classes are this far apart, which is also the alignment of each block.
const STEP: usize = 16;

/// The largest size in steps; up to there each number of steps is a class.
const STEPS: usize = 64;

/// Beyond that, classes double: 2, 4, 8 and 16 KiB.
const DOUBLED: u32 = 4;

const CLASSES: usize = STEPS + DOUBLED as usize + 1;

const LARGEST: usize = (STEP * STEPS) << DOUBLED;

/// What is taken from the allocator behind at once.
const PIECE: usize = 64 * 1024;

/// The allocator. Not for more than one thread: only a module of wasm may have it as its global one.
#[derive(Debug)]
pub struct SizeClasses {
    free: [Cell<*mut Block>; CLASSES],
    /// What is left of the last piece.
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

    /// A new block of a class, cut from a piece.
    #[cold]
    fn cut(&self, size: usize) -> *mut u8 {
        if self.left.get() < size {
            // SAFETY: a piece is not of size 0, and its alignment is a power of two.
            let layout = unsafe { Layout::from_size_align_unchecked(PIECE, STEP) };
            // SAFETY: the layout is not of size 0.
            let piece = unsafe { System.alloc(layout) };
            if piece.is_null() {
                return piece;
            }
            self.rest.set(piece);
            self.left.set(PIECE);
        }
        let block = self.rest.get();
        self.left.set(self.left.get().wrapping_sub(size));
        // SAFETY: `size` bytes are left of the piece, as was just seen: this is at most one past its end.
        self.rest.set(unsafe { block.add(size) });
        block
    }
}

impl Default for SizeClasses {
    fn default() -> Self {
        Self::new()
    }
}

/// The class of a layout and the size of its blocks; none for one that the allocator behind has.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the size is known where most allocations are made: then the class is, too")]
fn class(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size();
    if layout.align() > STEP || size > LARGEST || size == 0 {
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

// SAFETY: a block is at least as large as its layout, aligned to `STEP`, and in use once: it is cut once, and is on the
// list of its class only while it is free. Both ways from a layout to its class are the same function.
unsafe impl GlobalAlloc for SizeClasses {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, size)) = class(layout) else {
            // SAFETY: what the caller promises of the layout holds.
            return unsafe { System.alloc(layout) };
        };
        let Some(head) = self.free.get(class) else { return null_mut() };
        let Some(block) = NonNull::new(head.get()) else { return self.cut(size) };
        // SAFETY: a block on a list is free, and holds what `dealloc` wrote into it.
        head.set(unsafe { block.as_ref() }.next);
        block.as_ptr().cast()
    }

    #[inline]
    #[allow(clippy::cast_ptr_alignment, reason = "a block is aligned to 16")]
    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        let Some((class, _)) = class(layout) else {
            // SAFETY: it came from there, with this layout.
            unsafe { System.dealloc(data, layout) };
            return;
        };
        if let Some(head) = self.free.get(class) {
            let block = data.cast::<Block>();
            // SAFETY: the block is not in use any more, and is large enough and aligned for a pointer.
            unsafe { block.write(Block { next: head.get() }) };
            head.set(block);
        }
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` rounded up to the alignment is no more than `isize::MAX`.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(new)) {
            (Some(old), Some(new)) if old == new => return data,
            // SAFETY: it came from there, with this layout, and the new size belongs there, too.
            (None, None) => return unsafe { System.realloc(data, layout, size) },
            _ => {}
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
        for size in 1..=LARGEST {
            let (place, block) = class(layout(size, 8)).unwrap_or_default();
            assert!(block >= size && block < size * 2 + STEP && place < CLASSES, "{size}: {place}, {block}");
            assert!(place == last || place == last + 1, "{size}");
            last = place;
        }
        assert_eq!(last, CLASSES - 1);
        assert_eq!([class(layout(LARGEST + 1, 1)), class(layout(8, 32))], [None; 2]);
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
