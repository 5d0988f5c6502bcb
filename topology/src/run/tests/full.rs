//! A partition with as many records behind one that waits as may be.

use std::collections::VecDeque;

use super::*;
use crate::Partition;

/// Reads two partitions of a hundred records, ten at a time.
struct Two {
    leaves_out_full: bool,
    assigned: VecDeque<Next>,
    partitions: [(Arc<Partition>, i64); 2],
}

impl Spout for Two {
    fn leaves_out_full(&self) -> bool {
        self.leaves_out_full
    }

    async fn next(&mut self) -> Result<Next, OperatorError> {
        if let Some(assigned) = self.assigned.pop_front() {
            return Ok(assigned);
        }
        if self.partitions.iter().all(|(_, at)| *at == 100) {
            return Ok(Next::End);
        }
        let leaves_out = self.leaves_out_full;
        let open = |(partition, at): &&mut (Arc<Partition>, i64)| {
            *at < 100 && !(leaves_out && partition.is_full())
        };
        let partitions = self.partitions.iter_mut().filter(open);
        let Some((partition, at)) = partitions.min_by_key(|(_, at)| *at) else {
            return std::future::pending().await;
        };
        let payloads = (*at..*at + 10).map(|offset| offset.to_string());
        let batch = source_batch(partition, *at, payloads);
        *at += 10;
        Ok(Next::Batch(batch))
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_partition_stops_alone_where_the_spout_can_leave_it_out() {
    for (leaves_out_full, read, what) in [
        (true, [50, 100], "it is read no further"),
        (false, [50, 40], "this lane reads no further"),
    ] {
        let start = move |context: SpoutContext| {
            let open = |number| context.partitions.open("t", number, 7);
            let partitions = [open(0), open(1)];
            let make: MakeSpout = Box::new(move || {
                let assigned = partitions.iter().map(|partition| Next::Assigned {
                    partition: Arc::clone(partition),
                    start: 0,
                });
                AnySpout::new(Two {
                    leaves_out_full,
                    assigned: assigned.collect(),
                    partitions: partitions.map(|partition| (partition, 0)),
                })
            });
            Ok(vec![make])
        };
        let mends = clock::now() + Duration::from_secs(60);
        let sink = move || {
            FnBolt::any(move |batch, _| {
                let waits: Vec<bool> = batch
                    .records()
                    .map(|record| (record.partition(), record.offset()) == (0, 5))
                    .map(|waits| waits && clock::now() < mends)
                    .collect();
                batch.into_ack().answer_each(|row| match waits[row] {
                    true => Answer::Failed(Failure::External),
                    false => Answer::Delivered,
                });
                Ok(())
            })
        };
        let mut graph = graph_with(1, Box::new(start), vec![bolt("sink", vec![], sink)]);
        graph.spouts[0].max_uncommitted = 50;
        let local = LocalSet::new();
        let running = start_here(graph, true, &local).expect("starts");
        let script = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            let partitions = running.partitions(0);
            let partitions = [0, 1].map(|number| partitions.open("t", number, 7));
            let all = partitions.each_ref().map(|one| one.account().read);
            assert_eq!(all, read);
            assert_eq!(
                partitions.each_ref().map(|one| one.is_full()),
                [true, false]
            );
            let conditions = running.conditions();
            let said = conditions.iter().find(|one| one.kind == "uncommitted");
            let said = &said.expect("it is told").text;
            let expected = format!(
                "t/0 has 50 records read beyond its oldest unsettled one (max_uncommitted): {what} until that one is settled"
            );
            assert_eq!(*said, expected);
            running.finished().await
        };
        assert_eq!(local.run_until(script).await, Finish::Drained);
        assert_eq!(running.account(0).delivered, 200);
        assert!(running.conditions().is_empty());
    }
}
