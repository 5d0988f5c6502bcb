//! Memory of bodies that were answered, for the next ones: with much to do it costs more to make than to keep. What
//! sinks of one connection keep for bodies of one size they keep together: they are seldom all full at one time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

use super::body::Room;

/// How long it is kept after a body was full: with less to do than that, making it anew costs nothing, and an idle
/// topology keeps none.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(1);

/// What is kept. One lock is taken for a request, and one for a full body.
#[derive(Default)]
pub(crate) struct Spare(Mutex<State>);

#[derive(Default)]
struct State {
    rooms: Vec<Room>,
    /// As many are kept at most.
    most: usize,
    /// Until when; `None` before a body was full.
    until: Option<Instant>,
}

impl State {
    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= clock::now())
    }
}

impl Spare {
    /// A sink fills and sends so many bodies at one time. Of several that with the most says how many are kept.
    pub(crate) fn is_of(&self, bodies: usize) {
        let mut state = self.lock();
        state.most = state.most.max(bodies);
    }

    /// Room that is kept.
    pub(crate) fn take(&self) -> Option<Room> {
        self.lock().rooms.pop()
    }

    /// The same, as a body was full.
    pub(crate) fn take_after_full(&self) -> Option<Room> {
        let mut state = self.lock();
        state.until = Some(clock::now() + KEPT_FOR);
        state.rooms.pop()
    }

    /// Keeps room, unless there is enough, or no body was full for long.
    pub(crate) fn give(&self, room: Room) {
        let mut state = self.lock();
        if state.rooms.len() < state.most && !state.is_over() {
            return state.rooms.push(room);
        }
        drop(state);
        // Giving back some MiB may take a while, for which nobody waits.
        drop(room);
    }

    /// Until when anything is kept; `None` while nothing is.
    pub(crate) fn until(&self) -> Option<Instant> {
        let state = self.lock();
        state.until.filter(|_| !state.rooms.is_empty())
    }

    /// Lets go of what was kept long enough.
    pub(crate) fn let_go(&self) {
        let mut state = self.lock();
        let rooms = match state.is_over() {
            true => std::mem::take(&mut state.rooms),
            false => Vec::new(),
        };
        drop(state);
        drop(rooms);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sinks_keep_together_no_more_than_the_one_with_the_most() {
        let spare = Spare::default();
        [4, 8, 4].into_iter().for_each(|bodies| spare.is_of(bodies));
        assert!(spare.take_after_full().is_none());
        (0..16).for_each(|_| spare.give(Room::default()));
        assert_eq!(spare.lock().rooms.len(), 8);
        assert!(spare.take().is_some() && spare.take_after_full().is_some());
        assert_eq!(spare.lock().rooms.len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_for_a_while_after_a_body_was_full() {
        let spare = Spare::default();
        spare.is_of(4);
        spare.give(Room::default());
        assert_eq!(spare.until(), None, "no body was full");
        let _ = spare.take_after_full();
        spare.give(Room::default());
        let until = spare.until().expect("it is kept");
        tokio::time::advance(KEPT_FOR / 2).await;
        spare.let_go();
        assert_eq!(spare.until(), Some(until));
        tokio::time::advance(KEPT_FOR / 2).await;
        spare.give(Room::default());
        assert_eq!(spare.lock().rooms.len(), 1, "it is time to let go");
        spare.let_go();
        assert_eq!(spare.until(), None);
        assert!(spare.take().is_none());
    }
}
