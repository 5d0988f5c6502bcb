//! Indices that are held: what waits, what finds out, what is told, and when records are given up.

use super::*;

fn refuse(held: &HeldIndices, index: &Arc<str>, health: &Health) -> Option<String> {
    let reason = "400 index_closed_exception: closed";
    held.refused(index, Refusal::Of(Class::Closed), reason, ("index", health))
}

#[tokio::test(start_paused = true)]
async fn held_indices_are_told_until_they_take_documents_or_nobody_writes_to_them() {
    let held = HeldIndices::default();
    let health = Health::default();
    let names = ["a", "b", "c", "d"].map(Arc::<str>::from);
    let told = || health.conditions().first().map(|c| c.text.clone());
    let _ = refuse(&held, &names[0], &health);
    assert_eq!(
        told().as_deref(),
        Some(
            "index `a` takes no documents: 400 index_closed_exception: closed (open it); their records wait, nothing is lost"
        )
    );
    for name in &names[1..] {
        let _ = refuse(&held, name, &health);
    }
    assert!(told().expect("four").contains("and 1 more indices"));
    assert!(held.accepted(&names[..3], "index", &health));
    assert!(!held.accepted(&names[..3], "index", &health));
    assert!(told().expect("one").starts_with("index `d`"));
    tokio::time::advance(FORGET_AFTER).await;
    assert!(held.accepted([], "index", &health));
    assert_eq!(told(), None);
    assert!(!held.any());
}

#[tokio::test(start_paused = true)]
async fn one_record_now_and_then_finds_out_whether_an_index_takes_documents_again() {
    let held = HeldIndices::default();
    let health = Health::default();
    let (index, other) = (Arc::from("a"), Arc::from("b"));
    assert_eq!(held.admit(&index), Admission::Send);
    // A whole body was refused.
    for _ in 0..50 {
        let _ = refuse(&held, &index, &health);
    }
    assert!(held.any());
    let mut waited = Vec::new();
    let begin = clock::now();
    for _ in 0..1_200 {
        tokio::time::advance(PROBE.0 / 4).await;
        if held.admit(&index) == Admission::Send {
            waited.push(clock::now() - begin);
            assert_eq!(held.admit(&index), Admission::Wait);
            assert_eq!(refuse(&held, &index, &health), None);
        }
        assert_eq!(held.admit(&other), Admission::Send);
    }
    // 0.1 s, 0.2 s, 0.4 s, … until every 10 s.
    assert!((6..=10).contains(&waited.len()), "{waited:?}");
    assert_eq!(waited[0], PROBE.0);
    assert!(held.accepted([&index], "index", &health));
    assert_eq!(held.admit(&index), Admission::Send);
}

#[tokio::test(start_paused = true)]
async fn records_that_waited_enough_are_given_up_with_the_reason_and_still_some_are_sent() {
    let held = HeldIndices::new(Some(Duration::from_secs(5)), Duration::ZERO);
    let health = Health::default();
    let index = Arc::from("a");
    assert_eq!(refuse(&held, &index, &health), None);
    assert!(
        health.conditions()[0]
            .text
            .contains("dead-lettered from 5s on")
    );
    tokio::time::advance(PROBE.0 / 2).await;
    assert_eq!(held.admit(&index), Admission::Wait);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(held.admit(&index), Admission::Send);
    let verdict = refuse(&held, &index, &health).expect("it has waited enough");
    assert_eq!(
        verdict,
        "the index took no documents for more than 5s: 400 index_closed_exception: closed (open it)"
    );
    assert_eq!(held.admit(&index), Admission::GiveUp(verdict.clone()));
    tokio::time::advance(PROBE.1).await;
    assert_eq!(held.admit(&index), Admission::Send);
    // Until that one is answered the others go by what is known.
    assert_eq!(held.admit(&index), Admission::GiveUp(verdict));
}

#[tokio::test(start_paused = true)]
async fn what_documents_hold_is_told_in_letters_alone() {
    let held = HeldIndices::new(Some(Duration::ZERO), Duration::ZERO);
    let health = Health::default();
    let error = "400 odd_exception: value [secret] of field [a]";
    let to = ("index", &health);
    let verdict = held.refused(&"a".into(), Refusal::Of(Class::AllRefused), error, to);
    assert!(verdict.expect("no patience").contains("value [secret]"));
    let text = &health.conditions()[0].text;
    let start = "index `a` takes no documents: 400 odd_exception (see why";
    assert!(text.starts_with(start), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_record_is_given_up_for_what_an_index_refused_long_ago() {
    let held = HeldIndices::new(Some(Duration::from_secs(5)), Duration::ZERO);
    let health = Health::default();
    let index = Arc::from("a");
    let _ = refuse(&held, &index, &health);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    // Whether it still refuses is found out by these.
    assert_eq!(
        [0; 3].map(|_| held.admit(&index)),
        [0; 3].map(|_| Admission::Send)
    );
    let verdict = refuse(&held, &index, &health).expect("it does");
    assert_eq!(held.admit(&index), Admission::GiveUp(verdict));
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert!(held.accepted([&index], "index", &health));
    assert_eq!(held.admit(&index), Admission::Send);
}

/// With a document that another shard of the index takes after each that the full one refuses.
#[tokio::test(start_paused = true)]
async fn what_a_full_shard_refuses_is_given_up_and_nothing_waits_for_it() {
    let held = HeldIndices::new(Some(Duration::from_secs(5)), Duration::ZERO);
    let (health, index) = (Health::default(), Arc::from("a"));
    let to = ("index", &health);
    let refuse = |refusal| held.refused(&index, refusal, "400 full", to);
    let told = || health.conditions().first().map(|c| c.text.clone());
    // Alone in its request: nobody knows of another shard.
    assert_eq!(refuse(Refusal::Of(Class::Full)), None);
    assert_eq!(
        (held.admit(&index), held.holds(&index)),
        (Admission::Wait, true)
    );
    assert!(
        held.accepted([&index], "index", &health),
        "what waited goes on"
    );
    for _ in 0..4 {
        assert_eq!(
            (held.admit(&index), held.holds(&index)),
            (Admission::Send, false)
        );
        assert_eq!(refuse(Refusal::InPart(Class::Full)), None);
        assert!(!held.accepted([&index], "index", &health), "nothing waits");
        let told = told().expect("a condition");
        assert!(told.starts_with("a shard of index `a` takes no"), "{told}");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    // Since the first, and by itself as well.
    for refusal in [Refusal::InPart(Class::Full), Refusal::Of(Class::Full)] {
        let verdict = refuse(refusal).expect("it has waited enough");
        let start = "its shard of the index took no documents for more than 5s: 400 full (roll";
        assert!(verdict.starts_with(start), "{verdict}");
    }
    assert_eq!(held.admit(&index), Admission::Send);

    // Of all of it, from then on.
    assert_eq!(refuse(Refusal::Of(Class::Closed)), None);
    assert_eq!(
        (held.admit(&index), held.holds(&index)),
        (Admission::Wait, true)
    );
    assert!(held.accepted([&index], "index", &health));
    assert_eq!((told(), held.any()), (None, false));

    // Rolled over: it takes all, and may be full again one day.
    assert_eq!(refuse(Refusal::InPart(Class::Full)), None);
    tokio::time::advance(PART_FORGET_AFTER).await;
    assert_eq!(refuse(Refusal::InPart(Class::Full)), None, "it begins anew");
    tokio::time::advance(PART_FORGET_AFTER).await;
    let _ = held.accepted([], "index", &health);
    assert_eq!((told(), held.any()), (None, false));
}

/// As of an index with one shard, of which one document was there already.
#[tokio::test(start_paused = true)]
async fn an_index_that_is_full_as_a_whole_is_held_though_it_took_a_document_once() {
    let held = HeldIndices::new(Some(Duration::from_secs(40)), Duration::ZERO);
    let (health, index) = (Health::default(), Arc::from("a"));
    let to = ("index", &health);
    let refuse = |refusal| held.refused(&index, refusal, "400 full", to);
    let told = || health.conditions().first().map(|c| c.text.clone());
    assert_eq!(refuse(Refusal::InPart(Class::Full)), None);
    tokio::time::advance(WHOLE_AFTER / 2).await;
    assert_eq!(refuse(Refusal::Of(Class::Full)), None);
    assert_eq!(held.admit(&index), Admission::Send);
    tokio::time::advance(WHOLE_AFTER / 2).await;
    assert_eq!(refuse(Refusal::Of(Class::Full)), None);
    assert_eq!(
        (held.admit(&index), held.holds(&index)),
        (Admission::Wait, true)
    );
    let text = told().expect("a condition");
    assert!(text.starts_with("index `a` takes no documents"), "{text}");
    tokio::time::advance(PROBE.0).await;
    assert_eq!(
        [0; 2].map(|_| held.admit(&index)),
        [Admission::Send, Admission::Wait]
    );
    // Since the first refusal, of which the last document that it took is less far away.
    tokio::time::advance(Duration::from_secs(25)).await;
    let verdict = refuse(Refusal::Of(Class::Full)).expect("it has waited enough");
    assert!(verdict.starts_with("the index took no"), "{verdict}");
    // A shard of it takes documents again: none waits.
    assert!(held.accepted([&index], "index", &health));
    assert_eq!(
        (held.admit(&index), held.holds(&index)),
        (Admission::Send, false)
    );
    tokio::time::advance(WHOLE_AFTER).await;
    let verdict = refuse(Refusal::Of(Class::Full)).expect("it has waited enough");
    assert!(verdict.starts_with("its shard of the index"), "{verdict}");
    // What was not tried may be for the shard that took one, so it is not given up.
    assert_eq!(
        (held.admit(&index), held.holds(&index)),
        (Admission::Wait, true)
    );
    // That it takes none for another reason is another matter.
    assert_eq!(refuse(Refusal::Of(Class::Closed)), None);
}

/// As of one whose pipeline refuses some, beside documents that it takes.
#[tokio::test(start_paused = true)]
async fn what_an_index_refuses_beside_others_is_given_up_and_nothing_waits_for_it() {
    let held = HeldIndices::new(Some(Duration::from_secs(5)), Duration::ZERO);
    let (health, index) = (Health::default(), Arc::from("a"));
    let to = ("index", &health);
    let refuse = |refusal| held.refused(&index, refusal, "404 gone", to);
    let told = || health.conditions().first().map(|c| c.text.clone());
    for _ in 0..3 {
        let _ = held.accepted([&index], "index", &health);
        assert_eq!(refuse(Refusal::InPart(Class::Missing)), None);
        assert_eq!(
            (held.admit(&index), held.holds(&index)),
            (Admission::Send, false)
        );
        let text = told().expect("a condition");
        let start = "index `a` does not take some documents: 404 gone (";
        assert!(text.starts_with(start), "{text}");
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    let verdict = refuse(Refusal::InPart(Class::Missing)).expect("it has waited enough");
    let start = "the index took others, and none like this one for more than 5s: 404 gone (";
    assert!(verdict.starts_with(start), "{verdict}");

    // Of all of it, until it takes one.
    tokio::time::advance(WHOLE_AFTER).await;
    let _ = refuse(Refusal::Of(Class::Missing));
    assert!(held.holds(&index));
    assert!(held.accepted([&index], "index", &health));
    assert!(!held.holds(&index) && told().is_some());
    tokio::time::advance(PART_FORGET_AFTER).await;
    let _ = held.accepted([&index], "index", &health);
    assert_eq!((told(), held.any()), (None, false));
    // What never took others beside what it refused is well with the first that it takes.
    let _ = refuse(Refusal::Of(Class::Missing));
    assert!(held.accepted([&index], "index", &health));
    assert_eq!((told(), held.any()), (None, false));

    // What it refuses for another reason has not waited yet.
    let six = Duration::from_secs(6);
    assert_eq!(refuse(Refusal::InPart(Class::Missing)), None);
    tokio::time::advance(six).await;
    assert_eq!(refuse(Refusal::InPart(Class::NotPermitted)), None);
    tokio::time::advance(six).await;
    assert!(refuse(Refusal::InPart(Class::NotPermitted)).is_some());
    // A full disk comes and goes with all its documents: the first that it takes ends it.
    assert_eq!(refuse(Refusal::InPart(Class::DiskFull)), None);
    tokio::time::advance(WHOLE_AFTER).await;
    let _ = refuse(Refusal::Of(Class::DiskFull));
    assert!(held.accepted([&index], "index", &health) && !held.any());
}

/// The cluster waits for the shard, and so does all else in the request.
#[tokio::test(start_paused = true)]
async fn of_indices_with_a_shard_that_is_away_one_is_asked_at_a_time_and_each_in_turn() {
    let wait = Duration::from_secs(10);
    let held = HeldIndices::new(None, wait);
    let health = Health::default();
    let names = ["a", "b", "c"].map(Arc::<str>::from);
    let error = "503 unavailable_shards_exception: [a][0] primary shard is not active Timeout: [10s], request: [BulkShardRequest [[a][0]] containing [index {[a][1], source[secret]}]]";
    let refuse = |name| {
        let to = ("index", &health);
        held.refused(name, Refusal::Of(Class::ShardAway), error, to)
    };
    names.iter().for_each(|name| assert_eq!(refuse(name), None));
    let text = health.conditions()[0].text.clone();
    let start = "index `a` takes no documents: 503 unavailable_shards_exception: [a][0] primary shard is not active Timeout: [10s] (a shard is away, and `GET _cluster";
    assert!(
        text.starts_with(start) && !text.contains("secret"),
        "{text}"
    );

    // Some say no more than that.
    let short =
        "503 unavailable_shards_exception: [a][0] primary shard is not active Timeout: [10s]";
    let refusal = Refusal::Of(Class::ShardAway);
    assert_eq!(
        held.refused(&names[0], refusal, short, ("index", &health)),
        None
    );
    let text = health.conditions()[0].text.clone();
    assert!(text.starts_with(start), "{text}");

    let mut asked = Vec::new();
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(1)).await;
        let sent = names
            .iter()
            .filter(|name| held.admit(name) == Admission::Send);
        let sent: Vec<_> = sent.collect();
        sent.iter().for_each(|name| assert_eq!(refuse(name), None));
        asked.extend(sent.into_iter().map(|name| &**name));
    }
    assert_eq!(asked, ["a", "b", "c", "a", "b", "c"]);
    // One is back, so others are asked at once.
    assert!(held.accepted([&names[2]], "index", &health));
    let sent = names
        .each_ref()
        .map(|name| held.admit(name) == Admission::Send);
    assert_eq!(sent, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_has_a_bound() {
    let held = HeldIndices::default();
    let health = Health::default();
    for number in 0..2 * KNOWN_MAX {
        let name = format!("index-{number}").into();
        let _ = refuse(&held, &name, &health);
    }
    assert_eq!(held.lock().holds.len(), KNOWN_MAX);
    assert!(health.conditions()[0].text.len() < 2_000);
}
