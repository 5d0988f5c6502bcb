//! Partitions that are taken away, and given again, while records of theirs are in flight.

use super::*;

/// Reads what is there, and hands on what it is told, at any time.
struct Told {
    steps: std::collections::VecDeque<Next>,
    events: tokio::sync::mpsc::Receiver<Next>,
}

impl Spout for Told {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        match self.steps.pop_front() {
            Some(next) => Ok(next),
            None => self.next_event().await,
        }
    }

    async fn next_event(&mut self) -> Result<Next, OperatorError> {
        let Some(event) = self.events.recv().await else {
            return std::future::pending().await;
        };
        if let Next::Revoking { partitions, .. } | Next::Lost(partitions) = &event {
            self.steps.retain(|step| match step {
                Next::Batch(batch) => {
                    let of = |p| Arc::ptr_eq(p, batch.arena.partition());
                    !partitions.iter().any(of)
                }
                _ => true,
            });
        }
        Ok(event)
    }
}

/// A spout over partitions 0 and 1, each with `batches` × 10 records, and the way to tell it more.
fn told(batches: i64) -> (Box<StartSpout>, tokio::sync::mpsc::Sender<Next>) {
    let (tell, events) = tokio::sync::mpsc::channel(10);
    let events = Mutex::new(Some(events));
    let start = move |context: SpoutContext| {
        let partitions = [0, 1].map(|number| context.partitions.open("t", number, 7));
        let mut steps: Vec<Next> = partitions.iter().map(assigned).collect();
        for n in 0..batches {
            steps.extend(
                partitions
                    .iter()
                    .map(|p| Next::Batch(source_batch(p, n * 10, (0..10).map(|i| i.to_string())))),
            );
        }
        let events = events.lock().expect("no panic").take();
        let told = Told {
            steps: steps.into(),
            events: events.expect("started once"),
        };
        let make: MakeSpout = Box::new(|| AnySpout::new(told));
        Ok(vec![make])
    };
    (Box::new(start), tell)
}

fn assigned(partition: &Arc<crate::Partition>) -> Next {
    Next::Assigned {
        partition: Arc::clone(partition),
        start: 0,
    }
}

fn revoking(partition: &Arc<crate::Partition>) -> (Next, tokio::sync::oneshot::Receiver<()>) {
    let (done, answered) = tokio::sync::oneshot::channel();
    let next = Next::Revoking {
        partitions: vec![Arc::clone(partition)],
        deadline: clock::now() + Duration::from_millis(500),
        done,
    };
    (next, answered)
}

#[tokio::test(start_paused = true)]
async fn a_revoke_is_served_while_nothing_may_be_read() {
    let (start, tell) = told(100);
    let local = LocalSet::new();
    let bolts = vec![bolt("pass", to(1), pass), bolt("sink", vec![], away)];
    let running = start_here(graph_with(1, start, bolts), false, &local).expect("starts");
    let body = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(running.account(0).read, 50, "the lane has no room");
        let partitions = running.partitions(0).all();
        let before = partitions[0].account();
        assert!(before.in_flight > 0);

        let (next, answered) = revoking(&partitions[0]);
        tell.send(next).await.expect("it runs");
        let asked = clock::now();
        answered.await.expect("answered");
        assert!(clock::now() - asked <= Duration::from_millis(500));

        let gone = partitions[0].account();
        assert!(!gone.is_assigned());
        assert_eq!((gone.frontier, gone.in_flight), (Some(0), 0));
        assert_eq!(gone.handed_back, before.in_flight);
        // What it gave up makes room for the other partition, and is not tried again.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = partitions[0].account();
        assert_eq!((later.retried, later.read), (gone.retried, gone.read));
        assert!(partitions[1].account().retried > 0);
        assert!(running.in_flight(0).0 <= 50);

        // Lost partitions are let go of as promptly.
        tell.send(Next::Lost(vec![Arc::clone(&partitions[1])]))
            .await
            .expect("it runs");
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!partitions[1].account().is_assigned());
        assert_eq!(running.in_flight(0), (0, 0));
        running.stop();
        running.finished().await
    };
    let finish = local.run_until(body).await;
    assert_eq!(finish, Finish::Drained);
    assert_eq!(running.account(0).difference(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoke_does_not_wait_for_what_other_lanes_keep() {
    let (start, tell) = told(2);
    let local = LocalSet::new();
    let spread = vec![Output::To(vec![target(1, Grouping::Shuffle)])];
    let seen = Seen::default();
    let keeping = {
        let seen = Arc::clone(&seen);
        move || {
            AnyBolt::new(Keeping {
                kept: Vec::new(),
                keep_for: Duration::from_secs(3_600),
                until: None,
                outages: Arc::new(40.into()),
                seen: Arc::clone(&seen),
            })
        }
    };
    let bolts = vec![bolt("pass", spread, pass), bolt("keeping", vec![], keeping)];
    let running = start_here(graph_with(3, start, bolts), false, &local).expect("starts");
    let body = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let partitions = running.partitions(0).all();
        assert_eq!(partitions[0].account().in_flight, 20, "all of it is kept");
        let (next, answered) = revoking(&partitions[0]);
        tell.send(next).await.expect("it runs");
        let asked = clock::now();
        answered.await.expect("answered");
        assert!(clock::now() - asked < Duration::from_millis(100));
        let gone = partitions[0].account();
        assert_eq!((gone.frontier, gone.handed_back), (Some(20), 0));
    };
    local.run_until(body).await;
    assert_eq!(sorted(&seen).len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_again_takes_nothing_out_of_the_account() {
    let seen = Seen::default();
    let mut graph = graph(1, 1, 10, vec![bolt("sink", vec![], sink(&seen))]);
    graph.spouts[0].start = Box::new(|context: SpoutContext| {
        let steps = [7, 8].map(|source| {
            let partition = context.partitions.open("t", 0, source);
            let batch = source_batch(&partition, 0, ["a", "b"]);
            [
                Next::Assigned {
                    partition,
                    start: 0,
                },
                Next::Batch(batch),
            ]
        });
        let make: MakeSpout = Box::new(|| Script::spout(steps.into_iter().flatten()));
        Ok(vec![make])
    });
    let (running, finish) = finish(graph).await;
    assert_eq!(
        finish,
        Finish::Drained,
        "what was handed back on the way is another member's"
    );
    assert_eq!(running.partitions(0).all().len(), 1);
    let account = running.account(0);
    assert_eq!(
        (account.read, account.delivered + account.handed_back),
        (4, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoke_is_served_while_the_topology_drains() {
    let (start, tell) = told(1);
    let local = LocalSet::new();
    let bolts = vec![bolt("sink", vec![], away)];
    let running = start_here(graph_with(1, start, bolts), false, &local).expect("starts");
    let body = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        running.stop();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = clock::now();
        for partition in running.partitions(0).all() {
            let (next, answered) = revoking(&partition);
            tell.send(next).await.expect("it runs");
            answered.await.expect("answered");
        }
        // Nothing is left to wait for, long before the drain's deadline.
        let finish = running.finished().await;
        assert!(clock::now() - asked <= Duration::from_secs(2));
        finish
    };
    assert_eq!(local.run_until(body).await, Finish::Drained);
    assert_eq!(running.account(0).handed_back, 20);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_assigned_again_outlives_the_revoke_before() {
    let (start, tell) = told(1);
    let local = LocalSet::new();
    let bolts = vec![bolt("sink", vec![], away)];
    let running = start_here(graph_with(1, start, bolts), false, &local).expect("starts");
    let body = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let partition = Arc::clone(&running.partitions(0).all()[0]);
        let (next, answered) = revoking(&partition);
        tell.send(next).await.expect("it runs");
        tell.send(Next::Lost(vec![Arc::clone(&partition)]))
            .await
            .expect("it runs");
        tell.send(assigned(&partition)).await.expect("it runs");
        answered.await.expect("answered");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(partition.account().is_assigned());
        running.stop();
        running.finished().await
    };
    let _ = local.run_until(body).await;
    assert_eq!(running.account(0).difference(), 0);
}
