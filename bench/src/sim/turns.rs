//! Many deeds done on several threads as if they were done one after the other.
//!
//! Each deed says beforehand what it touches. It waits for those before it that touch some of the same, and for nobody
//! else: whatever the threads do, the outcome is that of one thread.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::Failure;

/// Does all deeds. `touches` adds everything that a deed may read or change, by number.
pub fn take<T: Sync>(
    threads: NonZeroUsize,
    deeds: &[T],
    touches: impl Fn(&T, &mut Vec<usize>),
    act: impl Fn(&T) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let turns = Turns::new(deeds, touches);
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(deeds.len()) {
            scope.spawn(|| turns.work(deeds, &act));
        }
        turns.work(deeds, &act);
    });
    let state = turns.state.into_inner();
    match state.unwrap_or_else(PoisonError::into_inner).failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

struct Turns {
    state: Mutex<State>,
    changed: Condvar,
    /// For each deed, those that wait for it.
    next: Vec<Vec<usize>>,
}

struct State {
    /// Those that may be done now, the first one first.
    ready: BinaryHeap<Reverse<usize>>,
    /// For how many others each deed waits.
    waits: Vec<usize>,
    left: usize,
    failure: Option<Failure>,
}

impl Turns {
    fn new<T>(deeds: &[T], touches: impl Fn(&T, &mut Vec<usize>)) -> Self {
        let mut next = vec![Vec::new(); deeds.len()];
        let mut waits = vec![0; deeds.len()];
        let mut last: HashMap<usize, usize> = HashMap::new();
        let mut touched = Vec::new();
        for (number, deed) in deeds.iter().enumerate() {
            touched.clear();
            touches(deed, &mut touched);
            let mut before: Vec<usize> = touched
                .iter()
                .filter_map(|what| last.insert(*what, number))
                .filter(|before| *before != number)
                .collect();
            before.sort_unstable();
            before.dedup();
            waits[number] = before.len();
            for before in before {
                next[before].push(number);
            }
        }
        let ready = (0..deeds.len()).filter(|number| waits[*number] == 0);
        Self {
            state: Mutex::new(State {
                ready: ready.map(Reverse).collect(),
                waits,
                left: deeds.len(),
                failure: None,
            }),
            changed: Condvar::new(),
            next,
        }
    }

    fn work<T>(&self, deeds: &[T], act: &impl Fn(&T) -> Result<(), Failure>) {
        // One that panics must not leave the others waiting.
        let _gone = Gone(self);
        let mut state = self.state();
        loop {
            if state.left == 0 || state.failure.is_some() {
                return;
            }
            let Some(Reverse(number)) = state.ready.pop() else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let done = act(&deeds[number]);
            state = self.state();
            if let Err(failure) = done {
                state.failure.get_or_insert(failure);
            }
            state.left -= 1;
            for next in &self.next[number] {
                state.waits[*next] -= 1;
                if state.waits[*next] == 0 {
                    state.ready.push(Reverse(*next));
                }
            }
            self.changed.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Gone<'a>(&'a Turns);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.state();
            state
                .failure
                .get_or_insert_with(|| "a thread panicked".into());
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_the_same_is_done_in_order_and_the_rest_at_the_same_time() {
        let threads = NonZeroUsize::new(2).expect("not zero");
        // Each deed appends its number to what it touches.
        let deeds: Vec<usize> = (0..2_000).collect();
        let touches = |deed: &usize, touched: &mut Vec<usize>| {
            touched.extend([deed % 7, 7 + deed % 5]);
        };
        let seen: Vec<Mutex<Vec<usize>>> = (0..12).map(|_| Mutex::default()).collect();
        take(threads, &deeds, touches, |deed| {
            let mut touched = Vec::new();
            touches(deed, &mut touched);
            for what in touched {
                seen[what].lock().expect("whole").push(*deed);
            }
            Ok(())
        })
        .expect("done");
        for seen in seen {
            let seen = seen.into_inner().expect("whole");
            assert!(seen.len() >= 285 && seen.is_sorted());
        }
        // These two wait for each other, so they are done at once or never.
        let barrier = std::sync::Barrier::new(2);
        let apart = |deed: &usize, touched: &mut Vec<usize>| touched.push(*deed);
        take(threads, &[1, 2], apart, |_| {
            barrier.wait();
            Ok(())
        })
        .expect("done");
    }

    #[test]
    fn a_failure_ends_it() {
        let threads = NonZeroUsize::new(2).expect("not zero");
        let deeds: Vec<usize> = (0..100).collect();
        let done = Mutex::new(0);
        let outcome = take(
            threads,
            &deeds,
            |_, touched| touched.push(0),
            |deed| {
                *done.lock().expect("whole") += 1;
                if *deed == 10 {
                    return Err("enough".into());
                }
                Ok(())
            },
        );
        assert!(outcome.is_err());
        assert_eq!(*done.lock().expect("whole"), 11);
    }
}
