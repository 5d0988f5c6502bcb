//! Whether a running topology is ready and alive, and in which words it says why not.

use std::time::Duration;

use testkit::wait;

use crate::http::{Served, WAITING};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn it_is_ready_while_it_reads_and_alive_while_its_lanes_are() {
    let served = Served::start(WAITING);
    wait::until("readiness", SOON, || {
        let answer = served.get("/readyz");
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    })
    .expect("it opens");
    let alive = served.get("/healthz");
    assert_eq!((alive.status, alive.text().as_str()), (200, "alive\n"));
    served
        .observer
        .running
        .health()
        .set("in", "connecting", "no broker answers");
    let answer = served.get("/readyz");
    assert_eq!(answer.status, 503);
    let said = "not ready\nin: connecting: no broker answers (since 20";
    assert!(answer.text().starts_with(said), "{}", answer.text());
    assert!(answer.text().ends_with("Z)\n"), "{}", answer.text());
    assert!(served.get("/metrics").text().contains(
        "isobar_condition{topology=\"waiting\",component=\"in\",kind=\"connecting\"} 1\n"
    ));
    served.observer.running.health().clear("in", "connecting");
    assert!(!served.get("/metrics").text().contains("isobar_condition"));
    // What keeps no record waiting is told, and takes no replica out.
    let health = served.observer.running.health();
    health.note("count", "table", "the file is refused");
    let answer = served.get("/readyz");
    assert_eq!(answer.status, 200);
    let said = "ready\ncount: table: the file is refused (since 20";
    assert!(answer.text().starts_with(said), "{}", answer.text());
    let metrics = served.get("/metrics").text();
    let ready = "isobar_ready{topology=\"waiting\"} 1\n";
    assert!(metrics.contains(ready), "{metrics}");
    assert_eq!(served.json("/diagnostics")["ready"], true);
    health.clear("count", "table");
    served.observer.stopping();
    served.observer.running.stop();
    let answer = served.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("the topology is stopping"),
        "{}",
        answer.text()
    );
    assert_eq!(served.get("/healthz").status, 200);
}

#[test]
fn what_is_not_open_says_so() {
    let served = Served::start(&WAITING.replace("type: drop", "type: away"));
    let expected =
        "not ready\ndrop: opening: cannot reach http://127.0.0.1:9: connection refused (since ";
    wait::until("only the one that fails", SOON, || {
        let answer = served.get("/readyz");
        let text = answer.text();
        let is_alone = text.starts_with(expected) && text.lines().count() == 2;
        anyhow::ensure!(is_alone, "{text}");
        Ok(answer.status)
    })
    .map(|status| assert_eq!(status, 503))
    .expect("the others open");
}

#[test]
fn lanes_that_end_while_nobody_stops_them_are_not_alive() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    // As after a fault of the runtime: nobody told the observer.
    served.observer.running.stop();
    let text = wait::until("the lanes to end", SOON, || {
        let answer = served.get("/healthz");
        anyhow::ensure!(answer.status == 500, "{}", answer.status);
        Ok(answer.text())
    })
    .expect("they end");
    assert!(text.starts_with("not alive\nlane "), "{text}");
}
