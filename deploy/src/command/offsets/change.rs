//! Changes of a group's commits: what each partition is to have, whether that can be, and doing it.

use std::path::Path;

use isobar_operators::kafka::admin::{GroupState, TopicPartition};
use isobar_operators::offsets::{Change, Group, NotMade, Position, put_back};
use serde_json::json;

use super::saved::{Saved, SavedOffset};
use crate::command::Context;
use crate::command::source::asking;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Table, number};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// A partition and what is to become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) partition: TopicPartition,
    before: Option<i64>,
    /// What was committed is about a former topic of this name: the same offset is another one.
    former: bool,
    pub(super) change: Change,
}

impl Row {
    /// Whether anything is to change.
    pub(super) fn changes(&self) -> bool {
        self.former || self.before != self.after()
    }

    pub(super) fn after(&self) -> Option<i64> {
        match self.change {
            Change::To(offset, _) => Some(offset),
            Change::None => None,
        }
    }
}

#[cfg(test)]
impl Row {
    pub(super) fn for_tests(
        partition: TopicPartition,
        before: Option<i64>,
        change: Change,
    ) -> Self {
        Self {
            partition,
            before,
            former: false,
            change,
        }
    }
}

/// To places in the logs. Fails when one is outside: nobody moves a group to where there is nothing.
pub(super) fn to_places(
    positions: &[Position],
    places: Vec<(TopicPartition, i64, Option<String>)>,
) -> Result<Vec<Row>, Failure> {
    let mut outside = Vec::new();
    let mut rows = Vec::new();
    for (position, (partition, offset, why)) in positions.iter().zip(places) {
        if let Some(why) = why {
            outside.push(format!(
                "{}/{}: {why}",
                partition.topic, partition.partition
            ));
        }
        rows.push(Row {
            before: committed_now(position),
            former: position.is_of_former_topic(),
            change: Change::To(offset, position.text()),
            partition,
        });
    }
    refuse(outside)?;
    Ok(rows)
}

/// To the commits of a file.
pub(super) fn to_saved(positions: &[Position], saved: &Saved) -> Result<Vec<Row>, Failure> {
    let wanted = |offset: &SavedOffset| Some(offset.committed);
    restore(positions, saved, wanted, |_, _| None)
}

/// Back to what was before the change that wrote a file. Fails when the group has committed since.
pub(super) fn back(positions: &[Position], saved: &Saved) -> Result<Vec<Row>, Failure> {
    if saved.offsets.iter().all(|offset| offset.changed.is_none()) {
        return Err(Failure::usage(
            "the file was not written by a change, so there is nothing to take back; `import` moves a \
             group to the offsets of an exported file",
        ));
    }
    let wanted = |offset: &SavedOffset| offset.changed.as_ref().map(|_| offset.committed);
    restore(positions, saved, wanted, |offset, now| {
        let left_at = offset.changed.as_ref()?.to;
        let said = |offset: Option<i64>| offset.map_or("no commit".to_owned(), number);
        (now != left_at).then(|| {
            format!(
                "the change left the group at {} and it is at {} now: it has gone on since",
                said(left_at),
                said(now)
            )
        })
    })
}

fn restore(
    positions: &[Position],
    saved: &Saved,
    wanted: impl Fn(&SavedOffset) -> Option<Option<i64>>,
    why_not: impl Fn(&SavedOffset, Option<i64>) -> Option<String>,
) -> Result<Vec<Row>, Failure> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for offset in &saved.offsets {
        let Some(committed) = wanted(offset) else {
            continue;
        };
        let partition = TopicPartition::new(&offset.topic, offset.partition);
        let name = format!("{}/{}", offset.topic, offset.partition);
        let Some(position) = positions.iter().find(|one| one.partition == partition) else {
            problems.push(format!("{name}: the spout does not read it"));
            continue;
        };
        let before = committed_now(position);
        if offset.topic_id.is_some() && offset.topic_id != position.topic_id {
            problems.push(format!(
                "{name}: the topic was deleted and made again, so its old offsets mean nothing"
            ));
        } else if let Some(why) = why_not(offset, before) {
            problems.push(format!("{name}: {why}"));
        } else if let Some(committed) = committed.filter(|committed| before != Some(*committed)) {
            problems.extend(outside(committed, position).map(|why| format!("{name}: {why}")));
        }
        rows.push(Row {
            partition,
            before,
            former: position.is_of_former_topic(),
            change: match committed {
                None => Change::None,
                Some(committed) => {
                    let text = offset.metadata.as_deref().map(put_back);
                    let text = text.unwrap_or_else(|| position.text());
                    Change::To(committed, text)
                }
            },
        });
    }
    refuse(problems)?;
    Ok(rows)
}

/// Why a group cannot go to an offset, if so.
fn outside(offset: i64, position: &Position) -> Option<String> {
    let log = position.log;
    match offset {
        offset if offset > log.end => Some(format!(
            "offset {} is beyond the end of the log, {}",
            number(offset),
            number(log.end)
        )),
        offset if offset < log.start => Some(format!(
            "offset {} is gone: the log starts at {}, where `isobar offsets reset --to earliest` goes",
            number(offset),
            number(log.start)
        )),
        _ => None,
    }
}

fn committed_now(position: &Position) -> Option<i64> {
    position.committed.as_ref().map(|commit| commit.offset)
}

fn refuse(problems: Vec<String>) -> Result<(), Failure> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Failed,
            anyhow::anyhow!("nothing was changed:\n{}", problems.join("\n")),
        )),
    }
}

/// A change that is to be shown, or made.
pub(super) struct Write<'a> {
    pub(super) group: &'a Group,
    /// What was asked before.
    pub(super) positions: &'a [Position],
    pub(super) rows: &'a [Row],
    pub(super) saved: Saved,
    /// Where the old offsets go.
    pub(super) path: &'a Path,
    pub(super) execute: bool,
    pub(super) format: Format,
}

impl Write<'_> {
    pub(super) fn run(&self, context: &Context<'_>) -> Outcome {
        let state = match self.execute {
            true => inactive(self.group)?,
            false => self.group.state().map_err(asking)?,
        };
        let changes: Vec<(TopicPartition, Change)> = self
            .rows
            .iter()
            .filter(|row| row.changes())
            .map(|row| (row.partition.clone(), row.change.clone()))
            .collect();
        let done = self.execute && !changes.is_empty();
        if done {
            self.make(&changes)?;
        }
        self.print(done, context)?;
        let file = self.path.display();
        context.screen.line(&match (done, changes.is_empty()) {
            (_, true) => "isobar: nothing to change".to_owned(),
            (true, _) => format!("isobar: changed; the old offsets are in {file}"),
            (false, _) if state.is_inactive() => {
                "isobar: nothing was changed; --execute does it".to_owned()
            }
            (false, _) => format!(
                "isobar: nothing was changed; the group has {} members and must have none for --execute",
                number(state.members)
            ),
        });
        Ok(Exit::Done)
    }

    fn make(&self, changes: &[(TopicPartition, Change)]) -> Result<(), Failure> {
        self.is_as_before()?;
        // Before anything is written: there is always a way back.
        self.saved.write(self.path)?;
        let made = self.group.change(changes);
        made.map_err(|failure| not_made(failure, self.path))
    }

    /// Fails when the group has committed since it was asked: a member came and went, and the file would
    /// not lead back to where it is.
    fn is_as_before(&self) -> Result<(), Failure> {
        let partitions: Vec<_> = self
            .positions
            .iter()
            .map(|one| one.partition.clone())
            .collect();
        let commits = self.group.commits(&partitions).map_err(asking)?;
        let has_moved = |one: &&Position| {
            let now = commits.get(&one.partition).map(|commit| commit.offset);
            now != committed_now(one)
        };
        let moved = self.positions.iter().filter(has_moved);
        refuse(
            moved
                .map(|one| {
                    format!(
                        "{}/{}: the group has committed meanwhile; is it running? Do it again when it is \
                         stopped",
                        one.partition.topic, one.partition.partition
                    )
                })
                .collect(),
        )
    }

    fn print(&self, done: bool, context: &Context<'_>) -> Result<(), Failure> {
        if self.format == Format::Json {
            let rows: Vec<_> = self
                .rows
                .iter()
                .map(|row| {
                    json!({
                        "topic": &*row.partition.topic,
                        "partition": row.partition.partition,
                        "before": row.before,
                        "after": row.after(),
                    })
                })
                .collect();
            context.output.json(&json!({
                "version": VERSION,
                "group": self.group.name(),
                "changed": done,
                "saved": done.then(|| self.path.display().to_string()),
                "partitions": rows,
            }))?;
            return Ok(());
        }
        let said = |offset: Option<i64>| offset.map_or_else(|| "none".to_owned(), number);
        let mut table = Table::new(["TOPIC", "PARTITION>", "BEFORE>", "AFTER>", "RECORDS>"]);
        for row in self.rows {
            let records = row
                .before
                .zip(row.after())
                .map(|(before, after)| after - before);
            table.row([
                row.partition.topic.to_string(),
                row.partition.partition.to_string(),
                said(row.before),
                said(row.after()),
                records.map_or_else(String::new, |records| match records {
                    0 => "same".to_owned(),
                    1.. => format!("{} skipped", number(records)),
                    _ => format!("{} again", number(-records)),
                }),
            ]);
        }
        context.output.text(&table.text())?;
        Ok(())
    }
}

/// Asks whether the group has members, and fails when it has.
pub(super) fn inactive(group: &Group) -> Result<GroupState, Failure> {
    let state = group.state().map_err(asking)?;
    match state.is_inactive() {
        true => Ok(state),
        false => Err(Failure::new(
            Exit::Failed,
            anyhow::anyhow!(
                "the group {} is {} with {} members, so nothing was changed; stop the topology first",
                group.name(),
                state.name,
                number(state.members)
            ),
        )),
    }
}

/// What the cluster refused, or did not answer. Half of it made is a failure, whatever the reason was.
fn not_made(NotMade { changed, error }: NotMade, saved: &Path) -> Failure {
    let Failure { exit, error } = asking(error);
    let saved = saved.display();
    match changed {
        0 => Failure::new(
            exit,
            error.context(format!(
                "the change was refused or not answered; see with `isobar offsets show` whether it was made \
                 before anything else (the old offsets are in {saved})"
            )),
        ),
        changed => Failure::new(
            Exit::Failed,
            error.context(format!(
                "{} partitions were changed, but not those that are to have no commit; `isobar offsets \
                 import --from {saved} --execute` takes that back",
                number(changed)
            )),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use isobar_operators::embedded::EmbeddedKafka;
    use isobar_operators::kafka::admin::Committed;
    use isobar_operators::kafka::connection::KafkaConnection;
    use isobar_operators::kafka::error::Error;
    use isobar_operators::lag::Source;
    use isobar_operators::range::{Log, Selection};

    use super::*;

    /// Partition 0 of a topic with offsets 10 to 100.
    fn position(committed: Option<i64>, topic_id: &str) -> Position {
        let partition = TopicPartition::new("t", 0);
        Position {
            topic_id: Some("now".to_owned()),
            log: Log {
                start: 10,
                end: 100,
                high: 100,
            },
            committed: committed.map(|offset| Committed {
                partition: partition.clone(),
                offset,
                metadata: Some(format!("isobar1;id={topic_id}")),
            }),
            partition,
        }
    }

    fn reset(position: Position, to: i64) -> Vec<Row> {
        let place = (position.partition.clone(), to, None);
        to_places(&[position], vec![place]).expect("inside the log")
    }

    /// What a change from `before` to `to` leaves in its file.
    fn saved(before: Option<i64>, to: i64) -> Saved {
        let position = position(before, "now");
        let rows = reset(position.clone(), to);
        Saved::of("logs", "in", "g", "c", &[position], &rows)
    }

    /// Checks where a row leads, and that the text says when it was meant.
    fn check_by_hand(row: &Row, to: i64) {
        let Change::To(offset, text) = &row.change else {
            panic!("{:?}", row.change);
        };
        assert_eq!(*offset, to);
        let since = text.strip_prefix("isobar1;id=now;h=");
        let since: Option<i64> = since.and_then(|ms| ms.parse().ok());
        assert!(since.is_some_and(|ms| ms > 0), "{text}");
    }

    fn problem(refused: Result<Vec<Row>, Failure>) -> String {
        refused.expect_err("refused").error.to_string()
    }

    #[test]
    fn a_commit_of_a_former_topic_changes_even_to_the_same_offset() {
        assert!(!reset(position(Some(20), "now"), 20)[0].changes());
        assert!(reset(position(Some(20), "now"), 21)[0].changes());
        assert!(reset(position(None, "now"), 20)[0].changes());
        let renewed = reset(position(Some(20), "former"), 20);
        assert!(renewed[0].changes());
        check_by_hand(&renewed[0], 20);
    }

    #[test]
    fn a_group_that_has_committed_since_it_was_asked_is_left_where_it_is() {
        let kafka = EmbeddedKafka::start().expect("a stand-in cluster");
        kafka.create_topic("t").expect("it is created");
        let connection = KafkaConnection::plain(&[kafka.brokers().to_owned()]);
        let source = Source::of_group(connection, "g", &["t".to_owned()]);
        let group = Group::of(&source, Duration::from_secs(10)).expect("a client");
        let positions = group.positions(&Selection::default()).expect("they answer");
        let first = positions[0].partition.clone();
        let commits = || {
            let commits = group.commits(std::slice::from_ref(&first));
            let commits = commits.expect("they answer");
            commits.get(&first).map(|commit| commit.offset)
        };
        let to = |offset| vec![(first.clone(), Change::To(offset, String::new()))];
        let path = std::env::temp_dir().join(format!("isobar-offsets-{}", std::process::id()));
        let rows = reset(position(None, "now"), 20);
        let write = Write {
            group: &group,
            positions: &positions,
            rows: &rows,
            saved: saved(None, 20),
            path: &path,
            execute: true,
            format: Format::Table,
        };
        // A member came and went.
        group.change(&to(7)).expect("it is taken");
        let refused = write.make(&to(20)).expect_err("it has moved");
        let text = refused.error.to_string();
        let meanwhile = "t/0: the group has committed meanwhile";
        assert!(text.contains(meanwhile), "{text}");
        assert!(!path.exists() && commits() == Some(7));
        let again = group.positions(&Selection::default()).expect("they answer");
        let again = Write {
            positions: &again,
            ..write
        };
        again.make(&to(20)).expect("it stands still");
        assert_eq!(commits(), Some(20));
        std::fs::remove_file(path).expect("the old offsets are in it");
    }

    #[test]
    fn half_a_change_is_a_failure_and_says_the_way_back() {
        let failure = |changed| {
            let error = Error::TimedOut {
                what: "deleting commits of group g".to_owned(),
                brokers: None,
                within: std::time::Duration::from_secs(1),
                cause: None,
            };
            not_made(NotMade { changed, error }, Path::new("old.json"))
        };
        let half = failure(2);
        assert_eq!(half.exit, Exit::Failed);
        let text = format!("{:#}", half.error);
        for part in ["2 partitions were changed", "--from old.json", "no answer"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(failure(0).exit, Exit::Undetermined);
    }

    #[test]
    fn nothing_moves_to_where_there_is_nothing() {
        let position = position(Some(20), "now");
        let place = (position.partition.clone(), 100, Some("gone".to_owned()));
        let refused = to_places(&[position], vec![place]);
        assert_eq!(
            problem(refused),
            "nothing was changed:
t/0: gone"
        );
    }

    #[test]
    fn a_change_is_taken_back_unless_the_group_has_gone_on() {
        let undone = back(&[position(Some(50), "now")], &saved(Some(20), 50)).expect("untouched");
        check_by_hand(&undone[0], 20);
        let undone = back(&[position(Some(50), "now")], &saved(None, 50)).expect("untouched");
        assert_eq!(undone[0].change, Change::None);
        let refused = back(&[position(Some(51), "now")], &saved(Some(20), 50));
        assert!(problem(refused).contains("left the group at 50 and it is at 51 now"));
        let exported = saved(Some(20), 20);
        let refused = back(&[position(Some(20), "now")], &exported);
        assert!(problem(refused).contains("was not written by a change"));
    }

    #[test]
    fn what_a_file_says_of_a_former_topic_or_beyond_the_end_is_refused() {
        let here = [position(Some(50), "now")];
        let mut file = saved(Some(20), 50);
        file.offsets[0].topic_id = Some("former".to_owned());
        assert!(problem(to_saved(&here, &file)).contains("deleted and made again"));
        let mut file = saved(Some(20), 50);
        file.offsets[0].committed = Some(101);
        assert!(problem(to_saved(&here, &file)).contains("offset 101 is beyond the end"));
        let mut gone = saved(Some(20), 50);
        gone.offsets[0].committed = Some(9);
        let said = problem(to_saved(&here, &gone));
        assert!(
            said.contains("offset 9 is gone: the log starts at 10"),
            "{said}"
        );
        // Nothing changes.
        let rows = to_saved(&[position(Some(9), "now")], &gone).expect("it is there already");
        assert!(!rows[0].changes());
        file.offsets[0].partition = 1;
        assert!(problem(to_saved(&here, &file)).contains("t/1: the spout does not read it"));
    }
}
