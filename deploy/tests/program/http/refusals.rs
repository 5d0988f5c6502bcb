//! What is not answered: paths, methods and parameters that there are not.

use serde_json::{Value, json};
use testkit::http::{request, request_with};

use super::{SOON, Served, WAITING};

#[test]
fn unknown_paths_and_methods_are_refused_in_words() {
    let served = Served::start(WAITING);
    assert!(served.get("/").text().contains("/readyz       200 while"));
    assert_eq!(served.get("/history?after_ms=x").status, 400);
    assert_eq!(served.json("/history")["times_ms"], json!([]));
    let missing = served.get("/acounting");
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .text()
            .contains("/accounting   what became of every record")
    );
    let body = Some(("text/plain", &b"x"[..]));
    let posted = request(&served.address, "POST", "/accounting", body, SOON).expect("an answer");
    assert_eq!(posted.status, 405);
    assert_eq!(posted.header("allow"), Some("GET, HEAD"));
    assert_eq!(posted.text(), r#"{"error":"this is asked with GET"}"#);
}

#[test]
fn a_parameter_that_a_path_does_not_know_is_refused_with_those_that_it_knows() {
    let served = Served::start(WAITING);
    let token = served.observer.token.as_ref().expect("it has one").text();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer), ("content-length", "0")];
    for (method, path, said) in [
        (
            "GET",
            "/tap?edge=in&evry=5",
            "unknown field `evry`, expected one of `edge`, `every`, `limit`, `for`, `mask`, `where`",
        ),
        ("GET", "/tap?every=5", "missing field `edge`"),
        (
            "POST",
            "/pause?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "POST",
            "/resume?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "GET",
            "/history?after=1",
            "unknown field `after`, expected `after_ms`",
        ),
        (
            "GET",
            "/whereabouts?topic=t&partition=0&ofset=0",
            "unknown field `ofset`, expected one of `topic`, `partition`, `offset`",
        ),
        (
            "GET",
            "/replays?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "GET",
            "/replays/19a?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "POST",
            "/replays/19a/abort?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "POST",
            "/replays?rate=5",
            "unknown field `rate`, there are no fields",
        ),
        (
            "POST",
            "/replays/plans?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/replays/plans/19a?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/lag?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/accounting?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/statistics?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/replicas?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/diagnostics?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/layouts?form=0",
            "unknown field `form`, there are no fields",
        ),
    ] {
        let answer = request_with(&served.address, method, path, &headers, SOON);
        let answer = answer.expect("an answer");
        let place = path.split('?').next().expect("a path");
        let expected = json!({"error": format!("parameters of {place}: {said}")});
        assert_eq!((answer.status, answer.text()), (400, expected.to_string()));
    }
    assert_eq!(
        served.json("/statistics")["spouts"][0]["paused_since_ms"],
        Value::Null
    );
    // Who scrapes, probes or links to the page may add what they like.
    for path in [
        "/metrics?a=b",
        "/healthz?a=b",
        "/readyz?a=b",
        "/?a=b",
        "/page.css?a=b",
    ] {
        assert_eq!(served.get(path).status, 200, "{path}");
    }
}
