//! Questions that many ask at the same time: one of a kind is under way at a time, and its answer is for all who
//! had asked by its start. Knows nothing of what is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use isobar_topology::clock::{self, Instant};

/// The last answer, with when it was asked for. Whoever asks holds it.
type Turn<A> = tokio::sync::Mutex<Option<(Instant, A)>>;

/// Questions by what is asked. Answers are kept as long as somebody waits.
pub(super) struct Turns<K, A>(Mutex<BTreeMap<K, Weak<Turn<A>>>>);

impl<K, A> Default for Turns<K, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, A: Clone> Turns<K, A> {
    /// Waits for the question of this kind that is under way, and then asks, or takes the answer of another one who
    /// waited for it, too. So what had happened before this call is in the answer. Who is dropped gives the
    /// turn to the next one.
    pub(super) async fn answer(&self, kind: K, question: impl Future<Output = A>) -> A {
        let came = clock::now();
        let turn = self.turn(kind);
        let mut last = turn.lock().await;
        if let Some((asked, answer)) = &*last
            && *asked >= came
        {
            return answer.clone();
        }
        let asked = clock::now();
        let answer = question.await;
        *last = Some((asked, answer.clone()));
        answer
    }

    fn turn(&self, kind: K) -> Arc<Turn<A>> {
        // Whole whenever the lock is not held.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let known = turns.get(&kind).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::default();
            let _ = turns.insert(kind, Arc::downgrade(&new));
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;
    use futures::poll;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn who_asks_while_another_does_shares_the_next_answer() {
        let (turns, answer) = (Turns::default(), Notify::new());
        let asked = Cell::new(0);
        let ask = |kind: &'static str| {
            turns.answer(kind, async {
                asked.set(asked.get() + 1);
                let number = asked.get();
                answer.notified().await;
                number
            })
        };
        let mut first = Box::pin(ask("a"));
        assert!(poll!(&mut first).is_pending());
        let mut others = Box::pin(join_all([ask("a"), ask("a"), ask("a")]));
        assert!(poll!(&mut others).is_pending());
        assert_eq!(asked.get(), 1, "one at a time");
        let mut another = Box::pin(ask("b"));
        assert!(poll!(&mut another).is_pending());
        assert_eq!(asked.get(), 2, "of a kind");

        // Who goes away takes none along.
        drop(first);
        assert!(poll!(&mut others).is_pending());
        assert_eq!(asked.get(), 3);
        answer.notify_waiters();
        assert_eq!((others.await, another.await), (vec![3; 3], 2));

        let mut later = Box::pin(ask("a"));
        assert!(poll!(&mut later).is_pending());
        answer.notify_waiters();
        assert_eq!(later.await, 4, "nothing that is old");
        drop(turns.turn("b"));
        assert_eq!(turns.0.lock().expect("whole").len(), 1);
    }
}
