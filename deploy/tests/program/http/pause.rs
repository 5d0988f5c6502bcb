//! `/pause` and `/resume`, and the commands that ask for them.

use isobar::exit::Exit;
use serde_json::{Value, json};
use testkit::http::request_with;

use super::{SOON, Served, WAITING};
use crate::support::{File, isobar};

#[test]
fn spouts_are_paused_and_go_on_for_who_has_the_token() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    let post = |path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", &**bearer))
            .collect();
        request_with(&served.address, "POST", path, &headers, SOON).expect("an answer")
    };
    let token = served.observer.token.as_ref().expect("it has one").text();
    for (given, word) in [
        (None, "needs the token"),
        (Some(""), "needs the token"),
        (Some("0123456789abcdef0123456789abcdef"), "was refused"),
    ] {
        let refused = post("/pause", given);
        assert_eq!(refused.status, 401);
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    let refused = served.get("/pause");
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), Some("POST"));
    assert!(
        refused.text().contains("done with POST"),
        "{}",
        refused.text()
    );
    let missing = post("/pause?spout=out", Some(token));
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .text()
            .contains("there is no spout out; there is in")
    );
    assert_eq!(served.observer.running.paused_since(0), None);

    let paused = post("/pause?spout=in", Some(token)).json().expect("JSON");
    let since = paused["spouts"][0]["paused_since_ms"].clone();
    assert!(since.is_i64(), "{paused}");
    // It is alive and in its group: nothing else would read for it.
    assert_eq!(served.get("/readyz").status, 200);
    assert_eq!(
        served.json("/statistics")["spouts"][0]["paused_since_ms"],
        since
    );
    let metrics = served.get("/metrics").text();
    assert!(
        metrics.contains("isobar_spout_paused{topology=\"waiting\",spout=\"in\"} 1\n"),
        "{metrics}"
    );
    let again = post("/pause", Some(token)).json().expect("JSON");
    assert_eq!(again["spouts"][0]["paused_since_ms"], since);
    let url = format!("http://{}", served.address);
    let shown = isobar("top-paused", "", &["top", &url, "--once"]).output;
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("in           paused ")),
        "{shown}"
    );

    let reads = post("/resume", Some(token)).json().expect("JSON");
    assert_eq!(
        reads["spouts"][0],
        json!({"spout": "in", "paused_since_ms": null})
    );
}

#[test]
fn pause_and_resume_are_commands() {
    let served = Served::start(WAITING);
    let url = format!("http://{}", served.address);
    let token = served.observer.token.as_ref().expect("it has one").text();
    let file = File::new("pause-token", token);
    let path = file.path.to_str().expect("UTF-8");
    let done = isobar("pause", "", &["pause", &url, "--token-file", path]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    let words: Vec<&str> = done.output.split_whitespace().collect();
    assert_eq!(words[..4], ["ADDRESS", "TOPOLOGY", "SPOUT", "STATE"]);
    assert_eq!(words[5..9], ["waiting", "in", "paused", "since"]);
    let arguments = ["resume", &url, "--token-file", path, "-o", "json"];
    let done = isobar("resume", "", &arguments);
    assert_eq!(done.json()[0]["spouts"][0]["paused_since_ms"], Value::Null);

    // Who does not answer keeps no other one as it is.
    let arguments = ["pause", "http://127.0.0.1:9", &url, "--token-file", path];
    let done = isobar("pause-two", "", &arguments);
    assert_eq!(done.exit, Exit::Undetermined);
    let expected = "127.0.0.1:9 does not say that it paused: ";
    assert!(done.error.starts_with(expected), "{}", done.error);
    assert!(served.observer.running.paused_since(0).is_some());

    let wrong = File::new("pause-wrong-token", "0123456789abcdef");
    let path = wrong.path.to_str().expect("UTF-8");
    let done = isobar("pause-wrong", "", &["pause", &url, "--token-file", path]);
    assert_eq!(done.exit, Exit::Failed);
    let expected = format!("{}: the token was refused", served.address);
    assert!(done.error.starts_with(&expected), "{}", done.error);

    // As a demonstration prints it, and never without one.
    let with_token = format!("{url}/#token={token}");
    let done = isobar("resume-demo", "", &["resume", &with_token]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    assert!(done.output.contains("reads"), "{}", done.output);
    let done = isobar("pause-one", "", &["pause", &with_token, &url]);
    assert_eq!(done.exit, Exit::Usage);
    let expected = format!("name the token of {}: ", served.address);
    assert!(done.error.starts_with(&expected), "{}", done.error);
    assert_eq!(served.observer.running.paused_since(0), None);
    let short = format!("{url}/#token=short");
    let done = isobar("pause-short", "", &["pause", &short]);
    assert_eq!(done.exit, Exit::Usage);
    assert!(done.error.contains("16 or more"), "{}", done.error);
}
