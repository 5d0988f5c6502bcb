//! Bolts that do their work and every mistake that a bolt can make.

use std::cell::Cell;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::{
    Answer, AnyBolt, Batch, Bolt, BoltContext, Domain, Emitter, Failure, OperatorError, Recoveries,
    Rejection, Stream, Verdict, clock, testing,
};

use crate::Plant;
use crate::mortal::Mortal;
use crate::scenario::{Away, Fate, Item, Kind, Poison};
use crate::world::World;

/// Requests that a bulk sink has under way at most.
const REQUESTS_MAX: usize = 2;

/// A bolt of any kind.
pub struct Bolted {
    world: Arc<World>,
    number: usize,
    lane: usize,
    kind: Kind,
    held: Vec<Batch>,
    held_until: Option<clock::Instant>,
    /// It has answered that it is away, and not yet that it is back.
    is_away: bool,
    recoveries: Recoveries,
    under_way: Rc<Cell<usize>>,
    freed: Rc<tokio::sync::Notify>,
}

/// What a call is going to end like, apart from what the records bring about.
enum Trouble {
    None,
    Error(fn(&'static str) -> OperatorError),
    Panic,
    Forget,
}

impl Bolted {
    pub fn any(world: &Arc<World>, number: usize, context: &BoltContext) -> AnyBolt {
        let bolt = Self {
            world: Arc::clone(world),
            number,
            lane: context.lane,
            kind: world.scenario.bolts[number].kind,
            held: Vec::new(),
            held_until: None,
            is_away: false,
            recoveries: context.recoveries.clone(),
            under_way: Rc::default(),
            freed: Rc::default(),
        };
        AnyBolt::new(Mortal::new(world, bolt))
    }
}

impl Bolt for Bolted {
    async fn open(&mut self) -> Result<(), OperatorError> {
        let world = &self.world;
        if !world.calm() && world.chance(world.scenario.troubles.opening * 3) {
            return Err(OperatorError::external("cannot open"));
        }
        Ok(())
    }

    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let records = self.world.items_of(&batch);
        self.note("gets", &records);
        self.world.check();
        self.world
            .check_batch(self.number, self.lane, &batch, &records);
        if self.world.plant == Plant::LosesABatch && self.kind.is_sink() && self.world.chance(20) {
            batch.answer(Answer::Delivered);
            return Ok(());
        }
        if self.world.plant == Plant::KeepsRecords && self.kind.is_sink() {
            let arena = Arc::clone(batch.arena());
            self.world.lock().life.kept.push(arena);
        }
        if self.world.plant == Plant::KeepsABatch && self.kind.is_sink() && self.world.chance(20) {
            std::mem::forget(batch);
            return Ok(());
        }
        self.pause().await;
        if self.is_away_and_holds() {
            self.note("holds", &records);
            batch.answer(Answer::Failed(Failure::Held));
            return Ok(());
        }
        if self.kind != Kind::BulkSink
            && let Err(result) = self.survive(&records)
        {
            return result;
        }
        let batch = match self.some_go_wrong(batch, out) {
            Ok(batch) => batch,
            Err(result) => return result,
        };
        match self.kind {
            Kind::Judge | Kind::Route => self.judge(batch, out),
            Kind::Split => {
                self.held.push(batch);
                self.split_some(out);
            }
            Kind::Window | Kind::BulkSink => {
                self.held.push(batch);
                let wait = Duration::from_millis(self.world.within(1..800));
                let _ = self.held_until.get_or_insert(clock::now() + wait);
                if self.held.len() as u64 > self.world.within(0..4) {
                    self.send_off(out).await?;
                }
            }
            Kind::Sink if self.world.plant == Plant::CountsAsDropped => {
                let Written { batch, .. } = Written::of(&self.world, self.place(), batch).await;
                batch.answer(Answer::Dropped(testing::policy(0)));
            }
            Kind::Sink => {
                let answered = Written::of(&self.world, self.place(), batch).await;
                answered.answer(out);
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<clock::Instant> {
        self.held_until
    }

    async fn flush(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        self.world.check();
        if self.kind == Kind::Split {
            self.split_some(out);
            return Ok(());
        }
        self.send_off(out).await
    }
}

impl Bolted {
    fn note(&self, what: &str, records: &[Item]) {
        use std::fmt::Write;
        let (number, lane) = (self.number, self.lane);
        let mut state = self.world.lock();
        state.note(|line| {
            let records = records.iter().map(Item::to_string);
            let records = records.collect::<Vec<_>>().join(", ");
            write!(line, "bolt-{number} on lane {lane} {what} [{records}]")
        });
    }

    /// Bolt and lane.
    fn place(&self) -> (usize, usize) {
        (self.number, self.lane)
    }

    async fn pause(&self) {
        let world = &self.world;
        if !world.calm() && world.chance(world.scenario.troubles.slow) {
            let ms = world.within(0..world.within(1..3_000));
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// Fails on records that are at fault, and now and then without a reason. In an `Err` is the
    /// result with which the caller returns at once, dropping what it has in hand.
    fn survive(&self, records: &[Item]) -> Result<(), Result<(), OperatorError>> {
        let (world, number) = (&self.world, self.number);
        let blame = |certain| match self.kind {
            Kind::BulkSink => world.blame_all(number, records, certain),
            _ => world.blame(number, records, certain),
        };
        for record in records {
            let Fate::Poison(poison) = world.scenario.fate(number, *record) else {
                continue;
            };
            world.blame_one(number, record.record, poison == Poison::User);
            blame(poison == Poison::User);
            self.note("cannot survive one of", records);
            match poison {
                // Not `panic!`, which would print each of some thousand planned panics.
                Poison::Panic => std::panic::resume_unwind(Box::new("planned")),
                Poison::User => return Err(Err(OperatorError::user("a poison record"))),
                Poison::Internal => return Err(Err(OperatorError::internal("a poison record"))),
                Poison::Forget => return Err(Ok(())),
            }
        }
        match self.trouble() {
            Trouble::None => Ok(()),
            Trouble::Panic => {
                blame(false);
                self.note("panics on", records);
                std::panic::resume_unwind(Box::new("planned"))
            }
            Trouble::Forget => {
                blame(false);
                self.note("forgets", records);
                Err(Ok(()))
            }
            Trouble::Error(make) => {
                let error = make("planned");
                self.note("fails on", records);
                if world.plant == Plant::BlamesRecords && error.domain == Domain::External {
                    return Err(Err(OperatorError::user("planned")));
                }
                match Failure::from(&error) {
                    Failure::Poison => blame(true),
                    Failure::Attributable => blame(false),
                    Failure::External | Failure::Held | Failure::Bystander => {}
                }
                Err(Err(error))
            }
        }
    }

    /// Whether its outage is now.
    fn is_away(&self) -> bool {
        let outage = self.world.scenario.bolts[self.number].outage;
        let elapsed = self.world.elapsed();
        let away = outage.is_some_and(|(from, until)| (from..until).contains(&elapsed));
        away && !self.world.calm()
    }

    /// Whether a sink holds what it gets; tells, if it does that, when it holds nothing any more.
    fn is_away_and_holds(&mut self) -> bool {
        let away = self.world.scenario.bolts[self.number].away;
        let holds = self.kind.is_sink() && away != Away::Fails && self.is_away();
        let is_back = std::mem::replace(&mut self.is_away, holds) && !holds;
        if is_back && away == Away::HoldsAndTells {
            self.recoveries.tell();
        }
        holds
    }

    fn trouble(&self) -> Trouble {
        let (world, scenario) = (&self.world, &self.world.scenario);
        if world.calm() {
            return Trouble::None;
        }
        let away = self.is_away();
        let troubles = &scenario.troubles;
        if away || world.chance(troubles.external) {
            Trouble::Error(OperatorError::external)
        } else if world.chance(troubles.internal) {
            Trouble::Error(OperatorError::internal)
        } else if world.chance(troubles.user) {
            Trouble::Error(OperatorError::user)
        } else if world.chance(troubles.panics) {
            Trouble::Panic
        } else if world.chance(troubles.forgets) {
            Trouble::Forget
        } else {
            Trouble::None
        }
    }

    /// Lets part of a batch go another way than the rest: emitted before an error, forgotten, failed.
    fn some_go_wrong(
        &self,
        batch: Batch,
        out: &mut Emitter,
    ) -> Result<Batch, Result<(), OperatorError>> {
        let world = &self.world;
        if world.calm() || !world.chance(world.scenario.troubles.partial) {
            return Ok(batch);
        }
        let (wrong, rest) = self.halves(batch);
        let Some(wrong) = wrong else {
            return rest.ok_or(Ok(()));
        };
        let records = world.items_of(&wrong);
        let forgets = world.scenario.troubles.forgets > 0 && world.chance(300);
        if forgets {
            self.note("forgets", &records);
            world.blame(self.number, &records, false);
            drop(wrong);
            return rest.ok_or(Ok(()));
        }
        if world.chance(500) {
            self.note("fails", &records);
            wrong.answer(Answer::Failed(Failure::External));
            return rest.ok_or(Ok(()));
        }
        self.note("emits others and leaves", &records);
        if let Some(rest) = rest.filter(|_| matches!(self.kind, Kind::Judge | Kind::Route)) {
            self.judge(rest, out);
        }
        Err(Err(OperatorError::external("after half of the batch")))
    }

    fn halves(&self, batch: Batch) -> (Option<Batch>, Option<Batch>) {
        let part_of: Vec<u8> = (0..batch.len())
            .map(|_| u8::from(self.world.chance(600)))
            .collect();
        let mut parts = batch.part(&part_of, 2).into_iter();
        (parts.next().flatten(), parts.next().flatten())
    }

    fn judge(&self, batch: Batch, out: &mut Emitter) {
        let (scenario, number) = (&self.world.scenario, self.number);
        let mut records = self.world.items_of(&batch).into_iter();
        batch.judge(out, |_| {
            let record = records.next().expect("one for each row");
            match scenario.fate(number, record) {
                Fate::Drop => Verdict::Drop(testing::policy(number + 1)),
                Fate::Reject => Verdict::Reject(rejection()),
                Fate::Other => Verdict::To(Stream::declared(0).expect("the first")),
                Fate::Pass | Fate::Poison(_) => Verdict::Keep,
            }
        });
    }

    /// Splits what came first, or some of it.
    fn split_some(&mut self, out: &mut Emitter) {
        if self.held.is_empty() {
            return;
        }
        let batch = self.held.remove(0);
        let (world, number) = (&self.world, self.number);
        let mut records = world.items_of(&batch).into_iter();
        let enough = world.within(1..20) as usize;
        let split = batch.split(out, enough, |_| {
            let item = records.next().expect("one for each row");
            match world.scenario.fate(number, item) {
                Fate::Drop => Err(Verdict::Drop(testing::policy(number + 1))),
                Fate::Reject => Err(Verdict::Reject(rejection())),
                _ => Ok(NonZeroU16::new(world.scenario.parts(number, item)).expect("one or more")),
            }
        });
        if let Some(rest) = split.rest {
            self.held.insert(0, rest);
        }
        let parts = split.parts.and_then(|parts| {
            if world.plant != Plant::LosesAPart || parts.len() < 2 || !world.chance(100) {
                return Some(parts);
            }
            let part_of: Vec<u8> = (0..parts.len()).map(|row| u8::from(row == 0)).collect();
            let mut parts = parts.part(&part_of, 2).into_iter();
            let rest = parts.next().flatten();
            parts.next().flatten()?.answer(Answer::Delivered);
            rest
        });
        if let Some(parts) = parts {
            out.emit(parts);
        }
        self.held_until = (!self.held.is_empty()).then(clock::now);
    }

    /// Sends off what is kept.
    async fn send_off(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        self.held_until = None;
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Ok(());
        }
        if self.kind == Kind::Window {
            held.into_iter().for_each(|batch| self.judge(batch, out));
            return Ok(());
        }
        let records: Vec<Item> = held.iter().flat_map(|b| self.world.items_of(b)).collect();
        self.note("sends", &records);
        if let Err(result) = self.survive(&records) {
            return result;
        }
        while self.under_way.get() == REQUESTS_MAX {
            self.freed.notified().await;
        }
        self.under_way.set(self.under_way.get() + 1);
        let done = Done(Rc::clone(&self.under_way), Rc::clone(&self.freed));
        let (world, number, mut later) = (Arc::clone(&self.world), self.number, out.later());
        let place = self.place();
        let latency = Duration::from_millis(world.within(1..300));
        let lives = Arc::clone(&world);
        let request = async move {
            let _done = done;
            tokio::time::sleep(latency).await;
            world.check();
            if !world.calm() && world.chance(world.scenario.troubles.panics) {
                world.blame_all(number, &records, false);
                std::panic::resume_unwind(Box::new("planned"));
            }
            let away = !world.calm() && world.chance(world.scenario.troubles.external);
            for batch in held {
                if away {
                    batch.into_ack().fail(&OperatorError::external("planned"));
                } else {
                    Written::of(&world, place, batch).await.answer(&mut later);
                }
            }
            later
        };
        out.detach(async move { lives.alive(request).await });
        Ok(())
    }
}

/// Ends a request, however it ended.
struct Done(Rc<Cell<usize>>, Rc<tokio::sync::Notify>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
        self.1.notify_one();
    }
}

fn rejection() -> Rejection {
    Rejection::new("simulated", "the scenario says so")
}

/// What a sink made of a batch.
struct Written {
    batch: Batch,
    /// By row; `None` for rejected ones.
    answers: Vec<Option<Answer>>,
}

impl Written {
    /// Writes one record after the other: whoever dies meanwhile has written some of them.
    async fn of(world: &World, place: (usize, usize), batch: Batch) -> Self {
        let mut answers = Vec::new();
        for (row, item) in world.items_of(&batch).into_iter().enumerate() {
            world.point().await;
            answers.push(Self::answer_for(world, place, item, batch.rejection(row)).await);
        }
        Self { batch, answers }
    }

    async fn answer_for(
        world: &World,
        place: (usize, usize),
        item: Item,
        rejection: Option<&Rejection>,
    ) -> Option<Answer> {
        let (sink, _) = place;
        let troubles = &world.scenario.troubles;
        if world.scenario.fate(sink, item) == Fate::Reject {
            return None;
        }
        if !world.calm() && world.chance(troubles.external) {
            return Some(Answer::Failed(Failure::External));
        }
        if world.plant == Plant::MarksBeforeItWrites {
            if world.mark(place, item, rejection) {
                return Some(Answer::AlreadyPresent);
            }
            world.point().await;
        }
        let was_there = world.write(place, item, rejection);
        if !world.calm() && world.chance(troubles.lost_answers) {
            return Some(Answer::Failed(Failure::External));
        }
        Some(match was_there {
            true => Answer::AlreadyPresent,
            false => Answer::Delivered,
        })
    }

    fn answer(self, out: &mut Emitter) {
        let part_of: Vec<u8> = self.answers.iter().map(|a| u8::from(a.is_none())).collect();
        let mut parts = self.batch.part(&part_of, 2).into_iter();
        if let Some(written) = parts.next().flatten() {
            let answers: Vec<Answer> = self.answers.into_iter().flatten().collect();
            written.into_ack().answer_each(|row| answers[row]);
        }
        if let Some(rejected) = parts.next().flatten() {
            let rejections = vec![rejection(); rejected.len()];
            out.reject(rejected, rejections);
        }
    }
}
