//! Against librdkafka's mock cluster: it has no compaction and takes the clock of producers, which is one.

use isobar_topology::clock;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::entry::tests::entry;
use super::*;

const WITHIN: Duration = Duration::from_secs(10);

fn registry(brokers: String) -> Registry {
    Registry {
        connection: KafkaConnection::plain(&[brokers]),
        topic: "t.replays".to_owned(),
        within: WITHIN,
    }
}

async fn claim(registry: &Registry, entry: Entry) -> Result<Claim, Before> {
    let claimed = registry.clone().claim(entry).await;
    claimed.expect("the brokers answer")
}

#[tokio::test]
async fn of_two_runs_on_the_same_records_one_runs_and_hears_what_is_wanted() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let mut first = claim(&registry, entry("a", "1", (0, 100)))
        .await
        .expect("it is alone");
    let refused = claim(&registry, entry("b", "1", (50, 60))).await;
    assert_eq!(
        refused.err().map(|one| one.entry.run.clone()),
        Some("a".into())
    );
    let again = claim(&registry, entry("a", "2", (0, 100))).await;
    assert_eq!(
        again.err().map(|one| one.entry.attempt.clone()),
        Some("1".into())
    );
    let beside = claim(&registry, entry("c", "1", (100, 110))).await;
    assert!(beside.is_ok(), "it reads other records");

    registry.want("c", Wanted::Pause).await.expect("written");
    registry.want("a", Wanted::Abort).await.expect("written");
    let news = tokio::time::timeout(WITHIN, first.news()).await;
    assert!(matches!(news, Ok(News::Wanted(Wanted::Abort))), "{news:?}");

    let partitions = first.entry().partitions.clone();
    let told = first.tell(State::Aborted, None, partitions).await;
    told.expect("written");
    let runs = registry.runs().expect("the brokers answer");
    let mut states: Vec<_> = runs
        .iter()
        .map(|one| (one.entry.run.as_str(), one.entry.state, one.is_alive()))
        .collect();
    states.sort_by_key(|(run, ..)| *run);
    let expected = [
        ("a", State::Aborted, false),
        ("b", State::Refused, false),
        ("c", State::Running, true),
    ];
    assert_eq!(states, expected);
    let now_free = claim(&registry, entry("b", "2", (50, 60))).await;
    assert!(now_free.is_ok());
}

#[tokio::test]
async fn a_run_that_was_silent_for_too_long_hears_that_another_took_over() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let mut short = entry("a", "1", (0, 100));
    short.lease_ms = 0;
    let mut asleep = claim(&registry, short).await.expect("it is alone");
    let next = claim(&registry, entry("b", "1", (0, 100))).await;
    assert!(next.is_ok(), "nobody alive is before it");
    // It hears so before it hears of a word that came too late.
    tell(&mut asleep).await.expect("written");
    match news(&mut asleep).await {
        News::TakenOver(by) => assert_eq!(by, "b on h"),
        other => panic!("{other:?}"),
    }
}

/// What an operator writes under the key of a run.
async fn is_over(registry: &Registry, run: &str) {
    let producer = registry.producer().expect("a client");
    let record = OutRecord {
        topic: &registry.topic,
        partition: Some(0),
        key: Some(run.as_bytes()),
        ..OutRecord::default()
    };
    let failures = producer.send([record]).await.await;
    assert!(failures.is_empty(), "{failures:?}");
}

/// What a newer program says of a run.
async fn tell_otherwise(registry: &Registry, run: &str, value: serde_json::Value) {
    let producer = registry.producer().expect("a client");
    let written = registry.write(&producer, run, &value).await;
    written.expect("written");
}

#[tokio::test]
async fn what_a_newer_program_says_of_its_run_refuses_others_until_it_is_known_to_be_over() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let mut later = serde_json::to_value(entry("z", "1", (0, 100))).expect("JSON");
    later["version"] = 2.into();
    for (run, told) in [("a", later), ("b", serde_json::json!({"reads": "all"}))] {
        tell_otherwise(&registry, "z", told).await;
        let refused = registry.clone().claim(entry(run, "1", (500, 600))).await;
        let refused = refused.err().map(|error| error.to_string());
        let said = refused.expect("nobody knows what it reads");
        assert!(
            said.contains("what the replay z says of itself at"),
            "{said}"
        );
        let listed = registry.runs().expect_err("it is not shown either");
        assert!(
            listed
                .to_string()
                .contains("a form that this program does not know")
        );
        // Nor may an older program run the very plan, and its word does not end the newer one's run.
        for attempt in ["1", "2"] {
            let refused = registry.clone().claim(entry("z", attempt, (0, 100))).await;
            assert!(refused.is_err(), "{attempt}");
        }
        is_over(&registry, "z").await;
        let runs = registry.runs().expect("all are known again");
        let states = runs.iter().map(|one| one.entry.state);
        assert!(states.eq(runs.iter().map(|_| State::Refused)), "{runs:?}");
    }
    // Nor does one that beats in a newer form seem dead.
    tell_otherwise(&registry, "z/beat", serde_json::json!({"version": 2})).await;
    let refused = registry.clone().claim(entry("a", "3", (500, 600))).await;
    assert!(refused.is_err(), "it goes on");
    is_over(&registry, "z").await;
    // What somebody wants in a newer form is heard by newer runs alone.
    tell_otherwise(&registry, "z/wanted", serde_json::json!({"version": 2})).await;
    assert!(claim(&registry, entry("c", "1", (500, 600))).await.is_ok());
}

#[tokio::test]
async fn a_run_that_was_silent_ends_when_a_newer_program_may_have_taken_over() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let stranger = serde_json::json!({"version": 2});
    let mut short = entry("a", "1", (0, 100));
    short.lease_ms = 0;
    let mut asleep = claim(&registry, short).await.expect("it is alone");
    let mut awake = claim(&registry, entry("b", "1", (200, 300)))
        .await
        .expect("it reads other records");
    tell_otherwise(&registry, "z", stranger).await;
    match news(&mut asleep).await {
        News::TakenOver(by) => assert_eq!(by, "z, by another program,"),
        other => panic!("{other:?}"),
    }
    // That one would have had to stand back for this one.
    tell(&mut awake).await.expect("written");
    assert!(matches!(news(&mut awake).await, News::Heard));
}

async fn news(claim: &mut Claim) -> News {
    let news = tokio::time::timeout(WITHIN, claim.news()).await;
    news.expect("the brokers answer")
}

fn tell(claim: &mut Claim) -> impl Future<Output = Result<(), Error>> + use<> {
    let partitions = claim.entry().partitions.clone();
    claim.tell(State::Running, None, partitions)
}

#[tokio::test]
async fn a_claim_holds_from_the_sending_of_its_last_word_that_the_topic_has() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let start = clock::now();
    let mut held = claim(&registry, entry("a", "1", (0, 100)))
        .await
        .expect("it is alone");
    let length = Duration::from_millis(30_000) - lease::MARGIN;
    let first = held.holds_until();
    assert!(first >= start + length && first <= clock::now() + length);

    cluster.broker_down(1).expect("it is down");
    let (before, told) = (clock::now(), tell(&mut held));
    let after = clock::now();
    let told = tokio::time::timeout(Duration::from_millis(300), told).await;
    assert!(told.is_err(), "nobody has it: {told:?}");
    assert_eq!(held.holds_until(), first);
    // The client goes on trying, though nobody waits for it any more.
    cluster.broker_up(1).expect("it is up");
    assert!(matches!(news(&mut held).await, News::Heard));
    let second = held.holds_until();
    assert!(second >= before + length && second <= after + length);
}

#[tokio::test]
async fn a_run_with_nothing_new_to_say_tells_that_it_goes_on_and_no_more() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let mut held = claim(&registry, entry("a", "1", (0, 100)))
        .await
        .expect("it is alone");
    // Entries of this attempt, and beats.
    let written = || {
        let mut written = (0, 0);
        let read = read_topic(
            &registry.connection,
            &registry.topic,
            WITHIN,
            |record| match Told::of(&Tailed::of(record)) {
                Some(Told::Entry(told)) if told.attempt == "1" => written.0 += 1,
                Some(Told::Beat(beat)) if beat.attempt == "1" => written.1 += 1,
                _ => {}
            },
        );
        read.expect("the brokers answer");
        written
    };
    for word in 1..=3 {
        let before = held.holds_until();
        tell(&mut held).await.expect("written");
        let heard = news(&mut held).await;
        assert!(matches!(heard, News::Heard), "{heard:?}");
        assert!(held.holds_until() > before, "word {word}");
    }
    // The claim, and where that stands; then nothing is new.
    assert_eq!(written(), (2, 2));
    let runs = registry.runs().expect("the brokers answer");
    assert!(runs.len() == 1 && runs[0].is_alive(), "{runs:?}");

    let mut moved = held.entry().partitions.clone();
    moved[0].next = Some(40);
    let told = held.tell(State::Running, None, moved).await;
    told.expect("written");
    assert!(matches!(news(&mut held).await, News::Heard));
    assert_eq!(written(), (3, 2));
    let runs = registry.runs().expect("the brokers answer");
    assert_eq!(runs[0].entry.partitions[0].next, Some(40));

    // Compaction may leave nothing of it but what another attempt has written under its key.
    let again = claim(&registry, entry("a", "2", (0, 100))).await;
    assert!(again.is_err(), "beats keep it alive");
    for expected in [(3, 3), (4, 3)] {
        tell(&mut held).await.expect("written");
        assert!(matches!(news(&mut held).await, News::Heard));
        assert_eq!(written(), expected);
    }
}

#[test]
fn what_compaction_never_takes_ends_after_minutes() {
    let of = |name: &str| SETTINGS.iter().find(|(one, _)| *one == name);
    let number = |name: &str| of(name).and_then(|(_, value)| value.parse::<f64>().ok());
    assert_eq!(of("cleanup.policy"), Some(&("cleanup.policy", "compact")));
    assert_eq!(number("segment.ms"), Some(600_000.0));
    assert_eq!(number("segment.bytes"), Some(16_777_216.0));
    assert_eq!(number("min.cleanable.dirty.ratio"), Some(0.1));
    // Who may not choose these has a register all the same.
    let needed = SETTINGS[..NEEDED].iter().map(|(name, _)| *name);
    assert!(needed.eq(["cleanup.policy", "message.timestamp.type"]));
    let refused = |code| Error::Refused {
        what: "creating topic t.replays".to_owned(),
        code,
        text: "no".to_owned(),
    };
    assert!(is_of_settings(&refused(RDKafkaErrorCode::PolicyViolation)));
    assert!(is_of_settings(&refused(RDKafkaErrorCode::InvalidConfig)));
    let denied = refused(RDKafkaErrorCode::TopicAuthorizationFailed);
    assert!(!is_of_settings(&denied));
}

#[tokio::test]
async fn one_that_hears_nothing_more_listens_again_from_where_it_was() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let mut held = claim(&registry, entry("a", "1", (0, 100)))
        .await
        .expect("it is alone");
    registry.want("a", Wanted::Pause).await.expect("written");
    let paused = news(&mut held).await;
    assert!(matches!(paused, News::Wanted(Wanted::Pause)), "{paused:?}");
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    // Two, since librdkafka overwrites one with the end of the partition, when both come in the same answer
    // (`rd_kafka_fetch_reply_handle_partition`).
    cluster.request_errors(RDKafkaApiKey::Fetch, &[denied, denied]);
    let deaf = news(&mut held).await;
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    assert!(
        matches!(&deaf, News::Deaf(why) if why.contains("t.replays")),
        "{deaf:?}"
    );
    tell(&mut held).await.expect("written");
    let heard = news(&mut held).await;
    assert!(matches!(heard, News::Heard), "not the pause: {heard:?}");
}

#[tokio::test]
async fn a_run_that_is_given_up_while_it_is_silent_hears_so() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    let registry = registry(cluster.bootstrap_servers());
    cluster
        .create_topic("t.replays", 1, 1)
        .expect("it is created");
    let mut silent = claim(&registry, entry("a", "1", (0, 100)))
        .await
        .expect("it is alone");
    let listed = registry.runs().expect("the brokers answer").remove(0);
    let aborted = Entry {
        state: State::Aborted,
        ..listed.entry
    };
    registry.tell(&aborted).await.expect("written");
    let wanted = news(&mut silent).await;
    assert!(matches!(wanted, News::Wanted(Wanted::Abort)), "{wanted:?}");
}

#[test]
fn brokers_that_do_not_answer_are_no_empty_register() {
    let mut silent = registry("127.0.0.1:1".to_owned());
    silent.within = Duration::from_millis(500);
    let error = silent.runs().expect_err("nobody answers");
    assert!(error.is_transient(), "{error}");
}

#[test]
fn questions_to_the_brokers_hold_no_task_up() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        let registry = registry(cluster.bootstrap_servers());
        // While the only thread for what blocks is busy, nothing else can be answered.
        let (end, busy) = std::sync::mpsc::sync_channel::<()>(0);
        let busy = tokio::task::spawn_blocking(move || busy.recv());
        let mut claim = Box::pin(registry.clone().claim(entry("a", "1", (0, 100))));
        let mut tail = Box::pin(tail(&registry.connection, &registry.topic, 0));
        assert!(futures::poll!(&mut claim).is_pending());
        assert!(futures::poll!(&mut tail).is_pending());
        drop(end);
        assert!(busy.await.expect("it ends").is_err());
        assert!(tail.await.is_ok());
        let told = claim.await.err().expect("embedded brokers make no topics");
        assert!(matches!(told, Error::Embedded { .. }), "{told}");
    });
}
