//! Against librdkafka's mock cluster: it has no compaction and takes the clock of producers, which is one.

use rdkafka::mocking::MockCluster;

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
    match tokio::time::timeout(WITHIN, asleep.news()).await {
        Ok(News::TakenOver(by)) => assert_eq!(by.run, "b"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn brokers_that_do_not_answer_are_no_empty_register() {
    let mut silent = registry("127.0.0.1:1".to_owned());
    silent.within = Duration::from_millis(500);
    let error = silent.runs().expect_err("nobody answers");
    assert!(error.is_transient(), "{error}");
}
