//! Questions that are asked at the same time, each on a thread of its own, and waited for up to one moment;
//! questions that an async task waits for; and clients that are let go without waiting for that. Knows nothing of what is asked.

use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};

use isobar_topology::clock::{self, Instant};

use super::error::Error;

/// Lets a client go on a thread of its own: a consumer closes first, which takes a while, and long where a
/// broker is away. Where there can be no more threads, waits for it.
pub(crate) fn let_go<C: Send + 'static>(client: C) {
    let thread = std::thread::Builder::new().name("let-go".to_owned());
    // A thread that cannot be started drops the client, too.
    drop(thread.spawn(move || drop(client)));
}

/// A client of an async task, which is let go when the task is done with it, or is given up.
pub(crate) struct LetGo<C: Send + 'static>(Option<C>);

impl<C: Send + 'static> LetGo<C> {
    pub(crate) fn of(client: C) -> Self {
        Self(Some(client))
    }
}

impl<C: Send + 'static> Deref for LetGo<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<C: Send + 'static> Drop for LetGo<C> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            let_go(client);
        }
    }
}

/// Asks on a thread for blocking work, so that the task that waits for the answer holds no other one up.
pub(crate) async fn beside<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let asked = tokio::task::spawn_blocking(question).await;
    asked.unwrap_or_else(|_| Err(panicked()))
}

/// A question under way.
pub(crate) struct Asked<T>(Receiver<Result<T, Error>>);

impl<T: Send + 'static> Asked<T> {
    /// Asks with a client that is let go afterwards; who waits for the answer does not wait for that.
    ///
    /// Fails when there can be no more threads.
    pub(crate) fn of<C: Send + 'static>(
        client: C,
        question: impl FnOnce(&C) -> Result<T, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (answer, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("question".to_owned());
        let spawned = thread.spawn(move || {
            let _ = answer.send(question(&client));
        });
        match spawned {
            Ok(_detached) => Ok(Self(asked)),
            Err(source) => Err(Error::System {
                what: "starting a thread that asks the brokers".to_owned(),
                source,
            }),
        }
    }

    /// The answer, if it is there.
    pub(crate) fn answer(&self) -> Option<Result<T, Error>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(panicked())),
        }
    }

    /// Waits for the answer; `late` makes of no answer an error.
    pub(crate) fn by(self, deadline: Instant, late: impl FnOnce() -> Error) -> Result<T, Error> {
        let left = deadline.saturating_duration_since(clock::now());
        match self.0.recv_timeout(left) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(late()),
            Err(RecvTimeoutError::Disconnected) => Err(panicked()),
        }
    }
}

fn panicked() -> Error {
    Error::System {
        what: "asking the brokers".to_owned(),
        source: std::io::Error::other(
            "the thread of the question has panicked, which is a fault of this program; what it said last is on standard error",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;
    use std::thread::ThreadId;
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn questions_go_on_at_the_same_time_and_a_late_answer_is_none() {
        let (first, second) = (sync_channel(1), sync_channel(1));
        // Each has its answer only when the other one is under way.
        let meet = |tell: std::sync::mpsc::SyncSender<()>, hear: Receiver<()>| {
            Asked::of((), move |()| {
                let _ = tell.send(());
                Ok(hear.recv().is_ok())
            })
            .expect("a thread")
        };
        let both = [meet(first.0, second.1), meet(second.0, first.1)];
        let deadline = clock::now() + Duration::from_secs(60);
        let late = || Error::Config("late".to_owned());
        for one in both {
            assert!(one.by(deadline, late).expect("an answer"));
        }
        let (end, ended) = sync_channel::<()>(0);
        let never = Asked::of((), move |()| Ok(ended.recv().is_ok())).expect("a thread");
        let said = never.by(clock::now(), late).expect_err("no answer");
        assert_eq!(said.to_string(), "late");
        drop(end);
    }

    #[tokio::test]
    async fn a_client_of_a_task_is_let_go_elsewhere_also_where_the_task_is_given_up() {
        /// Says on which thread it ends.
        struct Client(SyncSender<ThreadId>);
        impl Drop for Client {
            fn drop(&mut self) {
                let _ = self.0.send(std::thread::current().id());
            }
        }
        for is_given_up in [false, true] {
            let (end, ended) = sync_channel(1);
            let client = LetGo::of(Client(end));
            let task = async move {
                if is_given_up {
                    std::future::pending::<()>().await;
                }
                drop(client);
            };
            assert_eq!(task.now_or_never().is_none(), is_given_up);
            let at = ended.recv_timeout(Duration::from_secs(60));
            assert_ne!(at.expect("it ends"), std::thread::current().id());
        }
    }

    #[test]
    fn a_question_that_panics_is_not_told_as_a_late_one() {
        let faulty = Asked::of((), |()| -> Result<(), Error> { panic!("on purpose") });
        let deadline = clock::now() + Duration::from_secs(60);
        let late = || Error::Config("late".to_owned());
        let said = faulty.expect("a thread").by(deadline, late);
        let said = said.expect_err("no answer").to_string();
        assert!(said.contains("has panicked"), "{said}");
    }
}
