//! `isobar top`, over the paths that it asks.

use isobar::exit::Exit;
use testkit::wait;

use super::{SOON, Served, WAITING};
use crate::support::isobar;

#[test]
fn top_shows_at_a_terminal_what_the_page_shows() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    wait::until("everything to be open", SOON, || {
        anyhow::ensure!(served.get("/readyz").status == 200, "not yet");
        Ok(())
    })
    .expect("it opens");
    let url = format!("http://{}", served.address);
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    let (first, rest) = done.output.split_once('\n').expect("lines");
    assert!(first.starts_with("waiting: OK, up "), "{first}");
    let expected = "
NODE         TYPE        RECORDS/S  RECORDS  BUSY  QUEUE  REJECTED  FAILURES
in           numbers             ?      190          0 %
odd          refuse_odd          ?      190     ?    0/8        94         0
count        count               ?       96     ?    0/8         0         0
drop         drop                ?       96     ?      -         0         0
dead_letter  sink                ?       94     ?    0/8         0         0

BOLT   HOST       REQUESTS/S  HALF WITHIN  99 % WITHIN
count  es-1:9200           ?            ?            ?

SPOUT  READ  DELIVERED";
    assert!(rest.starts_with(expected), "{rest}");
    let rejects = "\n\nBOLT  REASON  REJECTED  OF READ\nodd   odd           94  49.47 %\n";
    assert!(rest.ends_with(rejects), "{rest}");
    served
        .observer
        .running
        .health()
        .set("drop", "held", "closed");
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert!(
        done.output.contains("\ndrop: held: closed\n"),
        "{}",
        done.output
    );
    assert!(
        done.output.contains("\nBottleneck: drop: held: closed\n"),
        "{}",
        done.output
    );
    drop(served);
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert_eq!(done.exit, Exit::Undetermined);
    let expected = format!("{} does not say its statistics: ", &url["http://".len()..]);
    assert!(done.error.starts_with(&expected), "{}", done.error);
}
