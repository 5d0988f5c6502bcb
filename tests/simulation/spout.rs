//! A spout over the simulated partitions, on one lane. What the group's coordinator would tell a real
//! client arrives in its mailbox.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isobar_topology::{
    AnySpout, ArenaBuilder, Next, OperatorError, Partition, SourceBatch, Spout, clock, testing,
};
use tokio::sync::{Notify, oneshot};

use crate::Plant;
use crate::mortal::Mortal;
use crate::world::World;

/// What changes for a lane.
pub enum Event {
    Assign(usize, Arc<Partition>, i64),
    Revoke(usize, Arc<Partition>, clock::Instant, oneshot::Sender<()>),
    /// With the number of the assignment that is over.
    Lose(usize, Arc<Partition>, u64),
}

/// Events for one lane.
#[derive(Default)]
pub struct Mailbox {
    events: Mutex<VecDeque<Event>>,
    rung: Notify,
}

impl Mailbox {
    pub fn put(&self, event: Event) {
        let mut events = self.events.lock().expect("no holder panics");
        events.push_back(event);
        self.rung.notify_one();
    }

    /// Takes an assignment out that the lane has not seen: it is over before it began.
    pub fn take_back(&self, log: usize) -> bool {
        let mut events = self.events.lock().expect("no holder panics");
        let before = events.len();
        events.retain(|event| !matches!(event, Event::Assign(assigned, ..) if *assigned == log));
        events.len() < before
    }

    fn take(&self) -> Option<Event> {
        self.events.lock().expect("no holder panics").pop_front()
    }
}

/// The part of a spout on one lane.
pub struct Reader {
    world: Arc<World>,
    mailbox: Arc<Mailbox>,
    reading: Vec<Reading>,
    turn: usize,
    rest_until: Option<clock::Instant>,
    bounded: bool,
}

/// A partition that is assigned to the lane.
struct Reading {
    log: usize,
    partition: Arc<Partition>,
    /// The next record, by its position in the log.
    at: usize,
}

impl Reader {
    pub fn any(world: &Arc<World>, mailbox: &Arc<Mailbox>, bounded: bool) -> AnySpout {
        let reader = Self {
            world: Arc::clone(world),
            mailbox: Arc::clone(mailbox),
            reading: Vec::new(),
            turn: 0,
            rest_until: None,
            bounded,
        };
        AnySpout::new(Mortal::new(world, reader))
    }
}

impl Spout for Reader {
    async fn open(&mut self) -> Result<(), OperatorError> {
        self.stumble()
    }

    async fn next_event(&mut self) -> Result<Next, OperatorError> {
        loop {
            self.world.check();
            if let Some(event) = self.mailbox.take() {
                return Ok(self.take_event(event));
            }
            self.mailbox.rung.notified().await;
        }
    }

    async fn next(&mut self) -> Result<Next, OperatorError> {
        loop {
            self.world.check();
            if let Some(event) = self.mailbox.take() {
                return Ok(self.take_event(event));
            }
            self.stumble()?;
            if self.world.plant == Plant::EndsEarly && self.bounded && self.world.chance(50) {
                return Ok(Next::End);
            }
            if let Some(until) = self.rest_until {
                tokio::select! {
                    biased;
                    () = self.mailbox.rung.notified() => continue,
                    () = tokio::time::sleep_until(until) => self.rest_until = None,
                }
            }
            if let Some(batch) = self.read() {
                return Ok(Next::Batch(batch));
            }
            if let Some(position) = self.position() {
                self.rest(200);
                return Ok(position);
            }
            if self.bounded && self.world.lock().life.settled_down {
                return Ok(Next::End);
            }
            self.rest(100);
        }
    }
}

impl Reader {
    fn stumble(&self) -> Result<(), OperatorError> {
        let world = &self.world;
        if !world.calm() && world.chance(world.scenario.troubles.reading) {
            return Err(OperatorError::external("the broker is away"));
        }
        Ok(())
    }

    fn rest(&mut self, ms: u64) {
        let ms = match self.world.plant {
            Plant::NeverRests => 0,
            _ => ms,
        };
        self.rest_until = Some(clock::now() + Duration::from_millis(ms));
    }

    fn take_event(&mut self, event: Event) -> Next {
        let mut end = |log: usize| self.reading.retain(|reading| reading.log != log);
        match event {
            Event::Assign(log, partition, start) => {
                end(log);
                let offsets = &self.world.lock().logs[log].offsets;
                let at = offsets.partition_point(|offset| *offset < start);
                self.reading.push(Reading {
                    log,
                    partition: Arc::clone(&partition),
                    at,
                });
                Next::Assigned { partition, start }
            }
            Event::Revoke(log, partition, deadline, done) => {
                end(log);
                Next::Revoking {
                    partitions: vec![partition],
                    deadline,
                    done,
                }
            }
            Event::Lose(log, partition, assigned) => {
                end(log);
                let known = &mut self.world.lock().logs[log];
                known.lost = known.assigned == assigned;
                match self.world.plant {
                    Plant::KeepsWhatItLost => Next::Lost(Vec::new()),
                    _ => Next::Lost(vec![partition]),
                }
            }
        }
    }

    /// Some records of the next partition that has any.
    fn read(&mut self) -> Option<SourceBatch> {
        let world = Rc::new(Arc::clone(&self.world));
        let count = self.reading.len();
        let size = world.within(1..world.scenario.batch_max as u64 + 1) as usize;
        let mut guard = world.lock();
        let state = &mut *guard;
        let has_more = |reading: &&mut Reading| reading.at < state.logs[reading.log].offsets.len();
        let turn = self.turn.checked_rem(count)?;
        let (before, after) = self.reading.split_at_mut(turn);
        let reading = after.iter_mut().chain(before).find(has_more)?;
        self.turn += 1;
        let log = &state.logs[reading.log];
        let end = log.offsets.len().min(reading.at + size);
        let mut builder = ArenaBuilder::new(Arc::clone(&reading.partition), 0, 0);
        let mut dropped = Vec::new();
        for at in reading.at..end {
            let id = log.first + at;
            let record = &state.records[id];
            if record.tombstone {
                dropped.push((builder.len() as u32, testing::policy(0)));
            }
            if world.plant == Plant::SkipsARecord && at + 1 == end && end - reading.at > 2 {
                continue;
            }
            let (key, payload) = (record.key.to_string(), world.scenario.payload(id));
            builder.push(
                record.offset,
                record.offset,
                Some(key.as_bytes()),
                Some(payload.as_bytes()),
                std::iter::empty(),
            );
        }
        let first = log.first + reading.at;
        reading.at = end;
        let last = log.first + end;
        if world.plant != Plant::ReadsBesideTheAccount {
            *state.life.read.entry(reading.log).or_default() += (last - first) as u64;
        }
        for record in first..last {
            *state.life.handed.entry(record).or_default() += 1;
        }
        state.note(|line| write!(line, "reads {first}..{last}"));
        if state.random.chance(500) {
            let wait = Duration::from_millis(state.random.within(0..200));
            self.rest_until = Some(clock::now() + wait);
        }
        Some(SourceBatch {
            arena: builder.finish(),
            dropped,
        })
    }

    /// The end of a partition whose last offsets hold no record.
    fn position(&mut self) -> Option<Next> {
        let state = self.world.lock();
        let behind = self.reading.iter().find(|reading| {
            let (account, log) = (reading.partition.account(), &state.logs[reading.log]);
            account.frontier == account.next && account.frontier < Some(log.end)
        });
        behind.map(|reading| Next::Position {
            partition: Arc::clone(&reading.partition),
            offset: state.logs[reading.log].end,
        })
    }
}
