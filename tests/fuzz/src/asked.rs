//! What comes over HTTP: questions to a running topology, and the answers of its other replicas.

use std::collections::BTreeSet;

use isobar::accounting::Accounting;
use isobar::http;
use isobar::lag::{LagDocument, OfReplica, SpoutLag, merge};

/// A path with parameters: understood, or refused in a sentence that names it and is not longer than it was, but
/// for what could be asked. What is understood names each parameter once.
pub fn question(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Some(understood) = http::understood(text) else {
        return;
    };
    let asked = text.split('#').next().unwrap_or_default();
    let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
    match understood {
        Err(refusal) => {
            assert!(refusal.starts_with("parameters of /"), "{refusal}");
            // Each byte of a query may stand for one that an error writes with an escape.
            assert!(refusal.len() < 500 + 12 * text.len(), "{refusal}");
        }
        Ok(()) if query.contains(['%', '+']) => {}
        Ok(()) => {
            let names = query.split('&').filter(|pair| !pair.is_empty());
            let names: Vec<&str> = names
                .map(|pair| pair.split('=').next().unwrap_or_default())
                .collect();
            let unique: BTreeSet<&&str> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{path}: {names:?}");
        }
    }
}

/// What replicas answer, a line each: the lag of spouts, of which the first is that of this replica, or accounts.
/// Together they have each partition once; a sum that says a number is one of all partitions.
pub fn replicas(input: &[u8]) {
    let lines = || input.split(|byte| *byte == b'\n');
    let mut lags = lines().filter_map(|line| serde_json::from_slice::<Vec<SpoutLag>>(line).ok());
    let mut own = lags.next().unwrap_or_default();
    // Spouts are merged one by one.
    own.truncate(1);
    let others: Vec<OfReplica> = lags
        .zip(0..)
        .map(|(lag, number)| OfReplica {
            address: format!("replica-{number}:1"),
            lag,
            age_seconds: f64::from(number),
            silent: (number % 3 == 2).then(|| "it does not answer".to_owned()),
        })
        .collect();
    let merged = merge(own, &others);
    for spout in &merged {
        let names = spout
            .partitions
            .iter()
            .map(|one| (&one.topic, one.partition));
        let unique: BTreeSet<_> = names.collect();
        assert_eq!(unique.len(), spout.partitions.len());
        assert!(unique.len() <= 100_000 + input.len());
        if spout.lag.is_some() {
            assert!(spout.partitions.iter().all(|one| one.lag.is_some()));
        }
    }
    let document = LagDocument::of("logs", merged);
    let written = serde_json::to_string(&document).expect("it is plain data");
    let again: LagDocument = serde_json::from_str(&written).expect("it was read before");
    let again = serde_json::to_string(&again).expect("it is plain data");
    assert_eq!(again, written);

    let accounts = lines().filter_map(|line| serde_json::from_slice(line).ok());
    let accounts: Vec<Accounting> = accounts.collect();
    let sum = Accounting::sum("logs", &accounts);
    for account in &accounts {
        assert!(sum.total.read >= account.total.read);
        assert!(sum.total.settled() <= sum.total.read);
    }
}
